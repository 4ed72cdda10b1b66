"""
Submit small jobs, one after another, from one client: thread mode, a sink, one behind a key, and a pandas function.

usage: one_after_another.py URL COUNT

A job that fails is counted, and the next one is submitted. Prints how many have failed, and the last error.
"""

from __future__ import annotations

import sys

from pyflink.common import Configuration, Types
from pyflink.datastream import DataStream, StreamExecutionEnvironment
from pyflink.table import DataTypes, StreamTableEnvironment
from pyflink.table.udf import udf

from pyflink_prometheus import PrometheusSink, PrometheusTimeSeries

URL, COUNT = sys.argv[1], int(sys.argv[2])


def to_series(number: int) -> PrometheusTimeSeries:
    """Be the sink's converter."""
    return PrometheusTimeSeries("number", {}, ((float(number), 1_700_000_000_000 + number),))


def write(numbers: DataStream) -> None:
    """Write numbers as a series."""
    sink = PrometheusSink.builder().set_prometheus_remote_write_url(URL).set_element_converter(to_series)
    numbers.sink_to(sink.build())


def write_keyed(numbers: DataStream) -> None:
    """Write sums by key, so that there is state."""
    write(numbers.key_by(lambda number: number % 2, Types.LONG()).reduce(lambda one, other: one + other))


def write_table(numbers: DataStream) -> None:
    """Write what a pandas function makes of a table."""
    table_env = StreamTableEnvironment.create(numbers.get_execution_environment())
    double = udf(lambda column: column * 2, result_type=DataTypes.BIGINT(), func_type="pandas")
    table = table_env.from_data_stream(numbers)
    rows = table_env.to_data_stream(table.select(double(table.f0)))
    write(rows.map(lambda row: row[0], Types.LONG()))


def write_mapped(numbers: DataStream) -> None:
    """Write what a function in thread mode makes of them."""
    write(numbers.map(lambda number: number + 1, Types.LONG()))


KINDS = [(write_mapped, "thread"), (write, "process"), (write_keyed, "process"), (write_table, "process")]


def main() -> None:
    """Submit and wait."""
    failed, error = 0, ""
    for number in range(COUNT):
        kind, mode = KINDS[number % len(KINDS)]
        config = Configuration()
        config.set_string("python.execution-mode", mode)
        env = StreamExecutionEnvironment.get_execution_environment(config)
        env.set_parallelism(1)
        kind(env.from_collection(list(range(10)), Types.LONG()))
        try:
            env.execute(f"{number}: {kind.__name__}")
        except Exception as raised:
            failed, error = failed + 1, str(raised)
    print(f"failed: {failed} of {COUNT}\n{error}")


if __name__ == "__main__":
    main()
