"""Exemplars: single observations that represent many."""

from __future__ import annotations

from typing import Any, NamedTuple

from pyflink_prometheus._validation import shown
from pyflink_prometheus.errors import InvalidTimeSeriesError
from pyflink_prometheus.model.histogram import NativeHistogram
from pyflink_prometheus.model.labels import LabelPairs, Labels, sorted_labels
from pyflink_prometheus.model.samples import checked_timestamp, checked_value

# Prometheus drops an exemplar with longer labels (OpenMetrics, "Exemplars"). In characters, names and values together.
MAX_EXEMPLAR_LABELS_LENGTH = 128


def checked_exemplar(exemplar: Any) -> tuple[LabelPairs, float, int]:
    """
    Return the labels of an exemplar, sorted by name, its value and its timestamp.

    :raises InvalidTimeSeriesError: if it is not valid, saying what was expected.
    """
    if not isinstance(exemplar, (tuple, list)) or len(exemplar) != 3:
        raise InvalidTimeSeriesError(
            "exemplars", f"expected an Exemplar(labels, value, timestamp in ms), got {shown(exemplar)}"
        )
    labels = sorted_labels("exemplars", exemplar[0], {})
    length = sum(len(name) + len(value) for name, value in labels)
    if length > MAX_EXEMPLAR_LABELS_LENGTH:
        raise InvalidTimeSeriesError(
            "exemplars", f"expected at most {MAX_EXEMPLAR_LABELS_LENGTH} characters in all labels, got {length}"
        )
    value = checked_value("exemplars", exemplar[1])
    if isinstance(value, NativeHistogram):
        raise InvalidTimeSeriesError("exemplars", f"expected a number as the value, got {shown(value)}")
    return labels, value, checked_timestamp("exemplars", "timestamp", exemplar[2])


class Exemplar(NamedTuple):
    """
    One observation that represents many, such as a slow request.

    Prometheus stores exemplars only with ``--enable-feature=exemplar-storage``, and only in time order within a series.

    :param labels: identify the observation, for example by ``trace_id``; at most 128 characters, names and values
        together.
    :param value: the observed value.
    :param timestamp: the time in milliseconds since 1970.
    """

    labels: Labels
    value: float
    timestamp: int
