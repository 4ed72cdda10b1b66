"""The encoder of Remote-Write 1.0 requests (``proto/remote_write_v1.proto``), from what each series caches."""

from __future__ import annotations

import struct
from functools import lru_cache
from itertools import chain

from pyflink_prometheus.model.histogram import NativeHistogram
from pyflink_prometheus.wire.encoder_histogram import encode_histogram
from pyflink_prometheus.wire.encoder_sample import (
    NO_SAMPLES_TEXT,
    ORDINARY_SAMPLE_SIZE,
    SAMPLE_HEAD,
    all_ordinary,
    encode_ordinary,
    encode_sample,
)
from pyflink_prometheus.wire.request_columns import Columns
from pyflink_prometheus.wire.runs import Run, messages, series_runs
from pyflink_prometheus.wire.series import Series, encode_label
from pyflink_prometheus.wire.varint import encode_varint

CONTENT_TYPE = "application/x-protobuf"
VERSION_HEADER = "0.1.0"


def encode_request(columns: Columns) -> bytes:
    """
    Return a ``WriteRequest`` message.

    Pure; called on any thread. Metadata and start timestamps do not exist in 1.0 and are omitted. Every receiver
    accepts a message without samples and stores nothing, and nothing else accepts one.
    """
    if not len(columns.timestamps):
        return encode_text(NO_SAMPLES_TEXT)
    series = columns.table.series
    if columns.points or not all_ordinary(columns.timestamps):
        return b"".join([_encode_message(series[run.series], run) for run in messages(columns)])
    samples = encode_ordinary(columns.timestamps, columns.values)
    numbers, starts, counts = series_runs(columns)
    of_runs = map(series.__getitem__, numbers.tolist())
    if len(numbers) == len(samples):
        # The common case: every series once, with only 15 new bytes each.
        tails = samples[:, len(SAMPLE_HEAD) :].copy().view(f"V{ORDINARY_SAMPLE_SIZE - len(SAMPLE_HEAD)}").ravel()
        return b"".join(chain.from_iterable(zip([each.head for each in of_runs], tails.tolist())))
    encoded, size = samples.tobytes(), ORDINARY_SAMPLE_SIZE
    message: list[bytes] = []
    for each, start, count in zip(of_runs, (size * starts).tolist(), (size * counts).tolist()):
        labels = each.encoded_labels
        message += (_head(len(labels) + count), labels, encoded[start : start + count])
    return b"".join(message)


def encode_text(text: bytes) -> bytes:
    """
    Return a message without samples that holds a text in an unknown field (15), which receivers skip.

    It is not empty, because line protocol endpoints accept an empty body.
    """
    return b"\x7a" + encode_varint(len(text)) + text


@lru_cache(maxsize=1 << 12)
def _head(size: int) -> bytes:
    """Return the bytes before the content of a TimeSeries."""
    return b"\x0a" + encode_varint(size)


def _encode_message(series: Series, run: Run) -> bytes:
    parts = [series.encoded_labels]
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
    return _head(len(message)) + message
