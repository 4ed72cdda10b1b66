"""
A job with the whole chain as tables, which writes readings of many devices to one Prometheus, raw and aggregated.

    chain.py --url URL --devices 1000 --rows 1000000          prints the microseconds per row as JSON, as steps.py does
    chain.py --url URL --devices 100000 --seconds 120 --live MS  one event per second and device, in real time

Rows come from a Java source of numbers, out of order by up to five seconds. Some values and positions are wrong.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import threading
import time
from pathlib import Path

from pyflink.common import Configuration, Types, WatermarkStrategy
from pyflink.datastream import StreamExecutionEnvironment
from pyflink.datastream.connectors.base import Source
from pyflink.java_gateway import get_gateway
from pyflink.table import Schema, StreamTableEnvironment, Table

from pyflink_prometheus import (
    ColumnMapping,
    Hampel,
    PrometheusSink,
    SpeedGate,
    Threshold,
    TumblingWindows,
    aggregate_table,
    cumulative_table,
    enrich_table,
    filter_table,
    mark_stale_table,
    reorder_table,
    shared_table,
)
from pyflink_prometheus.flink.row_stream import row_stream

DISORDER_MS = 5_000
#: One number of the source becomes this many rows, in two steps.
PARTS = 25, 40
ROWS_OF_NUMBER = PARTS[0] * PARTS[1]
CODES = 100
TIME = "event_time"
CHECKS = (
    Threshold("altitude", min=-1_500, max=60_000),
    Hampel("altitude", min_deviation=3_000),
    SpeedGate(("latitude", "longitude"), max_speed=350),
)
LABELS = ("device", "operator")
MEASURED = {f"chain_{name}": name for name in ("altitude", "latitude", "longitude")}


def source(numbers: int, per_second: float | None) -> Source:
    """Return a Java source of numbers, at a rate if one is given."""
    jvm = get_gateway().jvm
    datagen = jvm.org.apache.flink.connector.datagen
    j_type = Types.LONG().get_java_type_info()
    j_numbers = jvm.java.util.Arrays.asList(jvm.java.util.stream.LongStream.range(0, numbers).boxed().toArray())
    limits = jvm.org.apache.flink.api.connector.source.util.ratelimit.RateLimiterStrategy
    limit = limits.noOp() if per_second is None else limits.perSecond(per_second)
    lookup = datagen.functions.IndexLookupGeneratorFunction(j_type, j_numbers)
    return Source(datagen.source.DataGeneratorSource(lookup, numbers, limit, j_type))


def readings(t_env: StreamTableEnvironment, numbers: Table, devices: int, start_ms: int, run: str) -> Table:
    """Return the rows of all devices, one per device and second."""
    t_env.create_temporary_view("numbers", numbers.alias("number"))
    some, more = (", ".join(f"{of} * {size} + {n}" for n in range(size)) for of, size in zip(("number", "part"), PARTS))
    # A row's device, second and disorder follow from its place.
    t_env.create_temporary_view(
        "places",
        t_env.sql_query(
            f"SELECT place, MOD(place, {devices}) AS device, place / {devices} AS at_second, "
            f"MOD(place * 7919, {DISORDER_MS}) AS late_by FROM numbers "
            f"CROSS JOIN UNNEST(ARRAY[{some}]) AS first_step(part) "
            f"CROSS JOIN UNNEST(ARRAY[{more}]) AS second_step(place)"
        ),
    )
    t_env.execute_sql(
        f"""
        CREATE TEMPORARY VIEW readings AS SELECT
            CONCAT('{run}d', CAST(device AS STRING)) AS device,
            CONCAT('c', CAST(MOD(device, {CODES}) AS STRING)) AS code,
            10000 + 1000 * SIN((at_second + device) / 60e0) + CASE WHEN MOD(place, 1009) = 0 THEN 2e4 ELSE 0e0 END
                AS altitude,
            48 + 0.0005e0 * MOD(at_second, 2000) + CASE WHEN MOD(place, 1013) = 0 THEN 5e0 ELSE 0e0 END AS latitude,
            CAST(2 AS DOUBLE) AS longitude,
            {start_ms} + at_second * 1000 - late_by AS sent_ms
        FROM places
        """
    )
    timed = t_env.sql_query("SELECT * FROM readings")

    schema = Schema.new_builder()
    for name, sql_type in zip(timed.get_schema().get_field_names(), ["STRING", "STRING", *["DOUBLE"] * 3, "BIGINT"]):
        schema.column(name, sql_type)
    schema.column_by_expression(TIME, "TO_TIMESTAMP_LTZ(sent_ms, 3)")
    schema.watermark(TIME, f"TO_TIMESTAMP_LTZ(sent_ms - {DISORDER_MS + 1}, 3)")
    # As a Java connector passes rows to tables.
    return t_env.from_data_stream(row_stream(t_env, timed), schema.build())


def results(rows: Table, run: str, until: str) -> dict[str, tuple[Table, ColumnMapping]]:
    """Return the written tables by the names of their sinks."""
    raw = ColumnMapping(labels=["device"], values=MEASURED, timestamp=TIME)
    if until != "source":
        rows = reorder_table(rows, "device", time=TIME)
    if until in ("source", "reorder"):
        return {"raw": (rows, raw)}
    rows = filter_table(rows, "device", *CHECKS, time=TIME).accepted
    if until == "filter":
        return {"raw": (rows, raw)}
    operators = {f"c{n}": {"operator": f"{run}o{n}"} for n in range(CODES)}
    rows = shared_table(enrich_table(rows, operators, "code").rows, time=TIME)
    if until == "enrich":
        return {"raw": (rows, ColumnMapping(labels=LABELS, values=MEASURED, timestamp=TIME))}
    ended = mark_stale_table(rows, 60_000, LABELS, list(MEASURED.values()), time=TIME)
    found = {"raw": (ended, ColumnMapping(labels=LABELS, values=MEASURED, stale="stale", timestamp="timestamp"))}
    if until == "ended":
        return found

    def of_windows(*labels: str) -> ColumnMapping:
        return ColumnMapping(metric_name_column="metric_name", labels=labels, values="value", timestamp="timestamp")

    of = ("mean", "max", "count", 0.5, 0.95)
    minutes = aggregate_table(rows, "chain", "altitude", TumblingWindows(60_000), of, time=TIME, labels="operator")
    found["minutes"] = minutes, of_windows("operator", "quantile")
    messages = cumulative_table(rows, "chain_messages", time=TIME, labels="operator", interval_ms=15_000)
    found["messages"] = messages, of_windows("operator")
    return found


def job(options: argparse.Namespace, rows: int, run: str) -> StreamExecutionEnvironment:
    """Return the environment with the job."""
    configuration = Configuration()
    for name, value in {
        "python.fn-execution.bundle.size": "10000",
        "python.fn-execution.arrow.batch.size": "10000",
        "pipeline.object-reuse": str(not options.copy).lower(),
    }.items():
        configuration.set_string(name, value)
    env = StreamExecutionEnvironment.get_execution_environment(configuration)
    if "PYFLINK_GATEWAY_PORT" not in os.environ:
        env.set_python_executable(sys.executable)
    env.set_parallelism(options.parallelism)
    per_second = None if options.live is None else options.devices / ROWS_OF_NUMBER
    start_ms = options.live
    if start_ms is None:
        start_ms = int(time.time() * 1000) - max(0, rows // options.devices * 1000 - 1_000)
    numbers = env.from_source(
        source(rows // ROWS_OF_NUMBER, per_second), WatermarkStrategy.no_watermarks(), "numbers", Types.LONG()
    ).set_parallelism(1)
    t_env = StreamTableEnvironment.create(env)
    t_env.get_config().set("table.local-time-zone", "UTC")
    made = readings(t_env, t_env.from_data_stream(numbers), options.devices, start_ms, run)
    statements = t_env.create_statement_set()
    for name, (table, mapping) in results(made, run, options.until).items():
        sink = PrometheusSink.builder().set_prometheus_remote_write_url(options.url).set_name(f"write {name}")
        sink.set_column_mapping(mapping).build().add_insert(statements, table)
    statements.attach_as_datastream()
    return env


def run(options: argparse.Namespace, rows: int, name: str) -> tuple[float, float, float]:
    """Run the job once and return its seconds: wall time, CPU of Java, and of Python."""
    env, cpu = job(options, rows, name), Cpu()
    seconds = env.execute("chain").get_net_runtime() / 1_000
    return seconds, *cpu.used()


class Cpu(threading.Thread):
    """
    The CPU seconds of this client's JVM, in which the job runs, and of the Python workers that it starts.

    It samples them periodically, because a worker is gone when its job ends.
    """

    def __init__(self) -> None:
        super().__init__(daemon=True)
        management = get_gateway().jvm.java.lang.management.ManagementFactory
        self._java = management.getRuntimeMXBean().getName().split("@")[0]
        self._before = cpu_seconds(self._java)
        self._workers: dict[str, float] = {}
        self._is_over = threading.Event()
        self.start()

    def run(self) -> None:
        """Sample until the job is over."""
        while not self._is_over.wait(0.2):
            parents = [self._java]
            while parents:
                children = Path("/proc", parents.pop()).glob("task/*/children")
                with contextlib.suppress(OSError):
                    for worker in " ".join(each.read_text() for each in children).split():
                        self._workers[worker] = cpu_seconds(worker)
                        parents.append(worker)

    def used(self) -> tuple[float, float]:
        """Stop, and return the CPU seconds of Java and Python."""
        self._is_over.set()
        self.join()
        return cpu_seconds(self._java) - self._before, sum(self._workers.values())


def cpu_seconds(process: str) -> float:
    """Return the CPU seconds of a process."""
    user, system = Path("/proc", process, "stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Run the job."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--url", required=True)
    parser.add_argument("--devices", type=int, default=1_000)
    parser.add_argument("--rows", type=int, default=1_000_000, help="number of measured rows, besides --start")
    parser.add_argument("--start", type=int, default=100_000, help="number of rows of the short runs")
    parser.add_argument("--parallelism", type=int, default=1)
    parser.add_argument("--until", choices=["source", "reorder", "filter", "enrich", "ended", "all"], default="all")
    parser.add_argument("--copy", action="store_true", help="let Flink copy records between operators, its default")
    parser.add_argument("--live", type=int, metavar="MS", help="in real time, once: the time of the first reading")
    parser.add_argument("--seconds", type=int, default=120, help="duration, with --live")
    options = parser.parse_args()
    if options.live is not None:
        # scale.py measures the cluster's resources itself.
        job(options, options.devices * options.seconds, f"live{os.getpid()}").execute("chain")
        return
    run(options, options.start, f"first{os.getpid()}")
    few, many = (
        run(options, rows, f"{name}{os.getpid()}")
        for name, rows in (("few", options.start), ("many", options.start + options.rows))
    )
    print(json.dumps({name: (m - f) / options.rows * 1e6 for name, f, m in zip(("wall", "java", "python"), few, many)}))


if __name__ == "__main__":
    main()
