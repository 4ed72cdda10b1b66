"""Samples that are more than a float and a timestamp."""

from __future__ import annotations

import math
from typing import NamedTuple

from pyflink_prometheus.model.histogram import NativeHistogram
from pyflink_prometheus.model.labels import LabelPairs


class Point(NamedTuple):
    """
    The value of a sample that is a histogram, has a start timestamp, or comes with exemplars.

    It takes the place of a plain float, so that ordinary samples cost nothing more.

    :param value: a float or a histogram.
    :param start_timestamp: milliseconds since 1970, 0 for unknown.
    :param exemplars: labels sorted by name, value, timestamp.
    """

    value: float | NativeHistogram
    start_timestamp: int = 0
    exemplars: tuple[tuple[LabelPairs, float, int], ...] = ()

    @property
    def is_histogram(self) -> bool:
        """Whether the value is a histogram."""
        return isinstance(self.value, NativeHistogram)

    @property
    def as_float(self) -> float:
        """The value in a column of floats; NaN in the place of a histogram."""
        return math.nan if isinstance(self.value, NativeHistogram) else self.value
