"""The function that runs a writer in each subtask, and flushes it at the end of each bundle."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Optional, Union

from pyflink.datastream.functions import ProcessFunction, RuntimeContext

from pyflink_prometheus.config import SinkConfig
from pyflink_prometheus.errors import InvalidTimeSeriesError, PrometheusSinkError
from pyflink_prometheus.flink.advice import BundleAdvice, Exchange, log_exchange_cost, warn_of_unverified_tls
from pyflink_prometheus.flink.metrics import LedgerMetrics
from pyflink_prometheus.flink.summary import THIS_PROCESS, RejectedSummary
from pyflink_prometheus.model.timeseries import PrometheusTimeSeries, as_time_series
from pyflink_prometheus.writer.writer import RemoteWriter

#: Converts a user's record to a series, an iterable of several, or ``None`` to skip it. It runs inside the sink, on the
#: worker. What it raises fails the job, except :class:`~pyflink_prometheus.InvalidTimeSeriesError`, which rejects that
#: record alone.
ElementConverter = Callable[[Any], Optional[Union[PrometheusTimeSeries, Iterable[PrometheusTimeSeries]]]]


class WriterFunction(ProcessFunction):
    """
    The function that passes each record to a writer, and emits nothing.

    Before a checkpoint barrier, a savepoint or the end of input passes, Flink ends the current bundle, waits for Python
    to respond, and throws what Python raised. The only code of a function that PyFlink's public API runs then is a
    gauge, which is read at the end of every bundle. So the flush is a gauge, whose value is its duration. That is why
    the writer needs metrics, and a Python process of its own (thread mode reads no gauges).

    :param config: the writer's settings.
    :param converter: turns a record into series; ``None`` if records are series.
    :param hop: how records reach the writer; ``None`` if they stay in its process.
    :ivar log_file: Flink's log file if the job runs in the process that builds it.
    """

    def __init__(self, config: SinkConfig, converter: ElementConverter | None, hop: Exchange | None = None) -> None:
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
                "remove python.metric.enabled: false from the cluster's configuration, or set it to true in the job's: "
                "without metrics PyFlink gives a sink no way to flush before a checkpoint"
            )
        warn_of_unverified_tls(self._config)
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
        """Convert a record and add its series to the writer; blocks while too many are pending (backpressure)."""
        writer = self._writer
        if writer is None:
            raise PrometheusSinkError("the writer accepts records only between open() and close()")
        convert = self._convert
        if convert is None:
            # A tuple of this length stays as it is: to make a named tuple of it would cost a quarter of a microsecond.
            writer.add(value if type(value) is tuple and len(value) == 5 else as_time_series(value))
            return
        try:
            converted = convert(value)
            if type(converted) is PrometheusTimeSeries:
                writer.add(converted)
            elif converted is not None:
                for series in as_records(converted):
                    writer.add(as_time_series(series))
        except InvalidTimeSeriesError as error:  # raised by the record's builder in the converter
            writer.reject(value, error)

    def close(self) -> None:
        """Release threads and connections without sending; Flink calls this at the end and after failures."""
        if self._writer is None:
            return
        self._writer.close()
        self._summary.closed()
        self._writer = None

    def _convert_first(self, hop: Exchange, value: Any) -> Any:
        """Convert the first record, and log the cost of passing records; later records skip this check."""
        log_exchange_cost(hop, value)
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
    An adapter that unwraps the records of a keyed stream, which PyFlink passes as ``Row(key, record)``.

    :param function: gets the records as if the stream had no key.
    """

    def __init__(self, function: ProcessFunction) -> None:
        self._function = function

    def open(self, runtime_context: RuntimeContext) -> None:
        """Open the function."""
        self._function.open(runtime_context)
        self._process = self._function.process_element

    def process_element(self, value: Any, ctx: ProcessFunction.Context) -> None:
        """Pass a record on without its key."""
        self._process(value[1], ctx)

    def close(self) -> None:
        """Close the function."""
        self._function.close()


def as_records(converted: Any) -> Iterable[Any]:
    """Return what a converter returned as an iterable of records; a single one may be a plain tuple."""
    if isinstance(converted, tuple) and converted and isinstance(converted[0], str):
        return (converted,)
    if isinstance(converted, Iterable) and not isinstance(converted, (str, bytes, dict)):
        return converted
    return (converted,)  # not a series: rejected later, with a message that says what was expected
