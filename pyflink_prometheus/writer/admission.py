"""What becomes of a series' labels before anything is sent; once for each series, on the caller's thread."""

from __future__ import annotations

from pyflink_prometheus.errors import InvalidTimeSeriesError
from pyflink_prometheus.model.labels import METRIC_NAME_LABEL, LabelPairs, series_key
from pyflink_prometheus.relabelling.relabelling import Relabelling


class Admission:
    """
    The labels with which a series is sent, if it is sent at all.

    :param relabelling: external labels and rules.
    """

    def __init__(self, relabelling: Relabelling) -> None:
        self._relabelling = relabelling

    def labels(self, labels: LabelPairs) -> LabelPairs | None:
        """
        Return the labels that are sent for a series, ``None`` if the configuration excludes it.

        :param labels: all labels, ``__name__`` among them, sorted by name.
        :raises InvalidTimeSeriesError: if the rules leave nothing that can be sent.
        """
        if not self._relabelling:
            return labels
        changed = self._relabelling.apply(dict(labels))
        if changed is None:
            return None
        if not changed.get(METRIC_NAME_LABEL):
            raise InvalidTimeSeriesError(
                "write_relabel_configs", f"keep the label __name__, which the rules remove from {series_key(labels)}"
            )
        return tuple(sorted(changed.items()))

    @property
    def changes_labels(self) -> bool:
        """Whether two series may get the same labels."""
        return bool(self._relabelling)
