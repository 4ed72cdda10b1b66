"""What a filter asks: can this event be? A check decides at once, from the event and what it keeps of those before."""

from __future__ import annotations

import math
from typing import Any, Optional, Protocol

from pyflink_prometheus import _validation
from pyflink_prometheus._validation import shown
from pyflink_prometheus.transforms.event_values import ValueOf


class Check(Protocol):
    """
    Judge events of a key, one after the other.

    :ivar name: in the reasons, and in the name of the counter.
    :ivar keeps_state: whether it keeps anything of a key.
    :ivar needs_timestamp: whether it needs to know when an event was.
    """

    name: str
    keeps_state: bool
    needs_timestamp: bool

    def judge(self, event: Any, timestamp: int, state: Any) -> tuple[Optional[str], Any]:
        """
        Return why an event is rejected, ``None`` if it isn't, and what is to be kept.

        :param timestamp: when the event was, in milliseconds; 0 where it isn't needed.
        :param state: what was kept after the event before, ``None`` if there was none; it must be picklable.
        """


class Threshold:
    """
    Reject values that are out of bounds, not finite, or no numbers at all.

    Keeps nothing. An event without a value, ``None``, passes: it claims nothing that cannot be.

    :param value: the value of an event.
    :param min: the lowest value that is accepted. Default: none is too low.
    :param max: the highest value that is accepted. Default: none is too high.
    :param name: of the check, in reasons and the counter. Default ``threshold``.
    """

    keeps_state = False
    needs_timestamp = False

    def __init__(
        self, value: ValueOf, *, min: float | None = None, max: float | None = None, name: str = "threshold"
    ) -> None:
        _validation.function("value", value)
        if min is not None and max is not None and not min <= max:
            raise ValueError(f"min: expected at most {max}, which max is, got {min}")
        self.name = name
        self._value = value
        self._min = -math.inf if min is None else float(min)
        self._max = math.inf if max is None else float(max)

    def judge(self, event: Any, timestamp: int = 0, state: Any = None) -> tuple[Optional[str], Any]:
        """Return why an event is rejected, ``None`` if it isn't, and nothing to be kept."""
        value = self._value(event)
        if value is None:
            return None, None
        number = finite(value)
        if number is None:
            return f"{shown(value)} is no finite number", None
        if number < self._min:
            return f"{number:g} is below {self._min:g}", None
        if number > self._max:
            return f"{number:g} is above {self._max:g}", None
        return None, None

    def accepts(self, event: Any) -> bool:
        """Tell whether an event passes, for ``stream.filter(threshold.accepts)`` on a stream without a key."""
        return self.judge(event)[0] is None


def finite(value: Any) -> float | None:
    """Return a value as a finite float, ``None`` if it isn't one."""
    if isinstance(value, (str, bytes, bytearray)):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
