"""A series, encoded once."""

from __future__ import annotations

import zlib
from functools import lru_cache
from itertools import chain

from pyflink_prometheus.model.labels import LabelPairs, series_key
from pyflink_prometheus.wire.encoder_sample import ORDINARY_SAMPLE_SIZE, SAMPLE_HEAD
from pyflink_prometheus.wire.varint import decode_varint, encode_varint

#: The headers that name a tenant of the receiver, and their values; none for series without a tenant.
Tenant = tuple[tuple[str, str], ...]


class Series:
    """
    The constant parts of a series, encoded once.

    Several objects may represent one series (its labels came in another order, or the cache had dropped it);
    ``head`` identifies it. There may be a million of them, so each byte counts.

    :param labels: all labels including ``__name__``, sorted by name.
    :param metadata: the metric's type, help and unit.
    :param tenant: the tenant of the series.
    :ivar head: all bytes of a 1.0 TimeSeries message with one ordinary sample that come before the sample's value.
    :ivar hash: the same number for the same labels in every process, whatever their order.
    :ivar number: its number in the current table of series.
    """

    __slots__ = ("hash", "head", "metadata", "number", "tenant")

    def __init__(self, labels: LabelPairs, metadata: tuple[str, str, str] | None = None, tenant: Tenant = ()) -> None:
        self.metadata = metadata
        self.tenant = tenant
        encoded = b"".join([encode_label(name, value) for name, value in labels])
        self.head = b"\x0a" + encode_varint(len(encoded) + ORDINARY_SAMPLE_SIZE) + encoded + SAMPLE_HEAD
        self.hash = zlib.crc32(encoded)
        self.number = -1

    @property
    def identity(self) -> bytes | tuple[Tenant, bytes]:
        """A value that is equal for all objects of one series of one tenant."""
        return (self.tenant, self.head) if self.tenant else self.head

    @property
    def encoded_labels(self) -> bytes:
        """All labels, as the ``labels`` field of a 1.0 TimeSeries message."""
        _, start = decode_varint(self.head, 1)
        return self.head[start : -len(SAMPLE_HEAD)]

    @property
    def labels(self) -> LabelPairs:
        """All labels including ``__name__``, sorted by name."""
        return tuple(_decode_labels(self.encoded_labels))

    @property
    def symbols(self) -> tuple[str, ...]:
        """Alternating names and values of all labels."""
        return tuple(chain.from_iterable(self.labels))

    def __repr__(self) -> str:
        return f"Series({series_key(self.labels)})"


def shown_tenant(tenant: Tenant) -> str:
    """Return a tenant's headers for a message."""
    return ", ".join([f"{name}: {value}" for name, value in tenant])


def encode_label(name: str, value: str) -> bytes:
    """Return a label as the ``labels`` field of a 1.0 TimeSeries or Exemplar message."""
    inside = _encode_name(name) + _encode_text(b"\x12", value)
    return b"\x0a" + encode_varint(len(inside)) + inside


@lru_cache(maxsize=4096)
def _encode_name(name: str) -> bytes:
    return _encode_text(b"\x0a", name)


def _encode_text(tag: bytes, text: str) -> bytes:
    encoded = text.encode("utf-8")
    return tag + encode_varint(len(encoded)) + encoded


def _decode_labels(encoded: bytes) -> list[tuple[str, str]]:
    labels, position = [], 0
    while position < len(encoded):
        _, position = decode_varint(encoded, position + 1)
        name, position = _decode_text(encoded, position)
        value, position = _decode_text(encoded, position)
        labels.append((name, value))
    return labels


def _decode_text(encoded: bytes, position: int) -> tuple[str, int]:
    length, start = decode_varint(encoded, position + 1)
    return encoded[start : start + length].decode("utf-8"), start + length
