"""Encode samples as a Remote-Write 1.0 request (``proto/remote_write_v1.proto``), from what each series keeps."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import chain

import snappy

from pyflink_prometheus.wire.series import Series
from pyflink_prometheus.wire.varint import encode_varint

CONTENT_TYPE = "application/x-protobuf"
VERSION_HEADER = "0.1.0"

# The rest of an ordinary sample after SAMPLE_HEAD: the value, the timestamp's tag, and its six varint bytes, written
# as two numbers: the low 14 bits (two bytes, from a table) and the rest (four bytes, the same for 16 seconds).
_ORDINARY = struct.Struct("<dBHI")
_TIMESTAMP_TAG = 0x10
_LOW_MASK, _LOW_BITS = 0x3FFF, 14
_LOW = [number & 0x7F | 0x80 | (number >> 7 | 0x80) << 8 for number in range(1 << _LOW_BITS)]

_ORDINARY_FROM, _ORDINARY_UNTIL = 1 << 35, 1 << 42  # the timestamps whose varint is six bytes long: 1971 to 2109


class _HighBytes(dict[int, int]):
    """Keep the upper four varint bytes of timestamps, as the little-endian number that ``_ORDINARY`` writes."""

    def __missing__(self, high: int) -> int:
        if len(self) > 4096:  # replays of long histories pass through many
            self.clear()
        number = int.from_bytes(encode_varint(high), "little")
        self[high] = number
        return number


_HIGH = _HighBytes()


def encode_request(series: Sequence[Series], timestamps: Sequence[int], values: Sequence[float]) -> bytes:
    """
    Return a ``WriteRequest`` message: one TimeSeries for each run of the same series.

    Pure, and called on any thread. The three columns are of the same length; what they hold has been checked.

    :param series: each sample's series; samples of one series stand together, in order of time.
    :param timestamps: milliseconds since 1970, of any size that an int64 has.
    :param values: floats.
    """
    heads = [known.head for known in series]
    if len(set(heads)) == len(heads) and _all_ordinary(timestamps):
        return _encode_single_samples(heads, timestamps, values)
    return _encode_runs(series, timestamps, values)


def compress(message: bytes) -> bytes:
    """Return the message in Snappy's block format, as Remote-Write demands (never the framed one)."""
    return snappy.compress(message)  # type: ignore[no-any-return]


def _all_ordinary(timestamps: Sequence[int]) -> bool:
    return min(timestamps) >= _ORDINARY_FROM and max(timestamps) < _ORDINARY_UNTIL


def _encode_single_samples(heads: list[bytes], timestamps: Sequence[int], values: Sequence[float]) -> bytes:
    """Do the common case in one pass: every series once, so all that is new about each is 15 bytes."""
    pack, low, high = _ORDINARY.pack, _LOW, _HIGH
    tails = [
        pack(value, _TIMESTAMP_TAG, low[timestamp & _LOW_MASK], high[timestamp >> _LOW_BITS])
        for value, timestamp in zip(values, timestamps)
    ]
    return b"".join(chain.from_iterable(zip(heads, tails)))


def _encode_runs(series: Sequence[Series], timestamps: Sequence[int], values: Sequence[float]) -> bytes:
    message: list[bytes] = []
    samples: list[bytes] = []
    last = len(series) - 1
    for position, known in enumerate(series):
        samples.append(_encode_sample(values[position], timestamps[position]))
        if position == last or series[position + 1].head != known.head:
            inside = b"".join((known.encoded_labels, *samples))
            message += (b"\x0a", encode_varint(len(inside)), inside)
            samples.clear()
    return b"".join(message)


def _encode_sample(value: float, timestamp: int) -> bytes:
    inside = b"\x09" + struct.pack("<d", value) + b"\x10" + encode_varint(timestamp)
    return b"\x12" + encode_varint(len(inside)) + inside
