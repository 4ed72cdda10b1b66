"""Protobuf's variable-length integers, one at a time and by row."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

# This many base-5 digits fit into a 64-bit number.
_MOST_DIGITS = 27

_ONE_BYTE = [bytes([number]) for number in range(128)]


class EncodedRows(NamedTuple):
    """
    Rows with the same number of bytes.

    :param places: where they are among all rows.
    :param bytes: a matrix.
    """

    places: npt.NDArray[np.int64]
    bytes: npt.NDArray[np.uint8]


def encode_varint(number: int) -> bytes:
    """Return an int64 or uint64 as a varint; a negative one takes ten bytes, as in protobuf."""
    if 0 <= number < 128:
        return _ONE_BYTE[number]
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
    """Return how many bytes the varint of each number takes; no number may be negative."""
    width = np.ones(numbers.shape, np.uint8)
    bound, largest = 1 << 7, int(numbers.max(initial=0))
    while largest >= bound:
        width += numbers >= bound
        bound <<= 7
    return width


def encode_rows(numbers: npt.NDArray[np.int32]) -> Iterator[EncodedRows]:
    """Yield all rows of a matrix of non-negative numbers as varints, rows of the same length together."""
    smallest, largest = widths(numbers.min(axis=0)), widths(numbers.max(axis=0))
    mixed = np.flatnonzero(smallest < largest)
    if not len(mixed):
        yield EncodedRows(np.arange(len(numbers)), _encode_columns(numbers, largest))
        return
    width = widths(numbers[:, mixed])
    if len(mixed) <= _MOST_DIGITS:
        pattern = width @ 5 ** np.arange(len(mixed), dtype=np.int64)
    else:
        pattern = np.unique(width, axis=0, return_inverse=True)[1].reshape(-1)
    for _, places in groups(pattern):
        largest[mixed] = width[places[0]]
        yield EncodedRows(places, _encode_columns(numbers[places], largest))


def groups(column: npt.NDArray[np.int64]) -> Iterator[tuple[int, npt.NDArray[np.int64]]]:
    """Yield each number in a column, in order of first use, with the places where it is."""
    if (column == column[0]).all():
        yield int(column[0]), np.arange(len(column))
        return
    numbers, first = np.unique(column, return_index=True)
    for number in numbers[np.argsort(first)].tolist():
        yield number, np.flatnonzero(column == number)


def _encode_columns(numbers: npt.NDArray[np.int32], width: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return rows of varints, given how many bytes those of each column take."""
    encoded = np.empty((len(numbers), int(width.sum())), np.uint8)
    byte = 0
    for column, size in enumerate(width.tolist()):
        for shift in range(0, 7 * size - 7, 7):
            encoded[:, byte] = numbers[:, column] >> shift & 0x7F | 0x80
            byte += 1
        encoded[:, byte] = numbers[:, column] >> 7 * size - 7
        byte += 1
    return encoded
