"""The writer's entry point for rows that arrive one by one; on the caller's thread."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pyflink_prometheus._validation import shown
from pyflink_prometheus.errors import InvalidTimeSeriesError
from pyflink_prometheus.model.column_mapping import ColumnMapping
from pyflink_prometheus.model.epoch import Epoch
from pyflink_prometheus.model.histogram_text import histogram_of
from pyflink_prometheus.model.mapped_rows import label_text, map_of, no_timestamp, picker, positional
from pyflink_prometheus.model.samples import STALE_MARKER
from pyflink_prometheus.model.timeseries import PrometheusTimeSeries
from pyflink_prometheus.writer.writer import RemoteWriter

_log = logging.getLogger(__name__)


class MappedRecords:
    """
    The rows of a column mapping, one by one: named rows, dicts and tuples.

    :param mapping: says what each column holds.
    :param writer: gets the samples.
    :param field_names: the fields of all rows, in order; ``None`` if each row names its own.
    :raises ValueError: if the mapping has columns that are not among the fields.
    """

    def __init__(self, mapping: ColumnMapping, writer: RemoteWriter, field_names: Sequence[str] | None = None) -> None:
        self._mapping = mapping
        self._writer = writer
        self._columns = mapping.columns
        self._millis = Epoch(mapping.time_zone).millis
        place = {name: number for number, name in enumerate(self._columns)}
        self._labels = [(label, place[column]) for label, column in mapping.label_columns.items()]
        self._map = None if mapping.labels_column is None else place[mapping.labels_column]
        self._name = None if mapping.metric_name_column is None else place[mapping.metric_name_column]
        self._values = [
            (metric, place[column], mapping.metadata_of(metric)) for metric, column in mapping.value_columns.items()
        ]
        self._histogram = None if mapping.histogram is None else place[mapping.histogram]
        self._stale = None if mapping.stale is None else place[mapping.stale]
        self._timestamp = place[mapping.timestamp]
        self._warned_of: set[str] = set()
        self._pick = None if field_names is None else picker(self._columns, field_names)
        self._fields: Any = None
        self._pick_named: Callable[[Any], Sequence[Any]] = tuple

    def add(self, record: Any) -> None:
        """
        Take the samples of one row.

        :raises TypeError: if the row lacks columns of the mapping.
        """
        row = self._row(record)
        writer = self._writer
        values = [(metric, row[at], metadata) for metric, at, metadata in self._values if row[at] is not None]
        histogram = None if self._histogram is None else row[self._histogram]
        if histogram is not None:
            ((metric, _, metadata),) = self._values
            values = [(metric, histogram, metadata)]
        elif self._stale is not None and row[self._stale]:
            values = [(metric, STALE_MARKER, metadata) for metric, _, metadata in values]
        writer.ledger.null_values_skipped += len(self._values) - len(values)
        if not values:
            return
        try:
            labels = self._labels_of(row)
            timestamp = self._millis(row[self._timestamp])
            if histogram is not None:
                values = [(metric, histogram_of(text), metadata) for metric, text, metadata in values]
        except InvalidTimeSeriesError as error:
            for _ in values:
                writer.reject(record, error)
            return
        for metric, value, metadata in values:
            if self._name is not None:
                metric = row[self._name]  # noqa: PLW2901
                metadata = self._mapping.metadata_of(metric)  # noqa: PLW2901
            if timestamp is None:
                series = PrometheusTimeSeries(metric, labels, ((value, None),), metadata)  # type: ignore[arg-type]
                writer.reject(series, no_timestamp(self._mapping))
            else:
                writer.add((metric, labels, ((value, timestamp),), metadata, ()))

    def _row(self, record: Any) -> Sequence[Any]:
        """Return the values of the mapping's columns."""
        if isinstance(record, Mapping):
            try:
                return [record[name] for name in self._columns]
            except KeyError:
                self._warn_of_missing(record)
                return [record.get(name) for name in self._columns]
        try:
            if self._pick is not None:
                return self._pick(record)
            fields = getattr(record, "_fields", None)  # of a Row or a named tuple
            if fields is None:
                if not isinstance(record, (tuple, list)) and type(record).__name__ != "Row":
                    raise TypeError(
                        f"the column mapping expected a named row, a dict or a tuple, got {type(record).__name__}, "
                        f"{shown(record)}"
                    )
                fields = positional(len(record))
            if fields != self._fields:
                self._pick_named = picker(self._columns, fields)
                self._fields = fields
            return self._pick_named(record)
        except (IndexError, ValueError) as error:
            raise TypeError(f"{error}; the row is {shown(record)}") from None

    def _labels_of(self, row: Sequence[Any]) -> dict[str, Any]:
        labels: dict[str, Any] = {}
        if self._map is not None:
            labels = map_of(self._mapping, row[self._map])
        labels.update(self._mapping.constant_labels)
        for label, at in self._labels:
            text = row[at]
            if type(text) is not str:
                text = label_text(text)
            if text is not None and text != "":
                labels[label] = text
        return labels

    def _warn_of_missing(self, record: Mapping[str, Any]) -> None:
        for name in self._columns:
            if name not in record and name not in self._warned_of:
                self._warned_of.add(name)
                _log.warning(
                    "check the column mapping: %r is not a key of a record and is treated as NULL there (logged once); "
                    "the keys are %s",
                    name,
                    shown(list(record)),
                )
