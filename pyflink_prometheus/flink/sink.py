"""The sink that a job's stream goes into, and its builder."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import cloudpickle
from pyflink.common import Types
from pyflink.common.typeinfo import PickledBytesTypeInfo
from pyflink.datastream import DataStream, KeyedStream
from pyflink.datastream.connectors.base import Sink, StreamTransformer, SupportsPreprocessing
from pyflink.datastream.functions import ProcessFunction
from pyflink.java_gateway import get_gateway
from pyflink.util.java_utils import get_j_env_configuration

from pyflink_prometheus import _validation
from pyflink_prometheus.config import (
    AdaptiveSendingConfiguration,
    ConflictPolicy,
    OnErrorBehavior,
    RemoteWriteVersion,
    RetryConfiguration,
    SinkConfig,
    SinkWriterErrorHandlingBehaviorConfiguration,
    checked_url,
)
from pyflink_prometheus.flink import upstream
from pyflink_prometheus.flink.advice import Hop
from pyflink_prometheus.flink.function import ElementConverter, KeyedRecords, WriterFunction
from pyflink_prometheus.writer.rejected import RejectedSamplesHandler

_log = logging.getLogger(__name__)

_EXECUTION_MODE = "python.execution-mode"
_OPERATOR_CHAINING = "python.operator-chaining.enabled"
_METRICS_ENABLED = "python.metric.enabled"


@dataclass(frozen=True)
class _Operator:
    """How the writer's operator appears in the job graph; ``None`` leaves it to Flink."""

    name: str = "Prometheus writer"
    uid: str | None = None
    parallelism: int | None = None


class PrometheusSink(Sink, SupportsPreprocessing):
    """
    Write a stream of :class:`~pyflink_prometheus.PrometheusTimeSeries` to a Prometheus Remote-Write endpoint.

    ::

        sink = PrometheusSink.builder().set_prometheus_remote_write_url("http://localhost:9090/api/v1/write").build()
        readings.sink_to(sink)

    Every sample that was read before a checkpoint has been sent, and answered, when the checkpoint completes. Samples
    of a series arrive in the order in which a subtask of the sink gets them: with several subtasks, key the stream.

    Name, uid and parallelism are set on the builder. Called on what ``sink_to`` returns they would reach only Flink's
    discarding sink, which stands behind the writer because a Flink graph must end in a sink of its own.
    """

    def __init__(self, config: SinkConfig, converter: ElementConverter | None, operator: _Operator) -> None:
        super().__init__(None)
        self._transformer = _WriterTransformer(config, converter, operator)

    @staticmethod
    def builder() -> PrometheusSinkBuilder:
        """Return a builder; only the URL must be set."""
        return PrometheusSinkBuilder()

    def get_transformer(self) -> StreamTransformer:
        """Return what puts the writer in front of the discarding sink; PyFlink calls this in ``sink_to``."""
        return self._transformer

    def get_java_function(self) -> Any:
        """Return Java's discarding sink."""
        return get_gateway().jvm.org.apache.flink.streaming.api.functions.sink.v2.DiscardingSink()


class PrometheusSinkBuilder:
    """Collect the settings of a :class:`PrometheusSink`; names follow PyFlink and the Java connector."""

    def __init__(self) -> None:
        self._settings: dict[str, Any] = {}
        self._converter: ElementConverter | None = None
        self._operator = _Operator()

    def set_prometheus_remote_write_url(self, prometheus_remote_write_url: str) -> PrometheusSinkBuilder:
        """
        Set the endpoint, such as ``http://localhost:9090/api/v1/write``. Required.

        Prometheus takes writes only if it runs with ``--web.enable-remote-write-receiver``. White space around it is
        left out, and paths that are known to be no receiver's, such as ``/api/v1/query``, are refused.
        """
        return self._set(prometheus_remote_write_url=checked_url(prometheus_remote_write_url))

    def set_remote_write_version(self, remote_write_version: RemoteWriteVersion) -> PrometheusSinkBuilder:
        """
        Set which version of the protocol is spoken. Default ``RemoteWriteVersion.AUTO``.

        AUTO begins with 2.0, and where an answer shows that the receiver does not understand it, sends the same samples
        as 1.0 and stays with that until the job is started again. Under 2.0 a receiver keeps the good part of a request
        that it refuses and says how many samples that was; under 1.0 the sink finds the offenders itself, which takes
        more requests but tells which ones they are. Metadata and start timestamps need 2.0.
        """
        return self._set(remote_write_version=remote_write_version)

    def set_element_converter(self, element_converter: ElementConverter) -> PrometheusSinkBuilder:
        """
        Set a function from your record to a PrometheusTimeSeries, an iterable of several, or None to skip the record.

        It runs inside the sink, which saves a Flink operator. Default: records are series already. What it raises
        fails the job, but for :class:`~pyflink_prometheus.InvalidTimeSeriesError` (the record's builder raises it),
        which rejects that record alone.
        """
        _validation.function("element_converter", element_converter)
        self._converter = element_converter
        return self

    def set_max_batch_size_in_samples(self, max_batch_size_in_samples: int) -> PrometheusSinkBuilder:
        """
        Set how many samples a request holds at most.

        Default: 2000, as Prometheus's own sender, and by steps up to 10,000 where larger ones are found to be faster;
        see :meth:`set_adaptive_sending_configuration`. What is set here stays as it is set.
        """
        return self._set(max_batch_size_in_samples=max_batch_size_in_samples)

    def set_max_batch_size_in_bytes(self, max_batch_size_in_bytes: int) -> PrometheusSinkBuilder:
        """
        Set how many bytes a request holds at most before compression. Default 2 MiB (2,097,152).

        Receivers bound requests: Prometheus at 32 MiB, Coralogix at 2.4 MB. Usual samples reach the bound in samples
        first. A single sample is sent whatever its size is.
        """
        return self._set(max_batch_size_in_bytes=max_batch_size_in_bytes)

    def set_max_time_in_buffer_ms(self, max_time_in_buffer_ms: int) -> PrometheusSinkBuilder:
        """
        Set how old, in milliseconds, a sample may become before its batch is sent, full or not. Default 5000.

        PyFlink hands records over in bundles (``python.fn-execution.bundle.time``, 1000 ms by default) and the sink
        flushes at the end of each, so this matters only for bundles that last longer.
        """
        return self._set(max_time_in_buffer_ms=max_time_in_buffer_ms)

    def set_max_in_flight_requests(self, max_in_flight_requests: int) -> PrometheusSinkBuilder:
        """
        Set how many requests each subtask has in flight at once.

        Each is a shard of its own, as in Prometheus's sender, and a series stays on its shard, so order holds. More
        pay off where the endpoint is far. Default: 1, and by steps up to 16 where more are found to be faster; see
        :meth:`set_adaptive_sending_configuration`. What is set here stays as it is set.
        """
        return self._set(max_in_flight_requests=max_in_flight_requests)

    def set_adaptive_sending_configuration(
        self,
        adaptive_sending_configuration: AdaptiveSendingConfiguration | None = None,
        *,
        max_in_flight_requests: int | None = None,
        max_batch_size_in_samples: int | None = None,
    ) -> PrometheusSinkBuilder:
        """
        Set how far the sink may go in what it finds out by itself: requests in flight, and samples in each.

        Takes an :class:`~pyflink_prometheus.AdaptiveSendingConfiguration`, or its settings as keywords.

        Default: 16 of 10,000. It begins with one of 2000 and goes on while the job waits for answers and each step lets
        more through, and back where it doesn't, or where the receiver answers 429 or 5xx or not at all.
        """
        settings = {
            "max_in_flight_requests": max_in_flight_requests,
            "max_batch_size_in_samples": max_batch_size_in_samples,
        }
        return self._set(
            adaptive_sending=_configuration(AdaptiveSendingConfiguration, adaptive_sending_configuration, settings)
        )

    def set_max_buffered_samples(self, max_buffered_samples: int) -> PrometheusSinkBuilder:
        """
        Set how many samples of a subtask may wait to be sent before it takes no more, which becomes backpressure.

        Default: ten batches for each request in flight.
        """
        return self._set(max_buffered_samples=max_buffered_samples)

    def set_max_cached_series(self, max_cached_series: int) -> PrometheusSinkBuilder:
        """
        Set how many series each subtask keeps encoded. Default 200,000.

        More series than that work as well, only slower: the labels of a forgotten one are checked and encoded again.
        """
        return self._set(max_cached_series=max_cached_series)

    def set_retry_configuration(
        self,
        retry_configuration: RetryConfiguration | None = None,
        *,
        initial_retry_delay_ms: int | None = None,
        max_retry_delay_ms: int | None = None,
        max_retry_count: int | None = None,
        max_retry_duration_ms: int | None = None,
    ) -> PrometheusSinkBuilder:
        """
        Set how often and for how long a failed request is retried.

        Default: 100 times, after 30 ms doubling to 5 s, for eight minutes at most. Takes a
        :class:`~pyflink_prometheus.RetryConfiguration`, or its settings as keywords. A flush that waits makes the
        checkpoint wait; keep the total in view of ``execution.checkpointing.timeout``.
        """
        settings = {
            "initial_retry_delay_ms": initial_retry_delay_ms,
            "max_retry_delay_ms": max_retry_delay_ms,
            "max_retry_count": max_retry_count,
            "max_retry_duration_ms": max_retry_duration_ms,
        }
        return self._set(retry=_configuration(RetryConfiguration, retry_configuration, settings))

    def set_error_handling_behavior_configuration(
        self,
        error_handling_behavior_configuration: SinkWriterErrorHandlingBehaviorConfiguration | None = None,
        *,
        on_max_retry_exceeded: OnErrorBehavior | None = None,
        on_prometheus_non_retryable_error: OnErrorBehavior | None = None,
    ) -> PrometheusSinkBuilder:
        """
        Set what becomes of requests that cannot be written. Default: fail after the last retry, drop the refused.

        Takes a :class:`~pyflink_prometheus.SinkWriterErrorHandlingBehaviorConfiguration`, as the Java connector does,
        or its settings as keywords: ``on_max_retry_exceeded=OnErrorBehavior.DISCARD_AND_CONTINUE``.
        """
        settings = {
            "on_max_retry_exceeded": on_max_retry_exceeded,
            "on_prometheus_non_retryable_error": on_prometheus_non_retryable_error,
        }
        given = error_handling_behavior_configuration
        return self._set(error_handling=_configuration(SinkWriterErrorHandlingBehaviorConfiguration, given, settings))

    def set_socket_timeout_ms(self, socket_timeout_ms: int) -> PrometheusSinkBuilder:
        """
        Set how long one attempt may take, from the connection to the last header of the answer. Default 30,000 ms.

        That is what Prometheus's own sender waits. A connection alone gets 5 seconds of it at most.
        """
        return self._set(socket_timeout_ms=socket_timeout_ms)

    def set_http_user_agent(self, http_user_agent: str) -> PrometheusSinkBuilder:
        """Set the User-Agent header. Default ``pyflink-prometheus/`` with the version."""
        return self._set(http_user_agent=http_user_agent)

    def set_http_headers(self, http_headers: Mapping[str, str]) -> PrometheusSinkBuilder:
        """Set headers to send with each request, such as ``X-Scope-OrgID``; the protocol's own are refused."""
        return self._set(http_headers=dict(http_headers))

    def set_request_signer(self, request_signer: Any) -> PrometheusSinkBuilder:
        """
        Set what authenticates each request: any requests ``AuthBase``, or a function (headers, body) -> headers.

        It is called afresh for each attempt, on the worker. Let it read its secret there, from a file for preference:
        what it holds when the graph is built travels inside the job. Let it open sessions on its first call,
        too. What it raises fails the job, and is shown by its type and place alone: its text may hold the secret.
        """
        return self._set(request_signer=request_signer)

    def set_rejected_samples_handler(self, rejected_samples_handler: RejectedSamplesHandler) -> PrometheusSinkBuilder:
        """
        Set who is handed each refused sample, with the reason and the receiver's words. Default: a throttled log line.

        Any function of a sequence of :class:`~pyflink_prometheus.RejectedSamples`, or
        :class:`~pyflink_prometheus.JsonLinesRejectedSamples` to keep them in files. It runs on the worker, on the
        writer's threads, one call at a time; what it raises fails the job, so that nothing is lost unseen. Where it
        has methods ``flush`` and ``close``, they are called before a checkpoint completes and when the writer stops.
        """
        return self._set(rejected_samples_handler=rejected_samples_handler)

    def set_max_isolation_requests(self, max_isolation_requests: int) -> PrometheusSinkBuilder:
        """
        Set how many extra requests may be spent on one refused request to find the offenders in it.

        Default: as many as it takes, which is never more than two a sample. Where a receiver does not say what it keeps
        of a refused request, parts of it are sent again, halved until the offenders stand alone (docs/operations.md,
        "How offenders are found"). With a bound, parts are no smaller than it takes to send all samples once more, and
        a refused part is refused as a whole. 0 switches it off.
        """
        return self._set(max_isolation_requests=max_isolation_requests)

    def set_max_sample_age_ms(self, max_sample_age_ms: int) -> PrometheusSinkBuilder:
        """Set how old, in milliseconds by the worker's clock, a sample may be to be sent at all. Default: any age."""
        return self._set(max_sample_age_ms=max_sample_age_ms)

    def set_max_sample_lead_ms(self, max_sample_lead_ms: int) -> PrometheusSinkBuilder:
        """
        Set how far ahead, in milliseconds of the worker's clock, a sample may be to be sent. Default: any.

        One sample from far ahead moves the bounds of what Prometheus accepts of every other series.
        """
        return self._set(max_sample_lead_ms=max_sample_lead_ms)

    def set_drop_out_of_order_samples(self, drop_out_of_order_samples: bool) -> PrometheusSinkBuilder:
        """
        Set whether a sample older than one of its series that came before it is dropped unsent. Default False.

        Prometheus refuses such samples unless it has an out-of-order window, and the sink puts right what lies within
        one request; this saves the requests that it takes to find out.
        """
        return self._set(drop_out_of_order_samples=drop_out_of_order_samples)

    def set_conflict_policy(self, conflict_policy: ConflictPolicy) -> PrometheusSinkBuilder:
        """
        Set which of several samples of a series with one timestamp and different values are sent.

        Default ``ConflictPolicy.KEEP_FIRST``: the first in a request; the others are rejected as CONFLICTING, because
        Prometheus would drop them without a word. ``SEND_ALL`` leaves it to the receiver, for those that keep several.
        """
        return self._set(conflict_policy=conflict_policy)

    def set_metric_group_name(self, metric_group_name: str) -> PrometheusSinkBuilder:
        """
        Set the metric group of the sink's counters. Default ``Prometheus``, as in the Java connector.

        Operators before the sink count in ``Prometheus`` whatever is set here: they belong to no sink.
        """
        return self._set(metric_group_name=metric_group_name)

    def set_name(self, name: str) -> PrometheusSinkBuilder:
        """Set the name of the writer's operator. Default ``Prometheus writer``."""
        _validation.line("name", name)
        self._operator = replace(self._operator, name=name)
        return self

    def set_uid(self, uid: str) -> PrometheusSinkBuilder:
        """
        Set the uid of the writer's operator; the discarding sink behind it gets the same with ``-end``.

        Default: Flink's choice. Savepoints do without it, because the writer keeps nothing in them. Where PyFlink makes
        one operator of the writer and Python functions before it, the first function's uid rules: set it there.
        """
        _validation.line("uid", uid)
        self._operator = replace(self._operator, uid=uid)
        return self

    def set_parallelism(self, parallelism: int) -> PrometheusSinkBuilder:
        """Set the number of the writer's subtasks. Default: the environment's. Key the stream where it is above 1."""
        self._operator = replace(self._operator, parallelism=_validation.integer("parallelism", parallelism, least=1))
        return self

    def build(self) -> PrometheusSink:
        """
        Return the sink.

        :raises ValueError: if no URL was set, or a setting is out of range, naming it.
        :raises TypeError: if a setting is of the wrong type, or cannot be sent to the workers, naming it.
        """
        if "prometheus_remote_write_url" not in self._settings:
            raise ValueError("prometheus_remote_write_url is required: call set_prometheus_remote_write_url(url)")
        config = SinkConfig(**self._settings)
        _check_travels("request_signer", config.request_signer)
        _check_travels("rejected_samples_handler", config.rejected_samples_handler)
        _check_travels("element_converter", self._converter)
        return PrometheusSink(config, self._converter, self._operator)

    def _set(self, **settings: Any) -> PrometheusSinkBuilder:
        self._settings.update(settings)
        return self


def _check_travels(setting: str, value: Any) -> None:
    """
    Refuse what PyFlink cannot pickle into the job; its own error, later on, does not say which setting it is.

    :raises TypeError: naming the setting. What pickling raised may show what it found, so nothing of it is chained.
    """
    problem = ""
    try:
        cloudpickle.dumps(value)
    except Exception as error:
        found = re.search(r"cannot pickle '([\w.]+)' object", str(error))
        problem = f"it holds a {found[1]}" if found else type(error).__name__
    if problem:
        raise TypeError(
            f"{setting}: make it open locks, files, sessions and connections when it is first called on the worker, "
            f"for example in __call__ of a class of yours: as it is, it cannot be pickled into the job ({problem})"
        )


_T = TypeVar("_T")


def _configuration(kind: type[_T], given: _T | None, settings: Mapping[str, Any]) -> _T:
    """Return a configuration that was given whole or by its settings."""
    named = {name: value for name, value in settings.items() if value is not None}
    if given is None:
        return kind(**named)
    if named:
        raise TypeError(f"expected either a {kind.__name__} or its settings as keywords, got both")
    return given


class _WriterTransformer(StreamTransformer):
    """Put the writer's operator behind a stream."""

    def __init__(self, config: SinkConfig, converter: ElementConverter | None, operator: _Operator) -> None:
        self._config = config
        self._converter = converter
        self._operator = operator

    def apply(self, ds: DataStream) -> DataStream:
        """Return the writer's stream, which has no elements."""
        env = ds.get_execution_environment()
        j_configuration = get_j_env_configuration(env._j_stream_execution_environment)
        _enable_metrics(j_configuration)
        uid, parallelism = self._operator.uid, self._operator.parallelism
        subtasks = env.get_parallelism() if parallelism is None else parallelism
        stays = _stays_in_its_process(ds, subtasks, j_configuration)
        is_keyed = isinstance(ds, KeyedStream)
        record_type = ds._original_data_type_info if isinstance(ds, KeyedStream) else ds.get_type()
        hop = None if stays else Hop(is_keyed and subtasks == 1, isinstance(record_type, PickledBytesTypeInfo))
        try:
            _warn_of_lost_order(ds, subtasks)
            if uid is not None and stays:
                _warn_of_unused_uid(ds, subtasks, uid)
        except Exception:  # advice, read from what is not Flink's public API: no reason to fail a job
            _log.info("cannot read the job graph upstream of the Prometheus writer", exc_info=True)
        function: ProcessFunction = WriterFunction(self._config, self._converter, hop)
        function.log_file = get_gateway().jvm.System.getProperty("log.file")
        if is_keyed:
            # PyFlink's way to a plain stream, ds._values(), puts a keyed operator in front of the writer: one with
            # state, though it keeps none, and an id that depends on the whole graph, so that a savepoint fits no other.
            ds, function = DataStream(ds._j_data_stream), KeyedRecords(function)
        with _process_mode(j_configuration):
            writer = ds.process(function, Types.BYTE())
        writer.name(self._operator.name)
        if uid is not None:
            writer.uid(uid)
        if parallelism is not None:
            writer.set_parallelism(parallelism)
        return DataStream(_EndOfStream(writer._j_data_stream, uid))


class _EndOfStream:
    """
    Java's stream that the writer makes, whose discarding sink gets a uid of its own and the writer's parallelism.

    PyFlink makes that sink behind :class:`StreamTransformer`'s back, with the environment's parallelism, which would
    put an exchange between the two.
    """

    def __init__(self, j_data_stream: Any, uid: str | None) -> None:
        self._j_data_stream = j_data_stream
        self._uid = uid

    def sinkTo(self, j_sink: Any) -> Any:  # noqa: N802
        """Do as Java's; PyFlink calls this."""
        j_data_stream_sink = self._j_data_stream.sinkTo(j_sink)
        j_data_stream_sink.setParallelism(self._j_data_stream.getParallelism())
        if self._uid is not None:
            j_data_stream_sink.uid(f"{self._uid}-end")
        return j_data_stream_sink

    def __getattr__(self, name: str) -> Any:
        return getattr(self._j_data_stream, name)


@contextlib.contextmanager
def _process_mode(j_configuration: Any) -> Iterator[None]:
    """
    Build operators that run in a Python process, whatever the job's mode.

    PyFlink reads the mode when it builds an operator; in thread mode nothing could flush before a checkpoint.
    """
    mode = j_configuration.getString(_EXECUTION_MODE, "process")
    if mode == "process":
        yield
        return
    _log.info("the Prometheus writer runs in a process although %s is %s", _EXECUTION_MODE, mode)
    j_configuration.setString(_EXECUTION_MODE, "process")
    try:
        yield
    finally:
        j_configuration.setString(_EXECUTION_MODE, mode)


def _enable_metrics(j_configuration: Any) -> None:
    if j_configuration.getString(_METRICS_ENABLED, "true").lower() == "false":
        _log.warning(
            "%s is false; the Prometheus sink needs Python metrics to flush before a checkpoint and sets it to true "
            "for this job",
            _METRICS_ENABLED,
        )
        j_configuration.setString(_METRICS_ENABLED, "true")


def _stays_in_its_process(ds: DataStream, subtasks: int, j_configuration: Any) -> bool:
    """Tell whether a record that Python makes is handed to the writer as the object that it is."""
    transformation = ds._j_data_stream.getTransformation()
    return bool(
        j_configuration.getString(_EXECUTION_MODE, "process") == "process"
        and j_configuration.getString(_OPERATOR_CHAINING, "true").lower() == "true"
        and transformation.getParallelism() == subtasks
        and transformation.getClass().getSimpleName() != "PartitionTransformation"  # as a key makes one
    )


def _warn_of_lost_order(ds: DataStream, subtasks: int) -> None:
    """Say so where records are dealt out in turn, to the writer's subtasks or to those of an operator before it."""
    before = upstream.exchanges(ds._j_data_stream.getTransformation())
    if any(exchange.loses_order(subtasks) for exchange in before):
        _log.warning(
            "key the stream, for example by PrometheusTimeSeriesKeySelector: Flink deals its records out in turn to "
            "the Prometheus writer's %d subtasks, so samples of a series may overtake each other",
            subtasks,
        )
    seen: dict[int, list[upstream.Deal]] = {}
    deals = {deal: None for exchange in before for deal in upstream.deals_before(exchange, seen)}
    if deals:
        _log.warning(
            "give the operators named here the same parallelism and no rebalance() between them, or key the stream "
            "before that step, or put Reorder after the key; else samples of a series may overtake each other before "
            "they reach the Prometheus writer, and a key does not restore their order: %s",
            "; ".join(
                f"{deal.producer!r} ({deal.produced_by}) deals records out in turn to {deal.consumer!r} "
                f"({deal.consumed_by} subtasks)"
                for deal in deals
            ),
        )


def _warn_of_unused_uid(ds: DataStream, subtasks: int, uid: str) -> None:
    """Say so where another operator's uid will stand for the writer's, and that one has none."""
    before = upstream.merged_with(ds._j_data_stream.getTransformation(), subtasks)
    if before and before[0].getUid() is None:
        _log.warning(
            "call uid() on %r: PyFlink makes one operator of it and the Prometheus writer, unless something else reads "
            "the same stream, and uses the first one's uid, so that set_uid(%r) has no effect",
            before[0].getName(),
            uid,
        )
