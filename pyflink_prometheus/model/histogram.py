"""The native histogram: a sample's value that holds a whole distribution; made of observations, and merged."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Union

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

Buckets = Union[Mapping[int, Count], Iterable["tuple[int, Count]"]]

_INT64_MAX = 2**63 - 1


@dataclass(frozen=True, init=False, eq=False)
class NativeHistogram:
    """
    Hold a distribution, to be written as the value of a sample.

    Immutable, picklable, and equal to another of the same content. Make one with :meth:`from_observations` or
    :meth:`from_classic_buckets`; ``a + b`` merges two. Rules: "Native Histograms" specification, "Data model". The
    constructor takes only what Prometheus accepts, and integers as well as floats as counts; one count that is a
    float makes all of them floats.

    :param schema: the resolution: from -4 to 8 for buckets that grow by a factor of ``2 ** 2**-schema``, bucket ``i``
        holding what is above the factor to the power of ``i - 1`` and not above its power of ``i``; -53 for buckets
        between ``custom_values``.
    :param sum: the sum of all observations; NaN if there was one among them.
    :param count: how many observations there were; default: as many as are in the buckets. Those of NaN are in none.
    :param zero_threshold: up to which absolute value an observation is in the zero bucket; default 0.
    :param zero_count: how many are in the zero bucket; default 0.
    :param positive: a mapping, or pairs, of a bucket's index to how many observations are in it; empty ones may be
        left out. As an attribute: pairs in order of the index, without empty ones.
    :param negative: the same for observations below zero, by their absolute values.
    :param custom_values: for schema -53, the upper bounds, ascending and without +Inf; bucket 0 is below the first.
    :param is_gauge: whether it stands for itself, as that of one window does; default: no, so that the histograms of a
        series count on, each holding all observations of the one before, and Prometheus finds resets by itself.
    :raises ValueError: if Prometheus would refuse it, naming the parameter and what was expected.
    :raises TypeError: if something is not a number, likewise.
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
        Count observations.

        For a series of which one histogram follows another, a fixed ``schema`` is best: Prometheus stores changing ones
        less well, and reads several of them together at the coarsest resolution among them.

        :param values: numbers: any iterable, or a one-dimensional array. Infinite ones have a bucket of their own, NaN
            is counted in no bucket and makes the sum NaN.
        :param max_buckets: without a ``schema``, the finest one is taken that fills no more buckets than this, the
            zero bucket and empty ones not counted; -4 if there is none. Default 160, as OpenTelemetry has it.
        :param schema: a resolution from -4 to 8; default: what ``max_buckets`` says.
        :param zero_threshold: the zero bucket's; default 2**-128, as Prometheus's own libraries have it.
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
        Turn a classic histogram into a native one with the same bounds (schema -53).

        :param buckets: a mapping, or pairs, of an upper bound to the cumulative count of observations up to it. A bound
            is a number or text as in the label ``le``, such as ``"0.5"`` or ``"+Inf"``.
        :param sum: the sum of all observations.
        :param count: the number of all observations; needed if no bound is +Inf.
        :raises ValueError: if the buckets are no classic histogram, naming the parameter and what was expected.
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
            raise ValueError(f"count: expected that of the bucket +Inf, {cumulative[-1][1]}, got {count}")
        counts = [each for _, each in cumulative]
        if any(after < before for before, after in zip(counts, counts[1:])):
            raise ValueError(f"buckets: expected cumulative counts, which never fall as bounds rise, got {counts}")
        return NativeHistogram(
            schema=CUSTOM_BUCKETS_SCHEMA,
            sum=sum,
            count=counts[-1],
            positive=enumerate(map(operator.sub, counts, [0, *counts[:-1]])),
            custom_values=[bound for bound, _ in cumulative[:-1]],
        )

    @property
    def is_float(self) -> bool:
        """Tell whether counts are floats, as in weighted histograms, rather than integers."""
        return isinstance(self.count, float)

    def as_gauge(self) -> NativeHistogram:
        """Return the same as a gauge histogram: one that stands for itself, and does not count on from the last."""
        return self._with(is_gauge=True)

    def buckets(self) -> list[tuple[float, float, Count]]:
        """
        Return (lower bound, upper bound, count) of each bucket that is not empty, in ascending order.

        A bucket that the zero bucket overlaps begins where that one ends, as Prometheus shows it, too.
        """
        found = [(-upper, -lower, each) for lower, upper, each in reversed(self._bounded(self.negative))]
        if self.zero_count:
            found.append((-self.zero_threshold, self.zero_threshold, self.zero_count))
        return found + self._bounded(self.positive)

    def merge(self, other: NativeHistogram) -> NativeHistogram:
        """
        Return the histogram of both's observations together; ``a + b`` is the same.

        It has the coarser schema of the two, and the larger zero threshold, widened to the next bound where it is
        within a bucket of the other one. It is a float histogram if either is, and a gauge if either is. Its buckets
        may be more than either's: see :meth:`limit_buckets`.

        :raises ValueError: if just one has custom buckets, or both have, with different bounds.
        """
        if not isinstance(other, NativeHistogram):
            raise TypeError(f"other: expected a NativeHistogram, got a {type(other).__name__}")
        if self.custom_values != other.custom_values or (self._is_custom != other._is_custom):
            raise ValueError(
                "other: expected the same kind of buckets, and of custom ones the same bounds, got schema "
                f"{self.schema} {self.custom_values or ''} and {other.schema} {other.custom_values or ''}: make both "
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
        Return the same with a coarser schema: each step down puts two neighbouring buckets into one.

        :raises ValueError: if the schema is finer than the histogram's, or the histogram has custom buckets.
        """
        if schema == self.schema:
            return self
        if self._is_custom or _exponential_schema(schema) > self.schema:
            raise ValueError(f"schema: expected one below the histogram's own, {self.schema}, got {schema}")
        steps = self.schema - schema
        return self._with(schema=schema, positive=coarser(self.positive, steps), negative=coarser(self.negative, steps))

    def limit_buckets(self, max_buckets: int = DEFAULT_MAX_BUCKETS) -> NativeHistogram:
        """
        Return the same with the finest schema, from the present one down to -4, that fills no more buckets than this.

        For those who merge without end. Custom buckets stay as they are.
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
        # NaN differs from itself, and 1 does not from 1.0.
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
        """Move into the zero bucket what a threshold covers, one that is within no bucket."""
        if threshold == self.zero_threshold:
            return self
        kept, moved = [], [self.zero_count]
        for side in (self.positive, self.negative):
            kept.append([(index, count) for index, count in side if upper_bound(index - 1, self.schema) >= threshold])
            moved += [count for index, count in side if upper_bound(index - 1, self.schema) < threshold]
        return self._with(zero_threshold=threshold, zero_count=total_of(moved), positive=kept[0], negative=kept[1])

    def _check_layout(self) -> None:
        """Hold what Prometheus demands of each kind of schema, and what no observation can violate."""
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
    """Return the larger zero threshold; raised, where it is within a bucket of the other's, until it is in none."""
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
            f"count: expected as many as are in the buckets, {inside}, and more only where the sum is NaN, got {count}"
        )


def _pairs(name: str, buckets: Buckets) -> list[tuple[int, Count]]:
    pairs = buckets.items() if isinstance(buckets, Mapping) else buckets
    return [(_validation.integer(name, index), _validation.count(name, count)) for index, count in pairs]


def _checked_threshold(threshold: float) -> float:
    if not 0 <= threshold < math.inf:
        raise ValueError(f"zero_threshold: expected a finite number from 0 up, got {threshold}")
    return threshold


def _exponential_schema(schema: int) -> int:
    if not MIN_SCHEMA <= _validation.integer("schema", schema) <= MAX_SCHEMA:
        raise ValueError(f"schema: expected {MIN_SCHEMA} to {MAX_SCHEMA} (-53 is for custom buckets), got {schema}")
    return int(schema)
