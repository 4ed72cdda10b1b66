"""Native histograms: every observation is in the bucket that the specification requires, and merging loses none."""

from __future__ import annotations

import itertools
import math
import pickle
import sys
from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from pyflink_prometheus.model.histogram import NativeHistogram
from pyflink_prometheus.wire._pb import remote_write_v1_pb2, remote_write_v2_pb2
from pyflink_prometheus.wire.encoder_histogram import encode_histogram
from pyflink_prometheus.wire.varint import decode_varint, encode_zigzag

LARGEST = sys.float_info.max
SUBNORMAL = 5e-324
INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1

schemas = st.integers(-4, 8)
powers_of_two = st.integers(-1074, 1023).map(lambda exponent: math.ldexp(1.0, exponent))
near_bounds = st.builds(
    lambda schema, index, up: math.nextafter(2.0 ** (index * 2.0**-schema), up),
    schemas,
    st.integers(-60, 60),
    st.sampled_from([0.0, math.inf]),
)
positive = st.one_of(
    st.floats(min_value=SUBNORMAL, allow_infinity=False, allow_nan=False),
    st.floats(1e-3, 1e3),
    powers_of_two,
    near_bounds,
    st.sampled_from([SUBNORMAL, 2.2250738585072014e-308, LARGEST, 1.0, 2.0**0.5]),
)
finite = positive | positive.map(lambda number: -number) | st.just(0.0) | st.just(-0.0)
anything = finite | st.sampled_from([math.inf, -math.inf, math.nan])
# Sums of these are exact, in any order.
plain = st.integers(-(2**20), 2**20).map(lambda number: number / 1024)


def exact_index(number: float, schema: int) -> int:
    """Find by exact arithmetic the i with base**(i - 1) < number <= base**i, where base is 2**(2**-schema)."""
    if math.isinf(number):
        return exact_index(LARGEST, schema) + 1
    value = Fraction(number)
    roots = 2**schema if schema > 0 else 1  # with both sides raised to this power, the bounds are powers of two
    step = 1 if schema > 0 else 2**-schema
    numerator, denominator = value.numerator**roots, value.denominator**roots
    exponent = numerator.bit_length() - denominator.bit_length() - 1
    while numerator > denominator << exponent if exponent >= 0 else numerator << -exponent > denominator:
        exponent += 1
    return math.ceil(Fraction(exponent, step))


@pytest.mark.parametrize(
    ("number", "schema", "index"),
    [(1.0, 8, 0), (1.5, 0, 1), (2.0, 0, 1), (2.0, 3, 8), (4.0, -1, 1), (0.5, 1, -2), (LARGEST, 8, 262144)],
)
def test_the_exact_index_agrees_with_the_specifications_formula(number, schema, index):
    assert exact_index(number, schema) == index


@given(positive | st.just(math.inf), schemas, st.booleans())
@example(2.0**0.5, 1, False)
@example(math.nextafter(1.0, 2.0), 8, False)
def test_an_observation_is_in_the_bucket_of_exact_arithmetic(number, schema, is_negative):
    histogram = NativeHistogram.from_observations([-number if is_negative else number], schema=schema, zero_threshold=0)
    expected = ((exact_index(number, schema), 1),)
    assert (histogram.positive, histogram.negative) == (((), expected) if is_negative else (expected, ()))


@given(st.integers(0, 8), st.integers(-1022, 1023))
def test_a_power_of_two_is_in_the_bucket_that_it_bounds_and_the_next_float_is_in_the_next(schema, exponent):
    bound = math.ldexp(1.0, exponent)
    histogram = NativeHistogram.from_observations(
        [bound, math.nextafter(bound, math.inf)], schema=schema, zero_threshold=0
    )
    assert histogram.positive == ((exponent << schema, 1), ((exponent << schema) + 1, 1))


@given(st.lists(anything, max_size=30), schemas, st.just(0.0) | st.floats(0, 10))
def test_the_bounds_of_the_buckets_hold_all_observations_and_no_more(numbers, schema, threshold):
    histogram = NativeHistogram.from_observations(numbers, schema=schema, zero_threshold=threshold)
    found = histogram.buckets()
    zeros = [bucket for bucket in found if bucket[:2] == (-threshold, threshold)]
    others = [bucket for bucket in found if bucket not in zeros]
    assert sum(count for *_, count in zeros) == sum(abs(number) <= threshold for number in numbers)
    for lower, upper, count in others:
        assert lower < upper
        if lower >= 0:
            inside = [number for number in numbers if lower < number <= upper and number > threshold]
        else:
            inside = [number for number in numbers if lower <= number < upper and number < -threshold]
        assert count == len(inside) > 0
    assert found == sorted(found)
    not_numbers = sum(map(math.isnan, numbers))
    assert histogram.count == len(numbers) == sum(count for *_, count in found) + not_numbers
    assert math.isnan(histogram.sum) or not not_numbers


@given(st.lists(anything, max_size=60), st.integers(1, 40))
def test_the_finest_schema_that_fits_is_chosen(numbers, max_buckets):
    chosen = NativeHistogram.from_observations(numbers, max_buckets=max_buckets)

    def filled(schema):
        signed = [math.copysign(exact_index(abs(n), schema) + 10**7, n) for n in numbers if abs(n) > 2.0**-128]
        return len(set(signed))

    assert chosen.schema == -4 or filled(chosen.schema) <= max_buckets
    assert chosen.schema == 8 or filled(chosen.schema + 1) > max_buckets
    assert chosen == NativeHistogram.from_observations(numbers, schema=chosen.schema)
    assert chosen == NativeHistogram.from_observations(numbers, schema=8).limit_buckets(max_buckets)


@given(st.lists(plain, max_size=30), st.lists(plain, max_size=30), schemas, schemas, st.sampled_from([0.0, 2.0**-7, 1]))
def test_merging_is_observing_together(some, more, one_schema, other_schema, threshold):
    one = NativeHistogram.from_observations(some, schema=one_schema, zero_threshold=threshold)
    other = NativeHistogram.from_observations(more, schema=other_schema, zero_threshold=threshold)
    together = NativeHistogram.from_observations(
        some + more, schema=min(one_schema, other_schema), zero_threshold=threshold
    )
    assert one.merge(other) == one + other == other + one == together


@given(
    st.lists(plain, max_size=30), st.lists(plain, max_size=30), schemas, schemas, st.floats(0, 500), st.floats(0, 500)
)
def test_merging_different_zero_buckets_is_observing_with_the_widened_one(some, more, first, second, small, large):
    one = NativeHistogram.from_observations(some, schema=first, zero_threshold=small)
    other = NativeHistogram.from_observations(more, schema=second, zero_threshold=large)
    merged = one + other
    assert merged == other + one
    assert merged.zero_threshold >= max(small, large)
    assert merged == NativeHistogram.from_observations(
        some + more, schema=min(first, second), zero_threshold=merged.zero_threshold
    )
    # No wider than necessary: it is one of the two, or the bound of a bucket that was cut.
    widened = {upper for each in (one, other) for lower, upper, _ in each.buckets() if upper > 0}
    widened |= {-lower for each in (one, other) for lower, upper, _ in each.buckets() if lower < 0}
    assert merged.zero_threshold in {small, large} | widened


@given(st.lists(anything, max_size=40), schemas, schemas)
def test_reduced_resolution_is_that_of_observing_so(numbers, one, other):
    fine, coarse = max(one, other), min(one, other)
    reduced = NativeHistogram.from_observations(numbers, schema=fine).reduce_resolution(coarse)
    assert reduced == NativeHistogram.from_observations(numbers, schema=coarse)


@given(st.lists(st.sampled_from([0.5, 1.0, 2.5, 7.0, -3.0]) | plain, max_size=40), st.sets(plain, max_size=6))
def test_classic_buckets_keep_their_bounds_and_counts(numbers, bounds):
    cumulative = {str(bound): sum(number <= bound for number in numbers) for bound in sorted(bounds, reverse=True)}
    histogram = NativeHistogram.from_classic_buckets(cumulative, sum=math.fsum(numbers), count=len(numbers))
    assert histogram.custom_values == tuple(sorted(bounds))
    assert not histogram.is_float
    edges = [-math.inf, *sorted(bounds), math.inf]
    expected = [
        (lower, upper, sum(lower < number <= upper for number in numbers)) for lower, upper in itertools.pairwise(edges)
    ]
    assert histogram.buckets() == [bucket for bucket in expected if bucket[2]]
    with_infinity = {**cumulative, "+Inf": len(numbers)}
    assert NativeHistogram.from_classic_buckets(with_infinity, sum=math.fsum(numbers)) == histogram


def layouts(counts):
    """Return a strategy for the arguments of valid histograms, with counts drawn from the given strategy."""
    sums = st.floats()
    sides = st.dictionaries(st.integers(-40, 60), counts, max_size=12)
    exponential = st.fixed_dictionaries(
        {"schema": schemas, "sum": sums, "zero_threshold": st.floats(0, 1e300), "zero_count": counts}
        | {"positive": sides, "negative": sides, "is_gauge": st.booleans()}
    )
    custom = st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=8, unique=True).flatmap(
        lambda bounds: st.fixed_dictionaries(
            {"schema": st.just(-53), "sum": sums, "custom_values": st.just(sorted(bounds)), "is_gauge": st.booleans()}
            | {"positive": st.dictionaries(st.integers(0, len(bounds)), counts)}
        )
    )
    return exponential | custom


def made(layout):
    """Return the histogram, without indexes that the coarsest schemas do not have."""
    if layout["schema"] != -53:
        highest = NativeHistogram.from_observations([math.inf], schema=layout["schema"]).positive[0][0]
        lowest = NativeHistogram.from_observations([SUBNORMAL], schema=layout["schema"], zero_threshold=0)
        for side in ("positive", "negative"):
            kept = {i: n for i, n in layout[side].items() if lowest.positive[0][0] <= i <= highest}
            layout = {**layout, side: kept}
    return NativeHistogram(**layout)


integers = layouts(st.integers(0, 3) | st.integers(0, 2**40)).map(made)
floats = (
    layouts(st.floats(0, 1e12)).map(lambda layout: made({"zero_count": 0.0, **layout})).filter(lambda h: h.is_float)
)
big = st.builds(
    lambda schema, index: NativeHistogram(schema=schema, sum=0.0, positive={index: INT64_MAX}, negative={}),
    st.integers(0, 8),
    st.integers(-1000, 1000),
)
histograms = integers | floats | big
addable = (integers | floats).filter(lambda histogram: histogram.schema != -53)


@given(histograms)
def test_pickling_keeps_all(histogram):
    copy = pickle.loads(pickle.dumps(histogram))
    assert copy == histogram
    assert hash(copy) == hash(histogram)
    assert copy.is_float is histogram.is_float


@settings(max_examples=50)
@given(addable, addable)
def test_merging_adds_counts_up(one, other):
    assume(one.count + other.count <= INT64_MAX)
    merged = one + other
    inside = [sum(count for *_, count in each.buckets()) for each in (merged, one, other)]
    if merged.is_float:
        assert merged.count == pytest.approx(one.count + other.count)
        assert inside[0] == pytest.approx(inside[1] + inside[2])
    else:
        assert merged.count == one.count + other.count
        assert inside[0] == inside[1] + inside[2]
    assert merged.is_float is (one.is_float or other.is_float)


def read_side(spans, deltas, counts, is_float):
    """Return index and count of each bucket of a message, including empty ones."""
    indexes: list[int] = []
    position = 0
    for span in spans:
        position += span.offset
        indexes += range(position, position + span.length)
        position += span.length
    absolute = list(counts)
    if not is_float:
        assert not counts
        absolute = [sum(deltas[: end + 1]) for end in range(len(deltas))]
    else:
        assert not deltas
    assert len(indexes) == len(absolute)
    return list(zip(indexes, absolute))


def same(one, other):
    return one == other or (math.isnan(one) and math.isnan(other))


@pytest.mark.parametrize("protobuf", [remote_write_v1_pb2, remote_write_v2_pb2], ids=["1.0", "2.0"])
@given(histogram=histograms, timestamp=st.integers(INT64_MIN, INT64_MAX))
def test_what_is_encoded_is_what_protobuf_reads(protobuf, histogram, timestamp):
    message = protobuf.Histogram.FromString(encode_histogram(histogram, timestamp))

    kind = "float" if histogram.is_float else "int"
    assert message.WhichOneof("count") == f"count_{kind}"
    assert message.WhichOneof("zero_count") == f"zero_count_{kind}"
    assert getattr(message, f"count_{kind}") == histogram.count
    assert getattr(message, f"zero_count_{kind}") == histogram.zero_count
    assert same(message.sum, histogram.sum)
    assert message.schema == histogram.schema
    assert message.zero_threshold == histogram.zero_threshold
    assert tuple(message.custom_values) == histogram.custom_values
    assert message.reset_hint == (3 if histogram.is_gauge else 0)
    assert message.timestamp == timestamp
    for name in ("positive", "negative"):
        spans, deltas, counts = (getattr(message, f"{name}_{part}") for part in ("spans", "deltas", "counts"))
        found = read_side(spans, deltas, counts, histogram.is_float)
        assert tuple((index, count) for index, count in found if count) == getattr(histogram, name)


@given(histograms)
def test_spans_are_few_and_none_is_empty(histogram):
    message = remote_write_v1_pb2.Histogram.FromString(encode_histogram(histogram, 0))
    for spans in (message.positive_spans, message.negative_spans):
        assert all(span.length > 0 for span in spans)
        assert all(span.offset > 2 for span in spans[1:])
    for name in ("positive", "negative"):
        spans, counts = (getattr(message, f"{name}_{part}") for part in ("spans", "counts"))
        found = read_side(spans, getattr(message, f"{name}_deltas"), counts, histogram.is_float)
        empty = Counter(bool(count) for _, count in found)[False]
        assert empty <= 2 * (len(getattr(histogram, name)) - len(spans))
        assert not found or (found[0][1] and found[-1][1])


@given(histograms, st.integers(INT64_MIN, INT64_MAX), st.integers(INT64_MIN, INT64_MAX))
def test_a_start_timestamp_is_written_unless_it_is_zero(histogram, timestamp, start):
    encoded = encode_histogram(histogram, timestamp, start)
    message = remote_write_v2_pb2.Histogram.FromString(encoded)
    assert (message.timestamp, message.start_timestamp) == (timestamp, start)
    assert remote_write_v2_pb2.Histogram.FromString(encode_histogram(histogram, timestamp)).start_timestamp == 0
    without = encode_histogram(histogram, timestamp)
    assert encoded.startswith(without)
    assert (len(encoded) == len(without)) is (start == 0)


@given(st.integers(INT64_MIN, INT64_MAX))
def test_a_zigzag_reads_back(number):
    folded, end = decode_varint(encode_zigzag(number), 0)
    assert (folded >> 1 if folded % 2 == 0 else -(folded >> 1) - 1) == number
    assert end == len(encode_zigzag(number)) == max(1, -(-(2 * abs(number + (number < 0)) + 1).bit_length() // 7))
