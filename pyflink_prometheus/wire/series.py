"""A known series: checked and encoded once, on its first sample, and found again by what the user's record says."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from itertools import chain
from typing import Any

from pyflink_prometheus.checks import LabelPairs, canonical_labels, checked_metadata, has_classic_names, series_key
from pyflink_prometheus.wire.sample import ORDINARY_SAMPLE_SIZE, SAMPLE_HEAD
from pyflink_prometheus.wire.varint import decode_varint, encode_varint


class Series:
    """
    Keep what never changes about a series, ready for the wire.

    There may be several of the same series (its labels came in another order, or it had been forgotten meanwhile);
    ``head`` is what tells series apart.

    :ivar symbols: names and values of all labels in turn, ``__name__`` among them, sorted by name.
    :ivar metadata: the metric's type, help and unit.
    :ivar head: all bytes of a 1.0 TimeSeries message with one ordinary sample that come before the sample's value.
    :ivar newest: the newest timestamp so far, for whoever wants to keep it here.
    :ivar hash: the same number for the same labels in every process, whatever their order was.
    """

    __slots__ = ("hash", "head", "metadata", "newest", "symbols")

    def __init__(self, labels: LabelPairs, metadata: tuple[str, str, str] | None = None) -> None:
        self.symbols: tuple[str, ...] = tuple(chain.from_iterable(labels))
        self.metadata = metadata
        self.newest: int | None = None
        encoded = b"".join([encode_label(name, value) for name, value in labels])
        self.head = b"\x0a" + encode_varint(len(encoded) + ORDINARY_SAMPLE_SIZE) + encoded + SAMPLE_HEAD
        self.hash = zlib.crc32(encoded)

    @property
    def encoded_labels(self) -> bytes:
        """All labels, as the ``labels`` field of a 1.0 TimeSeries message."""
        _, start = decode_varint(self.head, 1)
        return self.head[start : -len(SAMPLE_HEAD)]

    @property
    def labels(self) -> LabelPairs:
        """All labels with ``__name__`` among them, sorted by name."""
        return tuple(zip(self.symbols[::2], self.symbols[1::2]))

    def __repr__(self) -> str:
        return f"Series({series_key(self.labels)})"


class SeriesCache:
    """
    Find the :class:`Series` of a record, or make it; forget the ones that fell silent.

    Two generations bound the memory: when the young one is full it becomes the old one, and what the old one still
    held is forgotten. A series in use is never lost by that, only looked up or made once more.

    :param limit: how many series to remember at most; at least half as many of the latest used are.
    :ivar beyond_classic: a series, if there was any, with names that Remote-Write 1.0 does not allow.
    """

    def __init__(self, limit: int) -> None:
        self._generation_size = max(1, limit // 2)
        self._young: dict[Any, Series] = {}
        self._old: dict[Any, Series] = {}
        self.beyond_classic: Series | None = None

    def get(self, metric_name: Any, labels: Any, metadata: Any = None) -> Series:
        """
        Return the series of that name, these labels and that metadata.

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
            if metadata is not None:
                key = (metadata, *key)
            series = self._young.get(key)
        except TypeError:  # not iterable, or holds what cannot be hashed: the checks will say what is wrong
            return _checked(metric_name, labels, metadata)
        if series is None:
            series = self._old.get(key)
            if series is None:
                series = _checked(metric_name, labels, metadata)
                if self.beyond_classic is None and not has_classic_names(series.labels):
                    self.beyond_classic = series
            if len(self._young) >= self._generation_size:
                self._old, self._young = self._young, {}
            self._young[key] = series
        return series

    def __len__(self) -> int:
        return len(self._young.keys() | self._old.keys())


def encode_label(name: str, value: str) -> bytes:
    """Return a label as the ``labels`` field of a 1.0 TimeSeries or Exemplar message."""
    inside = _encode_text(b"\x0a", name) + _encode_text(b"\x12", value)
    return b"\x0a" + encode_varint(len(inside)) + inside


def _checked(metric_name: Any, labels: Any, metadata: Any) -> Series:
    return Series(canonical_labels(metric_name, labels), None if metadata is None else checked_metadata(metadata))


def _encode_text(tag: bytes, text: str) -> bytes:
    encoded = text.encode("utf-8")
    return tag + encode_varint(len(encoded)) + encoded
