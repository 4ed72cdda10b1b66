"""
Write forty new series in two subtasks, with a limit on new series for the whole sink.

usage: limited.py URL TRANSPORT

The limit is 4 on the builder, and TRANSPORT is ``arrow`` or ``records``.
"""

from __future__ import annotations

import sys

from pyflink.common import Types
from pyflink.datastream import StreamExecutionEnvironment

from pyflink_prometheus import PrometheusSink, PrometheusTimeSeries, Transport

URL, TRANSPORT = sys.argv[1:]
SERIES = 40


def to_series(number: int) -> PrometheusTimeSeries:
    """Convert a record."""
    return PrometheusTimeSeries("m", {"number": str(number)}, ((1.0, 1_700_000_000_000),))


def main() -> None:
    """Run the job."""
    env = StreamExecutionEnvironment.get_execution_environment()
    env.set_python_executable(sys.executable)
    env.set_parallelism(2)
    sink = (
        PrometheusSink.builder()
        .set_prometheus_remote_write_url(URL)
        .set_element_converter(to_series)
        .set_sending_limits(max_new_series_per_day=4)
        .set_transport(Transport(TRANSPORT))
        .build()
    )
    env.from_collection(list(range(SERIES)), Types.LONG()).rebalance().sink_to(sink)
    env.execute()


if __name__ == "__main__":
    main()
