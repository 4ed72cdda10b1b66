"""The series of rows, by number; on the caller's thread."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pyflink_prometheus.errors import InvalidTimeSeriesError
from pyflink_prometheus.guards.guard import SeriesRefused
from pyflink_prometheus.wire.table import Numbers
from pyflink_prometheus.writer.family import RowFamily
from pyflink_prometheus.writer.series_cache import EXCLUDED, SeriesCache

#: Instead of a number: no series, because it is not valid or refused, or because the configuration excludes it.
INVALID_NUMBER, EXCLUDED_NUMBER = -1, -2


class RowSeries:
    """
    The numbers of the series of rows, found by the texts of their labels.

    :param cache: holds the series, and their numbers for as long as its table stays.
    """

    def __init__(self, cache: SeriesCache) -> None:
        self._cache = cache
        self._table = cache.table
        self._known: dict[RowFamily, dict[tuple[str | None, ...], int]] = {}

    def numbers(self, family: RowFamily, columns: Sequence[Sequence[str | None]], count: int) -> Numbers | None:
        """
        Return the number of each row's series, :data:`INVALID_NUMBER` or :data:`EXCLUDED_NUMBER` if it has none.

        :param columns: the metric names, unless the family has one, and the values of the labels.
        :param count: the number of rows.
        :return: ``None`` if the rows have more series than the cache keeps.
        """
        for _ in range(2):
            if self._table is not self._cache.table:
                self._table, self._known = self._cache.table, {}
            found = self._find(family, list(zip(*columns)) if columns else [()] * count)
            if self._table is self._cache.table:
                return found
        return None

    def _find(self, family: RowFamily, rows: list[tuple[str | None, ...]]) -> Numbers:
        known = self._known.setdefault(family, {})
        found = list(map(known.get, rows))
        if None in found:
            without_series = []
            for row, number in zip(rows, found):
                if number is None and row not in known:
                    ((metric_name, labels),) = family.records([[text] for text in row], 1)
                    try:
                        series = self._cache.get(metric_name, labels, family.metadata)
                    except (InvalidTimeSeriesError, SeriesRefused):
                        known[row] = INVALID_NUMBER
                        without_series.append(row)
                    else:
                        known[row] = EXCLUDED_NUMBER if series is EXCLUDED else series.number
            found = list(map(known.__getitem__, rows))
            for row in without_series:  # no cache bounds them, and some may be let in the next time
                del known[row]
        return np.array(found, np.int32)
