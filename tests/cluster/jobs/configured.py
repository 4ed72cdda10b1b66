"""
Write numbered samples with a sink from Prometheus's configuration.

usage: configured.py CONFIGURATION NAME COUNT PER_SECOND
"""

from __future__ import annotations

import sys

from pyflink.common import Configuration, Types, WatermarkStrategy
from pyflink.datastream import StreamExecutionEnvironment
from replayable import numbers

from pyflink_prometheus import PrometheusSink, PrometheusTimeSeries

CONFIGURATION, NAME, COUNT, PER_SECOND = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])


def to_series(number: int) -> PrometheusTimeSeries:
    """Convert a number to a sample."""
    return PrometheusTimeSeries("numbers", {}, ((float(number), 1_700_000_000_000 + number),))


def main() -> None:
    """Run the job; a failure ends it."""
    config = Configuration()
    config.set_string("restart-strategy.type", "none")
    config.set_string("python.fn-execution.bundle.time", "200")
    env = StreamExecutionEnvironment.get_execution_environment(config)
    env.set_parallelism(1)
    sink = PrometheusSink.from_remote_write_config(CONFIGURATION, NAME).set_element_converter(to_series).build()
    env.from_source(numbers(COUNT, PER_SECOND), WatermarkStrategy.no_watermarks(), "numbers", Types.LONG()).sink_to(
        sink
    )
    env.execute("configured")


if __name__ == "__main__":
    main()
