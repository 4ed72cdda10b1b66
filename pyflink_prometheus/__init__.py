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

from pyflink_prometheus._version import __version__
from pyflink_prometheus.config import (
    OnErrorBehavior,
    RetryConfiguration,
    SinkWriterErrorHandlingBehaviorConfiguration,
)
from pyflink_prometheus.errors import (
    InvalidTimeSeriesError,
    PrometheusSinkError,
    RemoteWriteError,
    RemoteWriteFatalError,
    RetriesExhaustedError,
)
from pyflink_prometheus.flink.keys import PrometheusTimeSeriesKeySelector
from pyflink_prometheus.flink.sink import PrometheusSink, PrometheusSinkBuilder
from pyflink_prometheus.http.auth import BasicAuth, BearerAuth, Secret
from pyflink_prometheus.timeseries import PrometheusTimeSeries, PrometheusTimeSeriesBuilder
from pyflink_prometheus.writer.ledger import Reason
from pyflink_prometheus.writer.rejected import (
    JsonLinesRejectedSamples,
    LogRejectedSamples,
    RejectedSamples,
    read_rejected_samples,
)

__all__ = [
    "BasicAuth",
    "BearerAuth",
    "InvalidTimeSeriesError",
    "JsonLinesRejectedSamples",
    "LogRejectedSamples",
    "OnErrorBehavior",
    "PrometheusSink",
    "PrometheusSinkBuilder",
    "PrometheusSinkError",
    "PrometheusTimeSeries",
    "PrometheusTimeSeriesBuilder",
    "PrometheusTimeSeriesKeySelector",
    "Reason",
    "RejectedSamples",
    "RemoteWriteError",
    "RemoteWriteFatalError",
    "RetriesExhaustedError",
    "RetryConfiguration",
    "Secret",
    "SinkWriterErrorHandlingBehaviorConfiguration",
    "__version__",
    "read_rejected_samples",
]
