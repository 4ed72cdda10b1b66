"""Notice which series of a key have fallen silent, and end them."""

from __future__ import annotations

from typing import Any, NamedTuple, Optional

from pyflink_prometheus import _validation
from pyflink_prometheus.errors import InvalidTimeSeriesError
from pyflink_prometheus.model.labels import METRIC_NAME_LABEL, LabelPairs, canonical_labels
from pyflink_prometheus.model.samples import STALE_MARKER, is_stale_marker
from pyflink_prometheus.model.timeseries import PrometheusTimeSeries

#: What is kept for a key: when to look next, and the timestamp of the last sample of each series, by all its labels.
#: Plain types, as savepoints outlive classes.
Heard = tuple[int, dict[LabelPairs, int]]


class Listened(NamedTuple):
    """
    Hold what came of listening.

    :param heard: what is to be kept, ``None`` for nothing.
    :param timer: when to look whether something has fallen silent, ``None`` if that is known already.
    :param markers: the ends of series, which go before what was heard.
    """

    heard: Optional[Heard]
    timer: Optional[int]
    markers: list[PrometheusTimeSeries]


class Listening:
    """
    Remember when each series was heard last; see :class:`pyflink_prometheus.Silence`.

    :param timeout_ms: how long, in event time, a series may be silent before it is ended.
    """

    def __init__(self, timeout_ms: int) -> None:
        self._timeout_ms = _validation.integer("timeout_ms", timeout_ms, least=1)

    def hear(self, heard: Heard | None, series: PrometheusTimeSeries, watermark: int) -> Listened:
        """
        Take a series that passes; changes what is given. One that cannot be written is the sink's business.

        Where its first sample is further behind the one before than the timeout, the series was silent between them,
        whether or not a watermark came by to say so: how far apart those are depends on the speed of the job.
        """
        try:
            labels = canonical_labels(series.metric_name, series.labels)
            first = min(series.samples, key=_time)[1]
            value, last = max(series.samples, key=_time)[:2]
            end = last + self._timeout_ms
        except (InvalidTimeSeriesError, TypeError, ValueError, IndexError, KeyError):
            return Listened(heard, None, [])
        timer, known = (None, {}) if heard is None else heard
        before = known.get(labels)
        markers = []
        if before is not None and first > before + self._timeout_ms:
            markers.append(_marker(labels, before + self._timeout_ms))
        if is_stale_marker(value):
            if before is not None and last >= before:
                del known[labels]  # somebody else has ended it
        elif end > watermark:
            known[labels] = last if before is None else max(last, before)
            if timer is None or end < timer:
                return Listened((end, known), end, markers)
        return Listened(None if timer is None or not known else (timer, known), None, markers)

    def look(self, heard: Heard | None, watermark: int) -> Listened:
        """
        End each series that is silent by now; changes what is given in ``heard``.

        A marker's timestamp is that of the last sample plus the timeout: the watermark says that nothing comes before
        it any more, so it is behind all samples of its series, and the same in each run.
        """
        _, known = (None, {}) if heard is None else heard
        ends = sorted((last + self._timeout_ms, labels) for labels, last in known.items())
        silent = [(end, labels) for end, labels in ends if end <= watermark]
        for _, labels in silent:
            del known[labels]
        markers = [_marker(labels, end) for end, labels in silent]
        if not known:
            return Listened(None, None, markers)
        timer = ends[len(silent)][0]
        return Listened((timer, known), timer, markers)

    @staticmethod
    def timers(heard: Heard) -> list[int]:
        """Return when to look next."""
        return [heard[0]]


def _time(sample: Any) -> Any:
    return sample[1]


def _marker(labels: LabelPairs, timestamp: int) -> PrometheusTimeSeries:
    pairs = dict(labels)
    metric_name = pairs.pop(METRIC_NAME_LABEL)
    return PrometheusTimeSeries(metric_name, tuple(pairs.items()), ((STALE_MARKER, timestamp),))
