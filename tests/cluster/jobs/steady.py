"""
Write numbered samples at a steady rate, keyed by series; may be resumed from a savepoint with other options.

Sample n has the value n, belongs to series n modulo --series, and is n times --step-ms later than --start-ms.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial

from pyflink.common import Configuration, Types, WatermarkStrategy
from pyflink.datastream import StreamExecutionEnvironment
from replayable import numbers

from pyflink_prometheus import PrometheusSink, PrometheusTimeSeries, RetryConfiguration, Transport


def to_series(metric_name: str, series: int, start_ms: int, step_ms: int) -> Callable[[int], PrometheusTimeSeries]:
    """Return the sink's converter."""

    def convert(number: int) -> PrometheusTimeSeries:
        labels = {"series": str(number % series)}
        return PrometheusTimeSeries(metric_name, labels, ((float(number), start_ms + step_ms * number),))

    return convert


def main() -> None:
    """Submit the job, and wait for it if it is local or not detached."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--metric-name", required=True)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--per-second", type=float, required=True)
    parser.add_argument("--series", type=int, required=True)
    parser.add_argument("--start-ms", type=int, required=True)
    parser.add_argument("--step-ms", type=int, required=True)
    parser.add_argument("--batches-metric-name", help="write a second metric, whose samples come in batches")
    parser.add_argument("--checkpoint-ms", type=int, default=1_000)
    parser.add_argument("--max-batch-size", type=int, default=2_000)
    parser.add_argument("--max-retry-delay-ms", type=int, default=500)
    parser.add_argument("--socket-timeout-ms", type=int, default=5_000)
    options = parser.parse_args()

    config = Configuration()
    config.set_string("restart-strategy.type", "fixed-delay")
    config.set_string("restart-strategy.fixed-delay.attempts", "1000")
    config.set_string("restart-strategy.fixed-delay.delay", "100 ms")
    # Bundles that only a checkpoint ends, so that all hangs on the flush before it.
    config.set_string("python.fn-execution.bundle.size", "1000000")
    config.set_string("python.fn-execution.bundle.time", "600000")
    env = StreamExecutionEnvironment.get_execution_environment(config)
    env.set_python_executable(sys.executable)
    env.set_parallelism(1)
    env.enable_checkpointing(options.checkpoint_ms)
    source = numbers(options.count, options.per_second)
    stream = env.from_source(source, WatermarkStrategy.no_watermarks(), "numbers", Types.LONG()).uid("numbers")
    series = options.series
    retries = RetryConfiguration(max_retry_delay_ms=options.max_retry_delay_ms)
    converter = partial(to_series, series=series, start_ms=options.start_ms, step_ms=options.step_ms)
    sink = (
        PrometheusSink.builder()
        .set_prometheus_remote_write_url(options.url)
        .set_element_converter(converter(options.metric_name))
        .set_max_batch_size_in_samples(options.max_batch_size)
        .set_retry_configuration(retries)
        .set_socket_timeout_ms(options.socket_timeout_ms)
        .set_uid("writer")
        .set_parallelism(2)
    )
    stream.key_by(lambda number: number % series, Types.LONG()).sink_to(sink.build())
    if options.batches_metric_name:
        convert = converter(options.batches_metric_name)
        pairs = stream.map(lambda number: (number % series, number), Types.TUPLE([Types.LONG(), Types.LONG()]))
        sink.set_element_converter(lambda pair: convert(pair[1])).set_uid("batches").set_key_columns("f0")
        pairs.sink_to(sink.set_transport(Transport.ARROW).build())
    env.execute("steady")


if __name__ == "__main__":
    main()
