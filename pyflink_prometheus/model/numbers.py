"""Sums of counts and observations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Union

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
