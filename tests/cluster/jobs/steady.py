"""
Write numbered samples at a steady rate, keyed by series; may be resumed from a savepoint with other options.

Sample n has the value n, belongs to series n modulo --series, and is n times --step-ms later than --start-ms. Other
inputs of the sink write the same under other names, some samples may be too old, and the workers' clocks may be wrong.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial

from pyflink.common import Configuration, Types, WatermarkStrategy
from pyflink.datastream import DataStream, StreamExecutionEnvironment
from pyflink.table import StreamTableEnvironment
from replayable import numbers

from pyflink_prometheus import (
    ColumnMapping,
    JsonLinesRejectedSamples,
    PrometheusSink,
    PrometheusSinkBuilder,
    PrometheusTimeSeries,
    RemoteWriteVersion,
    RetryConfiguration,
    Transport,
)
from pyflink_prometheus.clock import SystemClock

HOUR_MS = 3_600_000


def to_series(
    metric_name: str, series: int, start_ms: int, step_ms: int, poison_every: int, clock_jumps: bool
) -> Callable[[int], list[PrometheusTimeSeries]]:
    """Return the sink's converter."""

    def convert(number: int) -> list[PrometheusTimeSeries]:
        if clock_jumps:
            SystemClock.time = jumping_time  # type: ignore[assignment,method-assign]
        labels = {"series": str(number % series)}
        timestamp = start_ms + step_ms * number
        good = PrometheusTimeSeries(metric_name, labels, ((float(number), timestamp),))
        if not poison_every or number % poison_every != poison_every // 2:
            return [good]
        too_old = ((float(number), timestamp - 5 * HOUR_MS),)
        return [good, PrometheusTimeSeries(f"{metric_name}_too_old", labels, too_old)]

    return convert


def jumping_time(_: SystemClock) -> float:
    """Return the time of a clock that changes every few seconds: a day slow, right, or an hour fast."""
    return time.time() + (-86_400, 0, 3_600)[int(time.monotonic() / 3) % 3]


def add_table(
    env: StreamExecutionEnvironment, stream: DataStream, sink: PrometheusSink, series: int, start_ms: int, step_ms: int
) -> None:
    """Add the same samples as a table."""
    t_env = StreamTableEnvironment.create(env)
    t_env.create_temporary_view("numbers", t_env.from_data_stream(stream))
    table = t_env.sql_query(
        f"SELECT CAST(MOD(f0, {series}) AS STRING) AS series, CAST(f0 AS DOUBLE) AS `value`, "
        f"{start_ms} + {step_ms} * f0 AS ms FROM numbers"
    )
    statements = t_env.create_statement_set()
    sink.add_insert(statements, table)
    statements.attach_as_datastream()


def options_of(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the options of a command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--metric-name", required=True)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--per-second", type=float, required=True)
    parser.add_argument("--series", type=int, required=True)
    parser.add_argument("--start-ms", type=int, required=True)
    parser.add_argument("--step-ms", type=int, required=True)
    parser.add_argument("--batches-metric-name", help="write a second metric, whose samples come in batches")
    parser.add_argument("--table-metric-name", help="write a third metric, from a table")
    parser.add_argument("--parallelism", type=int, default=2, help="parallelism of the sinks")
    parser.add_argument("--rejected", help="a folder for rejected samples")
    parser.add_argument("--digests", help="a folder for digests of written samples")
    parser.add_argument("--poison-every", type=int, default=0, help="add a sample that is too old per this many")
    parser.add_argument("--clock-jumps", type=int, default=0)
    parser.add_argument("--version", choices=[each.name for each in RemoteWriteVersion], default="AUTO")
    parser.add_argument("--checkpoint-ms", type=int, default=1_000)
    parser.add_argument("--max-batch-size", type=int, default=2_000)
    parser.add_argument("--max-retry-delay-ms", type=int, default=500)
    parser.add_argument("--socket-timeout-ms", type=int, default=5_000)
    return parser.parse_args(arguments)


def configuration() -> Configuration:
    """Return the settings of the job's environment."""
    config = Configuration()
    config.set_string("restart-strategy.type", "fixed-delay")
    config.set_string("restart-strategy.fixed-delay.attempts", "1000")
    config.set_string("restart-strategy.fixed-delay.delay", "100 ms")
    # Only a checkpoint ends these bundles, so everything depends on the flush before it.
    config.set_string("python.fn-execution.bundle.size", "1000000")
    config.set_string("python.fn-execution.bundle.time", "600000")
    return config


def add_job(env: StreamExecutionEnvironment, options: argparse.Namespace) -> None:
    """Add source and sinks."""
    env.set_python_executable(sys.executable)
    env.set_parallelism(1)
    env.enable_checkpointing(options.checkpoint_ms)
    source = numbers(options.count, options.per_second)
    stream = env.from_source(source, WatermarkStrategy.no_watermarks(), "numbers", Types.LONG()).uid("numbers")
    series = options.series
    retries = RetryConfiguration(max_retry_delay_ms=options.max_retry_delay_ms)
    converter = partial(
        to_series,
        series=series,
        start_ms=options.start_ms,
        step_ms=options.step_ms,
        poison_every=options.poison_every,
        clock_jumps=bool(options.clock_jumps),
    )

    def builder(uid: str) -> PrometheusSinkBuilder:
        sink = (
            PrometheusSink.builder()
            .set_prometheus_remote_write_url(options.url)
            .set_remote_write_version(RemoteWriteVersion[options.version])
            .set_max_batch_size_in_samples(options.max_batch_size)
            .set_retry_configuration(retries)
            .set_socket_timeout_ms(options.socket_timeout_ms)
            .set_uid(uid)
            .set_parallelism(options.parallelism)
        )
        if options.digests:
            sink.set_digest_directory(options.digests)
        if options.rejected:
            sink.set_rejected_samples_handler(JsonLinesRejectedSamples(options.rejected))
        return sink

    sink = builder("writer").set_element_converter(converter(options.metric_name)).build()
    stream.key_by(lambda number: number % series, Types.LONG()).sink_to(sink)
    if options.batches_metric_name:
        convert = converter(options.batches_metric_name)
        pairs = stream.map(lambda number: (number % series, number), Types.TUPLE([Types.LONG(), Types.LONG()]))
        batches = builder("batches").set_element_converter(lambda pair: convert(pair[1])).set_key_columns("f0")
        pairs.sink_to(batches.set_transport(Transport.ARROW).build())
    if options.table_metric_name:
        mapping = ColumnMapping(
            metric_name=options.table_metric_name, labels=["series"], values="value", timestamp="ms"
        )
        sink = builder("table").set_column_mapping(mapping).set_key_columns("series").build()
        add_table(env, stream, sink, series, options.start_ms, options.step_ms)


def main() -> None:
    """Submit the job, and wait for it if it is local or not detached."""
    env = StreamExecutionEnvironment.get_execution_environment(configuration())
    add_job(env, options_of(sys.argv[1:]))
    env.execute("steady")


if __name__ == "__main__":
    main()
