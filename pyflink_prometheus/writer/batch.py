"""Samples for one request, as columns."""

from __future__ import annotations

import operator
import struct
from collections.abc import Iterator, Sequence
from itertools import groupby, islice
from typing import NamedTuple

from pyflink_prometheus.config import ConflictPolicy
from pyflink_prometheus.model.exemplars import Exemplar
from pyflink_prometheus.model.histogram import NativeHistogram
from pyflink_prometheus.model.labels import METRIC_NAME_LABEL
from pyflink_prometheus.model.metadata import Metadata
from pyflink_prometheus.model.samples import Sample, is_stale_marker
from pyflink_prometheus.model.timeseries import PrometheusTimeSeries
from pyflink_prometheus.wire.point import Point, PointOrFloat
from pyflink_prometheus.wire.series import Series


class Ordered(NamedTuple):
    """
    A batch as requests may hold it, and the samples taken out of it.

    :param duplicates: samples that repeat another one, with the same value.
    :param conflicting: samples whose series has another one with the same timestamp and a different value.
    """

    batch: Batch
    duplicates: Batch
    conflicting: Batch


class Batch:
    """
    Samples as three columns of the same length, in order of arrival.

    :ivar series: each sample's series.
    :ivar timestamps: milliseconds since 1970.
    :ivar values: floats or points.
    :ivar plain: whether all values are floats.
    :ivar may_conflict: whether a series may have several samples with the same timestamp.
    """

    __slots__ = ("may_conflict", "plain", "series", "timestamps", "values")

    def __init__(
        self,
        series: list[Series] | None = None,
        timestamps: list[int] | None = None,
        values: list[PointOrFloat] | None = None,
        *,
        plain: bool = True,
    ) -> None:
        self.series: list[Series] = [] if series is None else series
        self.timestamps: list[int] = [] if timestamps is None else timestamps
        self.values: list[PointOrFloat] = [] if values is None else values
        self.plain = plain
        self.may_conflict = False

    def __len__(self) -> int:
        return len(self.values)

    @property
    def histograms(self) -> int:
        """The number of samples that are histograms."""
        return 0 if self.plain else sum(map(_is_histogram, self.values))

    @property
    def exemplars(self) -> int:
        """The number of exemplars."""
        return 0 if self.plain else sum(len(each.exemplars) for each in self.values if isinstance(each, Point))

    def in_order(self, policy: ConflictPolicy = ConflictPolicy.SEND_ALL) -> Ordered:
        """
        Return this batch as a request may hold it, and the samples taken out of it.

        Samples of one series become adjacent, in order of time ("Senders MUST" in both specifications). Prometheus
        silently drops a sample that follows a newer one in the same request, and a second one at the same time.

        :param policy: which samples to keep if a series has several at the same time with different values. With
            SEND_ALL the batch may need several :meth:`requests`.
        """
        if self._is_in_order():
            return Ordered(self, Batch(), Batch())
        positions: dict[bytes, list[int]] = {}
        for position, each in enumerate(self.series):
            positions.setdefault(each.head, []).append(position)
        ordered: list[int] = []
        duplicates: list[int] = []
        conflicting: list[int] = []
        for group in positions.values():
            times = [self.timestamps[position] for position in group]
            if all(map(operator.lt, times, islice(times, 1, None))):
                ordered += group
                continue
            for _, run in groupby(sorted(group, key=self.timestamps.__getitem__), key=self.timestamps.__getitem__):
                self._resolve(list(run), policy, ordered, duplicates, conflicting)
        batch = self.pick(ordered)
        batch.may_conflict = policy is ConflictPolicy.SEND_ALL
        return Ordered(batch, self.pick(duplicates), self.pick(conflicting))

    def _resolve(
        self,
        places: list[int],
        policy: ConflictPolicy,
        ordered: list[int],
        duplicates: list[int],
        conflicting: list[int],
    ) -> None:
        """Sort samples of one series and timestamp, in order of arrival, into kept, duplicate and conflicting ones."""
        values = [_comparable(self.values[place]) for place in places]
        if policy is ConflictPolicy.SEND_ALL:
            for number, place in enumerate(places):
                (duplicates if number and values[number] == values[number - 1] else ordered).append(place)
            return
        kept = -1 if policy is ConflictPolicy.KEEP_LAST else 0
        if policy is ConflictPolicy.REJECT_ALL and any(value != values[0] for value in values):
            conflicting += places
            return
        ordered.append(places[kept])
        others = places[:-1] if kept else places[1:]
        for place, value in zip(others, values[:-1] if kept else values[1:]):
            (duplicates if value == values[kept] else conflicting).append(place)

    def requests(self) -> list[Batch]:
        """
        Return this batch, which must be in order, as the requests that it needs, to be sent one after the other.

        It needs one, unless floats of a series follow its histograms, or several of its samples have the same
        timestamp: Prometheus 3.5 stores all floats of a request before its histograms, and silently drops samples that
        are then out of order or at the same time.
        """
        if self.plain and not self.may_conflict:
            return [self]
        places: list[list[int]] = [[]]
        series, request, after_histogram, newest = None, 0, False, -1
        for position, (each, timestamp, value) in enumerate(zip(self.series, self.timestamps, self.values)):
            if series is None or series.head != each.head:
                series, request, after_histogram = each, 0, False
            elif timestamp == newest:
                request += 1
                if request == len(places):
                    places.append([])
            newest = timestamp
            # A stale marker is neither: Prometheus converts it to the type of the series.
            if not is_stale_marker(value):
                of_histograms = _is_histogram(value)
                if after_histogram and not of_histograms:
                    request += 1
                    if request == len(places):
                        places.append([])
                after_histogram = of_histograms
            places[request].append(position)
        return [self] if len(places) == 1 else [self.pick(positions) for positions in places]

    def by_time(self) -> Batch:
        """Return the same samples in order of time across their series; those of a series keep their order."""
        return self.pick(sorted(range(len(self)), key=self.timestamps.__getitem__))

    def part(self, start: int, stop: int) -> Batch:
        """Return the samples from one position up to, not including, another."""
        return Batch(self.series[start:stop], self.timestamps[start:stop], self.values[start:stop], plain=self.plain)

    def take_front(self, count: int) -> Batch:
        """Remove and return the first samples."""
        front = self.part(0, count)
        for column in (self.series, self.timestamps, self.values):
            del column[:count]
        return front

    def of_kind(self, *, histograms: bool) -> Batch:
        """Return the samples that are histograms, or those that are not."""
        if self.plain:
            return Batch() if histograms else self
        return self.pick([place for place, each in enumerate(self.values) if _is_histogram(each) is histograms])

    def records(self) -> Iterator[PrometheusTimeSeries]:
        """Yield the samples as records, one for each run of the same series."""
        rows = zip(self.series, self.values, self.timestamps)
        for _, group in groupby(rows, key=lambda row: row[0].head):
            run = list(group)
            series = run[-1][0]
            labels = dict(series.labels)
            name = labels.pop(METRIC_NAME_LABEL)
            points = [each for _, each, _ in run if isinstance(each, Point)]
            yield PrometheusTimeSeries(
                name,
                labels,
                tuple([_sample(each, timestamp) for _, each, timestamp in run]),
                None if series.metadata is None else Metadata(*series.metadata),
                tuple(Exemplar(dict(pairs), value, at) for point in points for pairs, value, at in point.exemplars),
            )

    def _is_in_order(self) -> bool:
        """Return whether there is one sample per series, or one ordered run per series; all loops run in C."""
        series, timestamps = self.series, self.timestamps
        count = len({each.head for each in series})
        if count == len(series):
            return True
        begins = list(map(operator.is_not, series, islice(series, 1, None)))
        later = map(operator.lt, timestamps, islice(timestamps, 1, None))
        return 1 + sum(begins) == count and all(map(operator.or_, begins, later))

    def pick(self, positions: Sequence[int]) -> Batch:
        """Return the samples at these positions."""
        return Batch(
            [self.series[position] for position in positions],
            [self.timestamps[position] for position in positions],
            [self.values[position] for position in positions],
            plain=self.plain,
        )


def _comparable(value: PointOrFloat) -> Point | bytes:
    """Return floats as bytes, so that NaN equals itself and 0.0 differs from -0.0."""
    return value if isinstance(value, Point) else struct.pack("<d", value)


def _is_histogram(value: PointOrFloat) -> bool:
    return isinstance(value, Point) and isinstance(value.value, NativeHistogram)


def _sample(value: PointOrFloat, timestamp: int) -> Sample:
    if not isinstance(value, Point):
        return value, timestamp
    if value.start_timestamp:
        return value.value, timestamp, value.start_timestamp
    return value.value, timestamp
