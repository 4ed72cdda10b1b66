"""The Hampel filter: a value far from the median of those before it is an outlier."""

from __future__ import annotations

from statistics import median
from typing import Any, Optional

from pyflink_prometheus import _validation
from pyflink_prometheus._validation import shown
from pyflink_prometheus.transforms.checks import finite
from pyflink_prometheus.transforms.event_values import ValueOf

# What the median absolute deviation of normally distributed values is multiplied by to give their standard deviation.
_TO_STANDARD_DEVIATION = 1.4826


class Hampel:
    """
    Reject a value that is further from the median of a key's last values than these spread.

    It decides at once, by past values only: a window around the value would hold back each event for half of it, and
    events that come out later than they were no longer belong to the windows that follow. All values go into the
    window, rejected ones too, so a level that really has changed is accepted as soon as it is the window's majority.

    Keeps the last ``window`` values of each key. Events without a value, ``None``, pass and are not kept. Until the
    window is half full, everything that is a finite number passes.

    :param value: the value of an event.
    :param min_deviation: the smallest deviation, in the value's unit, that is ever rejected. Without one, the first
        value that differs at all from a steady level would be: give the noise that is normal.
    :param window: how many values to look back at. Default 15.
    :param threshold: how many standard deviations, estimated by the median absolute deviation, a value may be from
        the median. Default 3.
    :param name: of the check, in reasons and the counter. Default ``hampel``.
    """

    keeps_state = True
    needs_timestamp = False

    def __init__(
        self, value: ValueOf, *, min_deviation: float, window: int = 15, threshold: float = 3.0, name: str = "hampel"
    ) -> None:
        _validation.function("value", value)
        _validation.integer("window", window, least=3)
        if not min_deviation >= 0:
            raise ValueError(f"min_deviation: expected a number from 0 up, got {min_deviation!r}")
        if not threshold > 0:
            raise ValueError(f"threshold: expected a number above 0, got {threshold!r}")
        self.name = name
        self._value = value
        self._window = window
        self._least = (window + 1) // 2
        self._threshold = threshold
        self._min_deviation = min_deviation

    def judge(self, event: Any, timestamp: int, state: Any) -> tuple[Optional[str], Any]:
        """Return why an event is rejected, ``None`` if it isn't, and the values to keep."""
        value = self._value(event)
        if value is None:
            return None, state
        number = finite(value)
        if number is None:
            return f"{shown(value)} is no finite number", state
        past: tuple[float, ...] = state or ()
        kept = (*past, number)[-self._window :]
        if len(past) < self._least:
            return None, kept
        middle = median(past)
        spread = _TO_STANDARD_DEVIATION * median([abs(each - middle) for each in past])
        allowed = max(self._threshold * spread, self._min_deviation)
        if abs(number - middle) > allowed:
            return f"{number:g} is more than {allowed:g} from the median {middle:g}", kept
        return None, kept
