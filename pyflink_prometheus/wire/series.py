"""A series, encoded once."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from itertools import chain
from operator import itemgetter
from typing import Callable

from pyflink_prometheus.model.labels import METRIC_NAME_LABEL, LabelPairs, series_key
from pyflink_prometheus.wire.encoder_sample import ORDINARY_SAMPLE_SIZE, SAMPLE_HEAD
from pyflink_prometheus.wire.varint import decode_varint, encode_varint


class Family:
    """
    What all series of a metric with the same label names share, stored once.

    :param metric_name: the value of ``__name__``.
    :param names: the names of all labels, ``__name__`` among them, sorted.
    :param metadata: the metric's type, help and unit.
    :param places: where in a series' ``texts`` the values of its labels are, in the order of their names.
    :ivar values: returns these values from the texts, as a tuple.
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
        else:  # an itemgetter would not return a tuple
            self.values = lambda texts: tuple([texts[place] for place in places])

    def columns(self, texts: Sequence[tuple[str, ...]]) -> list[list[str]]:
        """Return the values of each label in some of the family's series, from their texts."""
        return [[each[place] for each in texts] for place in self.places]


class Series:
    """
    The constant parts of a series, encoded once.

    Several objects may stand for one series (its labels came in another order, or the cache had dropped it);
    ``head`` identifies it. There may be a million of them, so each byte counts: the texts are those of the cache's key.

    :param labels: all labels, ``__name__`` among them, sorted by name.
    :param family: what the series shares with others. Default: a family of its own.
    :param texts: where the family finds the labels' values.
    :ivar head: all bytes of a 1.0 TimeSeries message with one ordinary sample that come before the sample's value.
    :ivar hash: the same number for the same labels in every process, whatever their order.
    """

    __slots__ = ("family", "hash", "head", "texts")

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
        """Alternating names and values of all labels."""
        return tuple(chain.from_iterable(self.labels))

    @property
    def metadata(self) -> tuple[str, str, str] | None:
        """The metric's type, help and unit."""
        return self.family.metadata

    def __repr__(self) -> str:
        return f"Series({series_key(self.labels)})"


def encode_label(name: str, value: str) -> bytes:
    """Return a label as the ``labels`` field of a 1.0 TimeSeries or Exemplar message."""
    inside = _encode_text(b"\x0a", name) + _encode_text(b"\x12", value)
    return b"\x0a" + encode_varint(len(inside)) + inside


def _encode_text(tag: bytes, text: str) -> bytes:
    encoded = text.encode("utf-8")
    return tag + encode_varint(len(encoded)) + encoded
