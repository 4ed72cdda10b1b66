"""Protobuf's variable-length integers, one at a time and by row."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt


class EncodedRows(NamedTuple):
    """
    Rows of bytes, one after the other.

    :param bytes: of all rows.
    :param lengths: of each row.
    """

    bytes: npt.NDArray[np.uint8]
    lengths: npt.NDArray[np.int64]


def encode_varint(number: int) -> bytes:
    """Return an int64 or uint64 as a varint; a negative one takes ten bytes, as in protobuf."""
    number &= 0xFFFF_FFFF_FFFF_FFFF
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def encode_zigzag(number: int) -> bytes:
    """Return an int64 as a zigzag varint (protobuf's sint32 and sint64), short for small negative numbers."""
    return encode_varint(number << 1 ^ number >> 63)


def decode_varint(encoded: bytes, position: int) -> tuple[int, int]:
    """Return the varint at a position as an unsigned number, and the position after it."""
    number = shift = 0
    while True:
        byte = encoded[position]
        position += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, position
        shift += 7


def widths(numbers: npt.NDArray[np.int32]) -> npt.NDArray[np.uint8]:
    """Return how many bytes the varint of each number takes; none is negative."""
    width = np.ones(numbers.shape, np.uint8)
    bound, largest = 1 << 7, int(numbers.max(initial=0))
    while largest >= bound:
        width += numbers >= bound
        bound <<= 7
    return width


def encode_rows(numbers: npt.NDArray[np.int32]) -> EncodedRows:
    """Return each row of a matrix of numbers, none negative, as varints."""
    width = widths(numbers)
    lengths = width.sum(axis=1, dtype=np.int64)
    flat, width = numbers.ravel(), width.ravel()
    last = np.cumsum(width, dtype=np.int64) - 1  # where the last byte of each number is
    encoded = np.empty(int(last[-1]) + 1 if len(last) else 0, np.uint8)
    encoded[last] = flat >> 7 * (width - 1)
    more = np.flatnonzero(width > 1)
    for byte in range(1, int(width.max(initial=1))):
        if byte > 1:
            more = more[width[more] > byte]
        encoded[last[more] - byte] = flat[more] >> 7 * (width[more] - 1 - byte) & 0x7F | 0x80
    return EncodedRows(encoded, lengths)
