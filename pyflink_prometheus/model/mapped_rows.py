"""The fields of a column mapping's rows, and their values as texts for labels."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any

from pyflink_prometheus._validation import shown
from pyflink_prometheus.errors import InvalidTimeSeriesError
from pyflink_prometheus.model.column_mapping import ColumnMapping


def positional(fields: int) -> tuple[str, ...]:
    """Return Flink's names for the fields of a tuple."""
    return tuple([f"f{number}" for number in range(fields)])


def picker(columns: Sequence[str], fields: Sequence[str]) -> Callable[[Any], Sequence[Any]]:
    """
    Return a function that picks columns from a row with these fields.

    :raises ValueError: if there are columns that are not among the fields.
    """
    check_columns(columns, fields)
    places = [list(fields).index(name) for name in columns]
    return itemgetter(*places) if len(places) > 1 else lambda row: (row[places[0]],)


def check_columns(columns: Sequence[str], fields: Sequence[str]) -> None:
    """
    Check that a mapping's columns are among the fields of a row.

    :raises ValueError: naming those that are not.
    """
    missing = [name for name in columns if name not in fields]
    if missing:
        raise ValueError(
            f"the column mapping has columns that do not exist: {', '.join(missing)}; "
            f"the columns are {', '.join(fields)}"
        )


def label_text(value: Any) -> Any:
    """Return a label's value as a text if it is an integer or a boolean; other values unchanged."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool) or type(value).__name__ in ("bool_", "bool"):
        return "true" if value else "false"
    if hasattr(value, "__index__"):
        with contextlib.suppress(ValueError):  # it has more digits than Python writes; the record is rejected
            return str(int(value))
    return value


def map_of(mapping: ColumnMapping, given: Any) -> dict[str, Any]:
    """
    Return the labels in a column of maps.

    :raises InvalidTimeSeriesError: if it is not a map.
    """
    try:
        pairs = {} if given is None else dict(given)
    except (TypeError, ValueError):
        raise InvalidTimeSeriesError(
            "labels", f"expected a map of labels in column {mapping.labels_column!r}, got {shown(given)}"
        ) from None
    texts = {name: label_text(value) for name, value in pairs.items()}
    return {name: text for name, text in texts.items() if text is not None and text != ""}


def no_timestamp(mapping: ColumnMapping) -> InvalidTimeSeriesError:
    """Return why a row without a timestamp is rejected."""
    return InvalidTimeSeriesError("timestamp", f"expected a time in column {mapping.timestamp!r}, got NULL")
