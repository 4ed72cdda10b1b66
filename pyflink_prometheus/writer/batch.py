"""Samples on their way into one request, as columns."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import groupby

from pyflink_prometheus.timeseries import METRIC_NAME_LABEL, PrometheusTimeSeries
from pyflink_prometheus.wire.series import Series


class Batch:
    """
    Hold samples as three columns of the same length, in the order in which the writer got them.

    :ivar series: each sample's series.
    :ivar timestamps: milliseconds since 1970.
    :ivar values: floats.
    """

    __slots__ = ("series", "timestamps", "values")

    def __init__(
        self, series: list[Series] | None = None, timestamps: list[int] | None = None, values: list[float] | None = None
    ) -> None:
        self.series: list[Series] = [] if series is None else series
        self.timestamps: list[int] = [] if timestamps is None else timestamps
        self.values: list[float] = [] if values is None else values

    def __len__(self) -> int:
        return len(self.values)

    def in_order(self) -> tuple[Batch, Batch]:
        """
        Return this batch as a request may hold it, and the exact duplicates that were taken out.

        Samples of a series stand together in order of time ("Senders MUST" in both specifications). Prometheus
        silently loses a sample that comes after a newer one in the same request, and a second one at the same time;
        two different values at the same time stay, for the receiver to decide.
        """
        if len({known.head for known in self.series}) == len(self.series):
            return self, Batch()
        positions: dict[bytes, list[int]] = {}
        for position, known in enumerate(self.series):
            positions.setdefault(known.head, []).append(position)
        ordered: list[int] = []
        duplicates: list[int] = []
        for group in positions.values():
            seen: set[tuple[int, bytes]] = set()
            for position in sorted(group, key=self.timestamps.__getitem__):
                sample = (self.timestamps[position], struct.pack("<d", self.values[position]))
                (duplicates if sample in seen else ordered).append(position)
                seen.add(sample)
        return self._pick(ordered), self._pick(duplicates)

    def by_time(self) -> Batch:
        """Return the same samples in order of time across their series; those of a series keep their order."""
        return self._pick(sorted(range(len(self)), key=self.timestamps.__getitem__))

    def part(self, start: int, stop: int) -> Batch:
        """Return the samples from one position to before another."""
        return Batch(self.series[start:stop], self.timestamps[start:stop], self.values[start:stop])

    def records(self) -> Iterator[PrometheusTimeSeries]:
        """Yield the samples as records again, one for each run of the same series."""
        rows = zip(self.series, self.values, self.timestamps)
        for _, run in groupby(rows, key=lambda row: row[0].head):
            samples = list(run)
            labels = dict(samples[0][0].labels)
            name = labels.pop(METRIC_NAME_LABEL)
            yield PrometheusTimeSeries(name, labels, tuple((value, timestamp) for _, value, timestamp in samples))

    def _pick(self, positions: list[int]) -> Batch:
        return Batch(
            [self.series[position] for position in positions],
            [self.timestamps[position] for position in positions],
            [self.values[position] for position in positions],
        )
