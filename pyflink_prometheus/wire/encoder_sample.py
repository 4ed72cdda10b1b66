"""The encoder of float samples; a Sample has the same bytes in Remote-Write 1.0 and 2.0."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from pyflink_prometheus.wire.varint import encode_varint

#: The text in a request without samples, for whoever finds it in a log.
NO_SAMPLES_TEXT = b"pyflink-prometheus asks whether this is a Remote-Write receiver"

# A Sample in its TimeSeries: tag and length, then the tag of its value. A present-day timestamp takes six bytes.
SAMPLE_HEAD = b"\x12\x10\x09"
TAIL_SIZE = 8 + 1 + 6
ORDINARY_SAMPLE_SIZE = len(SAMPLE_HEAD) + TAIL_SIZE

# The rest of an ordinary sample after SAMPLE_HEAD: the value, the timestamp's tag, and its six varint bytes, written
# as two numbers: the low 14 bits (two bytes, from a table) and the rest (four bytes, the same for 16 seconds).
_ORDINARY = struct.Struct("<dBHI")
_TIMESTAMP_TAG = 0x10
_LOW_MASK, _LOW_BITS = 0x3FFF, 14
_LOW = [number & 0x7F | 0x80 | (number >> 7 | 0x80) << 8 for number in range(1 << _LOW_BITS)]

_ORDINARY_FROM, _ORDINARY_UNTIL = 1 << 35, 1 << 42  # timestamps with a varint of six bytes: 1971 to 2109


class _HighBytes(dict[int, int]):
    """A cache of timestamps' upper four varint bytes, as the little-endian number that ``_ORDINARY`` writes."""

    def __missing__(self, high: int) -> int:
        if len(self) > 4096:  # replays of long histories have many
            self.clear()
        number = int.from_bytes(encode_varint(high), "little")
        self[high] = number
        return number


_HIGH = _HighBytes()


def all_ordinary(timestamps: Sequence[int]) -> bool:
    """Return whether all timestamps take six bytes, as :func:`encode_tails` requires."""
    return min(timestamps) >= _ORDINARY_FROM and max(timestamps) < _ORDINARY_UNTIL


def encode_tails(timestamps: Sequence[int], values: Sequence[float]) -> list[bytes]:
    """Return the bytes after SAMPLE_HEAD of each sample; all timestamps must be ordinary."""
    pack, low, high = _ORDINARY.pack, _LOW, _HIGH
    return [
        pack(value, _TIMESTAMP_TAG, low[timestamp & _LOW_MASK], high[timestamp >> _LOW_BITS])
        for value, timestamp in zip(values, timestamps)
    ]


def encode_sample(value: float, timestamp: int, start_timestamp: int = 0) -> bytes:
    """Return any sample, with tag and length; a start timestamp other than 0 is for 2.0 only."""
    inside = b"\x09" + struct.pack("<d", value) + b"\x10" + encode_varint(timestamp)
    if start_timestamp:
        inside += b"\x18" + encode_varint(start_timestamp)
    return b"\x12" + encode_varint(len(inside)) + inside
