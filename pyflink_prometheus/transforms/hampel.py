"""The Hampel filter: a value far from the median of the previous values is an outlier."""

from __future__ import annotations

from statistics import median
from typing import Any

from pyflink_prometheus import _validation
from pyflink_prometheus._validation import shown
from pyflink_prometheus.transforms.checks import finite
from pyflink_prometheus.transforms.event_values import FieldOrFunction, function_of

# Median absolute deviation times this estimates the standard deviation of normally distributed values.
_TO_STANDARD_DEVIATION = 1.4826


class Hampel:
    """
    A check that rejects a value too far from the median of the key's last values, compared with their spread.

    Decides at once, from past values only: a window centred on the value would delay each event by half the window,
    and delayed events are late for windows downstream. All values enter the window, including rejected ones, so a level
    that has really changed is accepted as soon as it is the majority of the window.

    Keeps the last ``window`` values of each key. Accepts events without a value (``None``) and does not keep them.
    Until the window is half full, accepts every finite number.

    :param value: a function that returns the value of an event, or the name of its field or column.
    :param min_deviation: the smallest deviation, in the value's unit, that is ever rejected. With 0, the first value
        that differs at all from a steady level would be rejected: set it to the normal noise.
    :param window: how many past values to compare with. Default 15.
    :param threshold: how many standard deviations, estimated by the median absolute deviation, a value may be from
        the median. Default 3.
    :param name: the name of the check, in reasons and the counter. Default ``hampel``.
    """

    keeps_state = True
    needs_timestamp = False

    def __init__(
        self,
        value: FieldOrFunction,
        *,
        min_deviation: float,
        window: int = 15,
        threshold: float = 3.0,
        name: str = "hampel",
    ) -> None:
        self._value = function_of("value", value)
        _validation.integer("window", window, least=3)
        if not min_deviation >= 0:
            raise ValueError(f"min_deviation: expected a number of at least 0, got {min_deviation!r}")
        if not threshold > 0:
            raise ValueError(f"threshold: expected a number above 0, got {threshold!r}")
        self.name = name
        self.columns: tuple[str, ...] = (value,) if isinstance(value, str) else ()
        self.window = window
        self._least = (window + 1) // 2
        self._threshold = threshold
        self.min_deviation = min_deviation

    def judge(self, event: Any, timestamp: int, state: Any) -> tuple[str | None, Any]:
        """Return the reason for rejecting an event, ``None`` to accept it, and the values to keep."""
        value = self._value(event)
        if value is None:
            return None, state
        number = finite(value)
        if number is None:
            return f"{shown(value)} is not a finite number", state
        past: tuple[float, ...] = state or ()
        kept = (*past, number)[-self.window :]
        if len(past) < self._least:
            return None, kept
        middle = median(past)
        spread = _TO_STANDARD_DEVIATION * median([abs(each - middle) for each in past])
        allowed = max(self._threshold * spread, self.min_deviation)
        if abs(number - middle) > allowed:
            return f"{number:g} is more than {allowed:g} from the median {middle:g}", kept
        return None, kept
