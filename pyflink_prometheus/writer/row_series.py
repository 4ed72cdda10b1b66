"""The series of rows, by number; on the caller's thread."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pyflink_prometheus.errors import InvalidTimeSeriesError
from pyflink_prometheus.guards.guard import SeriesRefused
from pyflink_prometheus.wire.table import Numbers
from pyflink_prometheus.writer.family import RowFamily
from pyflink_prometheus.writer.series_cache import EXCLUDED, SeriesCache

#: In place of a number: no series, because it is not valid or refused, or because the configuration excludes it.
INVALID_NUMBER, EXCLUDED_NUMBER = -1, -2

_Row = tuple[str | None, ...]
_Known = dict[RowFamily, dict[_Row, int]]


class RowSeries:
    """
    The numbers of the series of rows, found by the texts of their labels.

    :param cache: makes and bounds the series, and gives them their numbers for as long as its table is in use.
    """

    def __init__(self, cache: SeriesCache) -> None:
        self._cache = cache
        self._table = cache.table
        self._known: _Known = {}
        self._older: _Known = {}

    def numbers(self, family: RowFamily, columns: Sequence[Sequence[str | None]], count: int) -> Numbers | None:
        """
        Return the number of each row's series, :data:`INVALID_NUMBER` or :data:`EXCLUDED_NUMBER` if it has none.

        :param columns: the metric names, unless the family has one, and the values of the labels.
        :param count: the number of rows.
        :return: ``None`` if the rows have more series than the cache keeps.
        """
        rows: list[_Row] = list(zip(*columns)) if columns else [()] * count
        for _ in range(2):
            self._follow()
            known = self._known.setdefault(family, {})
            found = list(map(known.get, rows))
            if None not in found:
                return np.array(found, np.int32)
            missing = list(dict.fromkeys([row for row, number in zip(rows, found) if number is None]))
            self._find(family, missing)
            if known is self._known.get(family):
                return np.array([known.get(row, INVALID_NUMBER) for row in rows], np.int32)
        return None

    def _follow(self) -> None:
        """Start over if the cache has a new table; known series are renewed when they are next used."""
        if self._table is not self._cache.table:
            self._older = self._known if self._table is self._cache.older_table else {}
            self._table, self._known = self._cache.table, {}

    def _find(self, family: RowFamily, missing: list[_Row]) -> None:
        """Give numbers to rows; rows without a series get none: nothing bounds them, and some may be admitted later."""
        columns: Sequence[Sequence[str | None]] = list(zip(*missing))
        for row, (metric_name, labels) in zip(missing, family.records(columns, len(missing))):
            number = self._older.get(family, {}).get(row, EXCLUDED_NUMBER)
            try:
                if number >= 0:
                    series = self._cache.older_table.series[number]
                    self._cache.renew(series, labels, family)
                else:
                    series = self._cache.make(metric_name, labels, family.metadata, family)
            except (InvalidTimeSeriesError, SeriesRefused):
                continue
            self._follow()
            self._known.setdefault(family, {})[row] = EXCLUDED_NUMBER if series is EXCLUDED else series.number
