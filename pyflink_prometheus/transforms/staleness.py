"""Stale markers: which series of a key have ended, and the markers that end them."""

from __future__ import annotations

from typing import Any, NamedTuple

from pyflink_prometheus import _validation
from pyflink_prometheus.errors import InvalidTimeSeriesError
from pyflink_prometheus.model.labels import METRIC_NAME_LABEL, LabelPairs, canonical_labels
from pyflink_prometheus.model.samples import STALE_MARKER, is_stale_marker
from pyflink_prometheus.model.timeseries import PrometheusTimeSeries

#: The state of a key: the next timer, and the timestamp of the last sample of each series, by all its labels. Plain
#: types, because savepoints outlive classes.
LastSeen = tuple[int, dict[LabelPairs, int]]


class Observation(NamedTuple):
    """
    The result of a sample or a timer.

    :param last_seen: the new state, ``None`` for none.
    :param timer: a timer to register, ``None`` if there is no new one.
    :param markers: stale markers, to be emitted before the series that was observed.
    """

    last_seen: LastSeen | None
    timer: int | None
    markers: list[PrometheusTimeSeries]


class StalenessTracker:
    """
    The time of the last sample of each series; see :class:`pyflink_prometheus.MarkStale`.

    :param timeout_ms: how long, in event time, a series may have no samples before it is marked stale.
    """

    def __init__(self, timeout_ms: int) -> None:
        self._timeout_ms = _validation.integer("timeout_ms", timeout_ms, least=1)

    def observe(self, last_seen: LastSeen | None, series: PrometheusTimeSeries, watermark: int) -> Observation:
        """
        Record the samples of a series; changes ``last_seen`` in place.

        Ignores an invalid series, which the sink rejects.

        If its first sample comes later than the timeout after the previous one, the series is marked stale in between,
        even if no watermark arrived to fire the timer: the distance between watermarks depends on the job's speed.
        """
        try:
            labels = canonical_labels(series.metric_name, series.labels)
            first = min(series.samples, key=_time)[1]
            value, last = max(series.samples, key=_time)[:2]
            end = last + self._timeout_ms
        except (InvalidTimeSeriesError, TypeError, ValueError, IndexError, KeyError):
            return Observation(last_seen, None, [])
        timer, timestamps = (None, {}) if last_seen is None else last_seen
        before = timestamps.get(labels)
        markers = []
        if before is not None and first > before + self._timeout_ms:
            markers.append(_marker(labels, before + self._timeout_ms))
        if is_stale_marker(value):
            if before is not None and last >= before:
                del timestamps[labels]  # the stream has marked it stale itself
        elif end > watermark:
            timestamps[labels] = last if before is None else max(last, before)
            if timer is None or end < timer:
                return Observation((end, timestamps), end, markers)
        return Observation(None if timer is None or not timestamps else (timer, timestamps), None, markers)

    def expire(self, last_seen: LastSeen | None, watermark: int) -> Observation:
        """
        Mark stale each series whose timeout has passed; changes ``last_seen`` in place.

        The timestamp of a marker is that of the last sample plus the timeout. The watermark has passed it, so the
        marker is newer than all samples of its series, and the same in each run.
        """
        _, timestamps = (None, {}) if last_seen is None else last_seen
        ends = sorted((last + self._timeout_ms, labels) for labels, last in timestamps.items())
        ended = [(end, labels) for end, labels in ends if end <= watermark]
        for _, labels in ended:
            del timestamps[labels]
        markers = [_marker(labels, end) for end, labels in ended]
        if not timestamps:
            return Observation(None, None, markers)
        timer = ends[len(ended)][0]
        return Observation((timer, timestamps), timer, markers)

    @staticmethod
    def timers(last_seen: LastSeen) -> list[int]:
        """Return the timer that the state needs."""
        return [last_seen[0]]


def _time(sample: Any) -> Any:
    return sample[1]


def _marker(labels: LabelPairs, timestamp: int) -> PrometheusTimeSeries:
    pairs = dict(labels)
    metric_name = pairs.pop(METRIC_NAME_LABEL)
    return PrometheusTimeSeries(metric_name, tuple(pairs.items()), ((STALE_MARKER, timestamp),))
