"""
A job that writes samples of devices that report in turn, and prints its time and CPU as JSON.

    ways.py --way WAY --count 1000000 --url http://localhost:9090/api/v1/write [...]

Records come from a Java source of numbers; with ``--rows``, SQL turns them into rows of text, numbers and a time.
``discard`` and ``blackhole`` are the same jobs without Python. The time is that of the whole job, so run it with
two counts and take the difference.
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
from pyflink.datastream.connectors.base import Sink
from pyflink.datastream.connectors.number_seq import NumberSequenceSource
from pyflink.java_gateway import get_gateway
from pyflink.table import StreamTableEnvironment

from pyflink_prometheus import ColumnMapping, PrometheusSink, PrometheusTimeSeries, RemoteWriteVersion, Transport

WAYS = ("discard", "converter", "mapping", "table", "blackhole")
STEP_MS = 100
LABELS = ("device", "kind", "room", "site")


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--way", choices=WAYS, required=True)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--url", default="")
    parser.add_argument("--rows", action="store_true", help="rows of a table instead of numbers")
    parser.add_argument("--pickled", action="store_true", help="records from a Python function")
    parser.add_argument("--transport", choices=[each.name for each in Transport], default="AUTO")
    parser.add_argument("--keyed", choices=["python", "java"], help="partition by series")
    parser.add_argument("--series", type=int, default=1000)
    parser.add_argument("--bundle", type=int, default=10_000)
    parser.add_argument("--start-ms", type=int, required=True)
    parser.add_argument("--metric", default="bench")
    parser.add_argument("--version", choices=["AUTO", "V1", "V2"], default="AUTO")
    return parser.parse_args()


def labels_of(series: int) -> dict[str, str]:
    """Return the labels of a series."""
    return {"device": f"dev{series}", "kind": "sensor", "room": f"room{series % 20}", "site": "site-a"}


def converter(options: argparse.Namespace):
    """Return a function from a number, or a row, to a series."""
    metric, devices, start_ms = options.metric, options.series, options.start_ms

    def of_number(number: int) -> PrometheusTimeSeries:
        sample = (float(number), start_ms + number // devices * STEP_MS)
        return PrometheusTimeSeries(metric, labels_of(number % devices), (sample,))

    def of_row(row) -> PrometheusTimeSeries:
        device, kind, room, site, value, at = row
        labels = {"device": device, "kind": kind, "room": room, "site": site}
        return PrometheusTimeSeries(metric, labels, ((value, at),))

    return of_row if options.rows else of_number


def builder_of(options: argparse.Namespace):
    """Return a builder of the sink."""
    builder = PrometheusSink.builder().set_prometheus_remote_write_url(options.url)
    builder.set_remote_write_version(RemoteWriteVersion[options.version]).set_transport(Transport[options.transport])
    if options.way == "converter":
        builder.set_element_converter(converter(options))
    else:
        builder.set_column_mapping(
            ColumnMapping(metric_name=options.metric, labels=LABELS, values="reading", timestamp="measured_at")
        )
    return builder.set_key_columns(*LABELS) if options.keyed == "java" else builder


def rows(t_env: StreamTableEnvironment, numbers, options: argparse.Namespace):
    """Return the readings as a table."""
    table = t_env.from_data_stream(numbers)
    (number,) = table.get_schema().get_field_names()
    t_env.create_temporary_view("numbers", table)
    series = f"MOD({number}, {options.series})"
    at = f"{options.start_ms} + {number} / {options.series} * {STEP_MS}"
    of_table = options.way in ("table", "blackhole")
    return t_env.sql_query(
        f"SELECT 'dev' || CAST({series} AS STRING) AS device, 'sensor' AS kind, "
        f"'room' || CAST(MOD({series}, 20) AS STRING) AS room, 'site-a' AS site, CAST({number} AS DOUBLE) AS reading, "
        f"{f'TO_TIMESTAMP_LTZ({at}, 3)' if of_table else at} AS measured_at FROM numbers"
    )


class CpuWatch(threading.Thread):
    """A thread that watches the CPU seconds of this job's JVM and Python workers."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.java = self.python = 0.0
        self._seen: dict[int, tuple[str, float]] = {}

    def run(self) -> None:
        """Check all processes of this session, a few times a second."""
        ticks = os.sysconf("SC_CLK_TCK")
        while True:
            for path in Path("/proc").glob("[0-9]*/stat"):
                with contextlib.suppress(OSError):
                    name, _, rest = path.read_text().partition("(")[2].rpartition(")")
                    fields = rest.split()
                    if int(fields[3]) == os.getsid(0) and int(path.parent.name) != os.getpid():
                        self._seen[int(path.parent.name)] = name, (int(fields[11]) + int(fields[12])) / ticks
            self.java = sum(seconds for name, seconds in self._seen.values() if name == "java")
            self.python = sum(seconds for name, seconds in self._seen.values() if name.startswith("python"))
            time.sleep(0.2)


def main() -> None:
    """Run the job."""
    options = arguments()
    watch = CpuWatch()
    watch.start()
    configuration = Configuration()
    for name, value in {
        "python.fn-execution.bundle.size": options.bundle,
        "python.fn-execution.arrow.batch.size": options.bundle,
        "python.fn-execution.bundle.time": 60_000,
    }.items():
        configuration.set_string(name, str(value))
    env = StreamExecutionEnvironment.get_execution_environment(configuration)
    env.set_python_executable(sys.executable)
    env.set_parallelism(1)
    stream = env.from_source(NumberSequenceSource(0, options.count - 1), WatermarkStrategy.no_watermarks(), "numbers")
    if options.way in ("table", "blackhole"):
        t_env = StreamTableEnvironment.create(env)
        table = rows(t_env, stream, options)
        if options.way == "table":
            result = builder_of(options).build().execute_insert(table)
        else:
            t_env.execute_sql(
                "CREATE TEMPORARY TABLE nowhere (device STRING, kind STRING, room STRING, site STRING, reading DOUBLE, "
                "measured_at TIMESTAMP_LTZ(3)) WITH ('connector' = 'blackhole')"
            )
            result = table.execute_insert("nowhere")
        result.wait()
        seconds = result.get_job_client().get_job_execution_result().result().get_net_runtime() / 1000
    else:
        if options.rows:
            t_env = StreamTableEnvironment.create(env)
            stream = t_env.to_data_stream(rows(t_env, stream, options))
        if options.pickled:
            stream = stream.map(lambda record: record)
        if options.keyed == "python":
            stream = stream.key_by(lambda number: number % options.series, key_type=Types.LONG())
        if options.way == "discard":
            stream.sink_to(Sink(get_gateway().jvm.org.apache.flink.streaming.api.functions.sink.v2.DiscardingSink()))
        else:
            stream.sink_to(builder_of(options).build())
        seconds = env.execute().get_net_runtime() / 1000
    print(json.dumps({"seconds": seconds, "java": watch.java, "python": watch.python}))


if __name__ == "__main__":
    main()
