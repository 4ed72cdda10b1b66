"""
Run forever and cause everything that operators and the sink count: late events, outliers, invalid and rejected samples.

usage: troubled.py URL
"""

from __future__ import annotations

import sys
import time
from typing import Any

from pyflink.common import Types, WatermarkStrategy
from pyflink.common.watermark_strategy import TimestampAssigner
from pyflink.datastream import StreamExecutionEnvironment
from replayable import numbers

from pyflink_prometheus import (
    Enrich,
    Filter,
    Hampel,
    MarkStale,
    PrometheusSink,
    PrometheusTimeSeries,
    Reorder,
    SpeedGate,
    Threshold,
)

BEGAN_MS = time.time_ns() // 1_000_000
PER_SECOND = 20.0
HOUR_MS = 3_600_000


def event_of(number: int) -> dict[str, Any]:
    """Return an event; of ten in a row some are wrong, in different ways."""
    kind = number % 10
    value = {3: 1000.0, 5: 50.0}.get(kind, 1.0)
    return {
        "kind": kind,
        "time": BEGAN_MS + round(number * 1000 / PER_SECOND) - (HOUR_MS if kind == 9 else 0),
        "value": value,
        "position": (48.0, 12.0 if kind == 7 else 2.0),
        # Each falls silent after two seconds.
        "device": f"{number // 40}",
    }


def to_series(event: dict[str, Any]) -> PrometheusTimeSeries:
    """Convert an event, some to samples that the sink rejects, and some to samples that the receiver refuses."""
    kind = event["kind"]
    labels = {"device": "old"} if kind in (4, 6) else {"device": event["device"]}
    timestamp = event["time"] - (HOUR_MS if kind == 6 else 0)
    return PrometheusTimeSeries("troubled", {**labels, **event.get("more", {})}, ((event["value"], timestamp),))


class _Time(TimestampAssigner):
    def extract_timestamp(self, value: dict[str, Any], record_timestamp: int) -> int:
        return int(value["time"])


def same(event: dict[str, Any]) -> int:
    """Return a key that all events share, so that each is compared with the previous ones."""
    return 0


def main() -> None:
    """Run until cancelled."""
    env = StreamExecutionEnvironment.get_execution_environment()
    env.set_parallelism(1)
    strategy = WatermarkStrategy.for_monotonous_timestamps().with_timestamp_assigner(_Time())
    source = env.from_source(numbers(1_000_000, PER_SECOND), WatermarkStrategy.no_watermarks(), "numbers", Types.LONG())
    events = source.map(event_of, Types.PICKLED_BYTE_ARRAY()).assign_timestamps_and_watermarks(strategy)
    # Some events come twice, and more arrive between two watermarks than Reorder may hold.
    doubled = events.flat_map(lambda event: [event, event] if event["kind"] == 8 else [event])
    ordered = doubled.key_by(same).process(Reorder(max_held=3)).name("reorder")
    checks = (
        Threshold(lambda event: event["value"], max=100),
        Hampel(lambda event: event["value"], min_deviation=10),
        SpeedGate(lambda event: event["position"], max_speed=350),
    )
    possible = ordered.key_by(same).process(Filter(*checks)).name("filter")
    known = possible.process(Enrich({2: {"more": {"__name__": "x"}}}, lambda event: event["kind"])).name("enrich")
    series = known.map(to_series).key_by(lambda series: str(series.labels)).process(MarkStale(1_000)).name("mark stale")
    sink = PrometheusSink.builder().set_prometheus_remote_write_url(sys.argv[1]).set_name("write troubled").build()
    series.sink_to(sink)
    env.execute("troubled")


if __name__ == "__main__":
    main()
