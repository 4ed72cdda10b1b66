"""
Run each operator over a small bounded input, and most of them in a chain.

usage: operators.py {process,thread}

Prints the output of each operator, by name, as one JSON object.
"""

from __future__ import annotations

import json
import math
import os
import sys
from typing import Any

from pyflink.common import Configuration, Duration, Types, WatermarkStrategy
from pyflink.common.watermark_strategy import TimestampAssigner
from pyflink.datastream import DataStream, OutputTag, StreamExecutionEnvironment
from pyflink.java_gateway import get_gateway
from replayable import numbers

from pyflink_prometheus import (
    Aggregate,
    CumulativeAggregate,
    Enrich,
    EnrichFromStream,
    Filter,
    MarkStale,
    NativeHistogram,
    PrometheusTimeSeries,
    Reorder,
    SessionWindows,
    SlidingWindows,
    SpeedGate,
    Threshold,
    TumblingWindows,
    key_by_with_timestamps,
)
from pyflink_prometheus.model.samples import is_stale_marker

T = 1_700_000_000_000
#: More than the disorder of any bounded input here.
OUT_OF_ORDERNESS_MS = 100_000
LATE = OutputTag("late", Types.PICKLED_BYTE_ARRAY())
UNMATCHED = OutputTag("unmatched", Types.PICKLED_BYTE_ARRAY())
REJECTED = OutputTag("rejected", Types.PICKLED_BYTE_ARRAY())

# (device, time, value), out of order.
READINGS = [
    ("a", 5_000, 5.0),
    ("a", 1_000, 1.0),
    ("b", 2_000, 20.0),
    ("a", 3_000, 3.0),
    ("a", 3_000, 99.0),
    ("b", 61_000, 40.0),
    ("a", 64_000, 7.0),
    ("a", 62_000, None),
    ("a", 4_000, 4.0),
]
TRACK = [("t", 1_000 * n, (48.0 + 0.001 * n, 2.0 if n != 4 else 9.0)) for n in range(8)]


class Time(TimestampAssigner):
    """The time of an event."""

    def extract_timestamp(self, value: Any, record_timestamp: int) -> int:
        """Return the time in milliseconds."""
        return int(value[1])


def environment(mode: str) -> StreamExecutionEnvironment:
    """Return an environment in this execution mode."""
    config = Configuration()
    config.set_string("python.execution-mode", mode)
    config.set_string("python.fn-execution.bundle.time", "100")
    env = StreamExecutionEnvironment.get_execution_environment(config)
    env.set_python_executable(sys.executable)
    env.set_parallelism(1)
    return env


def events(env: StreamExecutionEnvironment, several: list[Any]) -> DataStream:
    """Return a stream of events, none of which is late before the end of input."""
    return env.from_collection(several).assign_timestamps_and_watermarks(strategy())


def strategy() -> WatermarkStrategy:
    """Return the watermarks of :func:`events`."""
    bounded = WatermarkStrategy.for_bounded_out_of_orderness(Duration.of_millis(OUT_OF_ORDERNESS_MS))
    return bounded.with_timestamp_assigner(Time())


def late_events(env: StreamExecutionEnvironment) -> DataStream:
    """
    Return events (number, time): two, and then for six seconds events with an earlier time.

    The last of those are late, however slowly the machine produces a watermark from the first two.
    """
    monotonous = WatermarkStrategy.for_monotonous_timestamps().with_timestamp_assigner(Time())
    slow = env.from_source(numbers(60, 10.0), WatermarkStrategy.no_watermarks(), "slow", Types.LONG())
    timed = slow.map(lambda n: (n, T + 1_000 * n - (60_000 if n > 1 else 0)), Types.PICKLED_BYTE_ARRAY())
    return timed.assign_timestamps_and_watermarks(monotonous)


def by_device(stream: DataStream) -> DataStream:
    """Key a stream of events."""
    return stream.key_by(lambda event: event[0])


def to_series(event: Any) -> PrometheusTimeSeries | None:
    """Convert an event."""
    key, time, value = event[:3]
    return None if value is None else PrometheusTimeSeries("reading", {"device": key}, ((value, time),))


def shown(result: Any) -> Any:
    """Convert a result to JSON."""
    if not isinstance(result, PrometheusTimeSeries):
        return result
    samples = []
    value: Any
    for value, *times in result.samples:
        if isinstance(value, NativeHistogram):
            value = {"count": value.count, "sum": value.sum, "is_gauge": value.is_gauge}
        elif is_stale_marker(value):
            value = "stale"
        elif math.isnan(value):
            value = "NaN"
        samples.append([value, *times])
    return [result.key(), samples]


def streams(env: StreamExecutionEnvironment) -> dict[str, DataStream]:
    """Return each operator's output, by name."""
    found = {}
    readings = events(env, READINGS)
    found["reorder"] = by_device(readings).process(Reorder())
    in_one_step = key_by_with_timestamps(env.from_collection(READINGS), strategy(), lambda event: event[0])
    found["reorder in one step"] = in_one_step.process(Reorder())
    found["reorder together"] = by_device(readings).process(Reorder(release_interval_ms=60_000))

    slow = late_events(env)
    in_time = slow.key_by(lambda event: 0).process(Reorder(late_output_tag=LATE))
    found["not late"], found["late"] = in_time, in_time.get_side_output(LATE)

    of = ("count", "sum", "min", "max", "mean", "last", "histogram", 0.5)
    tumbling = by_device(readings).process(Aggregate("m", lambda e: e[2], TumblingWindows(60_000), of, labels="device"))
    found["tumbling"] = tumbling
    by_two = readings.key_by(lambda event: (event[0], event[1] // 60_000))
    found["sliding"] = by_two.process(
        Aggregate("m", lambda e: e[2], SlidingWindows(4_000, 2_000), "sum", labels=("device", "minute"))
    )
    # The third event lies between two sessions and makes one of them.
    bridged = events(env, [("a", 1_000, 1.0), ("a", 5_000, 2.0), ("a", 3_000, 4.0), ("a", 20_000, 8.0)])
    found["sessions"] = by_device(bridged).process(Aggregate("m", lambda e: e[2], SessionWindows(2_500), "sum"))
    found["cumulative"] = by_device(readings).process(
        CumulativeAggregate("m", lambda e: e[2], ("count", "sum", "histogram"), labels="device")
    )

    table = {"a": {"site": "roof"}}
    rows = readings.map(lambda e: {"device": e[0], "time": e[1]})
    static = rows.process(Enrich(table, lambda e: e["device"], unmatched_output_tag=UNMATCHED))
    found["enrich"], found["enrich unmatched"] = static, static.get_side_output(UNMATCHED)
    enrich = EnrichFromStream(lambda u: u, lambda e: e["device"], table=table, default={"site": "?"})
    updates = env.from_collection([("c", {"site": "cellar"})]).broadcast(enrich.state_descriptor)
    found["enrich from stream"] = rows.connect(updates).process(enrich)

    # The update has arrived long before the last event.
    enrich = EnrichFromStream(lambda u: u, lambda e: e["device"], table=table, drop_unmatched=True)
    updates = env.from_collection([("a", {"site": "attic"})]).broadcast(enrich.state_descriptor)
    devices = slow.filter(lambda event: event[0] == 2).map(lambda event: {"device": "a"})
    devices = devices.disable_chaining()  # PyFlink cannot connect a chain of Python functions to a broadcast stream
    found["enrich after updates"] = devices.connect(updates).process(enrich)

    gate = by_device(events(env, TRACK)).process(
        Filter(
            Threshold(lambda e: e[1], min=1_000), SpeedGate(lambda e: e[2], max_speed=300), rejected_output_tag=REJECTED
        )
    )
    found["filter"], found["filter rejected"] = gate, gate.get_side_output(REJECTED)
    java_process = get_gateway().jvm.java.lang.ProcessHandle.current().pid()
    here = slow.filter(lambda event: event[0] == 0).map(lambda event: os.getpid() == java_process)
    found["runs in Java's process"] = here
    found["mark_stale"] = by_device(readings).process(MarkStale(30_000, to_series))

    # In a chain: records that Reorder releases must keep their own timestamps, or they would land in the wrong windows.
    ordered = by_device(readings).process(Reorder())
    checked = by_device(ordered).process(Filter(Threshold(lambda e: e[2], max=50)))
    sums = by_device(checked).process(Aggregate("m", lambda e: e[2], TumblingWindows(2_000), "sum", labels="device"))
    found["chain"] = sums.key_by(lambda series: series.labels[0][1]).process(MarkStale(10_000))
    return found


def main() -> None:
    """Run all operators in one job."""
    env = environment(sys.argv[1])
    results: dict[str, list[Any]] = {}
    merged = None
    for name, stream in streams(env).items():
        results[name] = []
        named = stream.map(lambda result, name=name: json.dumps([name, shown(result)]), Types.STRING())
        merged = named if merged is None else merged.union(named)
    assert merged is not None
    with merged.execute_and_collect() as found:
        for line in found:
            name, result = json.loads(line)
            results[name].append(result)
    print(json.dumps(results))


if __name__ == "__main__":
    main()
