"""
Checks of arguments, each with one phrasing: what was expected, and what was given instead.

All of them raise ``TypeError`` for a value of the wrong type and ``ValueError`` for one out of range. Numbers may be of
any numeric type, numpy's among them; ``True`` and ``False`` are not numbers here.
"""

from __future__ import annotations

import math
import operator
from array import array
from collections.abc import Iterable, Mapping
from typing import Any

_TEXTS = (str, bytes, bytearray)


def integer(name: str, value: Any, *, least: int | None = None, most: int | None = None) -> int:
    """Return an integer of any type as an int, if it is within its bounds."""
    expected = "an integer" if least is None else f"an integer of at least {least}"
    if least is not None and most is not None:
        expected = f"an integer from {least} to {most}"
    try:
        if isinstance(value, bool):
            raise TypeError
        found = operator.index(value)
    except TypeError:
        raise TypeError(f"{name}: expected {expected}, got {shown(value)}") from None
    if (least is not None and found < least) or (most is not None and found > most):
        raise ValueError(f"{name}: expected {expected}, got {shown(value)}")
    return found


def number(name: str, value: Any, *, text: bool = False) -> float:
    """Return a number as a float; one written as text only where that is allowed."""
    if not isinstance(value, bool) and (text or not isinstance(value, _TEXTS)):
        try:
            return float(value)
        except (TypeError, ValueError, OverflowError):
            pass
    raise TypeError(f"{name}: expected a number, got {shown(value)}")


def count(name: str, value: Any) -> int | float:
    """Return a count as an int if it is of any integer type, else as a float."""
    found: int | float
    try:
        found = integer(name, value)
    except TypeError:
        found = number(name, value)
    if not 0 <= found < math.inf:
        raise ValueError(f"{name}: expected a count of at least 0, got {shown(value)}")
    return found


def numbers(name: str, values: Iterable[float]) -> list[float]:
    """Return several numbers as floats."""
    plain = values.tolist() if hasattr(values, "tolist") else values
    if not isinstance(plain, (*_TEXTS, Mapping)):
        try:
            return array("d", plain).tolist()
        except (TypeError, OverflowError) as error:
            raise TypeError(f"{name}: expected numbers, got other values among them: {error}") from error
    raise TypeError(f"{name}: expected numbers, got {shown(values)}")


def function(name: str, value: Any) -> None:
    """Check that a value can be called."""
    if not callable(value):
        raise TypeError(f"{name}: expected a function, got {shown(value)}")


def instance(name: str, value: Any, kind: type) -> None:
    """Check that a value is of a type."""
    if not isinstance(value, kind):
        article = "an" if kind.__name__[0] in "AEIOU" else "a"
        raise TypeError(f"{name}: expected {article} {kind.__name__}, got {shown(value)}")


def line(name: str, value: Any, *, hidden: bool = False) -> None:
    """Check that a value is a non-empty line of text; a hidden one is not shown, in case it is a secret."""
    if not isinstance(value, str):
        raise TypeError(
            f"{name}: expected a non-empty line of text, got {type(value).__name__ if hidden else shown(value)}"
        )
    if not value or not value.isprintable():
        found = ("unprintable text" if value else "empty text") if hidden else shown(value)
        raise ValueError(f"{name}: expected a non-empty line of text, got {found}")


def shown(value: Any, longest: int = 120) -> str:
    """Return a user's value for a message: never longer than a line, and never one that breaks the message."""
    try:
        text = repr(value)
    except Exception:  # a user's __repr__ may do anything
        text = f"<{type(value).__name__}>"
    return text if len(text) <= longest else text[: longest - 3] + "..."
