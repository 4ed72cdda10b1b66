"""
Write the same readings through all kinds of sinks, and enriched: a savepoint may hold state of each.

A savepoint may be resumed with another parallelism, and with a new branch.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

from pyflink.common import Configuration, Types, WatermarkStrategy
from pyflink.datastream import StreamExecutionEnvironment
from replayable import numbers
from resumed_operators import by_device, is_sent, reading

from pyflink_prometheus import (
    EnrichFromStream,
    PrometheusSink,
    PrometheusSinkBuilder,
    PrometheusTimeSeries,
    Transport,
)


class ToSeries:
    """A converter from a reading to a sample of its device's series; the reading's third field may name more labels."""

    def __init__(self, metric_name: str) -> None:
        self._metric_name = metric_name

    def __call__(self, event: Any) -> PrometheusTimeSeries:
        """Return a series."""
        name, time, value, *labels = event
        return PrometheusTimeSeries(self._metric_name, {"device": name, **dict(*labels)}, ((value, time),))


class FromNumber(ToSeries):
    """A converter from a number to the series of its reading."""

    def __call__(self, event: Any) -> PrometheusTimeSeries:
        """Return a series."""
        return super().__call__(reading(event))


def main() -> None:
    """Submit the job."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--per-second", type=float, required=True)
    parser.add_argument("--parallelism", type=int, required=True)
    parser.add_argument("--more", action="store_true", help="add a branch, before the others")
    options = parser.parse_args()

    config = Configuration()
    config.set_string("python.fn-execution.bundle.size", "100000")
    config.set_string("python.fn-execution.bundle.time", "200")
    config.set_string("pipeline.max-parallelism", "8")
    env = StreamExecutionEnvironment.get_execution_environment(config)
    env.set_python_executable(sys.executable)
    env.set_parallelism(options.parallelism)
    count = options.count

    def sink(metric_name: str | None = None) -> PrometheusSinkBuilder:
        builder = PrometheusSink.builder().set_prometheus_remote_write_url(options.url)
        return builder if metric_name is None else builder.set_element_converter(ToSeries(metric_name))

    raw = env.from_source(
        numbers(count, options.per_second), WatermarkStrategy.no_watermarks(), "numbers", Types.LONG()
    ).uid("numbers")
    sent = raw.set_parallelism(1).filter(lambda number: is_sent(number, count)).uid("sent").set_parallelism(1)
    readings = sent.map(reading, Types.PICKLED_BYTE_ARRAY()).uid("readings").set_parallelism(1)
    if options.more:
        by_device(readings.map(lambda event: event)).sink_to(sink("added").build())

    readings.sink_to(sink("dealt_out").set_uid("dealt out").build())
    by_device(readings).sink_to(sink("keyed").set_uid("keyed").build())
    by_device(readings).sink_to(sink("keyed_without_uid").build())
    batches = sink().set_transport(Transport.ARROW)
    sent.sink_to(batches.set_element_converter(FromNumber("batches_without_uid")).build())
    sent.sink_to(batches.set_element_converter(FromNumber("batches")).set_uid("batches").build())

    # One update, which only the first run reads.
    one = env.from_source(numbers(1, 1.0), WatermarkStrategy.no_watermarks(), "updates", Types.LONG()).uid("updates")
    enrich = EnrichFromStream(
        lambda number: ("everywhere", {"place": "roof"}),
        lambda event: "everywhere",
        lambda event, labels: (*event, labels),
    )
    updates = one.set_parallelism(1).map(lambda number: number).uid("update").set_parallelism(1)
    rows = readings.map(lambda event: event).uid("rows").set_parallelism(1).disable_chaining()
    rows.connect(updates.broadcast(enrich.state_descriptor)).process(enrich).uid("enrich").sink_to(
        sink("enriched").build()
    )
    env.execute("rescaled")


if __name__ == "__main__":
    main()
