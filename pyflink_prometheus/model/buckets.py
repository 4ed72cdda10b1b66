"""The exponential buckets of native histograms: their bounds, which numbers they hold, and how they become coarser."""

from __future__ import annotations

import math
import sys
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable
from functools import cache

from pyflink_prometheus.model.numbers import Count

MIN_SCHEMA, MAX_SCHEMA = -4, 8

# Schema 8 cuts each power of two into 256 buckets. The largest float is in the last one below 2^1024, infinity in one
# more, and the smallest number above zero is 2^-1074.
_FINEST = 1 << MAX_SCHEMA
_LARGEST_INDEX, _SMALLEST_INDEX = 1024 * _FINEST, -1074 * _FINEST


@cache
def _bounds() -> tuple[float, ...]:
    """
    Return schema 8's bounds in [0.5, 1), each rounded down to a float.

    So a float is above a bound's float just if it is above the bound itself, and buckets are exactly the
    specification's. Integers alone, as powers of floats are off by some units in the last place.
    """
    bounds = []
    for index in range(_FINEST):
        power = 1 << (52 * _FINEST + index)
        for _ in range(MAX_SCHEMA):
            power = math.isqrt(power)
        bounds.append(math.ldexp(power, -53))
    return tuple(bounds)


def upper_bound(index: int, schema: int) -> float:
    """Return the upper bound of an exponential bucket; of the last one below infinity it is the largest float."""
    finest = index << (MAX_SCHEMA - schema)
    if finest >= _LARGEST_INDEX:
        return sys.float_info.max if finest == _LARGEST_INDEX else math.inf
    fraction, exponent = _bounds()[finest % _FINEST], finest // _FINEST + 1
    if exponent < -1021:  # ldexp would round a subnormal bound up as well
        return math.ldexp(math.floor(math.ldexp(fraction, exponent + 1074)), -1074)
    return math.ldexp(fraction, exponent)


def count_finest(magnitudes: list[float]) -> dict[int, int]:
    """Count numbers above zero, also infinite ones, in buckets of schema 8."""
    bounds = _bounds()
    parts = map(math.frexp, [number for number in magnitudes if number < math.inf])
    counts = Counter([(exponent - 1) * _FINEST + bisect_left(bounds, fraction) for fraction, exponent in parts])
    infinite = len(magnitudes) - sum(counts.values())
    if infinite:
        counts[_LARGEST_INDEX + 1] = infinite
    return counts


def index_range(schema: int) -> tuple[int, int]:
    """Return the indexes of the buckets of the smallest number above zero and of infinity: there are no others."""
    steps = MAX_SCHEMA - schema
    return coarser_index(_SMALLEST_INDEX, steps), coarser_index(_LARGEST_INDEX + 1, steps)


def coarser_index(index: int, steps: int) -> int:
    """Return the index that a bucket has so many schemas further down: half, rounded up, each time."""
    return -(-index >> steps)


def coarser(side: Iterable[tuple[int, Count]], steps: int) -> dict[int, Count]:
    """Add up the counts of buckets that have the same index so many schemas further down."""
    merged: dict[int, Count] = {}
    for index, count in side:
        coarse = coarser_index(index, steps)
        merged[coarse] = merged.get(coarse, 0) + count
    return merged


def fitting_schema(schema: int, sides: Iterable[Iterable[int]], max_buckets: int) -> int:
    """Return the finest schema, from the given one down, of which no more buckets are filled; -4 if there is none."""
    indexes = [set(side) for side in sides]
    while schema > MIN_SCHEMA and sum(map(len, indexes)) > max_buckets:
        indexes = [{coarser_index(index, 1) for index in side} for side in indexes]
        schema -= 1
    return schema
