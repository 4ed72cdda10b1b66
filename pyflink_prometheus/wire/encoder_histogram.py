"""The encoder of native histograms as the protobuf message that Remote-Write 1.0 and 2.0 share."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from pyflink_prometheus.model.histogram import NativeHistogram
from pyflink_prometheus.model.numbers import Count
from pyflink_prometheus.wire.varint import encode_varint, encode_zigzag

# A span takes about as many bytes as two empty buckets.
_MAX_FILLED_GAP = 2
# The only reset hint worth writing: Prometheus detects the others itself and does not trust a sender's.
_GAUGE = b"\x70\x03"


def encode_histogram(histogram: NativeHistogram, timestamp: int, start_timestamp: int = 0) -> bytes:
    """
    Return the body of a ``Histogram`` message (``proto/remote_write_v2.proto``), without tag and length.

    Pure; called on any thread. The 1.0 message has no start timestamp, and is the same otherwise.

    :param timestamp: milliseconds since 1970.
    :param start_timestamp: when the histogram began to count, likewise; 0 for unknown: the field is omitted.
    """
    positive_spans, positive = _spans_and_counts(histogram.positive)
    negative_spans, negative = _spans_and_counts(histogram.negative)
    is_float = histogram.is_float
    buckets = _packed_doubles if is_float else _packed_deltas
    return b"".join(
        (
            _double(b"\x11", histogram.count) if is_float else b"\x08" + encode_varint(int(histogram.count)),
            _double(b"\x19", histogram.sum),
            b"\x20" + encode_zigzag(histogram.schema),
            _double(b"\x29", histogram.zero_threshold),
            _double(b"\x39", histogram.zero_count) if is_float else b"\x30" + encode_varint(int(histogram.zero_count)),
            *(_bytes(b"\x42", span) for span in negative_spans),
            _bytes(b"\x52" if is_float else b"\x4a", buckets(negative)),
            *(_bytes(b"\x5a", span) for span in positive_spans),
            _bytes(b"\x6a" if is_float else b"\x62", buckets(positive)),
            _GAUGE if histogram.is_gauge else b"",
            b"\x78" + encode_varint(timestamp),
            _bytes(b"\x82\x01", _packed_doubles(histogram.custom_values)),
            b"\x88\x01" + encode_varint(start_timestamp) if start_timestamp else b"",
        )
    )


def _spans_and_counts(side: Sequence[tuple[int, Count]]) -> tuple[list[bytes], list[Count]]:
    """Return encoded ``BucketSpan`` messages, and the counts of all their buckets, including empty ones."""
    spans: list[tuple[int, int]] = []
    counts: list[Count] = []
    following = 0
    for index, count in side:
        gap = index - following
        if spans and gap <= _MAX_FILLED_GAP:
            offset, length = spans.pop()
            spans.append((offset, length + gap + 1))
            counts += [0] * gap
        else:
            spans.append((gap, 1))
        counts.append(count)
        following = index + 1
    return [b"\x08" + encode_zigzag(offset) + b"\x10" + encode_varint(length) for offset, length in spans], counts


def _packed_deltas(counts: Sequence[Count]) -> bytes:
    return b"".join(encode_zigzag(int(count - before)) for before, count in zip([0, *counts], counts))


def _packed_doubles(numbers: Sequence[float]) -> bytes:
    return struct.pack(f"<{len(numbers)}d", *numbers)


def _double(tag: bytes, number: float) -> bytes:
    return tag + struct.pack("<d", number)


def _bytes(tag: bytes, inside: bytes) -> bytes:
    return tag + encode_varint(len(inside)) + inside if inside else b""
