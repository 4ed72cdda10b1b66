"""The native histogram: a sample value that holds a whole distribution."""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pyflink_prometheus import _validation
from pyflink_prometheus.model.buckets import (
    MAX_SCHEMA,
    MIN_SCHEMA,
    coarser,
    count_finest,
    fitting_schema,
    index_range,
    upper_bound,
)
from pyflink_prometheus.model.numbers import Count, float_sum, total_of

CUSTOM_BUCKETS_SCHEMA = -53
DEFAULT_MAX_BUCKETS = 160
DEFAULT_ZERO_THRESHOLD = 2.0**-128

Buckets = Mapping[int, Count] | Iterable[tuple[int, Count]]

_INT64_MAX = 2**63 - 1


@dataclass(frozen=True, init=False, eq=False)
class NativeHistogram:
    """
    A distribution, written as the value of one sample.

    Immutable, picklable and compared by content. Create one with :meth:`from_observations` or
    :meth:`from_classic_buckets`; ``a + b`` merges two. Follows the "Native Histograms" specification, "Data model".
    The constructor accepts only what Prometheus accepts. Counts may be integers or floats; a single float makes all
    counts floats.

    :param schema: the resolution. From -4 to 8: buckets grow by a factor of ``2 ** 2**-schema``, and bucket ``i`` holds
        values above ``factor ** (i - 1)`` up to and including ``factor ** i``. -53: the bounds are ``custom_values``.
    :param sum: the sum of all observations; NaN if one of them was NaN.
    :param count: the number of observations. Default: the sum of all buckets. NaN observations are in no bucket.
    :param zero_threshold: the largest absolute value that is in the zero bucket. Default 0.
    :param zero_count: the number of observations in the zero bucket. Default 0.
    :param positive: observations by bucket index, as a mapping or pairs; empty buckets may be left out. As an
        attribute: pairs in order of the index, without empty buckets.
    :param negative: the same for negative observations, by their absolute values.
    :param custom_values: for schema -53, the upper bounds, ascending and without +Inf; bucket 0 is below the first.
    :param is_gauge: whether the histogram stands alone, as the histogram of one window does. Default: no, the
        histograms of a series are cumulative, and Prometheus detects resets automatically.
    :raises ValueError: if Prometheus would refuse it, naming the parameter and what was expected.
    :raises TypeError: if a value is not a number, naming the parameter.
    """

    schema: int
    count: Count
    sum: float
    zero_threshold: float
    zero_count: Count
    positive: tuple[tuple[int, Count], ...]
    negative: tuple[tuple[int, Count], ...]
    custom_values: tuple[float, ...]
    is_gauge: bool

    def __init__(
        self,
        *,
        schema: int,
        sum: float,
        count: Count | None = None,
        zero_threshold: float = 0.0,
        zero_count: Count = 0,
        positive: Buckets = (),
        negative: Buckets = (),
        custom_values: Iterable[float] = (),
        is_gauge: bool = False,
    ) -> None:
        zeros = _validation.count("zero_count", zero_count)
        sides = [_pairs("positive", positive), _pairs("negative", negative)]
        inside = [zeros, *(each for side in sides for _, each in side)]
        total = total_of(inside)
        count = _validation.count("count", total if count is None else count)
        kind = float if isinstance(total, float) or isinstance(count, float) else int
        values: dict[str, Any] = {
            "schema": _validation.integer("schema", schema),
            "count": kind(count),
            "sum": _validation.number("sum", sum),
            "zero_threshold": _validation.number("zero_threshold", zero_threshold),
            "zero_count": kind(zeros),
            "positive": tuple((index, kind(each)) for index, each in sorted(sides[0]) if each),
            "negative": tuple((index, kind(each)) for index, each in sorted(sides[1]) if each),
            "custom_values": tuple(_validation.number("custom_values", each) for each in custom_values),
            "is_gauge": bool(is_gauge),
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)
        self._check_layout()
        if kind is int:
            _check_total(values["count"], int(total), values["sum"])

    @staticmethod
    def from_observations(
        values: Iterable[float],
        *,
        max_buckets: int = DEFAULT_MAX_BUCKETS,
        schema: int | None = None,
        zero_threshold: float = DEFAULT_ZERO_THRESHOLD,
    ) -> NativeHistogram:
        """
        Return the histogram of observations.

        Within a series, a fixed ``schema`` is best: Prometheus stores changing schemas less efficiently, and a query
        over several of them has the coarsest resolution among them.

        :param values: numbers, as any iterable or a one-dimensional array. Infinities have their own bucket. NaN
            is counted in no bucket and makes the sum NaN.
        :param max_buckets: without a ``schema``, use the finest one that fills at most this many buckets, not counting
            the zero bucket and empty ones; -4 if none does. Default 160, as in OpenTelemetry.
        :param schema: a resolution from -4 to 8. Default: chosen by ``max_buckets``.
        :param zero_threshold: the largest absolute value in the zero bucket. Default 2**-128, as in Prometheus's own
            client libraries.
        :raises ValueError: if a parameter is out of range.
        :raises TypeError: if a value is not a number.
        """
        threshold = _checked_threshold(_validation.number("zero_threshold", zero_threshold))
        numbers = _validation.numbers("values", values)
        above = [number for number in numbers if number > threshold]
        below = [-number for number in numbers if number < -threshold]
        unordered = sum(map(operator.ne, numbers, numbers))
        sides = [count_finest(above), count_finest(below)]
        chosen = (
            fitting_schema(MAX_SCHEMA, sides, _validation.integer("max_buckets", max_buckets, least=1))
            if schema is None
            else _exponential_schema(schema)
        )
        return NativeHistogram(
            schema=chosen,
            sum=float_sum(numbers),
            count=len(numbers),
            zero_threshold=threshold,
            zero_count=len(numbers) - len(above) - len(below) - unordered,
            positive=coarser(sides[0].items(), MAX_SCHEMA - chosen),
            negative=coarser(sides[1].items(), MAX_SCHEMA - chosen),
        )

    @staticmethod
    def from_classic_buckets(
        buckets: Mapping[Any, Count] | Iterable[tuple[Any, Count]], *, sum: float, count: Count | None = None
    ) -> NativeHistogram:
        """
        Convert a classic histogram to a native one with the same bounds (schema -53).

        :param buckets: cumulative counts by upper bound, as a mapping or pairs. A bound is a number, or text as in the
            label ``le``, such as ``"0.5"`` or ``"+Inf"``.
        :param sum: the sum of all observations.
        :param count: the number of all observations; required if no bound is +Inf.
        :raises ValueError: if the buckets are not a classic histogram, naming the parameter and what was expected.
        :raises TypeError: if a bound or a count is not a number.
        """
        pairs = buckets.items() if isinstance(buckets, Mapping) else buckets
        cumulative = sorted(
            (_validation.number("buckets", bound, text=True), _validation.count("buckets", each))
            for bound, each in pairs
        )
        bounds = [bound for bound, _ in cumulative]
        if any(map(math.isnan, bounds)) or len(set(bounds)) < len(bounds):
            raise ValueError(f"buckets: expected numbers as bounds, each once, got {bounds}")
        if not cumulative or cumulative[-1][0] != math.inf:
            if count is None:
                raise ValueError("count: expected the number of all observations, since no bucket's bound is +Inf")
            cumulative.append((math.inf, _validation.count("count", count)))
        elif count is not None and count != cumulative[-1][1]:
            raise ValueError(f"count: expected the count of the +Inf bucket, {cumulative[-1][1]}, got {count}")
        counts = [each for _, each in cumulative]
        if any(after < before for before, after in itertools.pairwise(counts)):
            raise ValueError(f"buckets: expected cumulative counts, which never decrease, got {counts}")
        return NativeHistogram(
            schema=CUSTOM_BUCKETS_SCHEMA,
            sum=sum,
            count=counts[-1],
            positive=enumerate(map(operator.sub, counts, [0, *counts[:-1]])),
            custom_values=[bound for bound, _ in cumulative[:-1]],
        )

    @property
    def is_float(self) -> bool:
        """Whether counts are floats, as in weighted histograms, rather than integers."""
        return isinstance(self.count, float)

    def as_gauge(self) -> NativeHistogram:
        """Return this histogram as a gauge histogram: one that stands alone and is not cumulative."""
        return self._with(is_gauge=True)

    def buckets(self) -> list[tuple[float, float, Count]]:
        """
        Return (lower bound, upper bound, count) of each bucket that is not empty, in ascending order.

        A bucket that overlaps the zero bucket begins where the zero bucket ends, as in Prometheus.
        """
        found = [(-upper, -lower, each) for lower, upper, each in reversed(self._bounded(self.negative))]
        if self.zero_count:
            found.append((-self.zero_threshold, self.zero_threshold, self.zero_count))
        return found + self._bounded(self.positive)

    def merge(self, other: NativeHistogram) -> NativeHistogram:
        """
        Return the histogram of the observations of both; ``a + b`` is the same.

        It has the coarser schema of the two and the larger zero threshold, widened to the next bound where it falls
        inside a bucket of the other. It is a float histogram if either is, and a gauge if either is. It may have more
        buckets than either: see :meth:`limit_buckets`.

        :raises ValueError: if only one has custom buckets, or both have with different bounds.
        """
        if not isinstance(other, NativeHistogram):
            raise TypeError(f"other: expected a NativeHistogram, got {type(other).__name__}")
        if self.custom_values != other.custom_values or (self._is_custom != other._is_custom):
            raise ValueError(
                "other: expected the same kind of buckets, and the same bounds for custom ones, got schema "
                f"{self.schema} {self.custom_values or ''} and {other.schema} {other.custom_values or ''}: create both "
                "from classic buckets with the same bounds, or both from observations"
            )
        threshold = _common_threshold(self, other)
        schema = min(self.schema, other.schema)
        one, two = (each._with_zero_threshold(threshold).reduce_resolution(schema) for each in (self, other))
        return NativeHistogram(
            schema=schema,
            sum=one.sum + two.sum,
            count=one.count + two.count,
            zero_threshold=threshold,
            zero_count=one.zero_count + two.zero_count,
            positive=coarser([*one.positive, *two.positive], 0),
            negative=coarser([*one.negative, *two.negative], 0),
            custom_values=self.custom_values,
            is_gauge=self.is_gauge or other.is_gauge,
        )

    def __add__(self, other: NativeHistogram) -> NativeHistogram:
        return self.merge(other) if isinstance(other, NativeHistogram) else NotImplemented

    def reduce_resolution(self, schema: int) -> NativeHistogram:
        """
        Return this histogram with a coarser schema; each step down merges pairs of neighbouring buckets.

        :raises ValueError: if the schema is finer than the current one, or the histogram has custom buckets.
        """
        if schema == self.schema:
            return self
        if self._is_custom or _exponential_schema(schema) > self.schema:
            raise ValueError(f"schema: expected at most the histogram's own, {self.schema}, got {schema}")
        steps = self.schema - schema
        return self._with(schema=schema, positive=coarser(self.positive, steps), negative=coarser(self.negative, steps))

    def limit_buckets(self, max_buckets: int = DEFAULT_MAX_BUCKETS) -> NativeHistogram:
        """
        Return this histogram with the finest schema, from the current one down to -4, that fills at most this many.

        Keeps repeated merges bounded. Custom buckets stay unchanged.
        """
        if self._is_custom:
            return self
        sides = [[index for index, _ in side] for side in (self.positive, self.negative)]
        return self.reduce_resolution(
            fitting_schema(self.schema, sides, _validation.integer("max_buckets", max_buckets, least=1))
        )

    def __eq__(self, other: object) -> bool:
        return self._content() == other._content() if isinstance(other, NativeHistogram) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._content())

    def _content(self) -> tuple[Any, ...]:
        # NaN does not equal itself, and 1 equals 1.0.
        total = "NaN" if math.isnan(self.sum) else self.sum
        return (
            *(self.schema, self.is_float, self.count, total, self.zero_threshold, self.zero_count),
            *(self.positive, self.negative, self.custom_values, self.is_gauge),
        )

    def _with(self, **changes: Any) -> NativeHistogram:
        return replace(self, **changes)

    @property
    def _is_custom(self) -> bool:
        return self.schema == CUSTOM_BUCKETS_SCHEMA

    def _bounded(self, side: tuple[tuple[int, Count], ...]) -> list[tuple[float, float, Count]]:
        if self._is_custom:
            bounds = [-math.inf, *self.custom_values, math.inf]
            return [(bounds[index], bounds[index + 1], count) for index, count in side]
        found = []
        for index, count in side:
            upper = upper_bound(index, self.schema)
            found.append((max(upper_bound(index - 1, self.schema), min(self.zero_threshold, upper)), upper, count))
        return found

    def _with_zero_threshold(self, threshold: float) -> NativeHistogram:
        """Move the buckets that a threshold covers into the zero bucket; it must not fall inside a bucket."""
        if threshold == self.zero_threshold:
            return self
        kept, moved = [], [self.zero_count]
        for side in (self.positive, self.negative):
            kept.append([(index, count) for index, count in side if upper_bound(index - 1, self.schema) >= threshold])
            moved += [count for index, count in side if upper_bound(index - 1, self.schema) < threshold]
        return self._with(zero_threshold=threshold, zero_count=total_of(moved), positive=kept[0], negative=kept[1])

    def _check_layout(self) -> None:
        """Check what Prometheus requires of each kind of schema, and what holds for any set of observations."""
        if self._is_custom:
            if self.zero_threshold or self.zero_count or self.negative:
                raise ValueError("schema: with -53, zero_threshold, zero_count and negative must be left out")
            bounds = self.custom_values
            if not all(map(math.isfinite, bounds)) or any(map(operator.ge, bounds, bounds[1:])):
                raise ValueError(f"custom_values: expected finite bounds, each above the one before, got {bounds}")
            lowest, highest = 0, len(bounds)
        else:
            _exponential_schema(self.schema)
            if self.custom_values:
                raise ValueError(f"custom_values: expected none with schema {self.schema}, got {self.custom_values}")
            _checked_threshold(self.zero_threshold)
            lowest, highest = index_range(self.schema)
        for name, side in (("positive", self.positive), ("negative", self.negative)):
            indexes = [index for index, _ in side]
            if indexes and not lowest <= indexes[0] <= indexes[-1] <= highest:
                raise ValueError(
                    f"{name}: expected indexes from {lowest} to {highest}, got {indexes[0]} to {indexes[-1]}"
                )
            if len(set(indexes)) < len(indexes):
                raise ValueError(f"{name}: expected each index once")


def _common_threshold(one: NativeHistogram, two: NativeHistogram) -> float:
    """Return the larger zero threshold, raised until it falls inside no bucket of either histogram."""
    threshold = max(one.zero_threshold, two.zero_threshold)
    while True:
        covered = [
            upper_bound(index, each.schema)
            for each in (one, two)
            if each.zero_threshold != threshold
            for index, _ in (*each.positive, *each.negative)
            if upper_bound(index - 1, each.schema) < threshold
        ]
        if max(covered, default=0.0) <= threshold:
            return threshold
        threshold = max(covered)


def _check_total(count: Count, inside: int, total: float) -> None:
    if count > _INT64_MAX:
        raise ValueError(f"count: expected at most 2**63 - 1 observations, got {count}")
    if inside > count or (inside < count and not math.isnan(total)):
        raise ValueError(
            f"count: expected the sum of all buckets, {inside}, or more only if the sum is NaN, got {count}"
        )


def _pairs(name: str, buckets: Buckets) -> list[tuple[int, Count]]:
    pairs = buckets.items() if isinstance(buckets, Mapping) else buckets
    return [(_validation.integer(name, index), _validation.count(name, count)) for index, count in pairs]


def _checked_threshold(threshold: float) -> float:
    if not 0 <= threshold < math.inf:
        raise ValueError(f"zero_threshold: expected a finite number of at least 0, got {threshold}")
    return threshold


def _exponential_schema(schema: int) -> int:
    if not MIN_SCHEMA <= _validation.integer("schema", schema) <= MAX_SCHEMA:
        raise ValueError(f"schema: expected {MIN_SCHEMA} to {MAX_SCHEMA} (-53 is for custom buckets), got {schema}")
    return int(schema)
