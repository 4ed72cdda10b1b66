"""The exponential buckets of native histograms: bounds, counting, and reducing the resolution."""

from __future__ import annotations

import math
import sys
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable
from functools import cache

from pyflink_prometheus.model.numbers import Count

MIN_SCHEMA, MAX_SCHEMA = -4, 8

# Schema 8 divides each power of two into 256 buckets. The largest float is in the last bucket below 2^1024, infinity in
# the one after it. The smallest positive float is 2^-1074.
_FINEST = 1 << MAX_SCHEMA
_LARGEST_INDEX, _SMALLEST_INDEX = 1024 * _FINEST, -1074 * _FINEST


@cache
def _bounds() -> tuple[float, ...]:
    """
    Return the bounds of schema 8 in [0.5, 1), each rounded down to a float.

    Rounding down keeps buckets exactly as specified: a float is above the rounded bound if and only if it is above the
    bound itself. Uses integer arithmetic, because powers of floats are off by some units in the last place.
    """
    bounds = []
    for index in range(_FINEST):
        power = 1 << (52 * _FINEST + index)
        for _ in range(MAX_SCHEMA):
            power = math.isqrt(power)
        bounds.append(math.ldexp(power, -53))
    return tuple(bounds)


def upper_bound(index: int, schema: int) -> float:
    """Return the upper bound of an exponential bucket; for the last finite one, the largest float."""
    finest = index << (MAX_SCHEMA - schema)
    if finest >= _LARGEST_INDEX:
        return sys.float_info.max if finest == _LARGEST_INDEX else math.inf
    fraction, exponent = _bounds()[finest % _FINEST], finest // _FINEST + 1
    if exponent < -1021:  # ldexp might round a subnormal bound up
        return math.ldexp(math.floor(math.ldexp(fraction, exponent + 1074)), -1074)
    return math.ldexp(fraction, exponent)


def count_finest(magnitudes: list[float]) -> dict[int, int]:
    """Count positive numbers, infinity included, in buckets of schema 8."""
    bounds = _bounds()
    parts = map(math.frexp, [number for number in magnitudes if number < math.inf])
    counts = Counter([(exponent - 1) * _FINEST + bisect_left(bounds, fraction) for fraction, exponent in parts])
    infinite = len(magnitudes) - sum(counts.values())
    if infinite:
        counts[_LARGEST_INDEX + 1] = infinite
    return counts


def index_range(schema: int) -> tuple[int, int]:
    """Return the lowest and the highest index of a schema: the buckets of the smallest positive float and infinity."""
    steps = MAX_SCHEMA - schema
    return coarser_index(_SMALLEST_INDEX, steps), coarser_index(_LARGEST_INDEX + 1, steps)


def coarser_index(index: int, steps: int) -> int:
    """Return the index of a bucket after lowering the schema by ``steps``: each step halves it, rounded up."""
    return -(-index >> steps)


def coarser(side: Iterable[tuple[int, Count]], steps: int) -> dict[int, Count]:
    """Merge buckets into those of a schema that is lower by ``steps``, and add up their counts."""
    merged: dict[int, Count] = {}
    for index, count in side:
        coarse = coarser_index(index, steps)
        merged[coarse] = merged.get(coarse, 0) + count
    return merged


def fitting_schema(schema: int, sides: Iterable[Iterable[int]], max_buckets: int) -> int:
    """Return the finest schema, from ``schema`` down, that fills at most ``max_buckets`` buckets; -4 if none does."""
    indexes = [set(side) for side in sides]
    while schema > MIN_SCHEMA and sum(map(len, indexes)) > max_buckets:
        indexes = [{coarser_index(index, 1) for index in side} for side in indexes]
        schema -= 1
    return schema
