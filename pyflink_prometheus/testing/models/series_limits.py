"""What receivers demand of the labels of a series."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pyflink_prometheus.checks import METRIC_NAME_LABEL
from pyflink_prometheus.timeseries import PrometheusTimeSeries

_METRIC_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


@dataclass(frozen=True)
class SeriesLimits:
    """
    Limits of the labels of one series; ``None`` is no limit.

    :param labels: how many, with the metric's name among them.
    :param name_bytes: how long a label's name may be, and
    :param value_bytes: its value, of which the metric's name is one.
    :param classic_names: whether names must fit Prometheus's classic patterns.
    """

    labels: int | None = None
    name_bytes: int | None = None
    value_bytes: int | None = None
    classic_names: bool = False

    def problem(self, series: PrometheusTimeSeries) -> str | None:
        """Say what is wrong with a series, or return ``None``."""
        pairs = [(METRIC_NAME_LABEL, series.metric_name), *series.labels]
        if not series.metric_name:
            return "missing metric name"
        if self.labels is not None and len(pairs) > self.labels:
            return f"series {series.metric_name} has {len(pairs)} labels, the limit is {self.labels}"
        for name, value in pairs:
            if self.name_bytes is not None and len(name.encode()) > self.name_bytes:
                return f"label name {name[:40]}... is longer than {self.name_bytes} bytes"
            if self.value_bytes is not None and len(value.encode()) > self.value_bytes:
                return f"the value of {name} is longer than {self.value_bytes} bytes"
        if self.classic_names and not _METRIC_NAME.fullmatch(series.metric_name):
            return f"invalid metric name {series.metric_name!r}"
        if self.classic_names and not all(_LABEL_NAME.fullmatch(name) for name, _ in pairs):
            return f"invalid label name in {series.metric_name}"
        return None
