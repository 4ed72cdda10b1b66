"""Parts of records that the settings keep from being sent."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Optional

from pyflink_prometheus.config import SinkConfig
from pyflink_prometheus.model.histogram import NativeHistogram
from pyflink_prometheus.model.timeseries import PrometheusTimeSeries, as_time_series

_Converter = Optional[Callable[[Any], Any]]


def sent_converter(config: SinkConfig, converter: _Converter) -> _Converter:
    """
    Return a converter to the parts of records that are sent; the same one if the settings keep nothing back.

    :param converter: the user's; ``None`` if records are series.
    """
    if config.send_exemplars and config.send_native_histograms:
        return converter
    return partial(_sent_parts, config, converter)


def _sent_parts(config: SinkConfig, converter: _Converter, value: Any) -> list[PrometheusTimeSeries]:
    converted = value if converter is None else converter(value)
    if converted is None:
        return []
    is_one = isinstance(converted, tuple) and bool(converted) and isinstance(converted[0], str)
    records = (converted,) if is_one or not isinstance(converted, Iterable) else converted
    parts = (without_unsent(config, as_time_series(each)) for each in records)
    return [each for each in parts if each is not None]


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
