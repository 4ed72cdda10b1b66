"""Digests of the written samples, by series and hour, kept for comparison with what is stored."""

from __future__ import annotations

import threading
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from pyflink_prometheus.config import SinkConfig
from pyflink_prometheus.errors import PrometheusSinkError
from pyflink_prometheus.model.digest import are_stale, histogram_bits, sample_digests, value_bits
from pyflink_prometheus.model.histogram import NativeHistogram
from pyflink_prometheus.model.labels import LabelPairs
from pyflink_prometheus.wire.series import Tenant
from pyflink_prometheus.wire.table import Numbers, SeriesTable
from pyflink_prometheus.writer.batch import Batch
from pyflink_prometheus.writer.digest_files import HOUR_MS, ROW, DigestFiles, Rows, summed

_NEVER = np.iinfo(np.int64).min


class WrittenDigests:
    """
    The digests of one writer. Batches are added on any thread, and written to the files in each flush.

    A sample with the timestamp of the newest of its series is not counted again: receivers accept the newest sample
    twice and store it once.

    :param directory: the directory of the files; see :class:`~pyflink_prometheus.writer.digest_files.DigestFiles`.
    """

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._files = DigestFiles(directory)
        self._lock = threading.Lock()
        self._numbers: dict[Any, int] = {}  # by the series' identity
        self._number_of: WeakKeyDictionary[SeriesTable, Numbers] = WeakKeyDictionary()
        self._newest = np.empty(0, np.int64)
        self._new_series: list[tuple[LabelPairs, Tenant]] = []
        self._pending: list[Rows] = []

    def add(self, batch: Batch) -> None:
        """Add samples that the receiver has acknowledged as written."""
        self._add(batch, are_written=True)

    def add_unsure(self, batch: Batch) -> None:
        """Add samples that the receiver has refused or not acknowledged, and that may be stored nevertheless."""
        self._add(batch, are_written=False)

    def flush(self) -> None:
        """
        Write the digests of all added samples to the files.

        :raises PrometheusSinkError: if they cannot be written.
        """
        problem = ""
        with self._lock:
            if not self._pending:
                return
            rows = self._pending[0] if len(self._pending) == 1 else summed(np.concatenate(self._pending))
            try:
                self._files.write(self._new_series, rows)
            except OSError as error:
                problem = error.strerror or type(error).__name__
            else:
                self._new_series, self._pending = [], []
        if problem:
            raise PrometheusSinkError(
                f"make room in {self._directory} or remove set_digest_directory: the digests of written samples cannot "
                f"be stored there ({problem})"
            )

    def close(self) -> None:
        """Write the digests of all added samples to the files, and close the files."""
        try:
            self.flush()
        finally:
            self._files.close()

    def _add(self, batch: Batch, *, are_written: bool) -> None:
        if not len(batch):
            return
        bits = value_bits(batch.values)
        if batch.points:
            bits = bits.copy()
            for place, point in batch.points.items():
                if isinstance(point.value, NativeHistogram):
                    bits[place] = histogram_bits(float(point.value.count), point.value.sum)
        digests = sample_digests(batch.timestamps, bits)
        keep = ~are_stale(bits)
        with self._lock:
            series = self._series_of(batch.table, batch.numbers)
            timestamps = batch.timestamps
            order = np.argsort(series, kind="stable")
            series, timestamps, digests, keep = series[order], timestamps[order], digests[order], keep[order]
            if are_written:
                keep &= timestamps != self._newest[series]
                keep[1:] &= (series[1:] != series[:-1]) | (timestamps[1:] != timestamps[:-1])
            if not keep.all():
                series, timestamps, digests = series[keep], timestamps[keep], digests[keep]
            if len(series):
                rows = _rows(series, timestamps, digests, are_written=are_written)
                if are_written:
                    at = rows["series"]
                    self._newest[at] = np.maximum(self._newest[at], rows["newest"])
                self._pending.append(rows)

    def _series_of(self, table: SeriesTable, numbers: Numbers) -> Numbers:
        """Return each sample's series, by its number in the files."""
        known = self._number_of.get(table)
        most = int(numbers.max())
        if known is None or most >= len(known):
            start = 0 if known is None else len(known)
            more = [self._number(table, number) for number in range(start, most + 1)]
            known = np.array(more, np.int32) if known is None else np.concatenate([known, np.array(more, np.int32)])
            self._number_of[table] = known
        if len(self._numbers) > len(self._newest):
            grown = np.full(max(256, 2 * len(self._numbers)), _NEVER, np.int64)
            grown[: len(self._newest)] = self._newest
            self._newest = grown
        found: Numbers = known[numbers]
        return found

    def _number(self, table: SeriesTable, number: int) -> int:
        series = table.series[number]
        found = self._numbers.get(series.identity)
        if found is None:
            found = self._numbers[series.identity] = len(self._numbers)
            self._new_series.append((series.labels, series.tenant))
        return found


def _rows(
    series: Numbers, timestamps: npt.NDArray[np.int64], digests: npt.NDArray[np.uint64], *, are_written: bool
) -> Rows:
    """Return a row for each run of samples of one series and hour."""
    hours = timestamps // HOUR_MS
    starts = np.concatenate([[0], np.flatnonzero((series[1:] != series[:-1]) | (hours[1:] != hours[:-1])) + 1])
    counts = np.diff(starts, append=len(series))
    rows = np.zeros(len(starts), ROW)
    rows["series"], rows["hour"] = series[starts], hours[starts]
    if not are_written:
        rows["unsure"] = counts
        rows["newest"] = _NEVER
        return rows
    rows["count"] = counts
    rows["first"], rows["first_digest"] = timestamps[starts], digests[starts]
    rows["newest"] = timestamps[starts + counts - 1]
    rows["digest"] = np.add.reduceat(digests, starts)
    return rows


def digests_of(config: SinkConfig) -> WrittenDigests | None:
    """Return the digests of an endpoint, if its settings ask for them."""
    return None if config.digest_directory is None else WrittenDigests(config.digest_directory)
