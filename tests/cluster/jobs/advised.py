"""
Do what the sink advises against: key instances of this file's own class for one subtask, in bundles that are too small.

usage: advised.py URL
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

from pyflink.common import Configuration, Types, WatermarkStrategy
from pyflink.datastream import StreamExecutionEnvironment
from pyflink.datastream.connectors.number_seq import NumberSequenceSource

from pyflink_prometheus import PrometheusSink, PrometheusTimeSeries

BUNDLE = 20
BUNDLES = 60


@dataclass
class Reading:
    """A numbered reading."""

    number: int


def to_series(reading: Reading) -> PrometheusTimeSeries:
    """Convert a reading."""
    return PrometheusTimeSeries("advised", {}, ((float(reading.number), 1_700_000_000_000 + reading.number),))


def main() -> None:
    """Run the job to its end."""
    config = Configuration()
    config.set_string("python.fn-execution.bundle.size", str(BUNDLE))
    config.set_string("python.fn-execution.bundle.time", "60000")
    env = StreamExecutionEnvironment.get_execution_environment(config)
    env.set_parallelism(1)
    numbers = NumberSequenceSource(0, BUNDLE * BUNDLES - 1)
    env.from_source(numbers, WatermarkStrategy.no_watermarks(), "numbers", Types.LONG()).map(Reading).key_by(
        lambda reading: reading.number % 7, Types.LONG()
    ).sink_to(
        PrometheusSink.builder().set_prometheus_remote_write_url(sys.argv[1]).set_element_converter(to_series).build()
    )
    env.execute()


if __name__ == "__main__":
    main()
