"""What becomes of a series' labels before anything is sent; once for each series, on the caller's thread."""

from __future__ import annotations

from pyflink_prometheus.errors import InvalidTimeSeriesError
from pyflink_prometheus.guards.guards import Guards
from pyflink_prometheus.model.labels import METRIC_NAME_LABEL, LabelPairs, series_key
from pyflink_prometheus.relabelling.relabelling import Relabelling


class Admission:
    """
    The labels with which a series is sent, if it is sent at all.

    :param relabelling: external labels and rules.
    :param guards: limits on series, which hold for the labels after the rules.
    """

    def __init__(self, relabelling: Relabelling, guards: Guards) -> None:
        self._relabelling = relabelling
        self._guards = guards if guards.limits.limit_series else None

    def labels(self, labels: LabelPairs) -> LabelPairs | None:
        """
        Return the labels that are sent for a series, ``None`` if the configuration excludes it.

        :param labels: all labels, ``__name__`` among them, sorted by name.
        :raises InvalidTimeSeriesError: if the rules leave nothing that can be sent.
        :raises SeriesRefused: if the series is beyond a limit.
        """
        sent = dict(labels)
        if self._relabelling:
            changed = self._relabelling.apply(sent)
            if changed is None:
                return None
            sent = changed
            if not sent.get(METRIC_NAME_LABEL):
                raise InvalidTimeSeriesError(
                    "write_relabel_configs",
                    f"keep the label __name__, which the rules remove from {series_key(labels)}",
                )
        if self._guards is not None:
            sent = self._guards.admit(sent)
        return tuple(sorted(sent.items()))

    def renew(self, labels: LabelPairs) -> None:
        """
        Note that a series is still in use, so that it does not become new again.

        :param labels: those with which it is sent.
        :raises SeriesRefused: if it has become new nevertheless, and is one too many.
        """
        if self._guards is not None:
            self._guards.admit(dict(labels))

    @property
    def changes_labels(self) -> bool:
        """Whether two series may get the same labels."""
        return bool(self._relabelling) or self._guards is not None
