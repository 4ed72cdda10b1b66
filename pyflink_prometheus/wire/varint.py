"""Protobuf's variable-length integers."""

from __future__ import annotations


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
