"""A known series: checked and encoded once, on its first sample, and found again by what the user's record says."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any, Callable

from pyflink_prometheus.checks import (
    METRIC_NAME_LABEL,
    LabelPairs,
    canonical_labels,
    checked_metadata,
    has_classic_names,
    series_key,
)
from pyflink_prometheus.wire.sample import ORDINARY_SAMPLE_SIZE, SAMPLE_HEAD
from pyflink_prometheus.wire.varint import decode_varint, encode_varint

_MOST_SHARED_TEXTS = 1 << 14

#: As many bytes of labels as few series have.
USUAL_SIZE = 1024


class Family:
    """
    Keep what all series of a metric with the same names of labels have in common, once for all of them.

    :param metric_name: the value of ``__name__``.
    :param names: the names of all labels, ``__name__`` among them, sorted.
    :param metadata: the metric's type, help and unit.
    :param places: where in a series' ``texts`` the values of its labels are, in the order of their names.
    :ivar values: returns them from there, as a tuple.
    """

    __slots__ = ("metadata", "metric_name", "names", "places", "values")

    def __init__(
        self,
        metric_name: str,
        names: tuple[str, ...],
        metadata: tuple[str, str, str] | None,
        places: Sequence[int],
    ) -> None:
        self.metric_name = metric_name
        self.names = names
        self.metadata = metadata
        self.places = places
        self.values: Callable[[tuple[str, ...]], tuple[str, ...]]
        if len(places) > 1:
            self.values = itemgetter(*places)
        else:  # with which an itemgetter does not return a tuple
            self.values = lambda texts: tuple([texts[place] for place in places])

    def columns(self, texts: Sequence[tuple[str, ...]]) -> list[list[str]]:
        """Return for each label the values that it has in some of the family's series, from their texts."""
        return [[each[place] for each in texts] for place in self.places]


class Series:
    """
    Keep what never changes about a series, ready for the wire.

    There may be several of the same series (its labels came in another order, or it had been forgotten meanwhile);
    ``head`` is what tells series apart. There may be a million of them, so that each byte counts: the texts are those
    that the cache has as its key anyway.

    :param labels: all labels, ``__name__`` among them, sorted by name.
    :param family: what it has in common with others. Default: it is a family of its own.
    :param texts: where the family finds the labels' values.
    :ivar head: all bytes of a 1.0 TimeSeries message with one ordinary sample that come before the sample's value.
    :ivar newest: the newest timestamp so far, for whoever wants to keep it here.
    :ivar hash: the same number for the same labels in every process, whatever their order was.
    """

    __slots__ = ("family", "hash", "head", "newest", "texts")

    def __init__(
        self,
        labels: LabelPairs,
        metadata: tuple[str, str, str] | None = None,
        *,
        family: Family | None = None,
        texts: tuple[str, ...] = (),
    ) -> None:
        if family is None:
            texts = tuple([value for name, value in labels if name != METRIC_NAME_LABEL])
            family = Family(
                dict(labels)[METRIC_NAME_LABEL], tuple([name for name, _ in labels]), metadata, range(len(texts))
            )
        self.family = family
        self.texts = texts
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
        values = iter(self.family.values(self.texts))
        return tuple(
            [
                (name, self.family.metric_name if name == METRIC_NAME_LABEL else next(values))
                for name in self.family.names
            ]
        )

    @property
    def symbols(self) -> tuple[str, ...]:
        """Names and values of all labels in turn."""
        return tuple(chain.from_iterable(self.labels))

    @property
    def metadata(self) -> tuple[str, str, str] | None:
        """The metric's type, help and unit."""
        return self.family.metadata

    def __repr__(self) -> str:
        return f"Series({series_key(self.labels)})"


class SeriesCache:
    """
    Find the :class:`Series` of a record, or make it; forget the ones that fell silent.

    Two generations bound the memory: when the young one is full it becomes the old one, and what the old one still
    held is forgotten. A series in use is never lost by that, only looked up or made once more.

    :param limit: how many series to remember at most; at least half as many of the latest used are. One whose labels
        are long counts as one for each :data:`USUAL_SIZE` of their bytes, so that memory is bounded, too.
    :ivar beyond_classic: a series, if there was any, with names that Remote-Write 1.0 does not allow.
    """

    def __init__(self, limit: int) -> None:
        self._generation_size = max(1, limit // 2)
        self._young: dict[Any, Series] = {}
        self._young_size = 0
        self._old: dict[Any, Series] = {}
        self._families: dict[Any, Family] = {}
        self._texts: dict[Any, Any] = {}
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
            return self._young[key]
        except KeyError:
            return self._find_or_make(key, metric_name, labels, metadata)
        except TypeError:  # not iterable, or holds what cannot be hashed: the checks will say what is wrong
            return Series(
                canonical_labels(metric_name, labels), None if metadata is None else checked_metadata(metadata)
            )

    def _find_or_make(self, key: Any, metric_name: Any, labels: Any, metadata: Any) -> Series:
        series = self._old.get(key)
        if series is None:
            key = self._shared(key)
            series = self._make(key, metric_name, labels, metadata)
            if self.beyond_classic is None and not has_classic_names(series.labels):
                self.beyond_classic = series
        size = 1 + len(series.head) // USUAL_SIZE
        if self._young and self._young_size + size > self._generation_size:
            self._old, self._young, self._young_size = self._young, {}, 0
            self._families = {}  # those in use are known to their series
        self._young[key] = series
        self._young_size += size
        return series

    def _shared(self, key: tuple[Any, ...]) -> tuple[Any, ...]:
        """
        Return an equal key of texts that other keys have already.

        Records that come over a hop bring all names and values anew, and most of these are in many series.
        """
        if len(self._texts) > _MOST_SHARED_TEXTS:  # values that are a series' own soon fill it
            self._texts.clear()
        return tuple([text if _is_long(text) else self._texts.setdefault(text, text) for text in key])

    def _make(self, key: Any, metric_name: Any, labels: Any, metadata: Any) -> Series:
        canonical = canonical_labels(metric_name, labels)
        checked = None if metadata is None else checked_metadata(metadata)
        names = tuple([name for name, _ in canonical])
        if isinstance(labels, Mapping):
            # Counted from the key's end, where the values are.
            place_of = {name: place - len(labels) for place, name in enumerate(labels)}
            texts, places = key, tuple([place_of[name] for name in names if name != METRIC_NAME_LABEL])
        else:
            texts = tuple([value for name, value in canonical if name != METRIC_NAME_LABEL])
            places = tuple(range(len(texts)))
        family = self._families.get((metric_name, checked, names, places))
        if family is None:
            family = Family(metric_name, names, checked, places)
            self._families[metric_name, checked, names, places] = family
        return Series(canonical, family=family, texts=texts)

    def __len__(self) -> int:
        return len(self._young.keys() | self._old.keys())


def _is_long(text: Any) -> bool:
    return isinstance(text, str) and len(text) > USUAL_SIZE


def encode_label(name: str, value: str) -> bytes:
    """Return a label as the ``labels`` field of a 1.0 TimeSeries or Exemplar message."""
    inside = _encode_text(b"\x0a", name) + _encode_text(b"\x12", value)
    return b"\x0a" + encode_varint(len(inside)) + inside


def _encode_text(tag: bytes, text: str) -> bytes:
    encoded = text.encode("utf-8")
    return tag + encode_varint(len(encoded)) + encoded
