"""Aggregation of the values of a window, with the result as time series."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pyflink_prometheus import _validation
from pyflink_prometheus._validation import shown
from pyflink_prometheus.model.buckets import MAX_SCHEMA, MIN_SCHEMA
from pyflink_prometheus.model.labels import Labels
from pyflink_prometheus.model.metadata import Metadata
from pyflink_prometheus.model.samples import Sample
from pyflink_prometheus.model.timeseries import PrometheusTimeSeries
from pyflink_prometheus.transforms import distribution
from pyflink_prometheus.transforms.event_values import ValueOf, number_of

#: The labels for a key of the stream: one label's name, several names for a key that is a tuple, or a function.
LabelsOf = str | Sequence[str] | Callable[[Any], Labels]

#: The aggregate of the values so far. Plain types, so that savepoints do not depend on classes.
Partial = dict[str, Any]

#: The named aggregates, with the suffix of the metric of one window. By convention ``_count`` and ``_sum`` are counters
#: (``promtool check metrics`` says so), and those of a window are not.
SUFFIXES = {
    "count": "count_in_window",
    "sum": "sum_in_window",
    "min": "min",
    "max": "max",
    "mean": "mean",
    "last": "last",
    "histogram": "histogram_in_window",
}
QUANTILE_SUFFIX = "quantile"


class Aggregation:
    """
    The aggregates of a window and their metrics; see :class:`pyflink_prometheus.Aggregate`.

    :param metric_name: the prefix of the metric names.
    :param value: returns the value of an event. ``None`` and NaN are ignored, including by the count.
    :param of: names of aggregates, and numbers from 0 to 1 for quantiles.
    :param labels: the labels of the metrics, by the key of the stream.
    :param schema: the resolution of histograms.
    """

    def __init__(
        self,
        metric_name: str,
        value: ValueOf,
        of: Sequence[str | float],
        labels: LabelsOf = (),
        schema: int = 3,
    ) -> None:
        if not isinstance(metric_name, str) or not metric_name:
            raise ValueError(f"metric_name: expected a non-empty string, got {shown(metric_name)}")
        _validation.function("value", value)
        self.metric_name = metric_name
        self.labels = labels_function(labels)
        self.schema = checked_schema(schema)
        self.names, self.quantiles = _checked_aggregates(of)
        self._value = value
        self._needs_distribution = bool(self.quantiles) or "histogram" in self.names

    def new(self) -> Partial:
        """Return the aggregate of no values."""
        partial: Partial = {"count": 0, "sum": 0.0, "min": math.inf, "max": -math.inf, "last": None}
        if self._needs_distribution:
            partial["distribution"] = distribution.new_distribution()
        return partial

    def add(self, partial: Partial, event: Any, timestamp: int) -> None:
        """Add an event to ``partial``, in place. Of several events with the same timestamp, the last one is "last"."""
        value = number_of(self._value(event))
        if value is None:
            return
        partial["count"] += 1
        partial["sum"] += value
        partial["min"] = min(partial["min"], value)
        partial["max"] = max(partial["max"], value)
        if partial["last"] is None or timestamp >= partial["last"][0]:
            partial["last"] = (timestamp, value)
        if self._needs_distribution:
            distribution.add_value(partial["distribution"], value)

    def merge(self, one: Partial, two: Partial) -> Partial:
        """Return the aggregate of the values of both; changes neither. With equal timestamps, ``two`` has the last."""
        lasts = [each["last"] for each in (two, one) if each["last"] is not None]
        both: Partial = {
            "count": one["count"] + two["count"],
            "sum": one["sum"] + two["sum"],
            "min": min(one["min"], two["min"]),
            "max": max(one["max"], two["max"]),
            "last": max(lasts, key=lambda last: last[0], default=None),
        }
        if self._needs_distribution:
            both["distribution"] = distribution.merged(one["distribution"], two["distribution"])
        return both

    def series(self, key: Any, partial: Partial, timestamp: int) -> list[PrometheusTimeSeries]:
        """
        Return a series with one sample for each aggregate; no series if there were no values.

        :param key: the key of the stream, from which the labels are made.
        :param timestamp: the timestamp of the samples, in milliseconds.
        """
        if not partial["count"]:
            return []
        labels = pairs(self.labels(key))
        found = [self._one(name, labels, self._result(name, partial), timestamp) for name in self.names]
        for q in self.quantiles:
            value = distribution.quantile(partial["distribution"], q)
            found.append(self._one(QUANTILE_SUFFIX, (*labels, ("quantile", f"{q:g}")), value, timestamp))
        return found

    def _result(self, name: str, partial: Partial) -> Any:
        if name == "mean":
            return partial["sum"] / partial["count"]
        if name == "last":
            return partial["last"][1]
        if name == "histogram":
            return distribution.histogram(partial["distribution"], partial["sum"], self.schema).as_gauge()
        return partial[name]

    def _one(self, name: str, labels: Labels, value: Any, timestamp: int) -> PrometheusTimeSeries:
        samples: tuple[Sample, ...] = ((value, timestamp),)
        metadata = Metadata("gaugehistogram" if name == "histogram" else "gauge")
        return PrometheusTimeSeries(f"{self.metric_name}_{SUFFIXES.get(name, name)}", labels, samples, metadata)


def pairs(labels: Labels) -> tuple[tuple[str, str], ...]:
    """Return labels as pairs, whatever shape the user's function returned."""
    return tuple(labels.items()) if isinstance(labels, Mapping) else tuple(labels)


def labels_function(labels: LabelsOf) -> Callable[[Any], Labels]:
    """
    Return the function from a key to labels.

    :raises TypeError: if ``labels`` is neither names nor a function.
    """
    if callable(labels):
        return labels
    if isinstance(labels, str):
        return _LabelsOfKey((labels,), is_tuple=False)
    if isinstance(labels, Sequence) and all(isinstance(name, str) for name in labels):
        return _LabelsOfKey(tuple(labels), is_tuple=True)
    raise TypeError(f"labels: expected a label name, several names, or a function of the key, got {shown(labels)}")


class _LabelsOfKey:
    """The labels of a key, with the names that the user gave; a class, because a closure would hide the names."""

    def __init__(self, names: tuple[str, ...], is_tuple: bool) -> None:
        self._names = names
        self._is_tuple = is_tuple

    def __call__(self, key: Any) -> Labels:
        parts = tuple(key) if self._is_tuple and self._names else (key,) * len(self._names)
        if len(parts) != len(self._names):
            raise ValueError(f"labels: expected a key with {len(self._names)} parts, {self._names}, got {shown(key)}")
        # Prometheus has no labels without a value, so unknown values are left out.
        return tuple((name, str(part)) for name, part in zip(self._names, parts) if part is not None)


def checked_schema(schema: Any) -> int:
    """
    Return a schema of exponential buckets.

    :raises ValueError: if it is out of range.
    """
    return _validation.integer("schema", schema, least=MIN_SCHEMA, most=MAX_SCHEMA)


def _checked_aggregates(of: Sequence[str | float]) -> tuple[tuple[str, ...], tuple[float, ...]]:
    """Split aggregates into names and quantiles."""
    aggregates = (of,) if isinstance(of, (str, float)) else tuple(of)
    if not aggregates or len(set(aggregates)) < len(aggregates):
        raise ValueError(f"of: expected one or more aggregates, each once, got {shown(of)}")
    names, quantiles = [], []
    for each in aggregates:
        if isinstance(each, str) and each in SUFFIXES:
            names.append(each)
        elif isinstance(each, (int, float)) and not isinstance(each, bool) and 0 <= each <= 1:
            quantiles.append(float(each))
        else:
            known = ", ".join(map(repr, SUFFIXES))
            raise ValueError(f"of: expected {known} or a quantile from 0 to 1, got {shown(each)}")
    return tuple(names), tuple(quantiles)
