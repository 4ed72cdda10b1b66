"""
Submit small jobs, one after another, from one client: thread mode, a sink, a keyed sum, and a pandas function.

usage: one_after_another.py URL COUNT [FOLDER]

With a folder for their state across restarts, every third job fails once, from an exception or because its worker dies,
and is restarted, and every third one never ends and is cancelled. A job that fails for good is counted, and the next
one is submitted. Prints the number of failed jobs, and the last error.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from pyflink.common import Configuration, JobStatus, Types, WatermarkStrategy
from pyflink.datastream import DataStream, StreamExecutionEnvironment
from pyflink.datastream.connectors.number_seq import NumberSequenceSource
from pyflink.table import DataTypes, StreamTableEnvironment
from pyflink.table.udf import udf

from pyflink_prometheus import PrometheusSink, PrometheusTimeSeries

URL, COUNT = sys.argv[1], int(sys.argv[2])
FOLDER = sys.argv[3] if len(sys.argv) > 3 else ""
#: At a thousand a second, this many numbers never end while a test waits.
ENDLESS = 10_000_000


def to_series(number: int) -> PrometheusTimeSeries:
    """Convert a number for the sink."""
    return PrometheusTimeSeries("number", {}, ((float(number), 1_700_000_000_000 + number),))


def write(numbers: DataStream) -> None:
    """Write numbers as a series."""
    sink = PrometheusSink.builder().set_prometheus_remote_write_url(URL).set_element_converter(to_series)
    numbers.sink_to(sink.build())


def write_keyed(numbers: DataStream) -> None:
    """Write sums by key, so that the job has state."""
    write(numbers.key_by(lambda number: number % 2, Types.LONG()).reduce(lambda one, other: one + other))


def write_table(numbers: DataStream) -> None:
    """Write the results of a pandas function on a table."""
    table_env = StreamTableEnvironment.create(numbers.get_execution_environment())
    double = udf(lambda column: column * 2, result_type=DataTypes.BIGINT(), func_type="pandas")
    table = table_env.from_data_stream(numbers)
    rows = table_env.to_data_stream(table.select(double(table.f0)))
    write(rows.map(lambda row: row[0], Types.LONG()))


def write_mapped(numbers: DataStream) -> None:
    """Write the results of a function in thread mode."""
    write(numbers.map(lambda number: number + 1, Types.LONG()))


KINDS = [(write_mapped, "thread"), (write, "process"), (write_keyed, "process"), (write_table, "process")]


def failing_once(marker: str, *, dies: bool) -> Callable[[int], int]:
    """Return a function that fails at its first call, in any process."""

    def fail(number: int) -> int:
        if not Path(marker).exists():
            Path(marker).touch()
            if dies:
                os._exit(1)
            raise RuntimeError("fails once")
        return number

    return fail


def run(number: int) -> None:
    """Submit a job, and wait for its end."""
    kind, mode = KINDS[number % len(KINDS)]
    ending = number % 3 if FOLDER else 0
    config = Configuration()
    config.set_string("python.execution-mode", mode)
    config.set_string("restart-strategy.type", "fixed-delay")
    config.set_string("restart-strategy.fixed-delay.attempts", "2" if ending == 1 else "0")
    config.set_string("restart-strategy.fixed-delay.delay", "100 ms")
    env = StreamExecutionEnvironment.get_execution_environment(config)
    env.set_parallelism(1)
    if ending == 2:
        numbers = env.from_source(
            NumberSequenceSource(0, ENDLESS), WatermarkStrategy.no_watermarks(), "numbers", Types.LONG()
        )
        kind(numbers.map(slowly, Types.LONG()))
    else:
        rows = env.from_collection(list(range(10)), Types.LONG())
        if ending == 1:  # in thread mode the worker is the TaskManager
            dies = mode == "process" and number % 2 == 0
            rows = rows.map(failing_once(f"{FOLDER}/{number}", dies=dies), Types.LONG())
        kind(rows)
    name = f"{number}: {kind.__name__}"
    if ending != 2:
        env.execute(name)
        return
    job = env.execute_async(name)
    while job.get_job_status().result() != JobStatus.RUNNING:
        time.sleep(0.1)
    time.sleep(2)  # so that there are workers
    job.cancel().result()
    while job.get_job_status().result() != JobStatus.CANCELED:
        time.sleep(0.1)


def slowly(number: int) -> int:
    """Return the number, a thousand times a second."""
    time.sleep(0.001)
    return number


def main() -> None:
    """Submit the jobs, and wait for them."""
    failed, error = 0, ""
    for number in range(COUNT):
        try:
            run(number)
        except Exception as raised:
            failed, error = failed + 1, str(raised)
    print(f"failed: {failed} of {COUNT}\n{error}")


if __name__ == "__main__":
    main()
