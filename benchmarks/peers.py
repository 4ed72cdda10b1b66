"""
Convert and encode with another project's library, one request for each line on standard input.

Run by ``encode.py`` in a separate environment, because these libraries need other versions of protobuf than Flink.
Prints the size of a request in bytes, and then the nanoseconds per sample for each line.

    peers.py opentelemetry|prometheus-remote-writer SAMPLES_A_SERIES
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

from flights import SAMPLES, flights


def opentelemetry(per_series: int) -> Callable[[], bytes]:
    """Return a function that converts a batch of data points to the request's body, with the exporter's own code."""
    from opentelemetry.exporter.prometheus_remote_write import PrometheusRemoteWriteMetricsExporter
    from opentelemetry.sdk.metrics.export import (
        Gauge,
        Metric,
        MetricsData,
        NumberDataPoint,
        ResourceMetrics,
        ScopeMetrics,
    )
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

    exporter = PrometheusRemoteWriteMetricsExporter("http://receiver.invalid", resources_as_labels=False)
    points: dict[str, list[NumberDataPoint]] = {}
    for name, labels, samples in flights(1, per_series):
        for value, timestamp in samples:
            points.setdefault(name, []).append(NumberDataPoint(labels, 0, timestamp * 1_000_000, value))
    metrics = [Metric(name, "", "", Gauge(each)) for name, each in points.items()]
    scopes = [ScopeMetrics(InstrumentationScope("benchmark"), metrics, "")]
    data = MetricsData([ResourceMetrics(Resource({}), scopes, "")])
    return lambda: exporter._build_message(exporter._translate_data(data))


def prometheus_remote_writer(per_series: int) -> Callable[[], bytes]:
    """Return a function that converts a list of metrics to the request's body, with the writer's own code."""
    from prometheus_remote_writer import RemoteWriter

    writer = RemoteWriter("http://receiver.invalid", sort_labels=True)
    metrics: list[dict[str, Any]] = [
        {
            "metric": {"__name__": name, **labels},
            "values": [value for value, _ in samples],
            "timestamps": [timestamp for _, timestamp in samples],
        }
        for name, labels, samples in flights(1, per_series)
    ]
    return lambda: writer._build_message(writer._convert_to_timeseries(metrics)[0])


def main() -> None:
    """Encode a request for each line."""
    library, per_series = sys.argv[1:]
    encode = {"opentelemetry": opentelemetry, "prometheus-remote-writer": prometheus_remote_writer}[library](
        int(per_series)
    )
    print(len(encode()), flush=True)
    for _ in sys.stdin:
        began = time.perf_counter()
        encode()
        print((time.perf_counter() - began) / SAMPLES * 1e9, flush=True)


if __name__ == "__main__":
    main()
