"""Helpers that make batches from series, timestamps and values, and that read them."""

from __future__ import annotations

from collections.abc import Iterable

from pyflink_prometheus.wire.point import Point
from pyflink_prometheus.wire.series import Series
from pyflink_prometheus.wire.table import SeriesTable
from pyflink_prometheus.writer.batch import Batch, FillingBatch

Row = tuple[Series, int, float | Point]


def batch_of(samples: Iterable[Row]) -> Batch:
    """Return a batch of samples, with its own table."""
    filling = FillingBatch(SeriesTable())
    numbers: dict[int, int] = {}
    for series, timestamp, value in samples:
        if id(series) not in numbers:
            numbers[id(series)] = filling.table.add(series, form=id(series))
        append(filling, numbers[id(series)], timestamp, value)
    return filling.take(len(filling))


def append(filling: FillingBatch, number: int, timestamp: int, value: float | Point) -> None:
    """Add a sample, as the writer does."""
    if isinstance(value, Point):
        filling.points[len(filling)] = value
    filling.numbers.append(number)
    filling.timestamps.append(timestamp)
    filling.values.append(value.as_float if isinstance(value, Point) else value)


def rows_of(batch: Batch) -> list[Row]:
    """Return the samples of a batch."""
    values = [batch.points.get(place, value) for place, value in enumerate(batch.values.tolist())]
    return list(zip(series_of(batch), batch.timestamps.tolist(), values))


def series_of(batch: Batch) -> list[Series]:
    """Return the series of each sample."""
    return [batch.table.series[number] for number in batch.numbers.tolist()]
