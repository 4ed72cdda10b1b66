"""
Write tables in many ways, under different metric names.

usage: tables.py PROMETHEUS RECEIVER

Prints what only this process can observe, as one JSON object.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from collections.abc import Callable
from datetime import datetime, timezone
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

from pyflink.common import Configuration, Row, Types, WatermarkStrategy
from pyflink.common.time import Instant
from pyflink.datastream import StreamExecutionEnvironment
from pyflink.java_gateway import get_gateway
from pyflink.table import (
    DataTypes,
    EnvironmentSettings,
    ExplainDetail,
    StreamTableEnvironment,
    Table,
    TableEnvironment,
)
from replayable import numbers

from pyflink_prometheus import ColumnMapping, PrometheusSink, PrometheusSinkBuilder, Transport
from pyflink_prometheus.flink.table_writer import check_inserts_only

PROMETHEUS, RECEIVER = sys.argv[1], sys.argv[2]
# An hour around the end of summer time in Berlin, at 01:00 UTC.
T = 1_729_989_000_000
MINUTE_MS = 60_000
ROWS = 60
NAN_AT, NO_TIME_AT = 9, 7

READINGS = DataTypes.ROW(
    [
        DataTypes.FIELD("n", DataTypes.INT()),
        DataTypes.FIELD("room", DataTypes.STRING()),
        DataTypes.FIELD("celsius", DataTypes.DOUBLE()),
        DataTypes.FIELD("watts", DataTypes.INT()),
        DataTypes.FIELD("ms", DataTypes.BIGINT()),
    ]
)
COLUMNS = """
    n, room, MOD(n, 2) AS `floor`, MOD(n, 3) = 0 AS `open`, CAST(watts AS DECIMAL(10, 2)) AS watts,
    CASE WHEN n = 9 THEN CAST('NaN' AS DOUBLE) ELSE celsius END AS celsius,
    MAP['room', room, 'q"', 'ü'] AS `tags`,
    ms, TO_TIMESTAMP_LTZ(ms, 3) AS `instant`, CAST(TO_TIMESTAMP_LTZ(ms, 3) AS TIMESTAMP(3)) AS `clock`
"""


ALL_TYPES = Types.ROW_NAMED(
    ["room", "open", "tags", "celsius", "count", "watts", "at", "clock"],
    [
        *(Types.STRING(), Types.BOOLEAN(), Types.MAP(Types.STRING(), Types.STRING())),
        *(Types.DOUBLE(), Types.LONG(), Types.BIG_DEC(), Types.INSTANT(), Types.SQL_TIMESTAMP()),
    ],
)


class Remember(logging.Handler):
    """A log handler that keeps the package's warnings."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._messages: list[str] = []
        logging.getLogger("pyflink_prometheus").addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a warning."""
        self._messages.append(record.getMessage())

    def take(self) -> list[str]:
        """Return the warnings since the last call."""
        taken, self._messages = self._messages, []
        return taken


def readings() -> list[tuple[Any, ...]]:
    """Return rows with NULLs, a minute apart."""
    return [
        (
            n,
            f"room{n % 3}" if n % 10 else None,
            float(n) if n % 4 else None,
            n,
            T + n * MINUTE_MS if n != NO_TIME_AT else None,
        )
        for n in range(ROWS)
    ]


def all_types() -> list[Row]:
    """Return rows with fields of all types that a mapping reads, and NULLs."""
    return [
        Row(
            f"room{n % 3}" if n % 10 else None,
            n % 2 == 0,
            {"tag": f"{n % 2}"},
            float(n) if n % 4 else None,
            n if n % 5 else None,
            Decimal(n) / 4,
            Instant.of_epoch_milli(T + n),
            datetime.fromtimestamp((T + n * 1000) / 1000, timezone.utc).replace(tzinfo=None),
        )
        for n in range(ROWS)
    ]


def builder(url: str, mapping: ColumnMapping) -> PrometheusSinkBuilder:
    """Return a builder of sinks whose requests carry the process id."""
    return (
        PrometheusSink.builder()
        .set_prometheus_remote_write_url(url)
        .set_column_mapping(mapping)
        .set_request_signer(lambda headers, body: {"X-Worker": str(os.getpid())})
    )


def rooms(metric_name: str, timestamp: str, **more: Any) -> ColumnMapping:
    """Return a mapping to a metric with rooms as its only label."""
    return ColumnMapping(metric_name=metric_name, labels=["room"], values="watts", timestamp=timestamp, **more)


def statements(warnings: Remember) -> dict[str, Any]:
    """Run one job with several sinks, of tables and of SQL text, without Python's metrics and in thread mode."""
    t_env = TableEnvironment.create(EnvironmentSettings.in_streaming_mode())
    for option, value in {
        "python.executable": sys.executable,
        "python.execution-mode": "thread",
        "python.metric.enabled": "false",
        "parallelism.default": "1",
        "table.local-time-zone": "Europe/Berlin",
    }.items():
        t_env.get_config().set(option, value)
    rows = t_env.from_elements(readings(), READINGS)
    t_env.create_temporary_view("readings", t_env.sql_query(f"SELECT {COLUMNS} FROM {rows}"))
    table = t_env.from_path("readings")

    several = ColumnMapping(
        labels={"place": "room", "floor": "floor", "open": "open"},
        constant_labels={"site": "here"},
        values={"table_celsius": "celsius", "table_watts": "watts"},
        timestamp="instant",
    )
    by_map = ColumnMapping(metric_name="table_map", labels_column="tags", values="watts", timestamp="ms")
    local = rooms("table_local", "clock", time_zone="Europe/Berlin")
    statement_set = t_env.create_statement_set()
    builder(PROMETHEUS, several).build().add_insert(statement_set, table)
    builder(PROMETHEUS, by_map).build().add_insert(statement_set, table)
    builder(PROMETHEUS, local).build().add_insert(statement_set, t_env.sql_query("SELECT * FROM readings WHERE n < 30"))
    warned = warnings.take()
    for name in ("write_sql", "write_one", "write_two"):
        sink = builder(PROMETHEUS, rooms(name, "ms")).build()
        sink.create_temporary_function(t_env, name, timestamp_type="BIGINT")
    for written in (
        "write_sql(room, watts, ms)",
        "CAST(write_one('one', watts, ms) + write_two(room, celsius, ms) AS TINYINT)",
    ):
        insert = f"INSERT INTO prometheus SELECT {written} FROM readings WHERE n <> {NO_TIME_AT}"
        PrometheusSink.check_sql(t_env, insert)
        statement_set.add_insert_sql(insert)
    found = {"refused": refused(t_env, table), "warned": warned}
    statement_set.execute().wait()
    return found


def refused(t_env: TableEnvironment, table: Table) -> dict[str, str]:
    """Return the errors for tables that cannot be written."""
    found: dict[str, str] = {}

    def refuse(name: str, call: Callable[[], Any]) -> None:
        try:
            call()
        except (TypeError, ValueError) as error:
            found[name] = f"{type(error).__name__}: {error}"

    mapping = rooms("none", "ms")
    sink = builder(PROMETHEUS, mapping).build()
    latest = t_env.sql_query("SELECT room, MAX(watts) AS watts, MAX(ms) AS ms FROM readings GROUP BY room")
    refuse("updating", lambda: sink.execute_insert(latest))
    insert = "INSERT INTO prometheus SELECT write_sql(room, MAX(watts), MAX(ms)) FROM readings GROUP BY room"
    refuse("updating SQL", lambda: PrometheusSink.check_sql(t_env, insert))
    refuse("missing", lambda: sink.execute_insert(t_env.sql_query("SELECT room, watts FROM readings")))

    def insert_by(options: dict[str, Any]) -> None:
        builder(PROMETHEUS, ColumnMapping(**options)).build().execute_insert(table)

    changes: dict[str, dict[str, Any]] = {
        "label": {"labels": ["celsius"]},
        "map": {"labels_column": "n"},
        "value": {"values": "tags"},
        "timestamp": {"timestamp": "tags"},
        "twice": {"labels": ["n"], "values": "n"},
    }
    for name, changed in changes.items():
        options = {"metric_name": "m", "labels": ["room"], "values": "watts", "timestamp": "ms", **changed}
        refuse(name, partial(insert_by, options))
    refuse("zone", lambda: sink.create_temporary_function(t_env, "f"))
    refuse("type", lambda: sink.create_temporary_function(t_env, "f", timestamp_type="DATE"))
    refuse("table", lambda: sink.create_temporary_function(t_env, "f", timestamp_type="BIGINT", table_name="readings"))
    no_mapping = PrometheusSink.builder().set_prometheus_remote_write_url(PROMETHEUS).build()
    refuse("no mapping", lambda: no_mapping.execute_insert(table))
    return found


def documented() -> dict[str, str]:
    """Return the error for each query in the documents, "" for those that can be written."""
    t_env = TableEnvironment.create(EnvironmentSettings.in_streaming_mode())
    for name, columns in {
        "readings": "room STRING, id STRING, celsius DOUBLE",
        "messages": "operator STRING, icao24 STRING, altitude DOUBLE, sent_ms BIGINT",
        "floors": "room STRING, floor_name STRING, PRIMARY KEY (room) NOT ENFORCED",
    }.items():
        t_env.execute_sql(
            f"CREATE TEMPORARY TABLE {name} ({columns}, event_time TIMESTAMP_LTZ(3), "
            "WATERMARK FOR event_time AS event_time - INTERVAL '1' MINUTE) WITH ('connector' = 'datagen')"
        )
    found = {}
    for document in ("tables.md", "jobs.md"):
        text = (Path(__file__).parents[3] / "docs" / document).read_text()
        for number, query in enumerate(re.findall(r"```sql\n(.*?)```", text, re.DOTALL)):
            try:
                check_inserts_only(t_env.sql_query(query).explain(ExplainDetail.CHANGELOG_MODE))
                said = ""
            except Exception as error:
                said = str(error)
            found[f"{document}-{number}"] = said
    return found


def streams(warnings: Remember) -> dict[str, Any]:
    """Run one job with tables and streams, in two subtasks."""
    config = Configuration()
    config.set_string("table.local-time-zone", "UTC")
    env = StreamExecutionEnvironment.get_execution_environment(config)
    env.set_python_executable(sys.executable)
    env.set_parallelism(2)
    t_env = StreamTableEnvironment.create(env)
    source = env.from_source(numbers(ROWS * 10, 100_000.0), WatermarkStrategy.no_watermarks(), "numbers", Types.LONG())
    t_env.create_temporary_view("numbers", t_env.from_data_stream(source.set_parallelism(1)))
    table = t_env.sql_query(
        "SELECT CONCAT('room', CAST(MOD(f0, 20) AS STRING)) AS room, CAST(f0 AS DOUBLE) AS watts, "
        f"TO_TIMESTAMP_LTZ({T} + f0, 3) AS at_ltz FROM numbers"
    )
    statement_set = t_env.create_statement_set()
    placed = builder(RECEIVER, rooms("placed", "at_ltz")).set_name("write rooms").set_uid("uid of rooms").build()
    placed.add_insert(statement_set, table)
    builder(RECEIVER, rooms("from_function", "time")).build().create_temporary_function(t_env, "write_rooms")
    statement_set.add_insert_sql(f"INSERT INTO prometheus SELECT write_rooms(room, watts, at_ltz) FROM {table}")
    statement_set.attach_as_datastream()

    tuples = [(f"room{n % 20}", float(n), T + n) for n in range(ROWS * 10)]
    row_type = Types.ROW_NAMED(["room", "watts", "ms"], [Types.STRING(), Types.DOUBLE(), Types.LONG()])
    typed = env.from_collection([Row(*each) for each in tuples], row_type)
    typed.sink_to(builder(RECEIVER, rooms("typed_rows", "ms")).set_name("typed rows").build())
    dicts = env.from_collection([dict(zip(("room", "watts", "ms"), each)) for each in tuples])
    dicts.sink_to(builder(RECEIVER, rooms("dicts", "ms")).set_parallelism(1).build())
    by_position = ColumnMapping(metric_name="tuples", labels={"room": "f0"}, values="f1", timestamp="f2")
    env.from_collection(tuples).sink_to(builder(RECEIVER, by_position).set_parallelism(1).build())
    for transport in (Transport.ARROW, Transport.RECORDS):
        name = transport.name.lower()
        mapping = ColumnMapping(
            labels=["room", "open"],
            labels_column="tags",
            values={f"{name}_{column}": column for column in ("celsius", "count", "watts")},
            timestamp="at",
        )
        everything = env.from_collection(all_types(), ALL_TYPES)
        everything.sink_to(builder(RECEIVER, mapping).set_transport(transport).set_parallelism(1).build())
        clock = ColumnMapping(metric_name=f"{name}_clock", labels=["room"], values="watts", timestamp="clock")
        everything.sink_to(builder(RECEIVER, clock).set_transport(transport).set_parallelism(1).build())
    missing = env.from_collection([(1,)], Types.TUPLE([Types.LONG()]))
    try:
        missing.sink_to(builder(RECEIVER, by_position).build())
    except ValueError as error:
        not_there = str(error)

    nodes = get_gateway().jvm.java.util.ArrayList(env._generate_stream_graph(False).getStreamNodes())
    operators = {node.getOperatorName(): [node.getTransformationUID(), node.getParallelism()] for node in nodes}
    warned = [each for each in warnings.take() if "key the stream" not in each]
    env.execute()
    return {"operators": operators, "warned": warned, "missing": not_there}


def batch() -> None:
    """Run a job in batch mode."""
    t_env = TableEnvironment.create(EnvironmentSettings.in_batch_mode())
    t_env.get_config().set("python.executable", sys.executable)
    t_env.get_config().set("parallelism.default", "1")
    table = t_env.from_elements(readings(), READINGS)
    builder(RECEIVER, rooms("batch", "ms")).build().execute_insert(table).wait()


def main() -> None:
    """Run all jobs."""
    warnings = Remember()
    found: dict[str, Any] = {"statements": statements(warnings), "streams": streams(warnings)}
    batch()
    found["documented"] = documented()
    print(json.dumps(found))


if __name__ == "__main__":
    main()
