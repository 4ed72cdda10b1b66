"""Reordering: events of a key are held until all earlier ones must have arrived, and released in order of time."""

from __future__ import annotations

import enum
from collections.abc import Callable
from statistics import fmean
from typing import Any, NamedTuple

from pyflink_prometheus import _validation
from pyflink_prometheus.transforms.event_values import ValueOf, number_of

#: The state of a key: the last timestamp that was released ahead of the watermark, ``None`` if none was, and the held
#: events, by timestamp. Plain types, so that savepoints do not depend on classes.
Held = tuple[int | None, dict[int, list[Any]]]


class SameTimestamp(enum.Enum):
    """Which of a key's events with the same timestamp are kept; Prometheus stores one value for each timestamp."""

    #: Keep the event that arrived first, as Prometheus does.
    FIRST = "first"
    #: Keep the event that arrived last, for devices that correct themselves.
    LAST = "last"
    #: Keep the event with the greatest value, the first of equal ones. Needs ``value``.
    MAX = "max"
    #: Keep the first event, with the mean of all values. Needs ``value`` and ``with_value``.
    MEAN = "mean"
    #: Keep all events, in order of arrival, for keys whose events belong to several series.
    ALL = "all"


class Added(NamedTuple):
    """
    The result of adding an event.

    :param held: the new state.
    :param early: events to release now, ahead of the watermark, in order of time.
    :param replaced: whether there was another event with the same timestamp and only one of the two is kept.
    :param timer: the timer that the event needs, ``None`` if a held event has the same one.
    """

    held: Held
    early: list[Any]
    replaced: bool
    timer: int | None


class Reordering:
    """
    The rules for holding and releasing the events of a key; see :class:`pyflink_prometheus.Reorder`.

    :param same_timestamp: which of several events with the same timestamp is kept.
    :param max_held: the maximum number of held events.
    :param value: returns the value of an event, for MAX and MEAN. ``None`` and NaN are less than any number.
    :param with_value: returns a copy of an event with another value, for MEAN.
    :param release_interval_ms: the length of the intervals whose events are released together.
    """

    def __init__(
        self,
        same_timestamp: SameTimestamp = SameTimestamp.FIRST,
        max_held: int = 10_000,
        value: ValueOf | None = None,
        with_value: Callable[[Any, float], Any] | None = None,
        release_interval_ms: int = 1,
    ) -> None:
        self._policy = SameTimestamp(same_timestamp)
        self._interval_ms = _validation.integer("release_interval_ms", release_interval_ms, least=1)
        self._max_held = _validation.integer("max_held", max_held, least=1)
        if self._policy in (SameTimestamp.MAX, SameTimestamp.MEAN):
            _validation.function(f"value, which {self._policy} needs", value)
        if self._policy is SameTimestamp.MEAN:
            _validation.function(f"with_value, which {self._policy} needs", with_value)
        self._value: ValueOf = value or (lambda event: None)
        self._with_value: Callable[[Any, float], Any] = with_value or (lambda event, _: event)
        self._keeps_several = self._policy in (SameTimestamp.MEAN, SameTimestamp.ALL)

    @staticmethod
    def is_late(held: Held | None, timestamp: int, watermark: int) -> bool:
        """Return whether an event is late: not after the watermark, or not after an event that was released early."""
        released = None if held is None else held[0]
        return timestamp <= watermark or (released is not None and timestamp <= released)

    def add(self, held: Held | None, event: Any, timestamp: int) -> Added:
        """Add an event that is not late; changes ``held`` in place."""
        released, events = (None, {}) if held is None else held
        same = events.get(timestamp)
        timer = None
        if same is None:
            timer = self._new_timer(events, timestamp)
            events[timestamp] = [event]
        elif self._keeps_several:
            same.append(event)
        elif self._policy is SameTimestamp.LAST or (self._policy is SameTimestamp.MAX and self._above(event, same[0])):
            same[0] = event
        early: list[Any] = []
        while self._count(events) > self._max_held:
            released = min(events)
            early += self._one_or_all(events.pop(released))
        replaced = same is not None and self._policy is not SameTimestamp.ALL
        return Added((released, events), early, replaced, timer)

    def release(self, held: Held | None, until: int) -> tuple[Held | None, list[Any]]:
        """
        Return the new state, ``None`` for none, and the events up to ``until``, in order of time.

        Changes ``held`` in place.

        :param until: a timestamp that the watermark has reached.
        """
        if held is None:
            return None, []
        released, events = held
        due = sorted([timestamp for timestamp in events if timestamp <= until])
        found = [event for timestamp in due for event in self._one_or_all(events.pop(timestamp))]
        if released is not None and released <= until:
            released = None  # the watermark has passed it
        return (None if released is None and not events else (released, events)), found

    def timers(self, held: Held) -> list[int]:
        """Return a timer for each interval with held events, by default for each timestamp, to be emitted with it."""
        return list(dict.fromkeys(map(self._timer, held[1])))

    def overdue(self, held: Held | None, timestamp: int) -> list[int]:
        """Return the timers of held events that should have fired before ``timestamp``."""
        if held is None or not held[1] or self._timer(min(held[1])) >= timestamp:
            return []
        return [timer for timer in self.timers(held) if timer < timestamp]

    def _timer(self, timestamp: int) -> int:
        """Return the last moment of a timestamp's interval."""
        return timestamp - timestamp % self._interval_ms + self._interval_ms - 1

    def _new_timer(self, events: dict[int, list[Any]], timestamp: int) -> int | None:
        timer = self._timer(timestamp)
        if self._interval_ms > 1:
            first = timer - self._interval_ms
            # The newest first, because those are likely to be in the same interval.
            if any(first < other <= timer for other in reversed(events)):
                return None
        return timer

    def _count(self, events: dict[int, list[Any]]) -> int:
        return sum(map(len, events.values())) if self._keeps_several else len(events)

    def _above(self, event: Any, other: Any) -> bool:
        one, two = number_of(self._value(event)), number_of(self._value(other))
        return one is not None and (two is None or one > two)

    def _one_or_all(self, same: list[Any]) -> list[Any]:
        if self._policy is not SameTimestamp.MEAN or len(same) == 1:
            return same
        numbers = [number for number in map(number_of, map(self._value, same)) if number is not None]
        return [self._with_value(same[0], fmean(numbers)) if numbers else same[0]]
