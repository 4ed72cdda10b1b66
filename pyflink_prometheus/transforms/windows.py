"""Windows in event time: to which an event belongs, when one closes, and what was late for all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Optional, Union

from pyflink_prometheus import _validation
from pyflink_prometheus.model.timeseries import PrometheusTimeSeries
from pyflink_prometheus.transforms.aggregation import Aggregation, Partial

#: A window: its first millisecond, and the first one behind it.
Window = tuple[int, int]

#: What is kept for a key: the aggregates of its open windows. Plain types, as savepoints outlive classes.
Open = dict[Window, Partial]


@dataclass(frozen=True)
class TumblingWindows:
    """
    Cut time into windows of one size, one after the other, from 1970 on in UTC.

    :param size_ms: in milliseconds.
    """

    size_ms: int

    def __post_init__(self) -> None:
        _validation.integer("size_ms", self.size_ms, least=1)

    def of(self, timestamp: int) -> list[Window]:
        """Return the windows that an event belongs to."""
        start = timestamp - timestamp % self.size_ms
        return [(start, start + self.size_ms)]


@dataclass(frozen=True)
class SlidingWindows:
    """
    Cut time into windows of one size that begin in shorter steps, so that each event belongs to several.

    :param size_ms: in milliseconds.
    :param slide_ms: the steps in milliseconds. An event is kept, and costs, ``size_ms / slide_ms`` times.
    """

    size_ms: int
    slide_ms: int

    def __post_init__(self) -> None:
        _validation.integer("size_ms", self.size_ms, least=1)
        if _validation.integer("slide_ms", self.slide_ms, least=1) > self.size_ms:
            raise ValueError(f"slide_ms: expected at most the size, {self.size_ms}, or events fall between windows")

    def of(self, timestamp: int) -> list[Window]:
        """Return the windows that an event belongs to."""
        last = timestamp - timestamp % self.slide_ms
        starts = range(last, timestamp - self.size_ms, -self.slide_ms)
        return [(start, start + self.size_ms) for start in reversed(starts)]


@dataclass(frozen=True)
class SessionWindows:
    """
    Put events of a key together until nothing comes for a while.

    :param gap_ms: for how long, in milliseconds. A session ends so long after its last event.
    """

    gap_ms: int

    def __post_init__(self) -> None:
        _validation.integer("gap_ms", self.gap_ms, least=1)

    def of(self, timestamp: int) -> list[Window]:
        """Return the session that an event would be if it were alone."""
        return [(timestamp, timestamp + self.gap_ms)]


Windows = Union[TumblingWindows, SlidingWindows, SessionWindows]


class Placed(NamedTuple):
    """
    Hold what came of putting an event into its windows.

    :param open: what is to be kept.
    :param timers: when windows close that have not been announced before.
    :param is_late: whether all its windows are closed, so that it is in none.
    """

    open: Optional[Open]
    timers: list[int]
    is_late: bool


class Windowing:
    """
    Keep the open windows of a key; see :class:`pyflink_prometheus.Aggregate`.

    :param aggregation: what is made of each window.
    :param windows: which there are.
    :param allowed_lateness_ms: how long to wait for late events, beyond the watermark, before a window is written.
    """

    def __init__(self, aggregation: Aggregation, windows: Windows, allowed_lateness_ms: int = 0) -> None:
        if not isinstance(windows, (TumblingWindows, SlidingWindows, SessionWindows)):
            raise TypeError(f"windows: expected TumblingWindows(size_ms) or the like, got {windows!r}")
        self._aggregation = aggregation
        self._windows = windows
        self._lateness = _validation.integer("allowed_lateness_ms", allowed_lateness_ms, least=0)

    def place(self, open: Open | None, event: Any, timestamp: int, watermark: int) -> Placed:
        """Add an event to each of its windows that is not closed; changes what is given in ``open``."""
        kept = {} if open is None else open
        timers = []
        is_late = True
        for window in self._windows.of(timestamp):
            place = self._merged(kept, window) if isinstance(self._windows, SessionWindows) else window
            if self._closes(place) <= watermark:
                continue
            is_late = False
            if place not in kept:
                kept[place] = self._aggregation.new()
                timers.append(self._closes(place))
            self._aggregation.add(kept[place], event, timestamp)
            if place != window and place[1] == window[1]:
                timers.append(self._closes(place))  # the event has prolonged a session
        return Placed(kept or None, timers, is_late)

    def close(self, open: Open | None, key: Any, until: int) -> tuple[Open | None, list[PrometheusTimeSeries]]:
        """
        Return what is to be kept, ``None`` for nothing, and the series of all windows that close up to a time.

        A sample's timestamp is the end of its window, the first moment that is not in it: it is where PromQL's own
        ``avg_over_time`` would put it, and a round one.

        :param until: a time that the watermark has reached; changes what is given in ``open``.
        """
        kept = {} if open is None else open
        written = []
        for window in sorted(kept, key=lambda window: window[1]):
            if self._closes(window) <= until:
                written += self._aggregation.series(key, kept.pop(window), window[1])
        return kept or None, written

    def timers(self, open: Open) -> list[int]:
        """Return when windows close."""
        return [self._closes(window) for window in open]

    def _closes(self, window: Window) -> int:
        return window[1] - 1 + self._lateness

    def _merged(self, kept: Open, window: Window) -> Window:
        """Put all sessions that a new one touches into one, and return it; as it is if it touches none."""
        touched = sorted(each for each in kept if each[0] <= window[1] and window[0] <= each[1])
        if not touched:
            return window
        whole = (min(window[0], touched[0][0]), max(window[1], *(each[1] for each in touched)))
        partial = kept.pop(touched[0])
        for each in touched[1:]:
            partial = self._aggregation.merge(partial, kept.pop(each))
        kept[whole] = partial
        return whole
