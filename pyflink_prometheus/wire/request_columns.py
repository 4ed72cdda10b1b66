"""The samples of which a request is made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import numpy.typing as npt

from pyflink_prometheus.wire.point import Point
from pyflink_prometheus.wire.table import Numbers, SeriesTable


class Columns(Protocol):
    """
    Samples as columns of the same length; those of one series are adjacent, in order of time.

    Their contents have been checked.
    """

    @property
    def table(self) -> SeriesTable:
        """Where the samples' series are."""

    @property
    def numbers(self) -> Numbers:
        """Each sample's series, by its number in the table."""

    @property
    def timestamps(self) -> npt.NDArray[np.int64]:
        """Milliseconds since 1970."""

    @property
    def values(self) -> npt.NDArray[np.float64]:
        """The values that are floats."""

    @property
    def points(self) -> Mapping[int, Point]:
        """The samples that are more than a float, by their place."""
