"""Cumulative counters: the events of each interval are added to a total, written at the end of the interval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pyflink_prometheus import _validation
from pyflink_prometheus._validation import shown
from pyflink_prometheus.model.histogram import DEFAULT_ZERO_THRESHOLD, NativeHistogram
from pyflink_prometheus.model.metadata import Metadata
from pyflink_prometheus.model.samples import Sample
from pyflink_prometheus.model.timeseries import PrometheusTimeSeries
from pyflink_prometheus.transforms import distribution
from pyflink_prometheus.transforms.aggregation import Aggregation, LabelsOf, pairs
from pyflink_prometheus.transforms.event_values import ValueOf

#: The state of a key: the ``start`` of its counters in milliseconds, the ``total`` of the intervals written so far,
#: ``None`` before the first, and the ``open`` intervals, by their ends. Plain types, as savepoints outlive classes.
Counted = dict[str, Any]

_KINDS = ("count", "sum", "histogram")


class Counting:
    """
    The cumulative aggregates of a key and their metrics; see :class:`pyflink_prometheus.CumulativeAggregate`.

    :param metric_name: the prefix of the metric names.
    :param value: returns the value of an event. Default: 1 for each, which is enough for a count.
    :param of: one or more of ``count``, ``sum`` and ``histogram``.
    :param labels: the labels of the metrics, by the key of the stream.
    :param interval_ms: how often, in event time, the counters of a key are written.
    :param schema: the resolution of histograms.
    """

    def __init__(
        self,
        metric_name: str,
        value: ValueOf | None = None,
        of: Sequence[str] = ("count",),
        labels: LabelsOf = (),
        *,
        interval_ms: int = 60_000,
        schema: int = 3,
    ) -> None:
        kinds = (of,) if isinstance(of, str) else tuple(of)
        if not all(kind in _KINDS for kind in kinds):
            raise ValueError(f"of: expected some of {', '.join(map(repr, _KINDS))}, got {shown(of)}")
        if value is None and kinds != ("count",):
            raise ValueError(f"value: {shown(of)} needs a function that returns the value of an event")
        self._aggregation = Aggregation(metric_name, value or _one, kinds, labels, schema=schema)
        self.interval_ms = _validation.integer("interval_ms", interval_ms, least=1)

    def end_of_interval(self, timestamp: int) -> int:
        """Return the end of an event's interval, exclusive, in milliseconds."""
        return timestamp - timestamp % self.interval_ms + self.interval_ms

    def add(self, counted: Counted | None, event: Any, timestamp: int) -> tuple[Counted, bool]:
        """Add an event that is not late, in place; return the state and whether the event opened its interval."""
        end = self.end_of_interval(timestamp)
        if counted is None:
            counted = {"start": end - self.interval_ms, "total": None, "open": {}}
        is_new = end not in counted["open"]
        if is_new:
            counted["open"][end] = self._aggregation.new()
            if counted["total"] is None:
                # Events arrive in any order; the first interval is the earliest one.
                counted["start"] = min(counted["start"], end - self.interval_ms)
        self._aggregation.add(counted["open"][end], event, timestamp)
        return counted, is_new

    def close(self, counted: Counted | None, key: Any, until: int) -> tuple[Counted | None, list[Any]]:
        """
        Close each interval that ends by ``until``; return the new state and the counters at each end, as series.

        Changes ``counted`` in place.

        :param until: a time in milliseconds that the watermark has reached.
        """
        if counted is None:
            return None, []
        written = []
        for end in sorted(end for end in counted["open"] if end - 1 <= until):
            closed = counted["open"].pop(end)
            if closed["count"]:
                is_first = counted["total"] is None
                counted["total"] = closed if is_first else self._aggregation.merge(counted["total"], closed)
                written += self._series(key, counted["total"], counted["start"], end, is_first)
        return counted, written

    @staticmethod
    def timers(counted: Counted) -> list[int]:
        """Return the last moment of each open interval."""
        return [end - 1 for end in counted["open"]]

    def _series(self, key: Any, total: dict[str, Any], start: int, end: int, is_first: bool) -> list[Any]:
        labels = pairs(self._aggregation.labels(key))
        found = []
        for name in self._aggregation.names:
            value: Any = total[name] if name != "histogram" else self._histogram(total)
            samples: tuple[Sample, ...] = ((value, end, start),)
            if is_first:
                # Without a zero sample, increase() and rate() would miss the first interval.
                zero: Any = 0.0 if name != "histogram" else self._empty()
                samples = ((zero, start), *samples)
            metadata = Metadata("histogram" if name == "histogram" else "summary")
            found.append(PrometheusTimeSeries(f"{self._aggregation.metric_name}_{name}", labels, samples, metadata))
        return found

    def _histogram(self, total: dict[str, Any]) -> NativeHistogram:
        return distribution.histogram(total["distribution"], total["sum"], self._aggregation.schema)

    def _empty(self) -> NativeHistogram:
        return NativeHistogram(schema=self._aggregation.schema, sum=0.0, zero_threshold=DEFAULT_ZERO_THRESHOLD)


def _one(event: Any) -> float:
    return 1.0
