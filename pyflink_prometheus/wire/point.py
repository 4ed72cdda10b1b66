"""Samples that are more than a float and a timestamp, and runs of samples for one TimeSeries message."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Union

from pyflink_prometheus.model.histogram import NativeHistogram
from pyflink_prometheus.model.labels import LabelPairs
from pyflink_prometheus.wire.series import Series


class Point(NamedTuple):
    """
    The value of a sample that is a histogram, has a start timestamp, or comes with exemplars.

    It takes the place of a plain float, so that ordinary samples cost nothing more.

    :param value: a float or a histogram.
    :param start_timestamp: milliseconds since 1970, 0 for unknown.
    :param exemplars: labels sorted by name, value, timestamp.
    """

    value: Union[float, NativeHistogram]
    start_timestamp: int = 0
    exemplars: tuple[tuple[LabelPairs, float, int], ...] = ()


PointOrFloat = Union[float, Point]


class Run(NamedTuple):
    """
    The contents of one TimeSeries message: one series, all floats or all histograms, one start timestamp.

    :param series: that of the last point.
    :param start_timestamp: milliseconds since 1970, 0 for unknown.
    :param samples: (value, timestamp), in order of time.
    :param exemplars: in order of time.
    """

    series: Series
    start_timestamp: int
    samples: list[tuple[Union[float, NativeHistogram], int]]
    exemplars: list[tuple[LabelPairs, float, int]]

    @property
    def of_histograms(self) -> bool:
        """Whether the values are histograms."""
        return isinstance(self.samples[0][0], NativeHistogram)


def runs(series: Sequence[Series], timestamps: Sequence[int], values: Sequence[PointOrFloat]) -> Iterator[Run]:
    """
    Yield the runs of three columns in which points of one series are adjacent, in order of time.

    In both specifications a TimeSeries cannot hold both floats and histograms, and before 2.0-rc.4 all its samples have
    one start timestamp.
    """
    current: Run | None = None
    for each, timestamp, value in zip(series, timestamps, values):
        point = value if isinstance(value, Point) else Point(value)
        if current is not None and (
            current.series.head != each.head
            or current.start_timestamp != point.start_timestamp
            or current.of_histograms != isinstance(point.value, NativeHistogram)
        ):
            yield _finished(current)
            current = None
        if current is None:
            current = Run(each, point.start_timestamp, [], [])
        current.samples.append((point.value, timestamp))
        current.exemplars.extend(point.exemplars)
        if current.series is not each:
            current = current._replace(series=each)
    if current is not None:
        yield _finished(current)


def _finished(run: Run) -> Run:
    # A receiver refuses an exemplar that is older than the one before it.
    run.exemplars.sort(key=lambda exemplar: exemplar[2])
    return run
