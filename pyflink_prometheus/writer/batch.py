"""Samples for one request, as columns."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pyflink_prometheus.config import ConflictPolicy
from pyflink_prometheus.model.exemplars import Exemplar
from pyflink_prometheus.model.labels import METRIC_NAME_LABEL
from pyflink_prometheus.model.metadata import Metadata
from pyflink_prometheus.model.samples import Sample, is_stale_marker
from pyflink_prometheus.model.timeseries import PrometheusTimeSeries
from pyflink_prometheus.wire.point import Point
from pyflink_prometheus.wire.series import Tenant
from pyflink_prometheus.wire.table import Numbers, SeriesTable

#: Places in a batch.
Places = npt.NDArray[np.int64] | Sequence[int]

_NO_SERIES = SeriesTable()
_NO_POINTS: Mapping[int, Point] = {}


class FillingBatch:
    """
    A batch that grows.

    The caller appends to each column, and to ``values`` last. A point is added to ``points`` first, under the lock.

    :param table: holds the series of its samples.
    :ivar numbers: each sample's series, by its number in the table.
    :ivar timestamps: milliseconds since 1970.
    :ivar values: floats; for a sample that is a point, its value as a float.
    :ivar points: the samples that are more than a float, by their place.
    """

    __slots__ = ("numbers", "points", "table", "timestamps", "values")

    def __init__(self, table: SeriesTable) -> None:
        self.table = table
        self.numbers = array("i")
        self.timestamps = array("q")
        self.values = array("d")
        self.points: dict[int, Point] = {}

    def __len__(self) -> int:
        return len(self.values)

    def extend(self, numbers: Numbers, timestamps: npt.NDArray[np.int64], values: npt.NDArray[np.float64]) -> None:
        """Add many samples, all of them floats."""
        self.numbers.frombytes(numbers.astype(np.int32, copy=False).tobytes())
        self.timestamps.frombytes(timestamps.tobytes())
        self.values.frombytes(values.tobytes())  # last, as above

    def take(self, count: int) -> Batch:
        """Remove and return the first samples."""
        columns = self.numbers[:count], self.timestamps[:count], self.values[:count]
        for column in (self.numbers, self.timestamps, self.values):
            del column[:count]
        points = {}
        if self.points:
            points = {place: point for place, point in self.points.items() if place < count}
            self.points = {place - count: point for place, point in self.points.items() if place >= count}
        numbers, timestamps, values = columns
        return Batch(
            self.table,
            np.frombuffer(numbers, np.int32),
            np.frombuffer(timestamps, np.int64),
            np.frombuffer(values, np.float64),
            points,
        )


class Ordered(NamedTuple):
    """
    A batch in a form that requests may hold, and the samples removed from it.

    :param duplicates: samples that repeat another one with the same value.
    :param conflicting: samples whose series has another sample with the same timestamp and a different value.
    """

    batch: Batch
    duplicates: Batch
    conflicting: Batch


class Batch:
    """
    Samples as columns of the same length, in order of arrival.

    :param table: holds the series.
    :param numbers: each sample's series, by its number in the table.
    :param timestamps: milliseconds since 1970.
    :param values: floats; for a sample that is a point, its value as a float.
    :param points: the samples that are more than a float, by their place.
    :ivar may_conflict: whether a series may have several samples with the same timestamp.
    """

    __slots__ = ("may_conflict", "numbers", "points", "table", "timestamps", "values")

    def __init__(
        self,
        table: SeriesTable,
        numbers: Numbers,
        timestamps: npt.NDArray[np.int64],
        values: npt.NDArray[np.float64],
        points: Mapping[int, Point] = _NO_POINTS,
    ) -> None:
        self.table = table
        self.numbers = numbers
        self.timestamps = timestamps
        self.values = values
        self.points = points
        self.may_conflict = False

    @staticmethod
    def empty() -> Batch:
        """Return a batch without samples."""
        return Batch(_NO_SERIES, np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0))

    def __len__(self) -> int:
        return len(self.values)

    @property
    def series(self) -> Numbers:
        """Each sample's series, by a number that is the same for the same labels."""
        return self.table.identities(self.numbers)

    @property
    def tenant(self) -> Tenant:
        """The tenant of a batch that :meth:`by_tenant` has returned, or of a part of such a batch."""
        return self.table.tenants[self.table.tenant_of[self.numbers[0]]] if len(self) else ()

    def by_tenant(self) -> list[Batch]:
        """Return a batch for each tenant, with its samples in order of arrival."""
        if len(self.table.tenants) == 1 or not len(self):
            return [self]
        tenants = self.table.tenant_of[self.numbers]
        if (tenants == tenants[0]).all():
            return [self]
        order = np.argsort(tenants, kind="stable")
        starts = np.flatnonzero(~_is_same(tenants[order])) + 1
        return [self.pick(places) for places in np.split(order, starts)]

    @property
    def histograms(self) -> int:
        """The number of samples that are histograms."""
        return sum([point.is_histogram for point in self.points.values()])

    @property
    def exemplars(self) -> int:
        """The number of exemplars."""
        return sum([len(point.exemplars) for point in self.points.values()])

    def in_order(self, policy: ConflictPolicy = ConflictPolicy.SEND_ALL) -> Ordered:
        """
        Return this batch in a form that a request may hold, and the samples removed from it.

        Samples of one series become adjacent, in order of time ("Senders MUST" in both specifications). Prometheus
        silently drops a sample that follows a newer one in the same request, and a second one with the same timestamp.

        :param policy: which samples to keep if a series has several with the same timestamp and different values. With
            SEND_ALL the batch may need several :meth:`requests`.
        """
        series = self.series
        order = np.argsort(series, kind="stable")
        is_same = _is_same(series[order])
        if not is_same.any():  # one sample each
            return Ordered(self, Batch.empty(), Batch.empty())
        times = self.timestamps[order]
        if (times[1:] > times[:-1])[is_same].all():
            return Ordered(self.pick(order), Batch.empty(), Batch.empty())
        order = np.lexsort((self.timestamps, series))
        times = self.timestamps[order]
        again = _is_same(series[order]) & (times[1:] == times[:-1])  # at the same time as the one before
        if not again.any():
            return Ordered(self.pick(order), Batch.empty(), Batch.empty())
        duplicates, conflicting = self._resolve(order, again, policy)
        batch = self.pick(order[~np.isin(order, duplicates + conflicting)])
        batch.may_conflict = policy is ConflictPolicy.SEND_ALL
        return Ordered(batch, self.pick(duplicates), self.pick(conflicting))

    def _resolve(
        self, order: npt.NDArray[np.int64], again: npt.NDArray[np.bool_], policy: ConflictPolicy
    ) -> tuple[list[int], list[int]]:
        """Return the places of the samples to be removed: duplicates, and conflicting ones."""
        duplicates: list[int] = []
        conflicting: list[int] = []
        first = np.flatnonzero(again & ~np.append(False, again[:-1]))
        last = np.flatnonzero(again & ~np.append(again[1:], False)) + 1
        bits = self.values.view(np.int64)  # so that NaN equals itself and 0.0 differs from -0.0
        for start, end in zip(first.tolist(), last.tolist()):
            places = order[start : end + 1].tolist()  # of one series and timestamp, in order of arrival
            values = [self.points.get(place) or int(bits[place]) for place in places]
            if policy is ConflictPolicy.SEND_ALL:
                duplicates += [place for place, one, other in zip(places[1:], values[1:], values) if one == other]
                continue
            if policy is ConflictPolicy.REJECT_ALL and any(value != values[0] for value in values):
                conflicting += places
                continue
            kept = len(places) - 1 if policy is ConflictPolicy.KEEP_LAST else 0
            for number, place in enumerate(places):
                if number != kept:
                    (duplicates if values[number] == values[kept] else conflicting).append(place)
        return duplicates, conflicting

    def requests(self) -> list[Batch]:
        """
        Return this batch, which must be in order, as the requests that it needs, to be sent one after the other.

        It needs one request, unless floats of a series follow its histograms, or several of its samples have the same
        timestamp: Prometheus 3.5 stores all floats of a request before its histograms, and silently drops samples that
        are then out of order or have the same timestamp.
        """
        if not self.points and not self.may_conflict:
            return [self]
        places: list[list[int]] = [[]]
        series, request, after_histogram, newest = None, 0, False, -1
        rows = zip(self.series.tolist(), self.timestamps.tolist(), self.values.tolist())
        for position, (each, timestamp, value) in enumerate(rows):
            point = self.points.get(position)
            if series != each:
                series, request, after_histogram = each, 0, False
            elif timestamp == newest:
                request += 1
                if request == len(places):
                    places.append([])
            newest = timestamp
            # A stale marker is neither: Prometheus converts it to the type of the series.
            if not is_stale_marker(value if point is None else point):
                of_histograms = point is not None and point.is_histogram
                if after_histogram and not of_histograms:
                    request += 1
                    if request == len(places):
                        places.append([])
                after_histogram = of_histograms
            places[request].append(position)
        return [self] if len(places) == 1 else [self.pick(positions) for positions in places]

    def by_time(self) -> Batch:
        """Return the same samples in order of time across their series; the samples of a series keep their order."""
        return self.pick(np.argsort(self.timestamps, kind="stable"))

    def part(self, start: int, stop: int) -> Batch:
        """Return the samples from one place up to, not including, another."""
        points = {place - start: point for place, point in self.points.items() if start <= place < stop}
        chosen = slice(start, stop)
        return Batch(self.table, self.numbers[chosen], self.timestamps[chosen], self.values[chosen], points)

    def of_kind(self, *, histograms: bool) -> Batch:
        """Return the samples that are histograms, or those that are not."""
        if not self.points:
            return Batch.empty() if histograms else self
        are = np.zeros(len(self), np.bool_)
        are[[place for place, point in self.points.items() if point.is_histogram]] = True
        return self.pick(np.flatnonzero(are if histograms else ~are))

    def pick(self, places: Places) -> Batch:
        """Return the samples at these places."""
        chosen = np.asarray(places, np.int64)
        points = {}
        if self.points:
            points = {new: point for new, old in enumerate(chosen.tolist()) if (point := self.points.get(old))}
        return Batch(self.table, self.numbers[chosen], self.timestamps[chosen], self.values[chosen], points)

    def records(self) -> Iterator[PrometheusTimeSeries]:
        """Yield the samples as records, one for each run of the same series."""
        if not len(self):
            return
        values, timestamps = self.values.tolist(), self.timestamps.tolist()
        starts = [0, *(np.flatnonzero(~_is_same(self.series)) + 1).tolist()]
        for start, stop in zip(starts, [*starts[1:], len(self)]):
            series = self.table.series[self.numbers[stop - 1]]
            labels = dict(series.labels)
            name = labels.pop(METRIC_NAME_LABEL)
            points = [self.points.get(place) for place in range(start, stop)]
            yield PrometheusTimeSeries(
                name,
                labels,
                tuple(map(_sample, points, values[start:stop], timestamps[start:stop])),
                None if series.metadata is None else Metadata(*series.metadata),
                tuple(
                    Exemplar(dict(pairs), value, at)
                    for point in points
                    if point
                    for pairs, value, at in point.exemplars
                ),
            )


def _is_same(column: Numbers) -> npt.NDArray[np.bool_]:
    """Return, for each number of a column except the first, whether it equals the previous one."""
    same: npt.NDArray[np.bool_] = column[1:] == column[:-1]
    return same


def _sample(point: Point | None, value: float, timestamp: int) -> Sample:
    if point is None:
        return value, timestamp
    if point.start_timestamp:
        return point.value, timestamp, point.start_timestamp
    return point.value, timestamp
