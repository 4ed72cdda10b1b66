"""Receivers' limits on a series' labels."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from pyflink_prometheus.model.labels import METRIC_NAME_LABEL
from pyflink_prometheus.model.timeseries import PrometheusTimeSeries

_METRIC_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


@dataclass(frozen=True)
class SeriesLimits:
    """
    Limits on the labels of one series; ``None`` means no limit.

    :param labels: the number of labels, including the metric's name.
    :param name_bytes: the length of a label's name.
    :param value_bytes: the length of a label's value, and of the metric's name.
    :param classic_names: whether names must be legacy names.
    """

    labels: int | None = None
    name_bytes: int | None = None
    value_bytes: int | None = None
    classic_names: bool = False

    def problem(self, series: PrometheusTimeSeries) -> str | None:
        """Return what is wrong with a series, or ``None``."""
        return _problem(self, series.metric_name, tuple(series.labels))


@lru_cache(maxsize=20_000)
def _problem(limits: SeriesLimits, metric_name: str, labels: tuple[tuple[str, str], ...]) -> str | None:
    if not metric_name:
        return "missing metric name"
    pairs = [(METRIC_NAME_LABEL, metric_name), *labels]
    if limits.labels is not None and len(pairs) > limits.labels:
        return f"series {metric_name} has {len(pairs)} labels, the limit is {limits.labels}"
    for name, value in pairs:
        if limits.name_bytes is not None and len(name.encode()) > limits.name_bytes:
            return f"label name {name[:40]}... is longer than {limits.name_bytes} bytes"
        if limits.value_bytes is not None and len(value.encode()) > limits.value_bytes:
            return f"the value of {name} is longer than {limits.value_bytes} bytes"
    if limits.classic_names and not _METRIC_NAME.fullmatch(metric_name):
        return f"invalid metric name {metric_name!r}"
    if limits.classic_names and not all(_LABEL_NAME.fullmatch(name) for name, _ in pairs):
        return f"invalid label name in {metric_name}"
    return None
