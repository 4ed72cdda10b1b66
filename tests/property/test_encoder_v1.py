"""The hand-written 1.0 encoder agrees with protobuf's generated classes for any input."""

from __future__ import annotations

import struct

import pyarrow
import pytest
import snappy
from batches import batch_of
from hypothesis import given
from hypothesis import strategies as st
from snappy import compress

from pyflink_prometheus.model.labels import canonical_labels
from pyflink_prometheus.model.samples import INT64_MAX, INT64_MIN
from pyflink_prometheus.wire._pb.remote_write_v1_pb2 import WriteRequest
from pyflink_prometheus.wire.encoder_v1 import encode_request
from pyflink_prometheus.wire.series import Series
from pyflink_prometheus.wire.varint import decode_varint, encode_varint

texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=300)
names = texts.filter(lambda name: not name.startswith("__"))
all_labels = st.builds(canonical_labels, texts, st.dictionaries(names, texts | st.just(""), max_size=8))

values = st.floats(width=64) | st.sampled_from([0.0, -0.0, float("nan"), float("inf"), float("-inf"), 5e-324])
our_days = st.integers(1 << 35, (1 << 42) - 1)
edges = st.sampled_from(
    [0, 1, -1, 127, 128, (1 << 35) - 1, 1 << 35, (1 << 42) - 1, 1 << 42, 253402300799999, INT64_MIN, INT64_MAX]
)
timestamps = our_days | edges | st.integers(INT64_MIN, INT64_MAX)


def bits(value):
    return struct.pack("<d", value)


def generated(message):
    """Decode a message with protobuf's classes to plain values, floats as bits so that NaN and -0.0 are compared."""
    return [
        (
            [(label.name, label.value) for label in series.labels],
            [(bits(sample.value), sample.timestamp) for sample in series.samples],
        )
        for series in WriteRequest.FromString(message).timeseries
    ]


def columns(series):
    return batch_of([(known, time, value) for known, samples in series for value, time in samples])


requests = st.lists(
    st.tuples(st.builds(Series, all_labels), st.lists(st.tuples(values, timestamps), min_size=1, max_size=4)),
    min_size=1,
    max_size=6,
    unique_by=lambda each: each[0].head,
)
one_ordinary_sample_each = st.lists(
    st.tuples(st.builds(Series, all_labels), st.lists(st.tuples(values, our_days), min_size=1, max_size=1)),
    min_size=1,
    max_size=6,
    unique_by=lambda each: each[0].head,
)


@pytest.mark.parametrize("edge", [0, 1, -1, (1 << 35) - 1, 1 << 35, (1 << 42) - 1, 1 << 42, INT64_MIN, INT64_MAX])
def test_a_lone_sample_at_an_edge_of_the_fast_way_is_what_protobuf_reads(edge):
    known = Series(canonical_labels("m", {}))
    assert generated(encode_request(columns([(known, [(1.0, edge)])]))) == [([("__name__", "m")], [(bits(1.0), edge)])]


@given(requests | one_ordinary_sample_each)
def test_what_is_encoded_is_what_protobuf_reads(request):
    assert generated(encode_request(columns(request))) == [
        (list(known.labels), [(bits(value), time) for value, time in samples]) for known, samples in request
    ]


@given(one_ordinary_sample_each)
def test_ordinary_samples_are_byte_for_byte_what_protobuf_writes_but_for_explicit_zeros(request):
    message = WriteRequest()
    for known, samples in request:
        series = message.timeseries.add()
        for name, value in known.labels:
            series.labels.add(name=name, value=value)
        for value, time in samples:
            series.samples.add(value=value, timestamp=time)
    encoded = encode_request(columns(request))
    if all(bits(value) != bits(0.0) for _, samples in request for value, _ in samples):
        assert encoded == message.SerializeToString()
    else:
        assert generated(encoded) == generated(message.SerializeToString())


@given(st.binary(max_size=5000))
def test_compression_is_snappys_block_format(message):
    for body in (compress(message), pyarrow.compress(message, codec="snappy", asbytes=True)):
        assert snappy.uncompress(body) == message
        assert decode_varint(body, 0)[0] == len(message)  # unlike in the framed format


@given(st.integers(INT64_MIN, 2**64 - 1))
def test_a_varint_reads_back(number):
    encoded = encode_varint(number)
    assert decode_varint(encoded, 0) == (number & (2**64 - 1), len(encoded))
