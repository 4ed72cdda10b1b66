"""
Write streams of all kinds of types in batches and one by one, in different kinds of jobs.

usage: transports.py URL JOB...

Each sample's metric is ``<job>_<stream>``, and the label ``record`` says what the converter got. Prints what only this
process can observe, by job, as one JSON object: each stream's transport, and the operators.
"""

from __future__ import annotations

import json
import logging
import math
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

from pyflink.common import Configuration, Row, Types, WatermarkStrategy
from pyflink.datastream import DataStream, StreamExecutionEnvironment
from pyflink.datastream.connectors.number_seq import NumberSequenceSource
from pyflink.java_gateway import get_gateway
from pyflink.table import StreamTableEnvironment
from pyflink.table.expressions import col

from pyflink_prometheus import PrometheusSink, PrometheusSinkBuilder, PrometheusTimeSeries, Transport
from pyflink_prometheus.config import SinkConfig
from pyflink_prometheus.flink import arrow
from pyflink_prometheus.flink.batches import batch_function
from pyflink_prometheus.flink.columns import RecordReader, record_columns
from pyflink_prometheus.flink.subtask import SubtaskWriter

URL, *JOBS = sys.argv[1:]
T = 1_700_000_000_000
BYTES = Types.PRIMITIVE_ARRAY(Types.BYTE())
FIELDS = {
    "text": (Types.STRING(), "ä"),
    "long": (Types.LONG(), 2**62 + 1),
    "double": (Types.DOUBLE(), 2.5),
    "flag": (Types.BOOLEAN(), True),
    "bytes": (BYTES, b"\0x"),
    "float": (Types.FLOAT(), 0.1),
    "short": (Types.SHORT(), -3),
    "int": (Types.INT(), 2**31 - 1),
    "byte": (Types.BYTE(), -5),
}
TYPES = [kind for kind, _ in FIELDS.values()]
VALUES = {name: value for name, (_, value) in FIELDS.items()}
ROWS = [
    VALUES,
    {**VALUES, "double": math.nan, "text": ""},
    dict.fromkeys(FIELDS),
    *({**VALUES, name: None} for name in FIELDS),
]


def environment(**options: str) -> StreamExecutionEnvironment:
    """Return an environment with these options: two underscores mean a dot, one means a dash."""
    config = Configuration()
    for name, value in options.items():
        config.set_string(name.replace("__", ".").replace("_", "-"), value)
    env = StreamExecutionEnvironment.get_execution_environment(config)
    env.set_python_executable(sys.executable)
    env.set_parallelism(1)
    return env


def streams(env: StreamExecutionEnvironment) -> Iterator[tuple[str, DataStream, dict[str, Any]]]:
    """Return streams of one or more records, with their names and their sinks' settings."""
    yield "numbers", numbers(env), {}
    yield "texts", env.from_collection(["a", ""], Types.STRING()), {}
    yield "tuples", env.from_collection([tuple(VALUES.values())], Types.TUPLE(TYPES)), {}
    rows = env.from_collection([Row(**row) for row in ROWS], Types.ROW_NAMED(list(FIELDS), TYPES))
    yield "rows", rows, {}
    yield "unnamed", env.from_collection([Row(1, None), Row(None, "a")], Types.ROW([Types.LONG(), Types.STRING()])), {}
    yield "exchanged", numbers(env).map(lambda n: n * 2, Types.LONG()).rebalance(), {"parallelism": 2}

    devices = [(None if number % 5 == 4 else f"d{number % 5}", number) for number in range(40)]
    typed = Types.ROW_NAMED(["a device", "number"], [Types.STRING(), Types.LONG()])
    keyed = env.from_collection([Row(**{"a device": device, "number": number}) for device, number in devices], typed)
    yield "keyed_rows", keyed, {"parallelism": 2, "key_columns": ["a device"]}
    pairs = env.from_collection([(f"{each}", number) for each, number in devices], Types.TUPLE(typed.get_field_types()))
    yield "keyed_tuples", pairs, {"parallelism": 2, "key_columns": ["f0"]}
    nested = Types.TUPLE([Types.STRING(), Types.LIST(Types.STRING())])
    yield "nested", env.from_collection([("a", ["b"])], nested), {"parallelism": 2, "key_columns": ["f0"]}


def numbers(env: StreamExecutionEnvironment) -> DataStream:
    """Return a stream of numbers that no Python operator has processed."""
    return env.from_source(NumberSequenceSource(0, 29), WatermarkStrategy.no_watermarks(), "numbers")


def builder(metric_name: str) -> PrometheusSinkBuilder:
    """Return a builder of sinks that write the converter's input."""
    return (
        PrometheusSink.builder()
        .set_prometheus_remote_write_url(URL)
        .set_element_converter(told(metric_name))
        .set_request_signer(lambda headers, body: {"X-Worker": str(os.getpid())})
        .set_name(metric_name)
        .set_uid(f"uid of {metric_name}")
    )


def told(metric_name: str) -> Callable[[Any], PrometheusTimeSeries]:
    """Return a converter that reports its input: the values' types, and the names of a row's fields."""

    def convert(record: Any) -> PrometheusTimeSeries:
        fields = list(record) if isinstance(record, (tuple, Row)) else []
        names = list(record.as_dict()) if isinstance(record, Row) else []
        text = f"{type(record).__name__} {record!r} {names} {[type(each).__name__ for each in fields]}"
        return PrometheusTimeSeries(metric_name, {"record": text}, ((1.0, T),))

    return convert


def write(env: StreamExecutionEnvironment, job: str, transport: Transport, names: str) -> None:
    """Add the streams with these names, or all, and their sinks to a job."""
    for name, stream, placement in streams(env):
        if names and name not in names.split():
            continue
        sink = builder(f"{job}_{name}").set_transport(transport)
        sink.set_parallelism(placement.get("parallelism", 1)).set_key_columns(*placement.get("key_columns", ()))
        stream.sink_to(sink.build())


def of_a_table(env: StreamExecutionEnvironment, job: str) -> None:
    """Add a stream from the job's own table environment."""
    t_env = StreamTableEnvironment.create(env)
    t_env.get_config().set("table.exec.resource.default-parallelism", "2")
    table = t_env.from_data_stream(numbers(env)).select(col("f0"), (col("f0") % 7).alias("device"))
    stream = t_env.to_data_stream(table)
    stream.sink_to(builder(f"{job}_table").build())
    stream.sink_to(builder(f"{job}_keyed_table").set_key_columns("device").set_parallelism(2).build())


def two_in_one_operator(env: StreamExecutionEnvironment, job: str) -> None:
    """Add two functions that write, as users of SQL do: Flink runs both in one operator."""
    t_env = arrow.table_environment(env)
    table = t_env.from_data_stream(numbers(env))
    columns, config = record_columns(Types.LONG()), SinkConfig(prometheus_remote_write_url=URL)
    both = [
        batch_function(SubtaskWriter(config), RecordReader(columns, told(f"{job}_{which}")))(col("f0"))
        for which in ("first", "second")
    ]
    t_env.to_data_stream(table.select(*both)).print()


def run(env: StreamExecutionEnvironment, ways: Ways) -> dict[str, Any]:
    """Run a job, and return each stream's transport and the operators."""
    nodes = get_gateway().jvm.java.util.ArrayList(env._generate_stream_graph(False).getStreamNodes())
    operators = [[node.getOperatorName(), node.getTransformationUID(), node.getParallelism()] for node in nodes]
    env.execute()
    return {"ways": ways.take(), "operators": operators}


class Ways(logging.Handler):
    """A log handler that keeps the client's messages about the transport of records."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self._lines: list[str] = []
        logger = logging.getLogger("pyflink_prometheus")
        logger.setLevel(logging.INFO)
        logger.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line."""
        if ": records come " in record.getMessage():
            self._lines.append(record.getMessage())

    def take(self) -> list[str]:
        """Return the lines since the last call."""
        lines, self._lines = self._lines, []
        return lines


def main() -> None:
    """Run the jobs."""
    ways = Ways()
    found = {}
    for job, transport, names, options in (
        ("records", Transport.RECORDS, "", {}),
        ("auto", Transport.AUTO, "", {}),
        ("batch", Transport.AUTO, "numbers exchanged keyed_rows", {"execution__runtime_mode": "BATCH"}),
        (
            *("thread", Transport.AUTO, "numbers exchanged rows"),
            {"python__execution_mode": "thread", "python__metric__enabled": "false"},
        ),
    ):
        if job not in JOBS:
            continue
        env = environment(**options)
        write(env, job, transport, names)
        if job == "auto":
            of_a_table(env, job)
            two_in_one_operator(env, job)
        found[job] = run(env, ways)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
