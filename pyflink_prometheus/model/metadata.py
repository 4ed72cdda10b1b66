"""Metric metadata: type, help and unit."""

from __future__ import annotations

from typing import Any, NamedTuple

from pyflink_prometheus._validation import shown
from pyflink_prometheus.errors import InvalidTimeSeriesError
from pyflink_prometheus.model.labels import check_utf8

#: The metric types, each at the index of its number in Remote-Write 2.0.
METRIC_TYPES = ("unknown", "counter", "gauge", "histogram", "gaugehistogram", "summary", "info", "stateset")


def checked_metadata(metadata: Any) -> tuple[str, str, str]:
    """
    Return the type, the help and the unit of a metric.

    :raises InvalidTimeSeriesError: if they are not valid, saying what was expected.
    """
    if not isinstance(metadata, (tuple, list)) or len(metadata) != 3:
        raise InvalidTimeSeriesError("metadata", f"expected a Metadata(type, help, unit), got {shown(metadata)}")
    if metadata[0] not in METRIC_TYPES:
        raise InvalidTimeSeriesError(
            "metadata", f"expected one of {', '.join(METRIC_TYPES)} as the type, got {shown(metadata[0])}"
        )
    for what, text in zip(("help", "unit"), metadata[1:]):
        if not isinstance(text, str):
            raise InvalidTimeSeriesError("metadata", f"expected a string as the {what}, got {shown(text)}")
        check_utf8("metadata", text)
    return (metadata[0], metadata[1], metadata[2])


class Metadata(NamedTuple):
    """
    The type, help and unit of a metric. Sent in Remote-Write 2.0 only; 1.0 has no place for it in a series.

    :param type: ``counter``, ``gauge``, ``histogram``, ``gaugehistogram``, ``summary``, ``info``, ``stateset`` or
        ``unknown``. Default: unknown.
    :param help: a sentence that describes the metric. Default: empty.
    :param unit: the base unit, such as ``seconds``. Default: empty.
    """

    type: str = "unknown"
    help: str = ""
    unit: str = ""
