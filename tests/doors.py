"""The two ways into the writer: record by record, and rows by column."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pyflink_prometheus import Metadata
from pyflink_prometheus.writer.family import RowFamily
from pyflink_prometheus.writer.writer import RemoteWriter

#: Runs the tests of a module once for each way.
BOTH_DOORS = pytest.mark.parametrize("door", ["records", "rows"], indirect=True)


class RowWriter(RemoteWriter):
    """A writer that takes the samples of each record as rows, unless only a record can hold them."""

    def add(self, record: Any) -> None:
        """Take a record."""
        metric_name, labels, samples, metadata, exemplars = (*record, None, ())[:5]
        if (
            not (isinstance(exemplars, (tuple, list)) and not exemplars)
            or not (isinstance(metric_name, str) and metric_name)
            or not isinstance(metadata, (Metadata, type(None)))
            or not isinstance(labels, dict)
            or not all(name and isinstance(text, str) for name, text in labels.items())
            or not (isinstance(samples, tuple) and samples)
            or not all(type(sample) is tuple and list(map(type, sample)) == [float, int] for sample in samples)
            or not all(-(2**62) < timestamp < 2**62 for _, timestamp in samples)
            or self.is_adding_rows
        ):
            super().add(record)
            return
        self.is_adding_rows = True  # unusual rows come back as records
        try:
            self.add_rows(
                RowFamily(metric_name, tuple(labels), metadata),
                [[text] * len(samples) for text in labels.values()],
                np.array([timestamp for _, timestamp in samples], np.int64),
                np.array([value for value, _ in samples], np.float64),
            )
        finally:
            self.is_adding_rows = False

    is_adding_rows = False
