"""The writer of one subtask, as Flink sees it: its counters, its flush, and its end."""

from __future__ import annotations

import logging
import secrets
import time
import weakref
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from pyflink_prometheus.config import SinkConfig
from pyflink_prometheus.errors import InvalidTimeSeriesError, PrometheusSinkError
from pyflink_prometheus.flink.advice import BundleAdvice, warn_of_unverified_tls
from pyflink_prometheus.flink.metrics import LedgerMetrics
from pyflink_prometheus.flink.settings_line import settings_line
from pyflink_prometheus.flink.summary import THIS_PROCESS, ConsoleSummary, RejectedSummary, console_summary
from pyflink_prometheus.model.column_mapping import ColumnMapping
from pyflink_prometheus.model.timeseries import PrometheusTimeSeries, as_time_series
from pyflink_prometheus.writer.fan_out import FanOut, open_writer
from pyflink_prometheus.writer.ledger import Ledger
from pyflink_prometheus.writer.mapped_records import MappedRecords
from pyflink_prometheus.writer.writer import RemoteWriter

_log = logging.getLogger(__name__)

#: Converts a user's record to a series, an iterable of several, or ``None`` to skip it. It runs inside the sink, on the
#: worker. An exception fails the job, except :class:`~pyflink_prometheus.InvalidTimeSeriesError`, which rejects that
#: record only.
ElementConverter = Callable[[Any], PrometheusTimeSeries | Iterable[PrometheusTimeSeries] | None]

#: How a record becomes series.
Conversion = ElementConverter | ColumnMapping

# The number of writers in each metric group: all functions of an operator share one.
_writers_of: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()


class SubtaskWriter:
    """
    A writer that flushes at the end of each bundle, for the function that owns it.

    Before a checkpoint barrier, a savepoint or the end of input passes, Flink ends the current bundle, waits for Python
    to respond, and throws any exception that Python raised. The only code of a function that PyFlink's public API runs
    then is a gauge, which is read at the end of every bundle. So the flush is a gauge whose value is the flush's
    duration. That is why the writer needs metrics, and a separate Python process (thread mode reads no gauges).

    Build it with the function, on the client; :meth:`open` starts the writer, on the worker.

    :param config: the writer's settings.
    :ivar way: says how records reach the writer, and why, for the worker's log.
    :ivar log_file: Flink's log file if the job runs in the process that builds it.
    :ivar subtasks: the number of the writer's subtasks, if known when the job is built; they share its limits.
    """

    def __init__(self, config: SinkConfig) -> None:
        self._config = config
        self._writer: RemoteWriter | None = None
        self._built_in, self._id = THIS_PROCESS, secrets.token_hex(8)
        self.way = "Prometheus writer"
        self.log_file: str | None = None
        self.subtasks = 1

    @property
    def writer(self) -> RemoteWriter:
        """
        The writer.

        :raises PrometheusSinkError: if it is not open.
        """
        if self._writer is None:
            raise PrometheusSinkError("the writer accepts records only between open() and close()")
        return self._writer

    def open(self, group: Any, subtasks: int | None = None) -> RemoteWriter:
        """
        Start the writer; the function calls this when Flink opens it.

        :param group: the function's metric group; ``None`` if metrics are off.
        :param subtasks: how many subtasks the job runs; ``None`` or 0 if the number is not known.
        """
        if group is None:
            raise PrometheusSinkError(
                "remove python.metric.enabled: false from the cluster's configuration, or set it to true in the job's: "
                "without metrics PyFlink gives a sink no way to flush before a checkpoint"
            )
        warn_of_unverified_tls(self._config)
        config = self._config_of_one(subtasks)
        self._writer = writer = open_writer(config)
        _log.info("%s; settings: %s", self.way, settings_line(config))
        operator_group, group = group, group.add_group(self._config.metric_group_name)
        _writers_of[group] = number = _writers_of.get(group, 0) + 1
        self._metrics = [LedgerMetrics(group, writer, self.flush, number, operator_group)]
        self._summaries: list[RejectedSummary] = []
        self._on_console: list[tuple[ConsoleSummary, Ledger]] = []
        self._summarize("", writer.ledger, self._config)
        for each in writer.destinations[1:] if isinstance(writer, FanOut) else ():
            warn_of_unverified_tls(each.config)
            self._metrics.append(LedgerMetrics(group.add_group("endpoint", each.name), each, None, number))
            self._summarize(each.name, each.ledger, each.config)
        self._advice = BundleAdvice(writer.ledger)
        return writer

    def flush(self) -> int:
        """Flush, and return how many milliseconds it took; Flink calls this at the end of each bundle."""
        if self._writer is None:
            return 0
        began = time.monotonic()
        try:
            self._writer.flush()
        finally:
            for metrics in self._metrics:
                metrics.publish()
        took_s = time.monotonic() - began
        for summary in self._summaries:
            summary.flushed()
        self._advice.flushed(took_s, self._writer.pace.batch_size)
        return round(took_s * 1000)

    def close(self) -> None:
        """Release threads and connections without sending; the function calls this when Flink closes it."""
        if self._writer is None:
            return
        self._writer.close()
        for summary, ledger in self._on_console:
            summary.closed(ledger)
        self._writer = None

    def _config_of_one(self, subtasks: int | None) -> SinkConfig:
        """Return the settings of this writer, with its share of the limits at each endpoint."""
        limits = self._config.sending_limits
        if not (limits.limit_series or limits.limit_rates):
            return self._config
        share = limits.share_of(subtasks or self.subtasks)
        further = {name: replace(each, sending_limits=share) for name, each in self._config.further_endpoints.items()}
        return replace(self._config, sending_limits=share, further_endpoints=further)

    def _summarize(self, endpoint: str, ledger: Ledger, config: SinkConfig) -> None:
        """Log how much an endpoint loses, and print a summary at the end if the job runs in the client's process."""
        has_handler = config.rejected_samples_handler is not None
        self._summaries.append(RejectedSummary(ledger, endpoint=endpoint, has_handler=has_handler))
        if self._built_in == THIS_PROCESS:
            url, file = config.url_without_credentials, self.log_file
            console = console_summary(self._id, url, endpoint=endpoint, has_handler=has_handler, log_file=file)
            console.opened(ledger)
            self._on_console.append((console, ledger))


def adder(writer: RemoteWriter, converter: Conversion | None) -> Callable[[Any], None]:
    """
    Return a function that converts a record and adds its series to a writer.

    It blocks while too many samples are pending (backpressure).

    :param converter: turns a record into series, or maps its columns to parts of a series; ``None`` if records are
        series.
    """
    if isinstance(converter, ColumnMapping):
        return MappedRecords(converter, writer).add
    add = writer.add

    def add_series(value: Any) -> None:
        # A tuple of this length stays as it is: converting it to a named tuple would cost a quarter of a microsecond.
        add(value if type(value) is tuple and len(value) == 5 else as_time_series(value))

    if converter is None:
        return add_series
    convert = converter

    def add_converted(value: Any) -> None:
        try:
            converted = convert(value)
            if type(converted) is PrometheusTimeSeries:
                add(converted)
            elif converted is not None:
                for series in as_records(converted):
                    add(as_time_series(series))
        except InvalidTimeSeriesError as error:  # raised by the record's builder in the converter
            writer.reject(value, error)

    return add_converted


def as_records(converted: Any) -> Iterable[Any]:
    """Return what a converter returned as an iterable of records; a single one may be a plain tuple."""
    if isinstance(converted, tuple) and converted and isinstance(converted[0], str):
        return (converted,)
    if isinstance(converted, Iterable) and not isinstance(converted, (str, bytes, dict)):
        return converted
    return (converted,)  # not a series: rejected later, with a message that says what is expected
