"""The function that runs a writer in each subtask, and flushes it at the end of each bundle."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Optional, Union

from pyflink.datastream.functions import ProcessFunction, RuntimeContext

from pyflink_prometheus.config import SinkConfig
from pyflink_prometheus.errors import InvalidTimeSeriesError, PrometheusSinkError
from pyflink_prometheus.flink.advice import BundleAdvice, Hop, tell_of_hop
from pyflink_prometheus.flink.metrics import LedgerMetrics
from pyflink_prometheus.flink.summary import THIS_PROCESS, RejectedSummary
from pyflink_prometheus.model.timeseries import PrometheusTimeSeries, as_time_series
from pyflink_prometheus.writer.writer import RemoteWriter

ElementConverter = Callable[[Any], Optional[Union[PrometheusTimeSeries, Iterable[PrometheusTimeSeries]]]]


class WriterFunction(ProcessFunction):
    """
    Give each record to a writer, and emit nothing.

    Flink ends the current bundle before it lets a checkpoint barrier, a savepoint or the end of input pass, waits for
    Python to answer, and throws what Python raised. The one place on PyFlink's public API where a function runs then
    is a gauge, which is read at every bundle's end: so the flush is a gauge, whose value is the time it took. It is
    for this that the writer needs metrics, and a Python process of its own (thread mode reads no gauges).

    :param config: the writer's settings.
    :param converter: turns a record into series; ``None`` where records are series.
    :param hop: how records come to it; ``None`` where they stay in its process.
    :ivar log_file: where Flink logs to if the job runs in the process that builds it.
    """

    def __init__(self, config: SinkConfig, converter: ElementConverter | None, hop: Hop | None = None) -> None:
        self._config = config
        self._converter = converter
        self._hop = hop
        self._writer: RemoteWriter | None = None
        self._built_in = THIS_PROCESS
        self.log_file: str | None = None

    def open(self, runtime_context: RuntimeContext) -> None:
        """Start the writer; Flink calls this at the first record, in the worker process."""
        group = runtime_context.get_metrics_group()
        if group is None:
            raise PrometheusSinkError(
                "python.metric.enabled is false on this cluster, and without metrics PyFlink has no place where a sink "
                "can flush before a checkpoint: remove that option, or set it to true in the job's configuration"
            )
        self._convert = self._converter if self._hop is None else partial(self._convert_first, self._hop)
        self._writer = RemoteWriter(self._config)
        group = group.add_group(self._config.metric_group_name)
        self._metrics = LedgerMetrics(group, self._writer, self._flush)
        self._advice = BundleAdvice(self._writer.ledger)
        self._summary = RejectedSummary(
            self._writer.ledger,
            has_handler=self._config.rejected_samples_handler is not None,
            built_in=self._built_in,
            log_file=self.log_file,
        )

    def process_element(self, value: Any, ctx: ProcessFunction.Context) -> None:
        """Convert a record and take what comes out; blocks while too many samples are on their way."""
        writer = self._writer
        if writer is None:
            raise PrometheusSinkError("the writer takes no records before open() or after close()")
        convert = self._convert
        if convert is None:
            # A tuple of this length is taken as it is: a named tuple of it would cost a quarter of a microsecond.
            writer.add(value if type(value) is tuple and len(value) == 5 else as_time_series(value))
            return
        try:
            converted = convert(value)
            if type(converted) is PrometheusTimeSeries:
                writer.add(converted)
            elif converted is not None:
                for series in several(converted):
                    writer.add(as_time_series(series))
        except InvalidTimeSeriesError as error:  # the builder's, within the converter
            writer.reject(value, error)

    def close(self) -> None:
        """Release threads and connections; Flink calls this at the end and after failures, no time to send."""
        if self._writer is None:
            return
        self._writer.close()
        self._summary.closed()
        self._writer = None

    def _convert_first(self, hop: Hop, value: Any) -> Any:
        """Convert the first record, and say what the way to here costs; later ones are spared the question."""
        tell_of_hop(hop, value)
        self._convert = self._converter
        return as_time_series(value) if self._converter is None else self._converter(value)

    def _flush(self) -> int:
        if self._writer is None:
            return 0
        began = time.monotonic()
        try:
            self._writer.flush()
        finally:
            self._metrics.publish()
        took_s = time.monotonic() - began
        self._summary.flushed()
        self._advice.flushed(took_s, self._writer.pace.batch_size)
        return round(took_s * 1000)


class KeyedRecords(ProcessFunction):
    """
    Give a function the records of a keyed stream, each of which PyFlink wraps as ``Row(key, record)``.

    :param function: gets them as those of a stream without a key.
    """

    def __init__(self, function: ProcessFunction) -> None:
        self._function = function

    def open(self, runtime_context: RuntimeContext) -> None:
        """Open the function."""
        self._function.open(runtime_context)
        self._process = self._function.process_element

    def process_element(self, value: Any, ctx: ProcessFunction.Context) -> None:
        """Hand over a record without its key."""
        self._process(value[1], ctx)

    def close(self) -> None:
        """Close the function."""
        self._function.close()


def several(converted: Any) -> Iterable[Any]:
    """Tell several series, as a converter may return them, from a single one that is a plain tuple."""
    if isinstance(converted, tuple) and converted and isinstance(converted[0], str):
        return (converted,)
    if isinstance(converted, Iterable) and not isinstance(converted, (str, bytes, dict)):
        return converted
    return (converted,)  # refused as no series, with a message that says what was expected
