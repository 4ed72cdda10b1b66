"""The encoder of Remote-Write 1.0 requests (``proto/remote_write_v1.proto``), from what each series caches."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import chain
from typing import cast

from pyflink_prometheus.model.histogram import NativeHistogram
from pyflink_prometheus.wire.encoder_histogram import encode_histogram
from pyflink_prometheus.wire.encoder_sample import (
    NO_SAMPLES_TEXT,
    SAMPLE_HEAD,
    all_ordinary,
    encode_sample,
    encode_tails,
)
from pyflink_prometheus.wire.point import PointOrFloat, Run, runs
from pyflink_prometheus.wire.series import Series, encode_label
from pyflink_prometheus.wire.varint import encode_varint

CONTENT_TYPE = "application/x-protobuf"
VERSION_HEADER = "0.1.0"

# A message without samples, with an unknown field (15, of bytes) that receivers skip. It is not empty, because line
# protocol endpoints accept an empty body.
_WITHOUT_SAMPLES = b"\x7a" + encode_varint(len(NO_SAMPLES_TEXT)) + NO_SAMPLES_TEXT


def encode_request(
    series: Sequence[Series], timestamps: Sequence[int], values: Sequence[PointOrFloat], *, plain: bool
) -> bytes:
    """
    Return a ``WriteRequest`` message.

    Pure; called on any thread. The three columns have the same length and checked contents. Metadata and start
    timestamps do not exist in 1.0 and are omitted. A message without samples is accepted by every receiver, which
    stores nothing, and by nothing else.

    :param series: each sample's series; samples of one series are adjacent, in order of time.
    :param timestamps: milliseconds since 1970, any int64.
    :param values: floats or points.
    :param plain: whether all values are floats.
    """
    if not timestamps:
        return _WITHOUT_SAMPLES
    if not plain or not all_ordinary(timestamps):
        return b"".join([_encode_run(run) for run in runs(series, timestamps, values)])
    heads = [each.head for each in series]
    tails = encode_tails(timestamps, cast("Sequence[float]", values))
    if len(set(heads)) == len(heads):
        # The common case: every series once, with only 15 new bytes each.
        return b"".join(chain.from_iterable(zip(heads, tails)))
    return _encode_several_samples(series, heads, tails)


def _encode_several_samples(series: Sequence[Series], heads: list[bytes], tails: list[bytes]) -> bytes:
    message: list[bytes] = []
    start, end = 0, len(heads)
    while start < end:
        stop, head = start + 1, heads[start]
        while stop < end and heads[stop] == head:
            stop += 1
        inside = SAMPLE_HEAD.join([series[start].encoded_labels, *tails[start:stop]])
        message += (b"\x0a", encode_varint(len(inside)), inside)
        start = stop
    return b"".join(message)


def _encode_run(run: Run) -> bytes:
    parts = [run.series.encoded_labels]
    for value, timestamp in run.samples:
        if isinstance(value, NativeHistogram):
            inside = encode_histogram(value, timestamp)
            parts += (b"\x22", encode_varint(len(inside)), inside)
        else:
            parts.append(encode_sample(value, timestamp))
    for labels, value, timestamp in run.exemplars:
        inside = b"".join([encode_label(*label) for label in labels])
        inside += b"\x11" + struct.pack("<d", value) + b"\x18" + encode_varint(timestamp)
        parts += (b"\x1a", encode_varint(len(inside)), inside)
    message = b"".join(parts)
    return b"\x0a" + encode_varint(len(message)) + message
