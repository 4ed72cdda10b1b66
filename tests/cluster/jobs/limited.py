"""
Write forty new series in two subtasks, with a limit of four for the whole sink, by each transport.

usage: limited.py URL

The metrics are called ``arrow`` and ``records``.
"""

from __future__ import annotations

import sys
from functools import partial

from pyflink.common import Types
from pyflink.datastream import StreamExecutionEnvironment

from pyflink_prometheus import PrometheusSink, PrometheusTimeSeries, Transport

URL = sys.argv[1]
SERIES = 40


def to_series(number: int, metric_name: str) -> PrometheusTimeSeries:
    """Convert a record."""
    return PrometheusTimeSeries(metric_name, {"number": str(number)}, ((1.0, 1_700_000_000_000),))


def main() -> None:
    """Run the job."""
    env = StreamExecutionEnvironment.get_execution_environment()
    env.set_python_executable(sys.executable)
    env.set_parallelism(2)
    numbers = env.from_collection(list(range(SERIES)), Types.LONG()).rebalance()
    for transport in (Transport.ARROW, Transport.RECORDS):
        sink = (
            PrometheusSink.builder()
            .set_prometheus_remote_write_url(URL)
            .set_element_converter(partial(to_series, metric_name=transport.name.lower()))
            .set_sending_limits(max_new_series_per_day=4)
            .set_transport(transport)
            .build()
        )
        numbers.sink_to(sink)
    env.execute()


if __name__ == "__main__":
    main()
