"""Event-time windows: which of them an event belongs to, when they close, and which events are late."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, get_args

from pyflink_prometheus import _validation
from pyflink_prometheus.model.timeseries import PrometheusTimeSeries
from pyflink_prometheus.transforms.aggregation import Aggregation, Partial

#: A window: its start, inclusive, and its end, exclusive, in milliseconds.
Window = tuple[int, int]

#: The state of a key: the aggregates of its open windows. Plain types, because savepoints outlive classes.
Open = dict[Window, Partial]


@dataclass(frozen=True)
class TumblingWindows:
    """
    Windows of a fixed size that do not overlap, aligned to 1970 in UTC.

    :param size_ms: the size in milliseconds.
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
    Windows of a fixed size that start at shorter intervals, so that each event belongs to several.

    :param size_ms: the size in milliseconds.
    :param slide_ms: the interval between starts in milliseconds. Each event costs ``size_ms / slide_ms`` times as much.
    """

    size_ms: int
    slide_ms: int

    def __post_init__(self) -> None:
        _validation.integer("size_ms", self.size_ms, least=1)
        if _validation.integer("slide_ms", self.slide_ms, least=1) > self.size_ms:
            raise ValueError(
                f"slide_ms: expected at most size_ms, {self.size_ms}, got {self.slide_ms}: events between two windows "
                "would be lost"
            )

    def of(self, timestamp: int) -> list[Window]:
        """Return the windows that an event belongs to."""
        last = timestamp - timestamp % self.slide_ms
        starts = range(last, timestamp - self.size_ms, -self.slide_ms)
        return [(start, start + self.size_ms) for start in reversed(starts)]


@dataclass(frozen=True)
class CumulativeWindows:
    """
    Windows with a common start that grow in steps up to a size, such as the day so far, every hour.

    :param size_ms: the size of the largest one in milliseconds; the next begins where it ends, aligned to 1970 in UTC.
    :param step_ms: the interval between ends in milliseconds. An event costs up to ``size_ms / step_ms`` times as much.
    """

    size_ms: int
    step_ms: int

    def __post_init__(self) -> None:
        _validation.integer("size_ms", self.size_ms, least=1)
        if self.size_ms % _validation.integer("step_ms", self.step_ms, least=1):
            raise ValueError(f"step_ms: expected a divisor of size_ms, {self.size_ms}, got {self.step_ms}")

    def of(self, timestamp: int) -> list[Window]:
        """Return the windows that an event belongs to."""
        start = timestamp - timestamp % self.size_ms
        first = timestamp - timestamp % self.step_ms + self.step_ms
        return [(start, end) for end in range(first, start + self.size_ms + 1, self.step_ms)]


@dataclass(frozen=True)
class SessionWindows:
    """
    Sessions: events of a key with no gap between them.

    :param gap_ms: the gap in milliseconds. A session ends this long after its last event.
    """

    gap_ms: int

    def __post_init__(self) -> None:
        _validation.integer("gap_ms", self.gap_ms, least=1)

    def of(self, timestamp: int) -> list[Window]:
        """Return the session of this event only."""
        return [(timestamp, timestamp + self.gap_ms)]


Windows = TumblingWindows | SlidingWindows | CumulativeWindows | SessionWindows


class Placed(NamedTuple):
    """
    The result of adding an event to its windows.

    :param open: the new state.
    :param timers: timers to register, for windows that are new or have grown.
    :param is_late: whether all windows of the event are closed.
    """

    open: Open | None
    timers: list[int]
    is_late: bool


class Windowing:
    """
    The open windows of a key; see :class:`pyflink_prometheus.Aggregate`.

    :param aggregation: the aggregates of each window.
    :param windows: how time is divided into windows.
    :param allowed_lateness_ms: how long a window waits for late events, beyond the watermark, before it is written.
    """

    def __init__(self, aggregation: Aggregation, windows: Windows, allowed_lateness_ms: int = 0) -> None:
        if not isinstance(windows, get_args(Windows)):
            raise TypeError(f"windows: expected TumblingWindows(size_ms) or the like, got {windows!r}")
        self._aggregation = aggregation
        self._windows = windows
        self._lateness = _validation.integer("allowed_lateness_ms", allowed_lateness_ms, least=0)

    def place(self, open: Open | None, event: Any, timestamp: int, watermark: int) -> Placed:
        """Add an event to each of its windows that is still open; changes ``open`` in place."""
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
                timers.append(self._closes(place))  # the event has extended a session
        return Placed(kept or None, timers, is_late)

    def close(self, open: Open | None, key: Any, until: int) -> tuple[Open | None, list[PrometheusTimeSeries]]:
        """
        Return the new state, ``None`` for none, and the series of all windows that close by ``until``.

        The timestamp of a sample is the end of its window, exclusive: a round number, and where PromQL's
        ``avg_over_time`` would put it. Changes ``open`` in place.

        :param until: a time that the watermark has reached.
        """
        kept = {} if open is None else open
        written = []
        for window in sorted(kept, key=lambda window: window[1]):
            if self._closes(window) <= until:
                written += self._aggregation.series(key, kept.pop(window), window[1])
        return kept or None, written

    def timers(self, open: Open) -> list[int]:
        """Return the times at which windows close."""
        return [self._closes(window) for window in open]

    def _closes(self, window: Window) -> int:
        return window[1] - 1 + self._lateness

    def _merged(self, kept: Open, window: Window) -> Window:
        """Merge a new session with all sessions that it touches, and return the merged one."""
        touched = sorted(each for each in kept if each[0] <= window[1] and window[0] <= each[1])
        if not touched:
            return window
        whole = (min(window[0], touched[0][0]), max(window[1], *(each[1] for each in touched)))
        partial = kept.pop(touched[0])
        for each in touched[1:]:
            partial = self._aggregation.merge(partial, kept.pop(each))
        kept[whole] = partial
        return whole
