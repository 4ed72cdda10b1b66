"""The cache of a writer's series, looked up by the contents of a user's record; on the caller's thread."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any

from pyflink_prometheus.model.labels import LabelPairs, canonical_labels, has_classic_names
from pyflink_prometheus.model.metadata import checked_metadata
from pyflink_prometheus.wire.series import Series, Tenant
from pyflink_prometheus.wire.table import SeriesTable
from pyflink_prometheus.writer.admission import Admission

#: Few series have more bytes of labels.
USUAL_SIZE = 1024

#: A placeholder for all series that the configuration excludes; it is in no table.
EXCLUDED = Series(())


class SeriesCache:
    """
    A cache of the :class:`Series` of records, which drops those no longer in use.

    Two generations bound the memory: when the young one is full it becomes the old one, and the previous old one is
    dropped. A series in use costs at most another lookup or is made again. Each young generation has its own table,
    in which its series have their numbers.

    :param limit: the largest number of series to keep; at least half as many, the most recently used, are kept. A
        series with long labels counts once more for each :data:`USUAL_SIZE` bytes, so that memory is bounded.
    :param admission: decides with which labels a series is sent. Default: its own.
    :param on_new_table: called when a generation begins, before a series gets a number in its table.
    :ivar table: the series of the young generation, by number.
    :ivar older_table: the series of the old generation.
    :ivar without_legacy_names: the first series, if any, without the legacy names that Remote-Write 1.0 demands.
    """

    def __init__(
        self, limit: int, admission: Admission | None = None, on_new_table: Callable[[], None] = lambda: None
    ) -> None:
        self.table = SeriesTable()
        self.older_table = SeriesTable()
        self.without_legacy_names: Series | None = None
        self._admission = admission if admission and admission.changes_labels else None
        self._on_new_table = on_new_table
        self._generation_size = max(1, limit // 2)
        self._young: dict[Any, Series] = {}
        self._young_size = 0
        self._old: dict[Any, Series] = {}

    def get(self, metric_name: Any, labels: Any, metadata: Any = None) -> Series:
        """
        Return the series with this name, these labels and this metadata, numbered in :attr:`table`.

        :return: :data:`EXCLUDED` if the configuration excludes it.
        :raises InvalidTimeSeriesError: if they cannot be written.
        :raises SeriesRefused: if the series exceeds a limit, for now or for good.
        """
        # A flat tuple of names, then values: built and hashed faster than pairs, and ignored by the garbage collector.
        try:
            if type(labels) is dict:
                key: Any = (metric_name, *labels, *labels.values())
            elif isinstance(labels, Mapping):
                key = (metric_name, *labels.keys(), *labels.values())
            else:
                labels = tuple(labels)
                key = (metric_name, labels)
            if metadata is not None:
                key = (metadata, *key)
            return self._young[key]
        except KeyError:
            return self._find_or_make(key, metric_name, labels, metadata)
        except TypeError:  # not iterable, or not hashable inside: the checks raise an error that says what is wrong
            key = (canonical_labels(metric_name, labels), None if metadata is None else checked_metadata(metadata))
            return self._young.get(key) or self._find_or_make(key, metric_name, labels, metadata)

    def make(self, metric_name: Any, labels: Any, metadata: Any, finder: Any = None) -> Series:
        """
        Return a new series with a number in :attr:`table`.

        :param finder: looks up the series, if it is not this cache; no finder makes a series twice.
        :return: :data:`EXCLUDED` if the configuration excludes it.
        :raises InvalidTimeSeriesError: if it cannot be written.
        :raises SeriesRefused: if it exceeds a limit, for now or for good.
        """
        checked = None if metadata is None else checked_metadata(metadata)
        canonical: LabelPairs = canonical_labels(metric_name, labels)
        tenant: Tenant = ()
        if self._admission is not None:
            admitted = self._admission.admit(canonical)
            if admitted is None:
                self._make_room(1)
                return EXCLUDED
            canonical, tenant = admitted
        series = Series(canonical, checked, tenant)
        if self.without_legacy_names is None and not has_classic_names(canonical):
            self.without_legacy_names = series
        self._number(series, tuple(chain.from_iterable(canonical)), labels, finder)
        return series

    def renew(self, series: Series, labels: Any, finder: Any = None) -> None:
        """
        Give a series of the old generation a number in :attr:`table`.

        :param labels: the labels from which it was made.
        :param finder: see :meth:`make`.
        """
        if self._admission is not None:
            self._admission.renew(series)
        self._number(series, self.older_table.texts_of(series.number), labels, finder)

    def _number(self, series: Series, texts: Sequence[str], labels: Any, finder: Any) -> None:
        form: Any
        if self._admission is not None:
            form = object()  # two different series may have become one
        elif isinstance(labels, Mapping):
            form = (finder, *labels)
        else:
            form = [finder, *(name for name, _ in labels)]
        self._make_room(1 + len(series.head) // USUAL_SIZE)
        self.table.add(series, form, texts)

    def _make_room(self, size: int) -> None:
        """Count a series, and begin a generation if the young one is full."""
        if self._young_size and self._young_size + size > self._generation_size:
            self._old, self._young, self._young_size = self._young, {}, 0
            self.older_table, self.table = self.table, SeriesTable()
            self._on_new_table()
        self._young_size += size

    def _find_or_make(self, key: Any, metric_name: Any, labels: Any, metadata: Any) -> Series:
        series = self._old.get(key)
        if series is None:
            series = self.make(metric_name, labels, metadata)
        elif series is EXCLUDED:
            self._make_room(1)
        else:
            self.renew(series, labels)
        self._young[self._shared(key)] = series
        return series

    def _shared(self, key: Any) -> Any:
        """
        Return an equal key that shares its strings with the table.

        After an exchange each record has its own copies of all names and values, most of which are in many series.
        """
        if type(key) is tuple:
            return tuple([self._shared(each) for each in key])
        return self.table.shared(key) if isinstance(key, str) else key

    def __len__(self) -> int:
        return len(self._young.keys() | self._old.keys())
