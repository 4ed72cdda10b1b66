"""
Write a hundred good samples, and some that cannot be written.

usage: rejecting.py URL PARALLELISM INVALID

The receiver refuses the metric "refused"; INVALID samples have no metric name.
"""

from __future__ import annotations

import sys

from pyflink.common import Types
from pyflink.datastream import StreamExecutionEnvironment

from pyflink_prometheus import PrometheusSink, PrometheusTimeSeries

T = 1_700_000_000_000


def main() -> None:
    """Run the job to its end."""
    url, parallelism, invalid = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    names = ["good"] * 100 + ["refused"] * (3 if invalid else 0) + [""] * invalid
    records = [PrometheusTimeSeries(name, {}, ((1.0, T + number),)) for number, name in enumerate(names)]
    env = StreamExecutionEnvironment.get_execution_environment()
    env.set_python_executable(sys.executable)
    env.set_parallelism(1)
    sink = PrometheusSink.builder().set_prometheus_remote_write_url(url).set_parallelism(parallelism).build()
    env.from_collection(records).key_by(lambda series: series.samples[0][1], Types.LONG()).sink_to(sink)
    env.execute()
    print("executed", file=sys.stderr)


if __name__ == "__main__":
    main()
