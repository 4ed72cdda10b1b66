"""A known series: checked and encoded once, on its first sample, and found again by what the user's record says."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from typing import Any

from pyflink_prometheus.timeseries import canonical_labels, series_key
from pyflink_prometheus.wire.varint import decode_varint, encode_varint

# A Sample inside a TimeSeries: tag and length, then the tag of its value. A timestamp of our days takes six bytes.
SAMPLE_HEAD = b"\x12\x10\x09"
ORDINARY_SAMPLE_SIZE = len(SAMPLE_HEAD) + 8 + 1 + 6


class Series:
    """
    Keep what never changes about a series, ready for the wire.

    There may be several of the same series (its labels came in another order, or it had been forgotten meanwhile);
    ``head`` is what tells series apart.

    :ivar head: all bytes of a 1.0 TimeSeries message with one ordinary sample that come before the sample's value.
    :ivar newest: the newest timestamp so far, for whoever wants to keep it here.
    :ivar hash: the same number for the same labels in every process, whatever their order was.
    """

    __slots__ = ("hash", "head", "newest")

    def __init__(self, labels: tuple[tuple[str, str], ...]) -> None:
        self.newest: int | None = None
        encoded = b"".join([_encode_label(name, value) for name, value in labels])
        self.head = b"\x0a" + encode_varint(len(encoded) + ORDINARY_SAMPLE_SIZE) + encoded + SAMPLE_HEAD
        self.hash = zlib.crc32(encoded)

    @property
    def encoded_labels(self) -> bytes:
        """All labels, as the ``labels`` field of a 1.0 TimeSeries message."""
        _, start = decode_varint(self.head, 1)
        return self.head[start : -len(SAMPLE_HEAD)]

    @property
    def labels(self) -> tuple[tuple[str, str], ...]:
        """All labels with ``__name__`` among them, sorted by name; read back from the bytes, which need less memory."""
        return tuple(_decode_labels(self.encoded_labels))

    def __repr__(self) -> str:
        return f"Series({series_key(self.labels)})"


class SeriesCache:
    """
    Find the :class:`Series` of a record, or make it; forget the ones that fell silent.

    Two generations bound the memory: when the young one is full it becomes the old one, and what the old one still
    held is forgotten. A series in use is never lost by that, only looked up or made once more.

    :param limit: how many series to remember at most; at least half as many of the latest used are.
    """

    def __init__(self, limit: int) -> None:
        self._generation_size = max(1, limit // 2)
        self._young: dict[Any, Series] = {}
        self._old: dict[Any, Series] = {}

    def get(self, metric_name: Any, labels: Any) -> Series:
        """
        Return the series of that name and these labels.

        :raises InvalidTimeSeriesError: if they cannot be written.
        """
        # A flat tuple of names, then values: built and hashed faster than pairs, and ignored by the garbage collector.
        try:
            if type(labels) is dict:
                key: Any = (metric_name, *labels, *labels.values())
            elif isinstance(labels, Mapping):
                key = (metric_name, *labels.keys(), *labels.values())
            else:
                key = (metric_name, tuple(labels))
            series = self._young.get(key)
        except TypeError:  # not iterable, or holds what cannot be hashed: the checks will say what is wrong
            return Series(canonical_labels(metric_name, labels))
        if series is None:
            series = self._old.get(key)
            if series is None:
                series = Series(canonical_labels(metric_name, labels))
            if len(self._young) >= self._generation_size:
                self._old, self._young = self._young, {}
            self._young[key] = series
        return series

    def __len__(self) -> int:
        return len(self._young.keys() | self._old.keys())


def _encode_label(name: str, value: str) -> bytes:
    inside = _encode_text(b"\x0a", name) + _encode_text(b"\x12", value)
    return b"\x0a" + encode_varint(len(inside)) + inside


def _encode_text(tag: bytes, text: str) -> bytes:
    encoded = text.encode("utf-8")
    return tag + encode_varint(len(encoded)) + encoded


def _decode_labels(encoded: bytes) -> Iterator[tuple[str, str]]:
    position = 0
    while position < len(encoded):
        _, position = decode_varint(encoded, position + 1)
        name, position = _decode_text(encoded, position + 1)
        value, position = _decode_text(encoded, position + 1)
        yield name, value


def _decode_text(encoded: bytes, position: int) -> tuple[str, int]:
    length, start = decode_varint(encoded, position)
    return encoded[start : start + length].decode("utf-8"), start + length
