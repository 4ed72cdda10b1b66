"""The cache of a writer's series, looked up by the contents of a user's record; on the caller's thread."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pyflink_prometheus.model.labels import METRIC_NAME_LABEL, canonical_labels, has_classic_names
from pyflink_prometheus.model.metadata import checked_metadata
from pyflink_prometheus.wire.series import Family, Series

_MOST_SHARED_TEXTS = 1 << 14

#: Few series have more bytes of labels.
USUAL_SIZE = 1024


class SeriesCache:
    """
    A cache of the :class:`Series` of records, which drops those no longer in use.

    Two generations bound the memory: when the young one is full it becomes the old one, and the previous old one is
    dropped. A series in use costs at most another lookup or is made again.

    :param limit: the largest number of series to keep; at least half as many, the most recently used, are kept. A
        series with long labels counts once more for each :data:`USUAL_SIZE` bytes, so that memory is bounded, too.
    :ivar without_legacy_names: the first series, if any, without the legacy names that Remote-Write 1.0 demands.
    """

    def __init__(self, limit: int) -> None:
        self._generation_size = max(1, limit // 2)
        self._young: dict[Any, Series] = {}
        self._young_size = 0
        self._old: dict[Any, Series] = {}
        self._families: dict[Any, Family] = {}
        self._texts: dict[Any, Any] = {}
        self.without_legacy_names: Series | None = None

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
        except TypeError:  # not iterable, or not hashable inside: the checks raise an error that says what is wrong
            return Series(
                canonical_labels(metric_name, labels), None if metadata is None else checked_metadata(metadata)
            )

    def _find_or_make(self, key: Any, metric_name: Any, labels: Any, metadata: Any) -> Series:
        series = self._old.get(key)
        if series is None:
            key = self._shared(key)
            series = self._make(key, metric_name, labels, metadata)
            if self.without_legacy_names is None and not has_classic_names(series.labels):
                self.without_legacy_names = series
        size = 1 + len(series.head) // USUAL_SIZE
        if self._young and self._young_size + size > self._generation_size:
            self._old, self._young, self._young_size = self._young, {}, 0
            self._families = {}  # series keep a reference to theirs
        self._young[key] = series
        self._young_size += size
        return series

    def _shared(self, key: tuple[Any, ...]) -> tuple[Any, ...]:
        """
        Return an equal key that shares its strings with other keys.

        After an exchange each record has its own copies of all names and values, most of which are in many series.
        """
        if len(self._texts) > _MOST_SHARED_TEXTS:  # values that only one series has soon fill it
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
