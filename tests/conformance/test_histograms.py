"""
Native histograms.

2.0: "Protobuf Message", "Samples and Histogram Samples". In 1.0 they are in fields that Prometheus added.
"""

from __future__ import annotations

import math

import pytest
from wire_receiver import V1, V2, T

from pyflink_prometheus import NativeHistogram
from pyflink_prometheus.wire._pb.remote_write_v2_pb2 import Histogram


def absolute(spans, deltas, counts):
    """Return the buckets of one side as {index: count}, decoded as the specification of native histograms says."""
    buckets, index, position, count = {}, 0, 0, 0
    for span in spans:
        index += span.offset
        for _ in range(span.length):
            count = counts[position] if counts else count + deltas[position]
            buckets[index] = count
            index, position = index + 1, position + 1
    assert position == len(deltas or counts)
    return {index: count for index, count in buckets.items() if count}


def sides(histogram):
    return (
        absolute(histogram.positive_spans, histogram.positive_deltas, histogram.positive_counts),
        absolute(histogram.negative_spans, histogram.negative_deltas, histogram.negative_counts),
    )


@pytest.fixture
def as_sent(sent):
    """Return a function that writes one histogram, and returns its message."""

    def send(version, histogram, *start):
        request = sent(version, ("m", {"a": "1"}, ((histogram, T, *start),)))
        assert request.unknown_bytes == 0
        [series] = request.series
        [message] = series.histograms
        assert not series.samples
        assert message.timestamp == T
        return message

    return send


def test_a_histogram_of_integers_arrives_as_one(version, as_sent):
    positive, negative = {-3: 1, 0: 4, 1: 2, 50: 7}, {2: 3, 3: 9}
    message = as_sent(
        version,
        NativeHistogram(schema=3, sum=-18.5, zero_threshold=1e-9, zero_count=5, positive=positive, negative=negative),
    )
    assert (message.WhichOneof("count"), message.count_int) == ("count_int", 31)
    assert (message.WhichOneof("zero_count"), message.zero_count_int) == ("zero_count_int", 5)
    assert (message.schema, message.sum, message.zero_threshold) == (3, -18.5, 1e-9)
    assert sides(message) == (positive, negative)
    assert not message.positive_counts
    assert not message.negative_counts


def test_a_histogram_of_floats_arrives_as_one(version, as_sent):
    positive, negative = {-3: 0.25, 7: 1.5}, {2: 3.0}
    message = as_sent(
        version, NativeHistogram(schema=-4, sum=7.0, zero_count=0.5, positive=positive, negative=negative)
    )
    assert (message.WhichOneof("count"), message.count_float) == ("count_float", 5.25)
    assert (message.WhichOneof("zero_count"), message.zero_count_float) == ("zero_count_float", 0.5)
    assert (message.schema, sides(message)) == (-4, (positive, negative))
    assert not message.positive_deltas
    assert not message.negative_deltas


def test_a_histogram_with_buckets_of_its_own_arrives_as_one(version, as_sent):
    histogram = NativeHistogram.from_classic_buckets({"0.1": 2, "0.5": 2, "1": 9, "+Inf": 10}, sum=4.5)
    message = as_sent(version, histogram)
    assert (message.schema, list(message.custom_values), message.count_int) == (-53, [0.1, 0.5, 1.0], 10)
    assert sides(message) == ({0: 2, 2: 7, 3: 1}, {})


def test_a_histogram_without_observations_arrives_as_one(version, as_sent):
    message = as_sent(version, NativeHistogram.from_observations([]))
    assert (message.WhichOneof("count"), message.count_int, message.sum) == ("count_int", 0, 0.0)
    assert (message.WhichOneof("zero_count"), message.zero_count_int) == ("zero_count_int", 0)
    assert sides(message) == ({}, {})


def test_observations_of_nan_are_counted_in_no_bucket(version, as_sent):
    message = as_sent(version, NativeHistogram.from_observations([1.0, 2.0, float("nan")]))
    assert message.count_int == 3
    assert sum(sides(message)[0].values()) == 2
    assert math.isnan(message.sum)


def test_large_counts_arrive_exactly(version, as_sent):
    message = as_sent(version, NativeHistogram(schema=8, sum=1.0, positive={-1000: 2**61 + 1, 0: 1, 1000: 2**62 - 1}))
    assert message.count_int == 2**61 + 2**62 + 1
    assert sides(message)[0] == {-1000: 2**61 + 1, 0: 1, 1000: 2**62 - 1}


def test_every_schema_arrives(version, sent):
    schemas = range(-4, 9)
    histograms = [NativeHistogram(schema=schema, sum=1.0, positive={0: 1}) for schema in schemas]
    request = sent(version, *[(f"m{each.schema}", {}, ((each, T),)) for each in histograms])
    assert [series.histograms[0].schema for series in request.series] == list(schemas)


@pytest.mark.parametrize(("is_gauge", "hint"), [(False, Histogram.UNSPECIFIED), (True, Histogram.GAUGE)])
def test_a_gauge_histogram_says_that_it_is_one(version, as_sent, is_gauge, hint):
    histogram = NativeHistogram(schema=0, sum=1.0, positive={0: 1}, is_gauge=is_gauge)
    assert as_sent(version, histogram).reset_hint == hint


def test_the_same_histogram_is_the_same_in_both_versions(as_sent):
    histogram = NativeHistogram.from_observations([0.0, 1.0, 2.5, -7.0, 1e9, 1e-200])
    assert as_sent(V1, histogram).SerializeToString() == as_sent(V2, histogram).SerializeToString()


def test_histograms_have_the_complete_set_of_labels(version, sent):
    histogram = NativeHistogram(schema=0, sum=1.0, positive={0: 1})
    request = sent(version, ("m", {"b": "2", "a": "1"}, ((histogram, T), (histogram, T + 1))))
    [series] = request.series
    assert request.labels(series) == [("__name__", "m"), ("a", "1"), ("b", "2")]
    assert len(series.histograms) == 2


def test_histograms_that_were_not_taken_are_sent_again_unchanged(version, write, receiver):
    receiver.script += [500]
    write(version, ("m", {}, ((NativeHistogram(schema=0, sum=1.0, positive={0: 1}), T),)))
    first, second = receiver.requests
    assert first.body == second.body
    assert second.content == [0, 1, 0]
