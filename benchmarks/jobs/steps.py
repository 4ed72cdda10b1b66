"""
A job with one step in event time, which prints the microseconds per row as JSON: wall time, CPU of Java and of Python.

    steps.py --step plain|keyed|reorder|reorder-together|aggregate --fused
    steps.py --step plain|reorder|aggregate --sql

Rows of 1,000 devices come from a Java source of numbers, out of order by up to five seconds, and are discarded after
the step. The job runs three times in one JVM: to warm up, with few and with many rows. The difference of the last two
excludes the start. ``--fused`` assigns timestamps and keys in one Python step, ``--sql`` does everything in Flink SQL.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from pyflink.common import Configuration, Duration, Types, WatermarkStrategy
from pyflink.common.watermark_strategy import TimestampAssigner
from pyflink.datastream import DataStream, StreamExecutionEnvironment
from pyflink.datastream.connectors.base import Sink
from pyflink.datastream.connectors.number_seq import NumberSequenceSource
from pyflink.datastream.functions import KeyedProcessFunction, MapFunction
from pyflink.java_gateway import get_gateway
from pyflink.table import DataTypes, Schema, StreamTableEnvironment

from pyflink_prometheus import Aggregate, Reorder, TumblingWindows, key_by_with_timestamps

DEVICES = 1_000
START_MS = 1_700_000_000_000
DISORDER_MS = 5_000
WINDOW_MS = 60_000


class WriteCpu:
    """The end of a function, which writes the CPU time of its worker; the last one to end counts."""

    def __init__(self, file: Path) -> None:
        self._file = str(file)

    def __call__(self):
        """Write the CPU time."""
        with open(self._file, "a") as file:
            print(time.process_time(), file=file)


class ToRow(MapFunction):
    """Convert a number to a row."""

    def __init__(self, file: Path) -> None:
        self.close = WriteCpu(file)

    def map(self, value):
        """Return (device, value, time)."""
        time_ms = START_MS + value // DEVICES * 1_000 - value * 7_919 % DISORDER_MS
        return value % DEVICES, float(value), time_ms


class Time(TimestampAssigner):
    """The time of a row."""

    def extract_timestamp(self, value, record_timestamp):
        """Return milliseconds."""
        return value[2]


class Nothing(KeyedProcessFunction):
    """A keyed function that passes rows on."""

    def process_element(self, value, ctx):
        """Pass a row on."""
        yield value


STEPS = {
    "keyed": Nothing,
    "reorder": Reorder,
    "reorder-together": lambda: Reorder(release_interval_ms=10_000),
    "aggregate": lambda: Aggregate(
        "m", lambda row: row[1], TumblingWindows(WINDOW_MS), ("mean", "max", "count"), labels="device"
    ),
}
QUERIES = {
    "plain": "SELECT device, v, ts FROM timed",
    "reorder": "SELECT device, v, ts FROM timed ORDER BY ts",
    "aggregate": (
        "SELECT device, window_end, AVG(v), MAX(v), COUNT(*) FROM TABLE("
        f"TUMBLE(TABLE timed, DESCRIPTOR(ts), INTERVAL '{WINDOW_MS // 1_000}' SECOND)) "
        "GROUP BY device, window_start, window_end"
    ),
}


def in_python(numbers: DataStream, step: str, file: Path, *, fused: bool) -> DataStream:
    """Return the output of our own step."""
    rows = numbers.map(ToRow(file))
    strategy = WatermarkStrategy.for_bounded_out_of_orderness(Duration.of_millis(DISORDER_MS)).with_timestamp_assigner(
        Time()
    )
    if fused:
        keyed = key_by_with_timestamps(rows, strategy, lambda row: row[0], Types.LONG())
    else:
        timed = rows.assign_timestamps_and_watermarks(strategy)
        if step == "plain":
            return timed
        keyed = timed.key_by(lambda row: row[0], Types.LONG())
    function: Any = STEPS[step]()
    function.close = WriteCpu(file)
    return keyed.process(function)


def in_sql(env: StreamExecutionEnvironment, numbers: DataStream, step: str) -> DataStream:
    """Return the output of Flink's own step."""
    tables = StreamTableEnvironment.create(env)
    tables.get_config().set("table.local-time-zone", "UTC")
    tables.create_temporary_view("numbers", tables.from_data_stream(numbers).alias("number"))
    rows = tables.sql_query(
        f"SELECT CAST(MOD(number, {DEVICES}) AS BIGINT) AS device, CAST(number AS DOUBLE) AS v, TO_TIMESTAMP_LTZ("
        f"{START_MS} + number / {DEVICES} * 1000 - MOD(number * 7919, {DISORDER_MS}), 3) AS ts FROM numbers"
    )
    columns = Schema.new_builder().column("device", DataTypes.BIGINT()).column("v", DataTypes.DOUBLE())
    columns = columns.column("ts", DataTypes.TIMESTAMP_LTZ(3))
    timed = columns.watermark("ts", f"ts - INTERVAL '{DISORDER_MS // 1_000}' SECOND").build()
    tables.create_temporary_view("timed", tables.from_data_stream(tables.to_data_stream(rows), timed))
    return tables.to_data_stream(tables.sql_query(QUERIES[step]))


def run(options: argparse.Namespace, count: int) -> tuple[float, float, float]:
    """Run the job once and return its seconds: wall time, CPU of Java, and of Python."""
    configuration = Configuration()
    configuration.set_string("python.fn-execution.bundle.size", str(options.bundle))
    # Bundles end when they are full, so that a busy machine does not write the state of keys more often.
    configuration.set_string("python.fn-execution.bundle.time", "60000")
    configuration.set_string("python.state.cache-size", str(5 * DEVICES))
    env = StreamExecutionEnvironment.get_execution_environment(configuration)
    env.set_python_executable(sys.executable)
    env.set_parallelism(1)
    source = NumberSequenceSource(0, count - 1)
    numbers = env.from_source(source, WatermarkStrategy.no_watermarks(), "numbers", Types.LONG())
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "cpu"
        file.touch()
        if options.sql:
            result = in_sql(env, numbers, options.step)
        else:
            result = in_python(numbers, options.step, file, fused=options.fused)
        result.sink_to(Sink(get_gateway().jvm.org.apache.flink.streaming.api.functions.sink.v2.DiscardingSink()))
        before = java_cpu()
        seconds = env.execute().get_net_runtime() / 1_000
        # A worker that ends may have closed its stderr; the file then gets its number, and also what Beam prints.
        python_cpu = re.findall(r"^\d+\.\d+$", file.read_text(), re.MULTILINE)
        return seconds, java_cpu() - before, max(map(float, python_cpu), default=0.0)


def java_cpu() -> float:
    """Return the CPU seconds of this client's JVM, in which the job runs."""
    management = get_gateway().jvm.java.lang.management.ManagementFactory
    pid = management.getRuntimeMXBean().getName().split("@")[0]
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Run the job."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--step", choices=["plain", *STEPS], required=True)
    parser.add_argument("--sql", action="store_true")
    parser.add_argument("--fused", action="store_true")
    parser.add_argument("--rows", type=int, default=200_000, help="number of measured rows, besides --start")
    parser.add_argument("--start", type=int, default=20_000, help="number of rows of the short runs")
    parser.add_argument("--bundle", type=int, default=10_000)
    options = parser.parse_args()
    run(options, options.start)
    few, many = (run(options, count) for count in (options.start, options.start + options.rows))
    names = ("wall", "java", "python")
    print(json.dumps({name: (m - f) / options.rows * 1e6 for name, f, m in zip(names, few, many)}))


if __name__ == "__main__":
    main()
