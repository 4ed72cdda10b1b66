"""Runs of samples of one series, which become its TimeSeries messages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pyflink_prometheus.model.histogram import NativeHistogram
from pyflink_prometheus.model.labels import LabelPairs
from pyflink_prometheus.wire.point import Point
from pyflink_prometheus.wire.request_columns import Columns
from pyflink_prometheus.wire.table import Numbers


class SeriesRuns(NamedTuple):
    """
    The runs of samples of one series each.

    :param numbers: the number of the series of each run's last sample, because metadata may have changed.
    :param starts: where each run begins.
    :param counts: how many samples each run has.
    """

    numbers: Numbers
    starts: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int64]


class Run(NamedTuple):
    """
    The contents of one TimeSeries message: one series, all floats or all histograms, one start timestamp.

    :param series: the number of the series.
    :param start_timestamp: milliseconds since 1970, 0 for unknown.
    :param samples: (value, timestamp), in order of time.
    :param exemplars: in order of time.
    """

    series: int
    start_timestamp: int
    samples: list[tuple[float | NativeHistogram, int]]
    exemplars: list[tuple[LabelPairs, float, int]]

    @property
    def of_histograms(self) -> bool:
        """Whether the values are histograms."""
        return isinstance(self.samples[0][0], NativeHistogram)


def series_runs(columns: Columns) -> SeriesRuns:
    """Return the runs of columns in which samples of one series are adjacent."""
    same = columns.table.identities(columns.numbers)
    stops = np.append(np.flatnonzero(same[1:] != same[:-1]) + 1, len(same))
    starts = np.concatenate([[0], stops[:-1]])
    return SeriesRuns(columns.numbers[stops - 1], starts, stops - starts)


def messages(columns: Columns) -> Iterator[Run]:
    """
    Yield the runs for which one TimeSeries message is enough.

    In both specifications a TimeSeries cannot hold both floats and histograms, and before 2.0-rc.4 all its samples have
    one start timestamp.
    """
    points, values, timestamps = columns.points, columns.values.tolist(), columns.timestamps.tolist()
    found = series_runs(columns)
    for series, start, count in zip(found.numbers.tolist(), found.starts.tolist(), found.counts.tolist()):
        run: Run | None = None
        for place in range(start, start + count):
            point = points.get(place) or Point(values[place])
            if run is not None and (
                run.start_timestamp != point.start_timestamp
                or run.of_histograms != isinstance(point.value, NativeHistogram)
            ):
                yield _finished(run)
                run = None
            if run is None:
                run = Run(series, point.start_timestamp, [], [])
            run.samples.append((point.value, timestamps[place]))
            run.exemplars.extend(point.exemplars)
        if run is not None:
            yield _finished(run)


def _finished(run: Run) -> Run:
    # A receiver refuses an exemplar that is older than the one before it.
    run.exemplars.sort(key=lambda exemplar: exemplar[2])
    return run
