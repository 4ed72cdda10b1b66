"""The checks of a filter. A check decides at once, from an event and the state that it keeps for the event's key."""

from __future__ import annotations

import math
from typing import Any, Protocol

from pyflink_prometheus._validation import shown
from pyflink_prometheus.transforms.event_values import FieldOrFunction, function_of


class Check(Protocol):
    """
    A rule that accepts or rejects the events of a key, one after the other.

    :ivar name: appears in the reasons and in the name of the counter.
    :ivar keeps_state: whether the check keeps state for each key.
    :ivar needs_timestamp: whether the check needs the timestamps of events.
    """

    name: str
    keeps_state: bool
    needs_timestamp: bool

    def judge(self, event: Any, timestamp: int, state: Any) -> tuple[str | None, Any]:
        """
        Return the reason for rejecting an event, ``None`` to accept it, and the new state.

        :param timestamp: the event's time in milliseconds; 0 if the check does not need it.
        :param state: the state that the previous event returned, ``None`` for the first one; must be picklable.
        """


class Threshold:
    """
    A check that rejects values that are out of bounds, not finite, or not numbers.

    Keeps no state. Accepts events without a value (``None``).

    :param value: a function that returns the value of an event, or the name of its field or column.
    :param min: the lowest accepted value. Default: no bound.
    :param max: the highest accepted value. Default: no bound.
    :param name: the name of the check, in reasons and the counter. Default ``threshold``.
    """

    keeps_state = False
    needs_timestamp = False

    def __init__(
        self, value: FieldOrFunction, *, min: float | None = None, max: float | None = None, name: str = "threshold"
    ) -> None:
        self._value = function_of("value", value)
        if min is not None and max is not None and not min <= max:
            raise ValueError(f"min: expected at most max, {max}, got {min}")
        self.name = name
        self.columns: tuple[str, ...] = (value,) if isinstance(value, str) else ()
        self._min = -math.inf if min is None else float(min)
        self._max = math.inf if max is None else float(max)

    @property
    def bounds(self) -> tuple[float, float]:
        """The lowest and the highest accepted value."""
        return self._min, self._max

    def judge(self, event: Any, timestamp: int = 0, state: Any = None) -> tuple[str | None, Any]:
        """Return the reason for rejecting an event, ``None`` to accept it, and no state."""
        value = self._value(event)
        if value is None:
            return None, None
        number = finite(value)
        if number is None:
            return f"{shown(value)} is not a finite number", None
        if number < self._min:
            return f"{number:g} is below {self._min:g}", None
        if number > self._max:
            return f"{number:g} is above {self._max:g}", None
        return None, None

    def accepts(self, event: Any) -> bool:
        """Return whether an event is accepted, for ``stream.filter(threshold.accepts)`` on a stream without a key."""
        return self.judge(event)[0] is None


def finite(value: Any) -> float | None:
    """Return a value as a finite float, ``None`` if it is not one."""
    if isinstance(value, (str, bytes, bytearray)):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
