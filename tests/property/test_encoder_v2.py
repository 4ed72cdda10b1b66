"""The hand-written 2.0 encoder agrees with protobuf's generated classes, and both encoders encode complete records."""

from __future__ import annotations

import struct
from itertools import chain
from operator import itemgetter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from snappy import compress
from test_encoder_v1 import all_labels, bits, columns, our_days, texts, timestamps, values

from pyflink_prometheus import Exemplar, Metadata, NativeHistogram
from pyflink_prometheus.model.metadata import METRIC_TYPES
from pyflink_prometheus.testing import decode_request
from pyflink_prometheus.wire import encoder_v1, encoder_v2
from pyflink_prometheus.wire._pb.remote_write_v2_pb2 import Request
from pyflink_prometheus.wire.point import Point
from pyflink_prometheus.wire.series import Series
from pyflink_prometheus.writer.series_cache import SeriesCache

metadata = st.none() | st.tuples(st.sampled_from(METRIC_TYPES), texts | st.just(""), texts | st.just(""))
series = st.builds(Series, all_labels, metadata)


def requests(samples):
    return st.lists(st.tuples(series, samples), min_size=1, max_size=6, unique_by=lambda each: each[0].head)


plain_requests = requests(st.lists(st.tuples(values, timestamps), min_size=1, max_size=4)) | requests(
    st.lists(st.tuples(values, our_days), min_size=1, max_size=3)
)

small_labels = st.dictionaries(st.sampled_from(["trace_id", "span_id", "ü"]), texts.map(lambda text: text[:20]))
exemplars = st.tuples(small_labels.map(lambda labels: tuple(sorted(labels.items()))), st.floats(width=64), timestamps)
histograms = st.builds(
    NativeHistogram.from_observations,
    st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=30),
    schema=st.sampled_from([0, 3, 8]),
) | st.builds(
    NativeHistogram.from_classic_buckets,
    st.just({0.5: 1.5, 2.0: 1.5, "+Inf": 4.25}),
    sum=st.floats(allow_nan=False),
)
points = st.builds(Point, values | histograms, st.just(0) | timestamps, st.lists(exemplars, max_size=3).map(tuple))
rich_requests = requests(st.lists(st.tuples(values | points, timestamps), min_size=1, max_size=5))


def read(message):
    """
    Decode a message with protobuf's classes to plain values, floats as bits so that NaN and -0.0 are compared.

    In order of the labels, because series of one shape are grouped.
    """
    request = Request.FromString(message)
    symbols = request.symbols
    assert symbols[0] == ""
    assert len(set(symbols)) == len(symbols)
    series = [
        (
            [symbols[reference] for reference in each.labels_refs],
            [(bits(sample.value), sample.timestamp) for sample in each.samples],
            (METRIC_TYPES[each.metadata.type], symbols[each.metadata.help_ref], symbols[each.metadata.unit_ref])
            if each.HasField("metadata")
            else None,
        )
        for each in request.timeseries
    ]
    return sorted(series, key=itemgetter(0))


@given(plain_requests)
def test_what_is_encoded_is_what_protobuf_reads(request):
    assert read(encoder_v2.encode_request(columns(request))) == sorted(
        (
            (list(known.symbols), [(bits(value), time) for value, time in samples], known.metadata)
            for known, samples in request
        ),
        key=itemgetter(0),
    )


# As users give them: in any order, with values that count as absent, as a mapping or as pairs.
few_labels = st.dictionaries(st.sampled_from("abc"), st.sampled_from(["", "x"]) | st.integers(0, 200).map(str))
given_labels = st.tuples(few_labels.flatmap(lambda labels: st.permutations(sorted(labels.items()))), st.booleans())


@settings(max_examples=50)
@given(st.lists(st.tuples(st.sampled_from(["m", "n"]) | st.just("m"), given_labels, our_days), min_size=1, max_size=80))
def test_series_with_much_in_common_keep_what_is_their_own(records):
    cache = SeriesCache(1000)
    expected: dict[tuple[tuple[str, str], ...], tuple[Series, int]] = {}
    for metric_name, (pairs, as_mapping), timestamp in records:
        known = cache.get(metric_name, dict(pairs) if as_mapping else pairs)
        labels = sorted([("__name__", metric_name), *((name, value) for name, value in pairs if value)])
        expected.setdefault(tuple(labels), (known, timestamp))
    request = columns([(known, [(1.0, time)]) for known, time in expected.values()])
    assert read(encoder_v2.encode_request(request)) == sorted(
        (list(chain.from_iterable(labels)), [(bits(1.0), time)], None) for labels, (_, time) in expected.items()
    )


@pytest.mark.parametrize("metric_names", ["mmm", "mnm"])
def test_so_many_labels_that_a_reference_is_a_percent_sign(metric_names):
    cache = SeriesCache(10)
    common = {f"name_{number}": f"value_{number}" for number in range(50)}
    series = [cache.get(name, {**common, "own": str(place)}) for place, name in enumerate(metric_names)]
    message = read(encoder_v2.encode_request(columns([(each, [(1.0, 1 << 40)]) for each in series])))
    assert [labels for labels, _, _ in message] == sorted(
        ["__name__", name, *chain.from_iterable(sorted(common.items())), "own", str(place)]
        for place, name in enumerate(metric_names)
    )


@settings(max_examples=50)
@given(plain_requests | rich_requests)
def test_every_symbol_is_there_because_something_refers_to_it(request):
    message = Request.FromString(encoder_v2.encode_request(columns(request)))
    used = {0}
    for each in message.timeseries:
        used.update(each.labels_refs, [each.metadata.help_ref, each.metadata.unit_ref])
        for exemplar in each.exemplars:
            used.update(exemplar.labels_refs)
    assert used == set(range(len(message.symbols)))


def comparable(value):
    return value if isinstance(value, NativeHistogram) else bits(value)


def content_of(records, *, start_timestamps):
    """Return the content of records, one entry per sample, with all exemplars of a series after its samples."""
    samples, others = [], []
    for record in records:
        labels = (("__name__", record.metric_name), *record.labels)
        for value, timestamp, *start in record.samples:
            samples.append((labels, comparable(value), timestamp, *(start if start_timestamps else ())))
        others += [(labels, *pair) for pair in record.exemplars]
    return samples, sorted(((labels, tuple(pairs), bits(v), t) for labels, pairs, v, t in others), key=repr)


def expected(request, *, start_timestamps):
    samples, others = [], []
    for known, each in request:
        for value, timestamp in each:
            point = value if isinstance(value, Point) else Point(value)
            start = (point.start_timestamp,) if start_timestamps and point.start_timestamp else ()
            samples.append((known.labels, comparable(point.value), timestamp, *start))
            others += [(known.labels, pairs, bits(v), t) for pairs, v, t in point.exemplars]
    # In a request, the name is sorted among the other labels.
    ordered = [((labels[names(labels).index("__name__")], *without_name(labels)), *rest) for labels, *rest in samples]
    exemplars = [((labels[names(labels).index("__name__")], *without_name(labels)), *rest) for labels, *rest in others]
    return ordered, sorted(exemplars, key=repr)


def names(labels):
    return [name for name, _ in labels]


def without_name(labels):
    return tuple(pair for pair in labels if pair[0] != "__name__")


@settings(max_examples=50)
@given(rich_requests)
def test_histograms_exemplars_and_start_timestamps_are_read_back_from_2_0(request):
    body = compress(encoder_v2.encode_request(columns(request)))
    received = decode_request(body, {"Content-Type": encoder_v2.CONTENT_TYPE})
    assert content_of(received.series, start_timestamps=True) == expected(request, start_timestamps=True)
    heads = {known.labels: known.metadata for known, _ in request}
    for record in received.series:
        known = heads[tuple(sorted((*record.labels, ("__name__", record.metric_name))))]
        assert record.metadata == (None if known is None else Metadata(*known))
        assert all(isinstance(exemplar, Exemplar) for exemplar in record.exemplars)


@settings(max_examples=50)
@given(rich_requests)
def test_histograms_and_exemplars_are_read_back_from_1_0_which_has_no_more(request):
    received = decode_request(compress(encoder_v1.encode_request(columns(request))))
    assert content_of(received.series, start_timestamps=True) == expected(request, start_timestamps=False)
    assert all(record.metadata is None for record in received.series)


@settings(max_examples=50)
@given(rich_requests)
def test_a_time_series_holds_floats_or_histograms_of_one_beginning_said_in_both_dialects(request):
    message = Request.FromString(encoder_v2.encode_request(columns(request)))
    for each in message.timeseries:
        assert bool(each.samples) != bool(each.histograms)
        samples: list[Any] = [*each.samples, *each.histograms]
        for sample in samples:
            assert sample.start_timestamp == each.created_timestamp
        assert [exemplar.timestamp for exemplar in each.exemplars] == sorted(e.timestamp for e in each.exemplars)


def test_a_known_request_byte_by_byte():
    known = Series((("__name__", "m"), ("a", "1")), ("counter", "", "s"))
    message = encoder_v2.encode_request(columns([(known, [(Point(2.0, 1), 1)])]))
    symbols = b"\x22\x00" + b"\x22\x08__name__" + b"\x22\x01m" + b"\x22\x01a" + b"\x22\x011" + b"\x22\x01s"
    labels = b"\x0a\x04\x01\x02\x03\x04"
    described = b"\x2a\x06\x08\x01\x18\x00\x20\x05"
    sample = b"\x12\x0d\x09" + struct.pack("<d", 2.0) + b"\x10\x01\x18\x01"
    inside = labels + described + sample + b"\x30\x01"
    assert message == symbols + b"\x2a" + bytes([len(inside)]) + inside
