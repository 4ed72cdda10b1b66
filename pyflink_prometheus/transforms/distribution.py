"""The distribution of the values of a window: single values while they are few, fine buckets beyond that."""

from __future__ import annotations

import math
from typing import Any

from pyflink_prometheus.model.buckets import (
    MAX_SCHEMA,
    coarser,
    count_finest,
    upper_bound,
)
from pyflink_prometheus.model.histogram import DEFAULT_ZERO_THRESHOLD, NativeHistogram
from pyflink_prometheus.model.numbers import Count

#: How many single values are kept; quantiles are exact up to this many.
MAX_VALUES = 1000

#: The single ``values``, and for counted values the number of ``zeros`` and the buckets of schema 8 ``above`` and
#: ``below`` zero. Plain types, so that savepoints do not depend on classes.
Distribution = dict[str, Any]


def new_distribution() -> Distribution:
    """Return the distribution of no values."""
    return {"values": [], "zeros": 0, "above": {}, "below": {}}


def add_value(distribution: Distribution, value: float) -> None:
    """Add a value, which must not be NaN."""
    values = distribution["values"]
    values.append(value)
    if len(values) > MAX_VALUES:
        _count_all(distribution)


def merged(one: Distribution, two: Distribution) -> Distribution:
    """Return the distribution of the values of both; changes neither."""
    both = {
        "values": [*one["values"], *two["values"]],
        "zeros": one["zeros"] + two["zeros"],
        "above": coarser([*one["above"].items(), *two["above"].items()], 0),
        "below": coarser([*one["below"].items(), *two["below"].items()], 0),
    }
    if len(both["values"]) > MAX_VALUES:
        _count_all(both)
    return both


def quantile(distribution: Distribution, q: float) -> float:
    """
    Return a quantile.

    Exact up to 1000 values, with linear interpolation as in numpy and pandas. Beyond that, the middle of a bucket of
    schema 8, with an error of at most 0.14 %.

    :param q: the quantile, from 0 to 1.
    """
    if not (distribution["zeros"] or distribution["above"] or distribution["below"]):
        return exact_quantile(sorted(distribution["values"]), q)
    counted = _counted(distribution)
    buckets = [
        *((-_middle(index), each) for index, each in sorted(counted["below"].items(), reverse=True)),
        (0.0, counted["zeros"]),
        *((_middle(index), each) for index, each in sorted(counted["above"].items())),
    ]
    rank = q * (sum(each for _, each in buckets) - 1)
    passed = 0
    for value, each in buckets:
        passed += each
        if passed > rank:
            return value
    return buckets[-1][0]


def histogram(distribution: Distribution, total: float, schema: int) -> NativeHistogram:
    """
    Return the distribution as a native histogram.

    :param total: the sum of the values.
    :param schema: the resolution of the histogram, from -4 to 8.
    """
    counted = _counted(distribution)
    steps = MAX_SCHEMA - schema
    return NativeHistogram(
        schema=schema,
        sum=total,
        zero_threshold=DEFAULT_ZERO_THRESHOLD,
        zero_count=counted["zeros"],
        positive=coarser(counted["above"].items(), steps),
        negative=coarser(counted["below"].items(), steps),
    )


def _counted(distribution: Distribution) -> Distribution:
    """Return a copy with all values counted in buckets."""
    copy = {
        "values": list(distribution["values"]),
        "zeros": distribution["zeros"],
        "above": dict(distribution["above"]),
        "below": dict(distribution["below"]),
    }
    _count_all(copy)
    return copy


def _count_all(distribution: Distribution) -> None:
    values = distribution["values"]
    above = [value for value in values if value > DEFAULT_ZERO_THRESHOLD]
    below = [-value for value in values if value < -DEFAULT_ZERO_THRESHOLD]
    for side, magnitudes in (("above", above), ("below", below)):
        _add_counts(distribution[side], count_finest(magnitudes))
    distribution["zeros"] += len(values) - len(above) - len(below)
    distribution["values"] = []


def _add_counts(into: dict[int, Count], counts: dict[int, int]) -> None:
    for index, count in counts.items():
        into[index] = into.get(index, 0) + count


def _middle(index: int) -> float:
    upper = upper_bound(index, MAX_SCHEMA)
    return upper if math.isinf(upper) else (upper_bound(index - 1, MAX_SCHEMA) / 2 + upper / 2)


def exact_quantile(values: list[float], q: float) -> float:
    """Return a quantile of values in ascending order, with linear interpolation as in numpy and pandas."""
    place = q * (len(values) - 1)
    low = math.floor(place)
    one, two = values[low], values[min(low + 1, len(values) - 1)]
    return one if one == two or place == low else one + (two - one) * (place - low)
