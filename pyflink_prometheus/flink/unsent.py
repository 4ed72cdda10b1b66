"""Parts of records that the settings keep from being sent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pyflink_prometheus.config import SinkConfig
from pyflink_prometheus.model.histogram import NativeHistogram
from pyflink_prometheus.model.timeseries import PrometheusTimeSeries


def sends_all(config: SinkConfig) -> bool:
    """Return whether everything that a record holds is sent."""
    return config.send_exemplars and config.send_native_histograms


def without_unsent(config: SinkConfig, series: PrometheusTimeSeries) -> PrometheusTimeSeries | None:
    """Return a record with what is sent of it; ``None`` if nothing is."""
    if not config.send_exemplars and series.exemplars:
        series = series._replace(exemplars=())
    if config.send_native_histograms or not isinstance(series.samples, Iterable):
        return series
    samples = tuple(series.samples)
    others = tuple(each for each in samples if not _is_histogram(each))
    if len(others) == len(samples):
        return series
    # Exemplars belong to the last sample.
    exemplars = () if _is_histogram(samples[-1]) else series.exemplars
    return series._replace(samples=others, exemplars=exemplars) if others else None


def _is_histogram(sample: Any) -> bool:
    return isinstance(sample, tuple) and bool(sample) and isinstance(sample[0], NativeHistogram)
