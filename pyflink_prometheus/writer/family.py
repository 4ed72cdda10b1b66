"""What the series of a batch of rows have in common."""

from __future__ import annotations

from typing import NamedTuple, Optional

from pyflink_prometheus.model.metadata import Metadata


class RowFamily(NamedTuple):
    """
    What the series of a batch of rows have in common, declared once.

    :param metric_name: the metric name; ``None`` if the first column of labels holds it.
    :param label_names: the names of the labels that have a column each, in the order of the columns.
    :param metadata: the metric's type, help and unit.
    """

    metric_name: Optional[str]
    label_names: tuple[str, ...]
    metadata: Optional[Metadata] = None
