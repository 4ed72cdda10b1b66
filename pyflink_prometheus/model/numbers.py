"""Sums of counts and observations."""

from __future__ import annotations

import math
from collections.abc import Sequence

Count = int | float


def total_of(counts: Sequence[Count]) -> Count:
    """Add up counts; return an integer if all of them are integers."""
    return float_sum(counts) if any(isinstance(each, float) for each in counts) else sum(counts)


def float_sum(numbers: Sequence[float]) -> float:
    """Add up floats with a single rounding; fall back to plain addition on overflow or infinities of both signs."""
    try:
        return math.fsum(numbers)
    except (OverflowError, ValueError):
        return float(sum(numbers))
