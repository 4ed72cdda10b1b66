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
from pyflink_prometheus.timeseries import PrometheusTimeSeries, PrometheusTimeSeriesBuilder

__all__ = [
    "InvalidTimeSeriesError",
    "OnErrorBehavior",
    "PrometheusSink",
    "PrometheusSinkBuilder",
    "PrometheusSinkError",
    "PrometheusTimeSeries",
    "PrometheusTimeSeriesBuilder",
    "PrometheusTimeSeriesKeySelector",
    "RemoteWriteError",
    "RemoteWriteFatalError",
    "RetriesExhaustedError",
    "RetryConfiguration",
    "SinkWriterErrorHandlingBehaviorConfiguration",
    "__version__",
]
