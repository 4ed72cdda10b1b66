"""Numbers as users give them: of any numeric type, numpy's among them; anything else is refused by its name."""

from __future__ import annotations

import math
import operator
from array import array
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Union

Count = Union[int, float]


def total_of(counts: Sequence[Count]) -> Count:
    """Add up counts: as integers if all of them are."""
    return float_sum(counts) if any(isinstance(each, float) for each in counts) else sum(counts)


def float_sum(numbers: Sequence[float]) -> float:
    """Add up floats with a single rounding, or as floating-point arithmetic does where there is no such sum."""
    try:
        return math.fsum(numbers)
    except (OverflowError, ValueError):  # more than a float can hold, or infinities of both signs
        return float(sum(numbers))


def floats(values: Iterable[float]) -> list[float]:
    """Return observations as floats."""
    plain = values.tolist() if hasattr(values, "tolist") else values
    if not isinstance(plain, (str, bytes, bytearray, Mapping)):
        try:
            return array("d", plain).tolist()
        except (TypeError, OverflowError) as error:
            raise TypeError(f"values: expected numbers, got others among them: {error}") from error
    raise TypeError(f"values: expected numbers, got a {type(values).__name__}")


def count_of(name: str, count: Any) -> Count:
    """Return a count as an int if it is of any integer type, else as a float."""
    number: Count
    try:
        number = operator.index(count)
    except TypeError:
        number = float_of(name, count)
    if not 0 <= number < math.inf:
        raise ValueError(f"{name}: expected counts from 0 up, got {count!r}")
    return number


def float_of(name: str, number: Any, *, text: bool = False) -> float:
    """Return a number as a float; one written as text only where that is allowed."""
    if text or not isinstance(number, (str, bytes, bytearray)):
        try:
            return float(number)
        except (TypeError, ValueError, OverflowError):
            pass
    raise TypeError(f"{name}: expected a number, got {number!r}")


def index_of(name: str, number: Any) -> int:
    """Return a number of any integer type as an int."""
    try:
        return operator.index(number)
    except TypeError:
        raise TypeError(f"{name}: expected integers, got {number!r}") from None


def positive_int(name: str, number: Any) -> int:
    """Return an integer above zero as an int."""
    if index_of(name, number) < 1:
        raise ValueError(f"{name}: expected 1 or more, got {number}")
    return int(number)


def shown(value: Any, longest: int = 120) -> str:
    """Show a user's value in a message: never longer than a line, never one that breaks the message."""
    try:
        text = repr(value)
    except Exception:  # a user's __repr__ may do anything
        text = f"<{type(value).__name__}>"
    return text if len(text) <= longest else text[: longest - 3] + "..."
