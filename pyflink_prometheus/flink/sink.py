"""The sink and its builder."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, TypeVar

import cloudpickle
from pyflink.datastream.connectors.base import Sink, StreamTransformer, SupportsPreprocessing
from pyflink.java_gateway import get_gateway

from pyflink_prometheus import _validation
from pyflink_prometheus.config import (
    AdaptiveSendingConfiguration,
    BestEffortConfiguration,
    ConflictPolicy,
    OnErrorBehavior,
    RemoteWriteVersion,
    RetryConfiguration,
    SinkConfig,
    SinkWriterErrorHandlingBehaviorConfiguration,
    checked_url,
    settings_of_endpoint,
)
from pyflink_prometheus.configuration.stanza import read_remote_write
from pyflink_prometheus.flink.placement import Placement, Transport
from pyflink_prometheus.flink.subtask import Conversion, ElementConverter
from pyflink_prometheus.flink.transformer import WriterTransformer
from pyflink_prometheus.guards.limits import RECEIVER_LIMITS, SendingLimits, TooLong
from pyflink_prometheus.http.proxies import HeaderValue, ProxyConfiguration
from pyflink_prometheus.http.tls import TlsConfiguration
from pyflink_prometheus.model.column_mapping import ColumnMapping
from pyflink_prometheus.preflight.endpoints import check
from pyflink_prometheus.preflight.finding import CheckReport
from pyflink_prometheus.relabelling.relabelling import Relabelling
from pyflink_prometheus.secret import Secret
from pyflink_prometheus.writer.rejected import RejectedSamplesHandler
from pyflink_prometheus.writer.tenants import TenantConfiguration, TenantSource

# PyFlink's Table API emits a warning on import, so it is imported only where it is used.
if TYPE_CHECKING:
    from pyflink.table import StatementSet, Table, TableEnvironment, TableResult

    from pyflink_prometheus.flink.table_writer import TableWriter

_T = TypeVar("_T")


class PrometheusSink(Sink, SupportsPreprocessing):
    """
    A sink from a stream of :class:`~pyflink_prometheus.PrometheusTimeSeries` to a Prometheus Remote-Write endpoint.

    ::

        sink = PrometheusSink.builder().set_prometheus_remote_write_url("http://localhost:9090/api/v1/write").build()
        readings.sink_to(sink)

    When a checkpoint completes, every sample read before it has been sent, and the receiver has responded. Samples of a
    series arrive in the order in which a subtask of the sink gets them: with several subtasks, key the stream.

    Set name, uid and parallelism on the builder. On the return value of ``sink_to`` they would affect only Flink's
    discarding sink, which is downstream of the writer because a Flink graph must end in one of Flink's own sinks.
    """

    def __init__(self, config: SinkConfig, converter: Conversion | None, placement: Placement) -> None:
        super().__init__(None)
        self._transformer = WriterTransformer(config, converter, placement)
        self._mapping = converter if isinstance(converter, ColumnMapping) else None
        self._config = config
        self._placement = placement

    @staticmethod
    def builder() -> PrometheusSinkBuilder:
        """Return a builder; only the URL must be set."""
        return PrometheusSinkBuilder()

    @staticmethod
    def from_remote_write_config(
        config: str | os.PathLike[str] | Mapping[str, Any], name: str | None = None
    ) -> PrometheusSinkBuilder:
        """
        Return a builder with the settings of an entry of ``remote_write`` in Prometheus's configuration.

        ::

            sink = PrometheusSink.from_remote_write_config("prometheus.yml", "mimir").set_parallelism(4).build()

        The configuration is read immediately; files that it names are read on the workers. Settings that it lacks keep
        the sink's defaults, and settings of the builder replace those of the configuration. Fields that have no meaning
        for a sink are named in one log line. docs/configuration.md lists all fields.

        :param config: a file or a mapping: a whole ``prometheus.yml``, a part of it with ``remote_write``, or an entry.
        :param name: the entry's name; ``None`` for the only one.
        :raises InvalidConfigurationError: if Prometheus would refuse the configuration, or if the sink cannot do what
            it says. The message names the line and the field.
        """
        read = read_remote_write(config, name)
        builder = PrometheusSinkBuilder(read.settings)
        return builder.set_name(f"Prometheus writer {read.name}") if read.name else builder

    def check(self, *, write_test_series: str | None = None) -> CheckReport:
        """
        Check all endpoints from this machine, before the job is submitted, and return the findings.

        ::

            report = sink.check()
            if not report.is_ok:
                sys.exit(str(report))

        Nothing is written without ``write_test_series``. Secrets, certificates and proxies are those of this machine;
        the workers may have different ones. docs/check.md lists the findings; ``python -m pyflink_prometheus check``
        does the same.

        :param write_test_series: the metric name of series that may be written, to find out whether the receiver
            accepts histograms, exemplars and late samples. Default: none.
        :raises InvalidTimeSeriesError: if that is not a metric name.
        """
        return check(self._config, write_test_series=write_test_series)

    def execute_insert(self, table: Table) -> TableResult:
        """
        Write a table in a separate job, like ``Table.execute_insert``.

        The sink needs a column mapping. See docs/tables.md for the types that columns may have.

        :raises ValueError: if the table lacks columns of the mapping, or updates its rows.
        :raises TypeError: naming a column of a type that does not fit.
        """
        from pyflink_prometheus.flink.table_writer import nowhere

        return self._table_writer().written(table).execute_insert(nowhere())

    def add_insert(self, statement_set: StatementSet, table: Table) -> StatementSet:
        """
        Write a table as part of a statement set, like ``StatementSet.add_insert``.

        :return: the statement set.
        :raises ValueError: if the table lacks columns of the mapping, or updates its rows.
        :raises TypeError: naming a column of a type that does not fit.
        """
        from pyflink_prometheus.flink.table_writer import nowhere

        return statement_set.add_insert(nowhere(), self._table_writer().written(table))

    def create_temporary_function(
        self,
        t_env: TableEnvironment,
        name: str,
        *,
        timestamp_type: str = "TIMESTAMP(3)",
        table_name: str = "prometheus",
    ) -> None:
        """
        Create a SQL function that writes its arguments, and the table into which its results are inserted.

        ::

            sink.create_temporary_function(t_env, "write_temperature")
            t_env.execute_sql("INSERT INTO prometheus SELECT write_temperature(room, celsius, time) FROM readings")

        The arguments are the columns of the mapping, in the order of :attr:`ColumnMapping.columns`: STRING for labels,
        DOUBLE for values, ``timestamp_type`` for the timestamp. Flink casts integers and decimals to DOUBLE
        automatically, and refuses arguments that do not fit. In a SQL function NaN counts as NULL.

        :param t_env: the table environment.
        :param name: the name of the function.
        :param timestamp_type: ``TIMESTAMP(3)``, to which Flink also casts TIMESTAMP_LTZ, or ``BIGINT`` for milliseconds
            since 1970.
        :param table_name: the name of the table, which several sinks may share. It stores nothing.
        :raises ValueError: if times would be interpreted in the wrong time zone, or another table has this name.
        """
        _validation.line("name", name)
        _validation.line("table_name", table_name)
        self._table_writer().create_function(t_env, name, timestamp_type, table_name)

    @staticmethod
    def check_sql(t_env: TableEnvironment, statement: str) -> None:
        """
        Check that a statement with a SQL function of the sink inserts rows only, and never updates them.

        Flink does not tell a SQL function whether a row is new, so the function would write each intermediate result.
        The other ways of writing a table make this check automatically.

        :param t_env: the table environment.
        :param statement: ``INSERT INTO prometheus SELECT ...``.
        :raises ValueError: if it updates rows, saying what to do instead.
        """
        from pyflink_prometheus.flink import table_writer

        table_writer.check_sql(t_env, statement)

    def get_transformer(self) -> StreamTransformer:
        """Return the transformer that adds the writer upstream of Flink's sink; PyFlink calls this in ``sink_to``."""
        return self._transformer

    def get_java_function(self) -> Any:
        """Return Java's discarding sink."""
        return get_gateway().jvm.org.apache.flink.streaming.api.functions.sink.v2.DiscardingSink()

    def _table_writer(self) -> TableWriter:
        if self._mapping is None:
            raise ValueError("call set_column_mapping on the sink's builder: it says how a table's columns are written")
        from pyflink_prometheus.flink.table_writer import TableWriter

        return TableWriter(self._config, self._mapping, self._placement)


class PrometheusSinkBuilder:
    """A builder of :class:`PrometheusSink`; names follow PyFlink and the Java connector."""

    def __init__(self, settings: Mapping[str, Any] | None = None) -> None:
        self._given = dict(settings or {})
        self._settings: dict[str, Any] = dict(self._given)
        self._converter: ElementConverter | None = None
        self._mapping: ColumnMapping | None = None
        self._placement = Placement()
        self._endpoints: dict[str, tuple[PrometheusSinkBuilder, bool]] = {}  # and whether it is required

    def set_prometheus_remote_write_url(self, prometheus_remote_write_url: str) -> PrometheusSinkBuilder:
        """
        Set the endpoint, such as ``http://localhost:9090/api/v1/write``. Required.

        Prometheus accepts writes only with ``--web.enable-remote-write-receiver``. White space around the URL is
        removed, and paths that are known not to be a receiver's, such as ``/api/v1/query``, are refused.
        """
        return self._set(prometheus_remote_write_url=checked_url(prometheus_remote_write_url))

    def set_remote_write_version(self, remote_write_version: RemoteWriteVersion) -> PrometheusSinkBuilder:
        """
        Set the version of the protocol. Default ``RemoteWriteVersion.AUTO``.

        AUTO starts with 2.0. If a response shows that the receiver does not support it, the same samples are sent in
        1.0, and so are later ones, with a probe of 2.0 from time to time. In 2.0 a receiver keeps the good part of a
        request that it refuses, and returns the number of its samples. In 1.0 the sink isolates the offenders itself,
        which takes more requests but identifies them. Metadata and start timestamps need 2.0.
        """
        return self._set(remote_write_version=remote_write_version)

    def set_element_converter(self, element_converter: ElementConverter) -> PrometheusSinkBuilder:
        """
        Set a function that converts a record to a PrometheusTimeSeries, an iterable of them, or None to skip it.

        It runs inside the sink, which saves a Flink operator. Default: records are already series. An exception fails
        the job, except :class:`~pyflink_prometheus.InvalidTimeSeriesError` (which the record's builder raises): it
        rejects only that record.
        """
        _validation.function("element_converter", element_converter)
        self._converter = element_converter
        return self

    def set_column_mapping(self, column_mapping: ColumnMapping) -> PrometheusSinkBuilder:
        """
        Set which columns of a row are metric name, labels, values and timestamp, instead of an element converter.

        It works for streams of named rows, dicts and tuples, for tables and in SQL. Where rows come in batches, no
        Python code runs for single rows. See docs/tables.md.
        """
        _validation.instance("column_mapping", column_mapping, ColumnMapping)
        self._mapping = column_mapping
        return self

    def set_max_batch_size_in_samples(self, max_batch_size_in_samples: int) -> PrometheusSinkBuilder:
        """
        Set the maximum number of samples in a request.

        Default: 2000, as in Prometheus's own sender, raised in steps up to 10,000 if larger requests turn out to be
        faster; see :meth:`set_adaptive_sending_configuration`. A value set here is fixed.
        """
        return self._set(max_batch_size_in_samples=max_batch_size_in_samples)

    def set_max_batch_size_in_bytes(self, max_batch_size_in_bytes: int) -> PrometheusSinkBuilder:
        """
        Set the maximum size of a request in bytes, before compression. Default 2 MiB (2,097,152).

        Receivers limit requests: Prometheus to 32 MiB, Coralogix to 2.4 MB. Requests of usual samples reach the limit
        in samples first. A single sample is sent whatever its size.
        """
        return self._set(max_batch_size_in_bytes=max_batch_size_in_bytes)

    def set_max_time_in_buffer_ms(self, max_time_in_buffer_ms: int) -> PrometheusSinkBuilder:
        """
        Set how long, in milliseconds, a sample may wait before its batch is sent, full or not. Default 5000.

        PyFlink passes records in bundles (``python.fn-execution.bundle.time``, default 1000 ms), and the sink flushes
        at the end of each, so this matters only if bundles last longer.
        """
        return self._set(max_time_in_buffer_ms=max_time_in_buffer_ms)

    def set_max_in_flight_requests(self, max_in_flight_requests: int) -> PrometheusSinkBuilder:
        """
        Set the number of requests that each subtask has in flight.

        Each has its own shard, as in Prometheus's sender, and a series stays on its shard, so its samples stay in
        order. More requests pay off if the endpoint is far away. Default: 1, raised in steps up to 16 if more turn out
        to be faster; see :meth:`set_adaptive_sending_configuration`. A value set here is fixed.
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
        Set the limits within which the sink adapts the number of requests in flight, and of samples in each.

        Takes an :class:`~pyflink_prometheus.AdaptiveSendingConfiguration`, or its settings as keywords.

        Default: 16 requests of 10,000 samples. The sink starts with one of 2000, steps up while the job waits for
        responses and each step improves throughput, and steps back if one doesn't, or on 429, 5xx or no response.
        """
        settings = {
            "max_in_flight_requests": max_in_flight_requests,
            "max_batch_size_in_samples": max_batch_size_in_samples,
        }
        return self._set(
            adaptive_sending=self._configured(
                "adaptive_sending", AdaptiveSendingConfiguration, adaptive_sending_configuration, settings
            )
        )

    def set_max_buffered_samples(self, max_buffered_samples: int) -> PrometheusSinkBuilder:
        """
        Set how many samples of a subtask may be pending before it stops accepting more (backpressure).

        Default: ten batches per request in flight.
        """
        return self._set(max_buffered_samples=max_buffered_samples)

    def set_max_cached_series(self, max_cached_series: int) -> PrometheusSinkBuilder:
        """
        Set how many encoded series each subtask caches, at about 500 bytes each. Default 200,000.

        At least half of them, the last used, are kept. More series also work, but more slowly: the labels of an evicted
        series are checked and encoded again, and the log then shows a warning.
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
        :class:`~pyflink_prometheus.RetryConfiguration`, or its settings as keywords. A waiting flush delays the
        checkpoint, so keep the total below ``execution.checkpointing.timeout``.
        """
        settings = {
            "initial_retry_delay_ms": initial_retry_delay_ms,
            "max_retry_delay_ms": max_retry_delay_ms,
            "max_retry_count": max_retry_count,
            "max_retry_duration_ms": max_retry_duration_ms,
        }
        return self._set(retry=self._configured("retry", RetryConfiguration, retry_configuration, settings))

    def set_error_handling_behavior_configuration(
        self,
        error_handling_behavior_configuration: SinkWriterErrorHandlingBehaviorConfiguration | None = None,
        *,
        on_max_retry_exceeded: OnErrorBehavior | None = None,
        on_prometheus_non_retryable_error: OnErrorBehavior | None = None,
    ) -> PrometheusSinkBuilder:
        """
        Set what happens to requests that cannot be written. Default: fail after the last retry, drop rejected samples.

        Takes a :class:`~pyflink_prometheus.SinkWriterErrorHandlingBehaviorConfiguration`, as the Java connector does,
        or its settings as keywords: ``on_max_retry_exceeded=OnErrorBehavior.DISCARD_AND_CONTINUE``.
        """
        settings = {
            "on_max_retry_exceeded": on_max_retry_exceeded,
            "on_prometheus_non_retryable_error": on_prometheus_non_retryable_error,
        }
        given = error_handling_behavior_configuration
        return self._set(error_handling=_configuration(SinkWriterErrorHandlingBehaviorConfiguration, given, settings))

    def set_best_effort_configuration(
        self,
        best_effort_configuration: BestEffortConfiguration | None = None,
        *,
        max_buffered_samples: int | None = None,
        max_buffered_bytes: int | None = None,
        max_wait_ms: int | None = None,
    ) -> PrometheusSinkBuilder:
        """
        Let the job continue without this endpoint while it accepts no samples, and set how much is kept for it.

        Takes a :class:`~pyflink_prometheus.BestEffortConfiguration`, or its settings as keywords. **A checkpoint then
        completes before its samples have reached the endpoint.** Samples that exceed the bounds, or are still pending
        when the job ends, are counted and passed to the handler of rejected samples.

        Default: the endpoint is required, so a checkpoint waits for it. Endpoints from :meth:`add_endpoint` are
        best-effort unless they are added as required.
        """
        settings = {
            "max_buffered_samples": max_buffered_samples,
            "max_buffered_bytes": max_buffered_bytes,
            "max_wait_ms": max_wait_ms,
        }
        return self._set(best_effort=_configuration(BestEffortConfiguration, best_effort_configuration, settings))

    def add_endpoint(
        self, name: str, endpoint: PrometheusSinkBuilder, *, required: bool = False
    ) -> PrometheusSinkBuilder:
        """
        Add an endpoint that gets the same samples as this builder's own.

        ::

            backup = PrometheusSink.builder().set_prometheus_remote_write_url("https://backup.example/api/v1/write")
            sink = PrometheusSink.from_remote_write_config("prometheus.yml").add_endpoint("backup", backup).build()

        The endpoint's builder sets what concerns its receiver (URL, version, authentication, TLS, proxy, timeouts,
        limits of requests, retries, handler of rejected samples). This builder sets what decides which samples are sent
        (rules, guards, column mapping), for all endpoints. See docs/operations.md, "Several endpoints".

        :param name: appears in logs, and in metrics as ``endpoint``.
        :param endpoint: a builder with the endpoint's settings, or another entry of Prometheus's configuration as a
            builder. It is read by :meth:`build`.
        :param required: whether a checkpoint waits for the endpoint, and its failure fails the job. Otherwise see
            :meth:`set_best_effort_configuration`.
        :raises ValueError: if there is already an endpoint with this name.
        """
        _validation.line("name", name)
        _validation.instance("endpoint", endpoint, PrometheusSinkBuilder)
        _validation.instance("required", required, bool)
        if name in self._endpoints:
            raise ValueError(f"name: choose another one: there is already an endpoint {name!r}")
        self._endpoints[name] = (endpoint, required)
        return self

    def set_socket_timeout_ms(self, socket_timeout_ms: int) -> PrometheusSinkBuilder:
        """
        Set how long one attempt may take, from connecting to the last header of the response. Default 30,000 ms.

        Prometheus's own sender waits as long. Connecting may take at most 5 seconds of it.
        """
        return self._set(socket_timeout_ms=socket_timeout_ms)

    def set_http_user_agent(self, http_user_agent: str) -> PrometheusSinkBuilder:
        """Set the User-Agent header. Default ``pyflink-prometheus/`` and the version."""
        return self._set(http_user_agent=http_user_agent)

    def set_http_headers(self, http_headers: Mapping[str, str | Secret]) -> PrometheusSinkBuilder:
        """
        Set headers to send with each request, such as ``X-Scope-OrgID``; the protocol's own headers are refused.

        A value may be a :class:`~pyflink_prometheus.Secret`, such as an API key, which is read for each attempt.
        """
        headers = dict(http_headers)
        replaced = {str(name).lower() for name in headers}
        kept = {
            name: value for name, value in self._given.get("http_headers", {}).items() if name.lower() not in replaced
        }
        return self._set(http_headers={**kept, **headers})

    def set_request_signer(self, request_signer: Any) -> PrometheusSinkBuilder:
        """
        Set the signer of each request: any ``requests.auth.AuthBase``, or a function (headers, body) -> headers.

        It is called for each attempt, on the worker. Have it read its secret there, preferably from a file: anything it
        holds when the graph is built travels inside the job. Also have it open sessions on its first call. An exception
        fails the job; only its type and place are shown, because its text may hold the secret.
        """
        return self._set(request_signer=request_signer)

    def set_tls_configuration(
        self,
        tls_configuration: TlsConfiguration | None = None,
        *,
        ca: Secret | str | None = None,
        ca_file: str | None = None,
        cert: Secret | str | None = None,
        cert_file: str | None = None,
        key: Secret | str | None = None,
        key_file: str | None = None,
        server_name: str | None = None,
        insecure_skip_verify: bool | None = None,
        min_version: str | None = None,
        max_version: str | None = None,
    ) -> PrometheusSinkBuilder:
        """
        Set the trusted authorities, a client certificate and other settings of TLS.

        Takes a :class:`~pyflink_prometheus.TlsConfiguration`, which describes them, or its settings as keywords. Files
        are read on the workers, and again when they change. Default: authorities from REQUESTS_CA_BUNDLE on the
        workers, else those that requests uses.
        """
        settings = {
            "ca": ca,
            "ca_file": ca_file,
            "cert": cert,
            "cert_file": cert_file,
            "key": key,
            "key_file": key_file,
            "server_name": server_name,
            "insecure_skip_verify": insecure_skip_verify,
            "min_version": min_version,
            "max_version": max_version,
        }
        return self._set(tls=self._configured("tls", TlsConfiguration, tls_configuration, settings))

    def set_proxy_configuration(
        self,
        proxy_configuration: ProxyConfiguration | None = None,
        *,
        proxy_url: str | None = None,
        no_proxy: str | None = None,
        proxy_from_environment: bool | None = None,
        proxy_connect_header: Mapping[str, HeaderValue] | None = None,
    ) -> PrometheusSinkBuilder:
        """
        Set the proxy to the receiver.

        Takes a :class:`~pyflink_prometheus.ProxyConfiguration`, which describes the settings, or its settings as
        keywords; without any, the sink uses no proxy. Default: HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY of the
        workers.
        """
        settings = {
            "proxy_url": proxy_url,
            "no_proxy": no_proxy,
            "proxy_from_environment": proxy_from_environment,
            "proxy_connect_header": proxy_connect_header,
        }
        return self._set(proxy=self._configured("proxy", ProxyConfiguration, proxy_configuration, settings))

    def set_round_robin_dns(self, round_robin_dns: bool) -> PrometheusSinkBuilder:
        """
        Set whether each connection goes to one of the addresses of the URL's host, chosen at random. Default False.

        Otherwise the addresses are tried in the order in which the operating system returns them. It has no effect
        through a proxy.
        """
        return self._set(round_robin_dns=round_robin_dns)

    def set_send_exemplars(self, send_exemplars: bool) -> PrometheusSinkBuilder:
        """Set whether the exemplars of records are sent. Default True."""
        return self._set(send_exemplars=send_exemplars)

    def set_send_native_histograms(self, send_native_histograms: bool) -> PrometheusSinkBuilder:
        """
        Set whether native histograms are sent. Default True.

        If not, they are counted as excluded, and other samples of their records are sent.
        """
        return self._set(send_native_histograms=send_native_histograms)

    def set_rejected_samples_handler(self, rejected_samples_handler: RejectedSamplesHandler) -> PrometheusSinkBuilder:
        """
        Set the handler of rejected samples, their reasons and the receiver's messages. Default: a throttled log line.

        Takes any function of a sequence of :class:`~pyflink_prometheus.RejectedSamples`, or
        :class:`~pyflink_prometheus.JsonLinesRejectedSamples` to keep them in files. It runs on the worker, on the
        writer's threads, one call at a time. An exception fails the job, so nothing is lost silently. Its methods
        ``flush`` and ``close``, if any, are called before a checkpoint completes and when the writer stops.
        """
        return self._set(rejected_samples_handler=rejected_samples_handler)

    def set_max_isolation_requests(self, max_isolation_requests: int) -> PrometheusSinkBuilder:
        """
        Set the maximum number of extra requests to find the offenders in one refused request.

        Default: no limit; it never takes more than two per sample. If a receiver does not say what it keeps of a
        refused request, parts of the request are resent, halved until each offender is isolated (docs/operations.md,
        "How offenders are found"). With a limit, parts are only as small as the limit allows for resending all samples
        once, and a refused part is rejected as a whole. 0 switches isolation off.
        """
        return self._set(max_isolation_requests=max_isolation_requests)

    def set_digest_directory(self, digest_directory: str) -> PrometheusSinkBuilder:
        """
        Set a directory on each worker in which digests of the written samples are kept, by series and hour.

        ``python -m pyflink_prometheus verify`` compares them with the receiver's data: see docs/check.md. Each endpoint
        needs its own directory. Default: none.
        """
        return self._set(digest_directory=digest_directory)

    def set_max_sample_age_ms(self, max_sample_age_ms: int) -> PrometheusSinkBuilder:
        """Set the maximum age of a sample, in milliseconds by the worker's clock. Default: none."""
        return self._set(max_sample_age_ms=max_sample_age_ms)

    def set_max_sample_lead_ms(self, max_sample_lead_ms: int) -> PrometheusSinkBuilder:
        """
        Set how far, in milliseconds, a sample may be ahead of the worker's clock. Default: any.

        A single sample far in the future shifts the time range that Prometheus accepts for all series.
        """
        return self._set(max_sample_lead_ms=max_sample_lead_ms)

    def set_drop_out_of_order_samples(self, drop_out_of_order_samples: bool) -> PrometheusSinkBuilder:
        """
        Set whether a sample older than an earlier one of its series is dropped before sending. Default False.

        Prometheus refuses such samples unless it has an out-of-order window. The sink sorts the samples of a request
        anyway; this setting saves the requests needed to isolate the remaining out-of-order samples.
        """
        return self._set(drop_out_of_order_samples=drop_out_of_order_samples)

    def set_conflict_policy(self, conflict_policy: ConflictPolicy) -> PrometheusSinkBuilder:
        """
        Set which samples are sent if a series has different values for one timestamp.

        Default ``ConflictPolicy.KEEP_FIRST``: the first in a request; the others are rejected as CONFLICTING, because
        Prometheus would drop them silently. ``SEND_ALL`` leaves the choice to the receiver.
        """
        return self._set(conflict_policy=conflict_policy)

    def set_write_relabel_configs(
        self, write_relabel_configs: Iterable[Mapping[str, Any]], *, legacy_names: bool = False
    ) -> PrometheusSinkBuilder:
        """
        Set rules that change the labels of series, or drop series, with the same meaning as in Prometheus.

        See https://prometheus.io/docs/prometheus/latest/configuration/configuration/#relabel_config. The rules are
        applied once for each series, so they cost nothing per sample. Some regular expressions need RE2, from
        ``pip install 'pyflink-prometheus[re2]'``: an error message says which. Default: none.

        :param write_relabel_configs: the rules in order, each as a mapping of its fields.
        :param legacy_names: confine the names that rules write to letters, digits and underscores, as Prometheus does
            with ``metric_name_validation_scheme: legacy``.
        :raises ValueError: if a rule is not valid; the message has its number, its field, and Prometheus's own wording.
        """
        return self._set(relabelling=Relabelling.from_configs(write_relabel_configs, legacy_names=legacy_names))

    def set_sending_limits(
        self,
        sending_limits: SendingLimits | str | None = None,
        *,
        max_labels: int | None = None,
        max_metric_name_bytes: int | None = None,
        max_label_name_bytes: int | None = None,
        max_label_value_bytes: int | None = None,
        on_long_label_name: TooLong | None = None,
        on_long_label_value: TooLong | None = None,
        max_new_series_per_hour: int | None = None,
        max_new_series_per_day: int | None = None,
        max_new_series_per_metric_per_hour: int | None = None,
        max_new_series_per_metric_per_day: int | None = None,
        max_samples_per_second: float | None = None,
        samples_burst: float | None = None,
        max_bytes_per_second: float | None = None,
        bytes_burst: float | None = None,
        track_only: bool | None = None,
    ) -> PrometheusSinkBuilder:
        """
        Set limits on labels, new series and rates, for the sink as a whole. Default: none.

        Takes a :class:`~pyflink_prometheus.SendingLimits`, which describes them, or its settings as keywords. It also
        takes the name of a receiver, whose documented limits the keywords then replace:
        ``set_sending_limits("mimir", track_only=True)``. Series beyond the limits are rejected as OVER_LIMIT; requests
        beyond a rate wait. See docs/receiver-limits.md.

        :raises ValueError: if a limit is out of range, or the receiver's limits are not known.
        """
        settings = {name: value for name, value in locals().items() if name not in ("self", "sending_limits")}
        if isinstance(sending_limits, str):
            if sending_limits not in RECEIVER_LIMITS:
                known = ", ".join(RECEIVER_LIMITS)
                raise ValueError(f"sending_limits: choose one of {known}, got {_validation.shown(sending_limits)}")
            changed = {name: value for name, value in settings.items() if value is not None}
            return self._set(sending_limits=replace(RECEIVER_LIMITS[sending_limits], **changed))
        return self._set(sending_limits=_configuration(SendingLimits, sending_limits, settings))

    def set_tenant(
        self,
        tenant: TenantConfiguration | Mapping[str, TenantSource],
        *,
        keep_labels: bool | None = None,
        max_counted_tenants: int | None = None,
    ) -> PrometheusSinkBuilder:
        """
        Set the headers that name the tenant of a series to the receiver, and the labels that supply their values.

        ::

            builder.set_tenant({"X-Scope-OrgID": "tenant"})
            builder.set_tenant({"AccountID": "account", "ProjectID": "project"})
            builder.set_tenant({"THANOS-TENANT": lambda labels: labels["host"].split(".")[-2]})

        A request holds samples of one tenant. A tenant whose requests must wait or are refused does not delay others.
        Takes a :class:`~pyflink_prometheus.TenantConfiguration`, or its settings. See docs/tenants.md.
        """
        settings = {"keep_labels": keep_labels, "max_counted_tenants": max_counted_tenants}
        if isinstance(tenant, TenantConfiguration):
            return self._set(tenant=_configuration(TenantConfiguration, tenant, settings))
        return self._set(tenant=_configuration(TenantConfiguration, None, {"headers": tenant, **settings}))

    def set_metric_group_name(self, metric_group_name: str) -> PrometheusSinkBuilder:
        """
        Set the metric group of the sink's counters. Default ``Prometheus``, as in the Java connector.

        It does not affect operators upstream, which always use ``Prometheus``: they do not belong to a sink.
        """
        return self._set(metric_group_name=metric_group_name)

    def set_name(self, name: str) -> PrometheusSinkBuilder:
        """Set the name of the writer's operator. Default ``Prometheus writer``."""
        _validation.line("name", name)
        self._placement = replace(self._placement, name=name)
        return self

    def set_uid(self, uid: str) -> PrometheusSinkBuilder:
        """
        Set the uid of the writer's operator; the discarding sink downstream gets the same uid plus ``-end``.

        Default: Flink's choice. Savepoints do not need one, because the writer has no state. If PyFlink chains the
        writer with Python functions upstream, the uid of the first function takes effect: set it there.
        """
        _validation.line("uid", uid)
        self._placement = replace(self._placement, uid=uid)
        return self

    def set_parallelism(self, parallelism: int) -> PrometheusSinkBuilder:
        """Set the number of the writer's subtasks. Default: the environment's. Key the stream if it is above 1."""
        self._placement = replace(self._placement, parallelism=_validation.integer("parallelism", parallelism, least=1))
        return self

    def set_key_columns(self, *key_columns: str) -> PrometheusSinkBuilder:
        """
        Set the fields by which Java distributes the records over several subtasks, such as ``"device", "room"``.

        Records with the same values in these fields go to the same subtask. So if the fields include or determine
        everything that identifies a series, its samples stay in order. Use the field names of named rows, or ``f0``,
        ``f1`` and so on for tuples. It costs less than 1 µs per record, whereas ``key_by`` with a Python function costs
        about 30. Default: none.
        """
        for each in key_columns:
            _validation.line("key_columns", each)
        self._placement = replace(self._placement, key_columns=key_columns)
        return self

    def set_transport(self, transport: Transport) -> PrometheusSinkBuilder:
        """
        Set how records reach the writer's Python process: in Arrow batches, or one by one.

        Default ``Transport.AUTO``: in batches if Java passes records whose type it knows, else one by one. Flink's log
        says which, and why. See docs/how-it-works.md, "How records reach the sink".
        """
        _validation.instance("transport", transport, Transport)
        self._placement = replace(self._placement, transport=transport)
        return self

    def build(self) -> PrometheusSink:
        """
        Return the sink.

        :raises ValueError: naming a setting that is missing or out of range.
        :raises TypeError: naming a setting that has the wrong type or cannot be pickled into the job.
        """
        if self._converter is not None and self._mapping is not None:
            raise ValueError("call either set_element_converter or set_column_mapping, not both")
        config = _checked_config(self._settings)
        endpoints = {name: self._further(name, *each, config) for name, each in self._endpoints.items()}
        config = replace(config, further_endpoints=endpoints)
        _check_travels("element_converter", self._converter)
        return PrometheusSink(config, self._converter or self._mapping, self._placement)

    @staticmethod
    def _further(name: str, endpoint: PrometheusSinkBuilder, required: bool, first: SinkConfig) -> SinkConfig:
        """Return the settings of an additional endpoint."""
        settings, placement = dict(endpoint._settings), replace(endpoint._placement, name=Placement().name)
        try:
            if endpoint._endpoints:
                raise ValueError("add all endpoints to the first endpoint's builder")
            if endpoint._converter is not None or endpoint._mapping is not None or placement != Placement():
                raise ValueError(
                    "set the converter, column mapping, uid, parallelism, key columns and transport on the first "
                    "endpoint's builder: there is one writer for all endpoints"
                )
            if required and "best_effort" in settings:
                raise ValueError("add it with required=False, or remove set_best_effort_configuration")
            if not required:
                settings.setdefault("best_effort", BestEffortConfiguration())
            return _checked_config(settings_of_endpoint(settings, first))
        except (TypeError, ValueError) as error:
            raise type(error)(f"endpoint {name!r}: {error}") from None

    def _configured(self, name: str, kind: type[_T], given: _T | None, settings: Mapping[str, Any]) -> _T:
        """Return a configuration as set on this builder, and otherwise as in Prometheus's configuration."""
        base: _T | None = self._given.get(name)
        configuration = _configuration(kind, given, settings, base)
        _validation.instance(name, configuration, kind)
        return configuration

    def _set(self, **settings: Any) -> PrometheusSinkBuilder:
        self._settings.update(settings)
        return self


def _checked_config(settings: Mapping[str, Any]) -> SinkConfig:
    if "prometheus_remote_write_url" not in settings:
        raise ValueError("prometheus_remote_write_url is required: call set_prometheus_remote_write_url(url)")
    config = SinkConfig(**settings)
    _check_travels("tenant", config.tenant)
    _check_travels("request_signer", config.request_signer)
    _check_travels("rejected_samples_handler", config.rejected_samples_handler)
    return config


def _check_travels(setting: str, value: Any) -> None:
    """
    Check that a value can be pickled into the job; PyFlink's own error, later, does not name the setting.

    :raises TypeError: naming the setting. The cause is not chained, because its text may show a secret.
    """
    problem = ""
    try:
        cloudpickle.dumps(value)
    except Exception as error:
        found = re.search(r"cannot pickle '([\w.]+)' object", str(error))
        problem = f"it holds a {found[1]}" if found else type(error).__name__
    if problem:
        raise TypeError(
            f"{setting}: create locks, files, sessions and connections when it is first called on the worker, for "
            f"example in __call__ of your own class: as it is, it cannot be pickled into the job ({problem})"
        )


def _configuration(kind: type[_T], given: _T | None, settings: Mapping[str, Any], base: _T | None = None) -> _T:
    """Return a configuration given as a whole or as keywords, which then replace settings of the base."""
    named = {name: value for name, value in settings.items() if value is not None}
    if given is None:
        kept = {} if base is None or not named else _kept(base, named)
        return kind(**{**kept, **named})
    if named:
        raise TypeError(f"expected either a {kind.__name__} or its settings as keywords, got both")
    return given


def _kept(base: Any, named: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a configuration that the named ones do not replace; ``ca`` also replaces ``ca_file``."""
    replaced = {*named, *(f"{name}_file" for name in named), *(name.removesuffix("_file") for name in named)}
    return {each.name: getattr(base, each.name) for each in fields(base) if each.name not in replaced}
