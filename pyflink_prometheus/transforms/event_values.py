"""Values of events: numbers that may be missing."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Optional

ValueOf = Callable[[Any], Any]
TimestampOf = Optional[Callable[[Any], int]]


def number_of(value: Any) -> float | None:
    """
    Return a measurement as a float; ``None`` for ``None`` and NaN.

    :raises TypeError: if it is not a number; the job's value function has to convert it.
    """
    if value is None:
        return None
    if isinstance(value, (str, bytes, bytearray)):
        raise TypeError(f"expected a number as an event's value, got {value!r}; convert it in the value function")
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise TypeError(f"expected a number as an event's value, got {value!r}") from None
    return None if math.isnan(number) else number
