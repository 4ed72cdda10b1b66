"""What the series of a batch of rows have in common."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import repeat
from typing import NamedTuple

from pyflink_prometheus.model.metadata import Metadata


class RowFamily(NamedTuple):
    """
    What the series of a batch of rows have in common, declared once.

    :param metric_name: the metric name; ``None`` if the first column of labels holds it.
    :param label_names: the names of the labels that have a column each, in the order of the columns.
    :param metadata: the metric's type, help and unit.
    """

    metric_name: str | None
    label_names: tuple[str, ...]
    metadata: Metadata | None = None

    def records(
        self, columns: Sequence[Sequence[str | None]], count: int
    ) -> Iterator[tuple[str | None, dict[str, str | None]]]:
        """Yield the metric name and the labels of each row, without labels that have no value."""
        if self.metric_name is None:
            metric_names: Iterator[str | None] | Sequence[str | None] = columns[0]
            columns = columns[1:]
        else:
            metric_names = repeat(self.metric_name, count)
        rows = zip(*columns) if columns else repeat((), count)
        for metric_name, texts in zip(metric_names, rows):
            yield metric_name, {name: text for name, text in zip(self.label_names, texts) if text is not None}
