"""Hold the events of one key until all that came before them must have arrived, and give them back in order of time."""

from __future__ import annotations

import enum
from collections.abc import Callable
from statistics import fmean
from typing import Any, NamedTuple, Optional

from pyflink_prometheus import _validation
from pyflink_prometheus.transforms.event_values import ValueOf, number_of

#: What is kept for a key: up to which time events were released before their time, ``None`` where none was, and the
#: events held, by timestamp. Plain types, so that a savepoint depends on no class of ours.
Held = tuple[Optional[int], dict[int, list[Any]]]


class SameTimestamp(enum.Enum):
    """Say what becomes of events of a key that have the same timestamp; Prometheus stores one value for each."""

    #: The one that came first stays, as in Prometheus itself.
    FIRST = "first"
    #: The one that came last stays, for devices that correct themselves.
    LAST = "last"
    #: The one with the greatest value stays, the first of equal ones. Needs a value function.
    MAX = "max"
    #: The first one stays, with the mean of all values. Needs a value function, and one that puts the value back.
    MEAN = "mean"
    #: All stay, in the order in which they came, for keys whose events belong to several series.
    ALL = "all"


class Added(NamedTuple):
    """
    Hold what came of adding an event.

    :param held: what is to be kept.
    :param early: events to release now although the watermark has not reached them, in order of time.
    :param replaced: whether the event met another one of its timestamp, and only one of the two stays.
    :param is_new: whether it is the first one of its timestamp.
    """

    held: Held
    early: list[Any]
    replaced: bool
    is_new: bool


class Reordering:
    """
    Decide which events of a key are held and which are released; see :class:`pyflink_prometheus.Reorder`.

    :param same_timestamp: which of several events with one timestamp stays.
    :param max_held: how many events are held at most.
    :param value: the value of an event, for MAX and MEAN. ``None`` and NaN lose against any number.
    :param with_value: an event like the given one with another value, for MEAN.
    """

    def __init__(
        self,
        same_timestamp: SameTimestamp = SameTimestamp.FIRST,
        max_held: int = 10_000,
        value: ValueOf | None = None,
        with_value: Callable[[Any, float], Any] | None = None,
    ) -> None:
        self._policy = SameTimestamp(same_timestamp)
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
        """Tell whether an event would break the order: at or behind the watermark, or what was released early."""
        released = None if held is None else held[0]
        return timestamp <= watermark or (released is not None and timestamp <= released)

    def add(self, held: Held | None, event: Any, timestamp: int) -> Added:
        """Take an event that is not late; changes what is given in ``held``."""
        released, events = (None, {}) if held is None else held
        same = events.get(timestamp)
        if same is None:
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
        return Added((released, events), early, replaced, same is None)

    def release(self, held: Held | None, until: int) -> tuple[Held | None, list[Any]]:
        """
        Return what is still to be kept, ``None`` for nothing, and the events up to a time, in order of time.

        :param until: a timestamp that the watermark has reached; changes what is given in ``held``.
        """
        if held is None:
            return None, []
        released, events = held
        due = sorted(timestamp for timestamp in events if timestamp <= until)
        found = [event for timestamp in due for event in self._one_or_all(events.pop(timestamp))]
        if released is not None and released <= until:
            released = None  # the watermark says the same from now on
        return (None if released is None and not events else (released, events)), found

    @staticmethod
    def timers(held: Held) -> list[int]:
        """Return when to release what is held: a time for each timestamp, so that each event leaves with its own."""
        return list(held[1])

    @staticmethod
    def overdue(held: Held | None, timestamp: int) -> list[int]:
        """Return the times of events that should have been released before a time."""
        return [] if held is None else [each for each in held[1] if each < timestamp]

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
