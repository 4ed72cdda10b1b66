"""
Write PyFlink streams to Prometheus Remote-Write, in pure Python.

::

    from pyflink_prometheus import PrometheusSink, PrometheusTimeSeries

    sink = (
        PrometheusSink.builder()
        .set_prometheus_remote_write_url("http://localhost:9090/api/v1/write")
        .set_element_converter(lambda r: PrometheusTimeSeries("temperature_celsius", {"room": r[0]}, ((r[1], r[2]),)))
        .build()
    )
    readings.sink_to(sink)
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyflink_prometheus._version import __version__
    from pyflink_prometheus.config import (
        AdaptiveSendingConfiguration,
        BestEffortConfiguration,
        ConflictPolicy,
        OnErrorBehavior,
        RemoteWriteVersion,
        RetryConfiguration,
        SinkWriterErrorHandlingBehaviorConfiguration,
    )
    from pyflink_prometheus.errors import (
        CredentialsUnavailableError,
        InvalidConfigurationError,
        InvalidTimeSeriesError,
        PrometheusSinkError,
        RemoteWriteError,
        RemoteWriteFatalError,
        RetriesExhaustedError,
        SecretError,
    )
    from pyflink_prometheus.flink.event_time import key_by_with_timestamps
    from pyflink_prometheus.flink.keys import PrometheusTimeSeriesKeySelector
    from pyflink_prometheus.flink.operators.aggregate import Aggregate
    from pyflink_prometheus.flink.operators.cumulative import CumulativeAggregate
    from pyflink_prometheus.flink.operators.enrich import Enrich, EnrichFromStream
    from pyflink_prometheus.flink.operators.filter import Filter
    from pyflink_prometheus.flink.operators.mark_stale import MarkStale
    from pyflink_prometheus.flink.operators.reorder import Reorder
    from pyflink_prometheus.flink.placement import Transport
    from pyflink_prometheus.flink.sink import PrometheusSink, PrometheusSinkBuilder
    from pyflink_prometheus.flink.subtask import ElementConverter
    from pyflink_prometheus.flink.tables.aggregate_table import aggregate_table
    from pyflink_prometheus.flink.tables.cumulative_table import cumulative_table
    from pyflink_prometheus.flink.tables.enrich_table import Enriched, enrich_from_table, enrich_table
    from pyflink_prometheus.flink.tables.filter_table import Filtered, filter_table
    from pyflink_prometheus.flink.tables.late_rows import SplitRows, split_late
    from pyflink_prometheus.flink.tables.mark_stale_table import mark_stale_table
    from pyflink_prometheus.flink.tables.reorder_table import reorder_table
    from pyflink_prometheus.flink.tables.shared_table import shared_table
    from pyflink_prometheus.guards.limits import SendingLimits, TooLong
    from pyflink_prometheus.http.auth.basic import BasicAuth
    from pyflink_prometheus.http.auth.entra import EntraAuth
    from pyflink_prometheus.http.auth.jwt_bearer import JwtBearerAuth
    from pyflink_prometheus.http.auth.oauth2 import OAuth2Auth
    from pyflink_prometheus.http.auth.scheme import BearerAuth, SchemeAuth
    from pyflink_prometheus.http.auth.sigv4 import SigV4Auth
    from pyflink_prometheus.http.proxies import ProxyConfiguration
    from pyflink_prometheus.http.tls import TlsConfiguration
    from pyflink_prometheus.model.column_mapping import ColumnMapping
    from pyflink_prometheus.model.exemplars import Exemplar
    from pyflink_prometheus.model.histogram import NativeHistogram
    from pyflink_prometheus.model.metadata import Metadata
    from pyflink_prometheus.model.samples import STALE_MARKER
    from pyflink_prometheus.model.timeseries import PrometheusTimeSeries, PrometheusTimeSeriesBuilder
    from pyflink_prometheus.preflight.finding import CheckReport, EndpointReport, Finding, Severity
    from pyflink_prometheus.secret import Secret
    from pyflink_prometheus.transforms.checks import Check, Threshold
    from pyflink_prometheus.transforms.hampel import Hampel
    from pyflink_prometheus.transforms.reordering import SameTimestamp
    from pyflink_prometheus.transforms.speed_gate import SpeedGate
    from pyflink_prometheus.transforms.windows import (
        CumulativeWindows,
        SessionWindows,
        SlidingWindows,
        TumblingWindows,
    )
    from pyflink_prometheus.writer.ledger import RejectionReason
    from pyflink_prometheus.writer.rejected import LogRejectedSamples, RejectedSamples, RejectedSamplesHandler
    from pyflink_prometheus.writer.rejected_files import JsonLinesRejectedSamples, read_rejected_samples
    from pyflink_prometheus.writer.tenants import TenantConfiguration

__all__ = [
    "STALE_MARKER",
    "AdaptiveSendingConfiguration",
    "Aggregate",
    "BasicAuth",
    "BearerAuth",
    "BestEffortConfiguration",
    "Check",
    "CheckReport",
    "ColumnMapping",
    "ConflictPolicy",
    "CredentialsUnavailableError",
    "CumulativeAggregate",
    "CumulativeWindows",
    "ElementConverter",
    "EndpointReport",
    "Enrich",
    "EnrichFromStream",
    "Enriched",
    "EntraAuth",
    "Exemplar",
    "Filter",
    "Filtered",
    "Finding",
    "Hampel",
    "InvalidConfigurationError",
    "InvalidTimeSeriesError",
    "JsonLinesRejectedSamples",
    "JwtBearerAuth",
    "LogRejectedSamples",
    "MarkStale",
    "Metadata",
    "NativeHistogram",
    "OAuth2Auth",
    "OnErrorBehavior",
    "PrometheusSink",
    "PrometheusSinkBuilder",
    "PrometheusSinkError",
    "PrometheusTimeSeries",
    "PrometheusTimeSeriesBuilder",
    "PrometheusTimeSeriesKeySelector",
    "ProxyConfiguration",
    "RejectedSamples",
    "RejectedSamplesHandler",
    "RejectionReason",
    "RemoteWriteError",
    "RemoteWriteFatalError",
    "RemoteWriteVersion",
    "Reorder",
    "RetriesExhaustedError",
    "RetryConfiguration",
    "SameTimestamp",
    "SchemeAuth",
    "Secret",
    "SecretError",
    "SendingLimits",
    "SessionWindows",
    "Severity",
    "SigV4Auth",
    "SinkWriterErrorHandlingBehaviorConfiguration",
    "SlidingWindows",
    "SpeedGate",
    "SplitRows",
    "TenantConfiguration",
    "Threshold",
    "TlsConfiguration",
    "TooLong",
    "Transport",
    "TumblingWindows",
    "__version__",
    "aggregate_table",
    "cumulative_table",
    "enrich_from_table",
    "enrich_table",
    "filter_table",
    "key_by_with_timestamps",
    "mark_stale_table",
    "read_rejected_samples",
    "reorder_table",
    "shared_table",
    "split_late",
]

# The modules of these names, the lower layers first. None is imported before it is needed: PyFlink's workers unpickle
# the functions of several operators at once, each on its own thread, and two threads that import modules whose package
# in turn imports these modules block each other, which Python breaks by raising _DeadlockError in one.
_MODULES = (
    "_version",
    "errors",
    "secret",
    "model.histogram",
    "model.samples",
    "model.metadata",
    "model.exemplars",
    "model.timeseries",
    "model.column_mapping",
    "guards.limits",
    "config",
    "transforms.reordering",
    "transforms.windows",
    "transforms.checks",
    "transforms.hampel",
    "transforms.speed_gate",
    "http.tls",
    "http.proxies",
    "http.auth.basic",
    "http.auth.scheme",
    "http.auth.oauth2",
    "http.auth.jwt_bearer",
    "http.auth.sigv4",
    "http.auth.entra",
    "writer.ledger",
    "writer.tenants",
    "writer.rejected",
    "writer.rejected_files",
    "preflight.finding",
    "flink.subtask",
    "flink.keys",
    "flink.event_time",
    "flink.placement",
    "flink.sink",
    "flink.operators.reorder",
    "flink.operators.aggregate",
    "flink.operators.cumulative",
    "flink.operators.enrich",
    "flink.operators.filter",
    "flink.operators.mark_stale",
    "flink.tables.late_rows",
    "flink.tables.shared_table",
    "flink.tables.reorder_table",
    "flink.tables.filter_table",
    "flink.tables.enrich_table",
    "flink.tables.aggregate_table",
    "flink.tables.cumulative_table",
    "flink.tables.mark_stale_table",
)

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Import a public name when it is first used."""
        from importlib import import_module

        if name in __all__:
            for module in _MODULES:
                found = vars(import_module(f"{__name__}.{module}"))
                if name in found:
                    globals()[name] = found[name]
                    return found[name]
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
