"""The encoder of float samples; a Sample has the same bytes in Remote-Write 1.0 and 2.0."""

from __future__ import annotations

import struct

import numpy as np
import numpy.typing as npt

from pyflink_prometheus.wire.varint import encode_varint

#: The text in a request without samples, for anyone who finds it in a log.
NO_SAMPLES_TEXT = b"pyflink-prometheus asks whether this is a Remote-Write receiver"

# A Sample in its TimeSeries: tag and length, then the tag of its value. A present-day timestamp takes six bytes.
SAMPLE_HEAD = b"\x12\x10\x09"
ORDINARY_SAMPLE_SIZE = len(SAMPLE_HEAD) + 8 + 1 + 6

# The same as a record: the varint of the timestamp as a number of four bytes and one of two.
_ORDINARY = np.dtype(
    [("head", "<u2"), ("value_tag", "u1"), ("value", "<f8"), ("tag", "u1"), ("timestamp", "<u4"), ("rest", "<u2")]
)
_TIMESTAMP_TAG = 0x10
_ORDINARY_FROM, _ORDINARY_UNTIL = 1 << 35, 1 << 42  # timestamps with a varint of six bytes: 1971 to 2109


def all_ordinary(timestamps: npt.NDArray[np.int64]) -> bool:
    """Return whether all timestamps take six bytes, as :func:`encode_ordinary` requires."""
    return bool(timestamps.min() >= _ORDINARY_FROM and timestamps.max() < _ORDINARY_UNTIL)


def encode_ordinary(timestamps: npt.NDArray[np.int64], values: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    """Return the bytes of each sample as a row, with tag and length; all timestamps must be ordinary."""
    rows = np.empty(len(timestamps), _ORDINARY)
    rows["head"], rows["value_tag"] = int.from_bytes(SAMPLE_HEAD[:2], "little"), SAMPLE_HEAD[2]
    rows["value"] = values
    rows["tag"] = _TIMESTAMP_TAG
    low, high = (timestamps & 0xFFF_FFFF).astype(np.uint32), (timestamps >> 28).astype(np.uint16)
    # Seven bits per byte; in all bytes but the last, the eighth bit says that another byte follows.
    rows["timestamp"] = (
        low & 0x7F | (low & 0x3F80) << 1 | (low & 0x1F_C000) << 2 | (low & 0xFE0_0000) << 3 | 0x8080_8080
    )
    rows["rest"] = high & 0x7F | 0x80 | high >> 7 << 8
    return rows.view(np.uint8).reshape(-1, ORDINARY_SAMPLE_SIZE)


def encode_sample(value: float, timestamp: int, start_timestamp: int = 0) -> bytes:
    """Return any sample, with tag and length; a start timestamp other than 0 is for 2.0 only."""
    inside = b"\x09" + struct.pack("<d", value) + b"\x10" + encode_varint(timestamp)
    if start_timestamp:
        inside += b"\x18" + encode_varint(start_timestamp)
    return b"\x12" + encode_varint(len(inside)) + inside
