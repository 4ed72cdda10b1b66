"""
Write numbered records in several ways while the workers crash: chained, keyed, and in batches.

usage: breakdowns.py URL FOLDER {with-hook,without-hook}
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

from pyflink.common import Configuration, Types, WatermarkStrategy
from pyflink.datastream import StreamExecutionEnvironment
from pyflink.datastream.functions import MapFunction, RuntimeContext
from replayable import numbers, restart_after_failures

from pyflink_prometheus import PrometheusSink, PrometheusTimeSeries, RetryConfiguration, Transport
from pyflink_prometheus.flink import transformer
from pyflink_prometheus.flink.subtask import SubtaskWriter

RECORDS = 8_000
RECORDS_PER_SECOND = 2_000.0
SERIES = 7
BREAKDOWN_AFTER = 1_000
FIRST_TIMESTAMP_MS = 1_700_000_000_000


class WriterWithoutHook(SubtaskWriter):
    """The writer without a hook that flushes: it sends full batches, and the rest when it is closed."""

    def flush(self) -> int:
        """Do nothing."""
        return 0

    def close(self) -> None:
        """Send the rest."""
        if self._writer is not None:
            self._writer.flush()
        super().close()


class Breakdown(MapFunction):
    """
    A map that kills the worker, once, at the first record after a bundle that reached a certain record.

    Bundles end only with checkpoints here, and the next records arrive when the checkpoint is complete, so no record of
    the bundle will be replayed.

    :param folder: where a file keeps it from happening twice.
    """

    def __init__(self, folder: str) -> None:
        self._done = Path(folder, "broken-down-at")
        self._latest = -1
        self._checkpointed = -1

    def open(self, runtime_context: RuntimeContext) -> None:
        """Detect the ends of bundles as the sink does: a gauge is read at each."""
        runtime_context.get_metrics_group().gauge("checkpointed", self._end_bundle)

    def map(self, value: int) -> int:
        """Return the record."""
        if self._checkpointed >= BREAKDOWN_AFTER and not self._done.exists():
            self._done.write_text(str(value))
            os._exit(1)
        self._latest = value
        return value

    def _end_bundle(self) -> int:
        self._checkpointed = self._latest
        return self._checkpointed


def to_series(metric_name: str) -> Callable[[int], PrometheusTimeSeries]:
    """Return a converter that distributes the numbers over several series of this name."""

    def convert(number: int) -> PrometheusTimeSeries:
        labels = {"series": str(number % SERIES)}
        return PrometheusTimeSeries(metric_name, labels, ((float(number), FIRST_TIMESTAMP_MS + number),))

    return convert


def tell_worker(headers: object, body: bytes) -> dict[str, str]:
    """Add the process id to each request, so that the receiver can kill the process."""
    return {"X-Worker": str(os.getpid())}


def main() -> None:
    """Run the job until it has read all."""
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("folder")
    parser.add_argument("hook", choices=["with-hook", "without-hook"])
    arguments = parser.parse_args()
    if arguments.hook == "without-hook":
        transformer.SubtaskWriter = WriterWithoutHook  # type: ignore[misc]

    config = Configuration()
    restart_after_failures(config)
    # Only a checkpoint ends these bundles.
    config.set_string("python.fn-execution.bundle.size", "100000")
    config.set_string("python.fn-execution.bundle.time", "60000")
    env = StreamExecutionEnvironment.get_execution_environment(config)
    env.set_python_executable(sys.executable)
    env.set_parallelism(1)
    env.enable_checkpointing(500)
    stream = env.from_source(
        numbers(RECORDS, RECORDS_PER_SECOND), WatermarkStrategy.no_watermarks(), "numbers", Types.LONG()
    )
    stream = stream.map(Breakdown(arguments.folder), Types.LONG())
    sink = (
        PrometheusSink.builder()
        .set_prometheus_remote_write_url(arguments.url)
        .set_request_signer(tell_worker)
        .set_max_batch_size_in_samples(200)
        .set_max_time_in_buffer_ms(60_000)
        .set_max_in_flight_requests(2)
        .set_retry_configuration(RetryConfiguration(initial_retry_delay_ms=1, max_retry_delay_ms=5))
    )
    stream.sink_to(sink.set_element_converter(to_series("chained")).build())
    batches = sink.set_element_converter(to_series("batches")).set_transport(Transport.ARROW)
    stream.sink_to(batches.build())
    pairs = stream.map(lambda number: (number % SERIES, number), Types.TUPLE([Types.LONG(), Types.LONG()]))
    convert = to_series("keyed_batches")
    pairs.sink_to(
        sink.set_element_converter(lambda pair: convert(pair[1])).set_key_columns("f0").set_parallelism(2).build()
    )
    sink.set_transport(Transport.RECORDS).set_key_columns()
    keyed = stream.key_by(lambda number: number % SERIES, Types.LONG())
    keyed.sink_to(sink.set_element_converter(to_series("keyed")).set_parallelism(2).build())
    env.execute()


if __name__ == "__main__":
    main()
