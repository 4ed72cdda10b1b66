"""Values of events: numbers that may be missing."""

from __future__ import annotations

import math
from collections.abc import Callable
from operator import itemgetter
from typing import Any

from pyflink_prometheus import _validation
from pyflink_prometheus._validation import shown

ValueOf = Callable[[Any], Any]
#: A value of an event: a function, or the name of a field, which tables need.
FieldOrFunction = str | ValueOf
TimestampOf = Callable[[Any], int] | None


def function_of(argument: str, given: Any) -> ValueOf:
    """
    Return the function that returns a value of an event, if a field was named.

    :raises TypeError: if it is neither a name nor a function.
    """
    if isinstance(given, str):
        _validation.line(argument, given)
        return itemgetter(given)
    if not callable(given):
        raise TypeError(f"{argument}: expected a function, or the name of a field, got {shown(given)}")
    found: ValueOf = given
    return found


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
