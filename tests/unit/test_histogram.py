"""Native histograms: what each constructor accepts and refuses, merging, and the bytes of a reference histogram."""

from __future__ import annotations

import array
import dataclasses
import decimal
import fractions
import math
import pickle

import numpy as np
import pytest

from pyflink_prometheus.model.histogram import NativeHistogram
from pyflink_prometheus.wire._pb.remote_write_v2_pb2 import Histogram
from pyflink_prometheus.wire.encoder_histogram import encode_histogram

INF, NAN = math.inf, math.nan


def observed(*values, **options):
    return NativeHistogram.from_observations(values, **options)


def made(**changes):
    return NativeHistogram(**{"schema": 0, "sum": 1.0, **changes})


def test_observations_are_counted_as_the_specification_says():
    histogram = observed(1, 2, 2.5, 4, -3, 0, 2**-128, -(2**-130), schema=0)
    assert histogram.positive == ((0, 1), (1, 1), (2, 2))
    assert histogram.negative == ((2, 1),)
    assert histogram.zero_count == 3
    assert histogram.count == 8
    assert histogram.sum == 6.5
    assert histogram.zero_threshold == 2.0**-128
    assert not histogram.is_float
    assert not histogram.is_gauge


@pytest.mark.parametrize(
    "values",
    [
        [1, 2.5, -4],
        (1, 2.5, -4),
        iter([1, 2.5, -4]),
        {1: "a", 2.5: "b", -4: "c"}.keys(),
        array.array("f", [1, 2.5, -4]),
        np.array([1, 2.5, -4]),
        np.array([1, 2.5, -4], dtype=np.float32),
        [np.int32(1), np.float32(2.5), np.float64(-4)],
        [fractions.Fraction(1), decimal.Decimal("2.5"), -4],
    ],
    ids=lambda values: type(values).__name__,
)
def test_any_iterable_of_any_numbers_will_do(values):
    assert NativeHistogram.from_observations(values) == observed(1.0, 2.5, -4.0)


@pytest.mark.parametrize(
    "values",
    ["12", b"12", bytearray(b"12"), {1: 2}, 7, None, ["1"], [1, None], [10**400], np.ones((2, 2)), [1j]],
    ids=repr,
)
def test_what_is_no_iterable_of_numbers_is_refused(values):
    with pytest.raises(TypeError, match="values: expected numbers"):
        NativeHistogram.from_observations(values)


def test_no_observations_make_an_empty_histogram_that_changes_nothing_when_merged():
    empty = observed()
    assert (empty.count, empty.sum, empty.zero_count, empty.buckets()) == (0, 0.0, 0, [])
    some = observed(1.0, 2.0, -3.0, schema=3)
    assert empty + some == some + empty == some


@pytest.mark.parametrize("schema", [8, 3, 0, -1, -4])
def test_infinities_have_the_bucket_after_that_of_the_largest_float(schema):
    largest = np.finfo(float).max
    histogram = observed(largest, INF, -INF, -largest, schema=schema)
    (last, one), (overflow, another) = histogram.positive
    assert (one, another, overflow) == (1, 1, last + 1)
    assert last == 2**10 * 2**8 >> (8 - schema)
    assert histogram.negative == histogram.positive
    assert [bucket[1] for bucket in histogram.buckets()[2:]] == [largest, INF]
    assert [bucket[0] for bucket in histogram.buckets()[2:]][1] == largest


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1.0, NAN], NAN),
        ([INF, 1.0], INF),
        ([INF, -INF], NAN),
        ([1e308, 1e308], INF),
        ([1e16, 1.0, -1e16], 1.0),
    ],
)
def test_the_sum_is_that_of_floating_point_and_not_less_exact(values, expected):
    assert observed(*values).sum == pytest.approx(expected, rel=0, nan_ok=True)


def test_nan_is_counted_but_in_no_bucket():
    histogram = observed(1.0, NAN, NAN)
    assert (histogram.count, histogram.buckets()) == (3, [(observed(1.0).buckets()[0][0], 1.0, 1)])
    assert histogram == observed(NAN, 1.0, NAN) == pickle.loads(pickle.dumps(histogram))


def test_subnormals_are_told_apart_where_there_is_no_zero_bucket_for_them():
    histogram = observed(5e-324, 1e-323, 0.0, -0.0, zero_threshold=0.0, schema=0)
    assert (histogram.positive, histogram.zero_count) == (((-1074, 1), (-1073, 1)), 2)
    assert observed(5e-324, 1e-323, 0.0, -0.0).zero_count == 4


def test_the_schema_is_the_finest_of_which_no_more_buckets_are_filled():
    values = [1.0 + step / 100 for step in range(101)] + [-1.0 - step / 100 for step in range(101)]
    filled = {schema: len(observed(*values, schema=schema).buckets()) for schema in range(-4, 9)}
    assert filled[4] == 34
    assert observed(*values, max_buckets=34).schema == 4
    assert observed(*values, max_buckets=33).schema == 3
    assert observed(*values).schema == 6
    assert filled[6] <= 160 < filled[7]


def test_buckets_that_are_far_apart_and_the_zero_bucket_do_not_count_as_many():
    assert observed(1e-30, 0.0, 1e30, max_buckets=2).schema == 8
    assert observed(*(10.0**exponent for exponent in range(-300, 300)), zero_threshold=0, max_buckets=1).schema == -4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"schema": 9}, r"schema: expected -4 to 8 .*got 9"),
        ({"schema": -5}, r"schema: expected -4 to 8 .*got -5"),
        ({"schema": -53}, r"schema: expected -4 to 8 .*got -53"),
        ({"max_buckets": 0}, "max_buckets: expected an integer of at least 1, got 0"),
        ({"zero_threshold": -1.0}, "zero_threshold: expected a finite number of at least 0, got -1.0"),
        ({"zero_threshold": NAN}, "zero_threshold: expected a finite number of at least 0, got nan"),
        ({"zero_threshold": INF}, "zero_threshold: expected a finite number of at least 0, got inf"),
    ],
)
def test_an_option_out_of_range_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        observed(1.0, **options)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema": 9}, "schema: expected -4 to 8 .* got 9"),
        ({"schema": -52}, "schema: expected -4 to 8 .* got -52"),
        ({"count": -1}, "count: expected a count of at least 0, got -1"),
        ({"count": NAN}, "count: expected a count of at least 0, got nan"),
        ({"count": INF}, "count: expected a count of at least 0, got inf"),
        ({"zero_count": -1}, "zero_count: expected a count of at least 0, got -1"),
        ({"positive": {1: -1}}, "positive: expected a count of at least 0, got -1"),
        ({"negative": {1: -0.5}}, "negative: expected a count of at least 0, got -0.5"),
        ({"positive": {1: 2}, "count": 1}, "count: expected the sum of all buckets, 2, .*, got 1"),
        ({"positive": {1: 2}, "count": 3}, "count: expected the sum of all buckets, 2, .*, got 3"),
        ({"positive": {1: 2}, "count": 1, "sum": NAN}, "count: expected the sum of all buckets, 2, .*, got 1"),
        ({"positive": {1: 2**63}}, r"count: expected at most 2\*\*63 - 1 observations, got 9223372036854775808"),
        ({"positive": [(1, 2), (1, 3)]}, "positive: expected each index once"),
        ({"positive": {1026: 1}}, "positive: expected indexes from -1074 to 1025, got 1026 to 1026"),
        ({"negative": {-1075: 1}}, "negative: expected indexes from -1074 to 1025, got -1075 to -1075"),
        ({"schema": -4, "positive": {66: 1}}, "positive: expected indexes from -67 to 65, got 66 to 66"),
        ({"zero_threshold": -0.1}, "zero_threshold: expected a finite number of at least 0, got -0.1"),
        ({"zero_threshold": NAN}, "zero_threshold: expected a finite number of at least 0, got nan"),
        ({"custom_values": [1.0]}, r"custom_values: expected none with schema 0, got \(1.0,\)"),
        ({"schema": -53, "custom_values": [2.0, 1.0]}, r"custom_values: expected finite bounds, each above"),
        ({"schema": -53, "custom_values": [1.0, 1.0]}, r"custom_values: expected finite bounds, each above"),
        ({"schema": -53, "custom_values": [1.0, INF]}, r"custom_values: expected finite bounds"),
        ({"schema": -53, "custom_values": [-INF, 1.0]}, r"custom_values: expected finite bounds"),
        ({"schema": -53, "custom_values": [NAN]}, r"custom_values: expected finite bounds"),
        ({"schema": -53, "custom_values": [1.0], "positive": {2: 1}}, "positive: expected indexes from 0 to 1, got 2"),
        (
            {"schema": -53, "custom_values": [1.0], "positive": {-1: 1}},
            "positive: expected indexes from 0 to 1, got -1",
        ),
        (
            {"schema": -53, "zero_count": 1},
            "schema: with -53, zero_threshold, zero_count and negative must be left out",
        ),
        ({"schema": -53, "zero_threshold": 0.5}, "schema: with -53, .* must be left out"),
        ({"schema": -53, "negative": {0: 1}}, "schema: with -53, .* must be left out"),
    ],
)
def test_what_prometheus_would_refuse_is_refused_at_once(changes, message):
    with pytest.raises(ValueError, match=message):
        made(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema": 1.0}, "schema: expected an integer, got 1.0"),
        ({"sum": "1.5"}, "sum: expected a number, got '1.5'"),
        ({"sum": 10**400}, "sum: expected a number, got 1000"),
        ({"count": "7"}, "count: expected a number, got '7'"),
        ({"positive": {1.5: 1}}, "positive: expected an integer, got 1.5"),
        ({"positive": {1: None}}, "positive: expected a number, got None"),
        ({"custom_values": [None]}, "custom_values: expected a number, got None"),
    ],
)
def test_what_is_no_number_is_refused(changes, message):
    with pytest.raises(TypeError, match=message):
        made(**changes)


def test_a_histogram_made_by_hand_is_in_order_and_without_empty_buckets():
    histogram = made(positive={np.int64(3): np.int64(2), -1: 1, 2: 0}, negative=[(5, 4)], zero_count=1)
    assert (histogram.positive, histogram.negative, histogram.count) == (((-1, 1), (3, 2)), ((5, 4),), 8)
    assert histogram == made(positive=[(-1, 1), (3, 2)], negative={5: 4}, zero_count=1, count=8)
    assert type(histogram.positive[1][0]) is type(histogram.positive[1][1]) is int


def test_more_observations_than_are_in_buckets_are_taken_where_the_sum_is_nan():
    assert made(sum=NAN, positive={1: 2}, count=5).count == 5


@pytest.mark.parametrize(
    "changes", [{"positive": {1: 2.0, 2: 1}}, {"zero_count": 3.0}, {"count": 3.0}, {"negative": {1: 0.5}}]
)
def test_one_count_that_is_a_float_makes_all_of_them_floats(changes):
    histogram = made(**{"positive": {2: 1}, **changes})
    assert histogram.is_float
    counts = [histogram.count, histogram.zero_count, *(count for *_, count in histogram.buckets())]
    assert {type(count) for count in counts} == {float}


def test_integer_and_float_histograms_differ():
    assert made(positive={1: 2}) != made(positive={1: 2.0})
    assert made(positive={1: 2}) != "a histogram"
    assert (
        len({made(positive={1: 2}), made(positive={1: 2.0}), made(positive={1: 2}), made(positive={1: 2}, sum=2)}) == 3
    )


def test_a_histogram_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        made().count = 3


def test_a_gauge_is_marked_and_nothing_else_changes():
    counter = observed(1.0, 2.0)
    gauge = counter.as_gauge()
    assert gauge.is_gauge
    assert gauge != counter
    assert dataclasses.replace(gauge, is_gauge=False) == counter


def test_what_has_a_gauge_among_its_parts_is_a_gauge():
    counter = observed(1.0, 2.0)
    assert counter + counter.as_gauge() == counter.as_gauge() + counter == (counter + counter).as_gauge()
    assert not (counter + counter).is_gauge


def test_merging_takes_the_coarser_schema_and_the_kind_that_can_hold_both():
    whole, weighted = made(schema=1, positive={1: 1, 2: 2, 3: 4}), made(schema=0, positive={2: 0.5}, negative={0: 1.5})
    merged = whole + weighted
    assert merged == made(sum=2.0, count=9.0, positive={1: 3.0, 2: 4.5}, negative={0: 1.5})


def test_the_zero_bucket_is_widened_to_the_bound_of_a_bucket_that_it_would_cut():
    wide = made(zero_threshold=3.0, zero_count=5)
    fine = made(zero_threshold=0.5, zero_count=1, positive={0: 10, 2: 20, 3: 40}, negative={1: 80, 4: 160})
    for merged in (wide + fine, fine + wide):
        assert merged == made(
            sum=2.0, zero_threshold=4.0, zero_count=5 + 1 + 10 + 20 + 80, positive={3: 40}, negative={4: 160}
        )


def test_a_threshold_that_falls_into_an_empty_bucket_or_upon_a_bound_stays():
    fine = made(positive={1: 10, 3: 40})
    assert (made(zero_threshold=3.0) + fine).zero_threshold == 3.0
    assert (made(zero_threshold=3.0) + fine).zero_count == 10
    assert (made(zero_threshold=2.0) + fine).zero_threshold == 2.0
    assert (made(zero_threshold=2.0) + fine).zero_count == 10
    assert (made(zero_threshold=1.0) + fine).zero_count == 0


def test_widening_one_side_may_make_the_other_wider_still():
    one = made(zero_threshold=3.0, positive={2: 1, 4: 2})  # what is in bucket 2 lies between 3 and 4
    other = made(schema=-1, zero_threshold=0.0, positive={2: 4})  # above 4, up to 16
    assert (one + other).zero_threshold == 3.0
    assert (made(zero_threshold=5.0) + other).zero_threshold == 16.0
    assert made(zero_threshold=5.0) + other + one == made(schema=-1, sum=3.0, zero_threshold=16.0, zero_count=7)
    finer = made(schema=2, positive={7: 8, 8: 16})  # from 2.8 to 3.4, which cuts bucket 2, and on to 4
    assert one + finer == finer + one == made(sum=2.0, zero_threshold=4.0, zero_count=25, positive={4: 2})
    assert one + made(zero_threshold=0.0, negative={2: 8}) == made(
        sum=2.0, zero_threshold=4.0, zero_count=9, positive={4: 2}
    )


def test_custom_buckets_are_merged_only_with_the_same_bounds():
    one = NativeHistogram.from_classic_buckets({1.0: 2, 2.0: 5, INF: 9}, sum=20.0)
    same = NativeHistogram.from_classic_buckets({1.0: 10, 2.0: 10, INF: 30}, sum=200.0)
    assert one + same == NativeHistogram.from_classic_buckets({1.0: 12, 2.0: 15, INF: 39}, sum=220.0)
    assert one.limit_buckets(1) is one
    for stranger in (NativeHistogram.from_classic_buckets({1.0: 2, INF: 9}, sum=20.0), observed(1.0)):
        with pytest.raises(ValueError, match="other: expected the same kind of buckets.*the same bounds.*create both"):
            one.merge(stranger)
        with pytest.raises(ValueError, match="other: expected the same kind of buckets"):
            stranger.merge(one)
    with pytest.raises(ValueError, match="schema: expected at most the histogram's own, -53, got 0"):
        one.reduce_resolution(0)
    with pytest.raises(ValueError, match="other: expected the same kind of buckets"):
        _ = NativeHistogram(schema=-53, sum=0.0) + observed()


def test_only_histograms_are_merged():
    with pytest.raises(TypeError, match="other: expected a NativeHistogram, got float"):
        observed(1.0).merge(2.0)
    with pytest.raises(TypeError, match="unsupported operand"):
        _ = observed(1.0) + 2.0


def test_resolution_is_reduced_but_never_gained():
    fine = made(schema=2, positive={-4: 1, -3: 2, 0: 4, 1: 8, 4: 16, 5: 32})
    assert fine.reduce_resolution(0) == made(schema=0, positive={-1: 1, 0: 6, 1: 24, 2: 32})
    assert fine.reduce_resolution(2) is fine
    with pytest.raises(ValueError, match="schema: expected at most the histogram's own, 2, got 3"):
        fine.reduce_resolution(3)
    with pytest.raises(ValueError, match="schema: expected -4 to 8"):
        fine.reduce_resolution(-5)


def test_buckets_are_limited_as_far_as_needed_and_no_further():
    histogram = made(schema=2, positive={1: 1, 2: 2, 3: 4, 5: 8}, negative={6: 16, 9: 32})
    assert histogram.limit_buckets(6) is histogram
    assert histogram.limit_buckets(5) == histogram.reduce_resolution(1)
    assert len(histogram.reduce_resolution(1).buckets()) == 5
    assert histogram.limit_buckets(4) == histogram.reduce_resolution(0)
    assert histogram.limit_buckets(1).schema == -4
    with pytest.raises(ValueError, match="max_buckets: expected an integer of at least 1, got 0"):
        histogram.limit_buckets(0)


def test_buckets_are_shown_with_their_bounds_in_ascending_order():
    histogram = made(zero_threshold=0.25, zero_count=1, positive={0: 2, 3: 3}, negative={0: 4, 2: 5})
    assert histogram.buckets() == [(-4.0, -2.0, 5), (-1.0, -0.5, 4), (-0.25, 0.25, 1), (0.5, 1.0, 2), (4.0, 8.0, 3)]
    assert made(zero_threshold=3.0, positive={2: 1}, negative={2: 4}).buckets() == [(-4.0, -3.0, 4), (3.0, 4.0, 1)]
    assert made(schema=-2, positive={1: 1, -1: 2}).buckets() == [(2.0**-8, 2.0**-4, 2), (1.0, 16.0, 1)]


def test_classic_buckets_become_custom_ones():
    text = {"0.5": 1, "2.5e-1": 1, "10": 7, "+Inf": 9}
    histogram = NativeHistogram.from_classic_buckets(text, sum=33.0)
    assert histogram.buckets() == [(-INF, 0.25, 1), (0.5, 10.0, 6), (10.0, INF, 2)]
    assert histogram.custom_values == (0.25, 0.5, 10.0)
    assert (histogram.schema, histogram.count, histogram.sum) == (-53, 9, 33.0)
    assert histogram == NativeHistogram.from_classic_buckets([(10, 7), (0.5, 1), (0.25, np.int32(1))], sum=33, count=9)  # type: ignore[list-item]
    assert not histogram.is_float


def test_classic_buckets_of_floats_make_a_float_histogram():
    histogram = NativeHistogram.from_classic_buckets({1.0: 0.5, INF: 2.0}, sum=1.0)
    assert (histogram.is_float, histogram.positive) == (True, ((0, 0.5), (1, 1.5)))
    assert NativeHistogram.from_classic_buckets({1.0: 1, INF: 2.0}, sum=1.0).is_float


@pytest.mark.parametrize(
    ("buckets", "count", "message"),
    [
        ({1.0: 3}, None, r"count: expected the number of all observations, since no bucket's bound is \+Inf"),
        ({}, None, "count: expected the number of all observations"),
        ({1.0: 3, INF: 5}, 6, r"count: expected the count of the \+Inf bucket, 5, got 6"),
        ({1.0: 3, 2.0: 2, INF: 5}, None, r"buckets: expected cumulative counts, .* got \[3, 2, 5\]"),
        ({1.0: 3}, 2, r"buckets: expected cumulative counts, .* got \[3, 2\]"),
        ({1.0: -1, INF: 5}, None, "buckets: expected a count of at least 0, got -1"),
        ([(1, 2), ("1.0", 3), (INF, 3)], None, "buckets: expected numbers as bounds, each once, got"),
        ({NAN: 3, INF: 5}, None, "buckets: expected numbers as bounds, each once, got"),
        ({-INF: 3, INF: 5}, None, "custom_values: expected finite bounds"),
    ],
)
def test_what_is_no_classic_histogram_is_refused(buckets, count, message):
    with pytest.raises(ValueError, match=message):
        NativeHistogram.from_classic_buckets(buckets, sum=1.0, count=count)


def test_a_bound_that_is_no_number_is_refused():
    with pytest.raises(TypeError, match="buckets: expected a number, got 'low'"):
        NativeHistogram.from_classic_buckets({"low": 1}, sum=1.0)


def test_an_integer_histogram_is_encoded_in_spans_and_deltas():
    # The specification's own example in "Buckets"; gaps of one and two buckets are cheaper to fill than to leave out.
    histogram = made(sum=2.5, positive={-2: 3, -1: 5, 2: 1, 4: 3, 5: 2, 9: 1}, negative={7: 2})
    message = Histogram.FromString(encode_histogram(histogram, 1234))
    assert [(span.offset, span.length) for span in message.positive_spans] == [(-2, 8), (3, 1)]
    assert list(message.positive_deltas) == [3, 2, -5, 0, 1, -1, 3, -1, -1]
    assert [(span.offset, span.length) for span in message.negative_spans] == [(7, 1)]
    assert list(message.negative_deltas) == [2]
    assert (message.count_int, message.sum, message.timestamp, message.reset_hint) == (17, 2.5, 1234, 0)


def test_it_is_byte_for_byte_what_protobuf_writes():
    histogram = NativeHistogram(
        schema=3,
        sum=-2.5,
        zero_threshold=0.5,
        zero_count=1.5,
        positive={4: 0.5, 9: 2.0},
        negative={-3: 1.0},
        is_gauge=True,
    )
    message = Histogram(count_float=5.0, sum=-2.5, schema=3, zero_threshold=0.5, zero_count_float=1.5)
    message.positive_spans.add(offset=4, length=1)
    message.positive_spans.add(offset=4, length=1)
    message.positive_counts.extend([0.5, 2.0])
    message.negative_spans.add(offset=-3, length=1)
    message.negative_counts.extend([1.0])
    message.reset_hint = Histogram.GAUGE
    message.timestamp, message.start_timestamp = 1_700_000_000_000, 7
    assert encode_histogram(histogram, 1_700_000_000_000, 7) == message.SerializeToString()
