"""Rejected samples, read in a different order, however many there are."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from functools import lru_cache
from types import TracebackType
from typing import Any, NamedTuple

from pyflink_prometheus.model.exemplars import Exemplar
from pyflink_prometheus.model.labels import METRIC_NAME_LABEL, canonical_labels
from pyflink_prometheus.model.metadata import Metadata
from pyflink_prometheus.model.samples import Value
from pyflink_prometheus.model.timeseries import PrometheusTimeSeries
from pyflink_prometheus.writer.rejected_files import value_as_json, value_from_json

_SCHEMA = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA cache_size = -65536;
CREATE TABLE series (
    id INTEGER PRIMARY KEY, tenant TEXT, metric TEXT, labels TEXT, metadata TEXT, UNIQUE (tenant, metric, labels)
);
CREATE TABLE samples (series INTEGER, at INTEGER, value TEXT, start INTEGER, exemplars TEXT);
"""
_COLUMNS = "tenant, metric, labels, metadata, at, value, start, exemplars, series"
_FROM = "FROM samples JOIN series ON series.id = samples.series"

#: How many rows are inserted at once, and how many series are looked up without the database.
_ROWS, _KNOWN_SERIES = 10_000, 100_000
_KNOWN_TEXTS = 20_000


class LateSample(NamedTuple):
    """
    One sample, with everything known about it.

    :ivar tenant: the headers that name its tenant.
    :ivar start: the start timestamp; 0 if not known.
    """

    tenant: dict[str, str]
    metric_name: str
    labels: dict[str, str]
    metadata: Metadata | None
    value: Value
    timestamp: int
    start: int
    exemplars: tuple[Exemplar, ...]

    def record(self) -> PrometheusTimeSeries:
        """Return the sample as a record."""
        sample = (self.value, self.timestamp, self.start) if self.start else (self.value, self.timestamp)
        return PrometheusTimeSeries(self.metric_name, self.labels, (sample,), self.metadata, self.exemplars)


class LateSamples:
    """
    A collection of samples that can be read in several orders, each sample once.

    It is a temporary SQLite database, so memory does not bound its size, and nothing of it remains if the process is
    killed; sorting takes the same amount of disk space again. Both are in ``TMPDIR``, by default ``/var/tmp``. Of two
    samples of a series with the same timestamp, the one added first stays. Not thread-safe.

    :ivar duplicates: how many samples the last complete reading left out because they were duplicates.
    :ivar conflicts: how many it left out because there was an earlier sample with a different value.
    """

    def __init__(self) -> None:
        self._database = sqlite3.connect("", isolation_level=None)  # a file without a name
        self._database.executescript(_SCHEMA)
        self._database.execute("BEGIN")
        self._rows: list[tuple[Any, ...]] = []
        self._known: dict[tuple[str, str, str], int] = {}
        self.duplicates = self.conflicts = 0

    def __enter__(self) -> LateSamples:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()

    def add(self, series: PrometheusTimeSeries, tenant: Mapping[str, str] | None = None) -> None:
        """
        Add the samples of a valid series.

        :param tenant: the headers that name its tenant.
        """
        number = self._number_of(series, tenant or {})
        last = len(series.samples) - 1
        for place, (value, timestamp, *start) in enumerate(series.samples):
            exemplars = json.dumps([[dict(each[0]), *each[1:]] for each in series.exemplars]) if place == last else "[]"
            text = json.dumps(value_as_json(value))
            self._rows.append((number, timestamp, text, (start[0] if start else None) or 0, exemplars))
        if len(self._rows) >= _ROWS:
            self._insert()

    def by_time(self) -> Iterator[LateSample]:
        """Yield all samples by tenant, then by time, with the series of each moment in a fixed order."""
        return self._read("tenant, at, series, samples.rowid")

    def by_range(self, range_ms: int) -> Iterator[LateSample]:
        """Yield all samples by tenant, then by time range of this length, then by series, then by time."""
        start = f"at - ((at % {range_ms} + {range_ms}) % {range_ms})"
        return self._read(f"tenant, {start}, metric, labels, at, samples.rowid")

    def count(self) -> int:
        """Return how many samples there are, each counted once."""
        self._insert()
        (count,) = self._database.execute("SELECT count(*) FROM (SELECT 1 FROM samples GROUP BY series, at)").fetchone()
        return int(count)

    def count_series(self) -> int:
        """Return how many series there are."""
        (count,) = self._database.execute("SELECT count(*) FROM series").fetchone()
        return int(count)

    def _read(self, order: str) -> Iterator[LateSample]:
        self._insert()
        duplicates = conflicts = 0
        last: tuple[Any, ...] = ()
        parsed = lru_cache(_KNOWN_TEXTS)(json.loads)  # shared by the samples of a series; nobody changes it
        for row in self._database.execute(f"SELECT {_COLUMNS} {_FROM} ORDER BY {order}"):
            tenant, metric, labels, metadata, at, value, start, exemplars, number = row
            if (number, at) == last[:2]:
                duplicates += value == last[2]
                conflicts += value != last[2]
                continue
            last = (number, at, value)
            yield LateSample(
                parsed(tenant),
                metric,
                parsed(labels),
                None if metadata is None else Metadata(*parsed(metadata)),
                value_from_json(json.loads(value)),
                at,
                start,
                tuple(Exemplar(*each) for each in parsed(exemplars)),
            )
        self.duplicates, self.conflicts = duplicates, conflicts

    def _number_of(self, series: PrometheusTimeSeries, tenant: Mapping[str, str]) -> int:
        labels = dict(canonical_labels(series.metric_name, series.labels))
        metric = labels.pop(METRIC_NAME_LABEL)
        key = json.dumps(dict(sorted(tenant.items()))), metric, json.dumps(labels, ensure_ascii=False)
        number = self._known.get(key)
        if number is None:
            metadata = None if series.metadata is None else json.dumps(series.metadata)
            self._database.execute(
                "INSERT INTO series (tenant, metric, labels, metadata) VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
                "metadata = coalesce(metadata, excluded.metadata)",
                (*key, metadata),
            )
            find = "SELECT id FROM series WHERE tenant = ? AND metric = ? AND labels = ?"
            (number,) = self._database.execute(find, key).fetchone()
            if len(self._known) >= _KNOWN_SERIES:
                self._known.clear()
            self._known[key] = number
        return int(number)

    def _insert(self) -> None:
        self._database.executemany("INSERT INTO samples VALUES (?, ?, ?, ?, ?)", self._rows)
        self._rows.clear()
