"""The declaration of which columns of a row are the metric name, the labels, the values and the timestamp."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pyflink_prometheus import _validation
from pyflink_prometheus._validation import shown
from pyflink_prometheus.errors import InvalidTimeSeriesError
from pyflink_prometheus.model.epoch import zone_named
from pyflink_prometheus.model.labels import METRIC_NAME_LABEL, canonical_labels
from pyflink_prometheus.model.metadata import Metadata, checked_metadata


@dataclass(frozen=True, kw_only=True)
class ColumnMapping:
    """
    A mapping from the columns of a row to samples, instead of a Python function.

    ::

        ColumnMapping(
            metric_name="room_temperature_celsius", labels=["room"], values="celsius", timestamp="measured_at"
        )

    The same mapping works for tables, SQL functions, and streams of named rows, dicts and tuples. The columns of a
    tuple are named ``f0``, ``f1`` and so on, unless the stream's type names them.

    A NULL is ``None`` or, in a dict, a missing key. A value that is NULL is skipped and counted
    (``numNullValuesSkipped``). A label that is NULL or empty is left out. A row without a timestamp, or without a name
    in ``metric_name_column``, is rejected as INVALID.

    :param metric_name: the metric name of all rows, if ``values`` is a single column.
    :param metric_name_column: the column with the metric name, instead of ``metric_name``.
    :param labels: the columns that are labels: their names, or a mapping from label to column. Their values are texts;
        integers and booleans are converted to text (``7``, ``true``).
    :param labels_column: a column with a map of more labels, whose names differ from row to row. A label of the same
        name in ``constant_labels``, or in ``labels`` and not NULL, takes precedence.
    :param constant_labels: labels that all rows have. One in ``labels`` that is not NULL takes precedence.
    :param values: the column of values, or a mapping from metric name to column for several metrics.
    :param histogram: a column of native histograms, beside a single column of values: where it is not NULL, it is the
        value of the row. In a table it is a STRING, as ``tables.aggregate`` returns it.
    :param stale: a column of booleans: where it is true, the values that are not NULL are written as stale markers.
    :param timestamp: the column of timestamps: integers of milliseconds since 1970, or dates with a time
        (``datetime``, ``Instant``, TIMESTAMP, TIMESTAMP_LTZ), whose fractions of a millisecond are cut off.
    :param time_zone: the zone of timestamps that have none (naive ``datetime``, TIMESTAMP), such as ``Europe/Berlin``.
        Default UTC. When clocks go back, an hour occurs twice, and the first one is used.
    :param metadata: the metric's type, help and unit, or a mapping from metric name to them.
    :raises ValueError: if the mapping contradicts itself; the message names the argument.
    :raises TypeError: if an argument has the wrong type; the message names it.
    """

    values: str | Mapping[str, str]
    timestamp: str
    metric_name: str | None = None
    metric_name_column: str | None = None
    labels: Sequence[str] | Mapping[str, str] = ()
    labels_column: str | None = None
    constant_labels: Mapping[str, str] = field(default_factory=dict)
    histogram: str | None = None
    stale: str | None = None
    time_zone: str = "UTC"
    metadata: Metadata | Mapping[str, Metadata] | None = None

    def __post_init__(self) -> None:
        self._check_metric()
        self._set("labels", _labels(self.labels))
        self._set("constant_labels", _texts("constant_labels", self.constant_labels, "label", "value"))
        for label in [*self.labels, *self.constant_labels]:
            if label == METRIC_NAME_LABEL:
                raise ValueError(f"labels: put the metric's name in metric_name or metric_name_column, not in {label}")
        _valid("constant_labels", "metric", self.constant_labels)
        if self.labels_column is not None:
            _validation.line("labels_column", self.labels_column)
        if self.histogram is not None:
            _validation.line("histogram", self.histogram)
            if not isinstance(self.values, str):
                raise ValueError("histogram: name a single column in values, because a row has only one histogram")
        if self.stale is not None:
            _validation.line("stale", self.stale)
        _validation.line("timestamp", self.timestamp)
        zone_named(self.time_zone)
        self._check_metadata()

    @property
    def label_columns(self) -> dict[str, str]:
        """The column of each label, by the label's name."""
        return dict(self.labels)  # type: ignore[arg-type]

    @property
    def value_columns(self) -> dict[str | None, str]:
        """The column of each metric's values; ``None`` as the metric name if that is in a column."""
        if isinstance(self.values, str):
            return {self.metric_name: self.values}
        return {metric_name: column for metric_name, column in self.values.items()}  # noqa: C416

    @property
    def columns(self) -> tuple[str, ...]:
        """
        All columns, each once: metric name, labels, map of labels, values, histogram, stale, timestamp.

        The arguments of a SQL function have the same order.
        """
        names = [self.metric_name_column, *self.label_columns.values(), self.labels_column]
        names += [*self.value_columns.values(), self.histogram, self.stale, self.timestamp]
        return tuple(dict.fromkeys(name for name in names if name is not None))

    def metadata_of(self, metric_name: Any) -> Metadata | None:
        """Return the metadata of a metric; ``None`` if it has none."""
        if isinstance(self.metadata, Mapping):
            return self.metadata.get(metric_name)
        return self.metadata

    def _check_metric(self) -> None:
        """Check the metric names, the columns of values, and that they go together."""
        if isinstance(self.values, Mapping):
            if self.metric_name is not None or self.metric_name_column is not None:
                raise ValueError(
                    "metric_name: leave it out where values maps metric names to columns, or name a single column in "
                    "values"
                )
            self._set("values", _texts("values", self.values, "metric name", "column"))
            if not self.values:
                raise ValueError("values: expected a column, or a mapping from metric names to columns, got none")
            for metric_name in self.values:
                _valid("values", metric_name, {})
            return
        if not isinstance(self.values, str):
            raise TypeError(
                f"values: expected a column's name, or a mapping from metric names to columns, got {shown(self.values)}"
            )
        _validation.line("values", self.values)
        if (self.metric_name is None) == (self.metric_name_column is None):
            raise ValueError(
                "metric_name: set it, or metric_name_column if a column has the names"
                + ("" if self.metric_name is None else ", but not both")
            )
        if self.metric_name is not None:
            _valid("metric_name", self.metric_name, {})
        else:
            _validation.line("metric_name_column", self.metric_name_column)

    def _check_metadata(self) -> None:
        if self.metadata is None:
            return
        if isinstance(self.metadata, Mapping):
            known = None if self.metric_name_column is not None else set(self.value_columns)
            for metric_name in self.metadata:
                if known is not None and metric_name not in known:
                    raise ValueError(f"metadata: {shown(metric_name)} is not a metric name of this mapping")
            self._set("metadata", {name: _metadata(each) for name, each in self.metadata.items()})
        else:
            self._set("metadata", _metadata(self.metadata))

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)


def _labels(labels: Any) -> dict[str, str]:
    """Return the column of each label."""
    if isinstance(labels, Mapping):
        return _texts("labels", labels, "label", "column")
    names = [labels] if isinstance(labels, str) else labels
    if not isinstance(names, Sequence) or isinstance(names, (bytes, bytearray)):
        raise TypeError(f"labels: expected names of columns, or a mapping from labels to columns, got {shown(labels)}")
    for name in names:
        _validation.line("labels", name)
        if names.count(name) > 1:
            raise ValueError(f"labels: duplicate label {shown(name)}")
    return {name: name for name in names}


def _texts(argument: str, given: Any, key: str, value: str) -> dict[str, str]:
    """Return a mapping of texts to texts as a new dict."""
    if not isinstance(given, Mapping):
        raise TypeError(f"{argument}: expected a mapping from {key} to {value}, got {shown(given)}")
    for name, text in given.items():
        _validation.line(argument, name)
        if not isinstance(text, str) or not text:
            raise TypeError(f"{argument}: expected a non-empty text as the {value} of {shown(name)}, got {shown(text)}")
    return dict(given)


def _valid(argument: str, metric_name: Any, labels: Any) -> None:
    """Check what all rows have in common as if it were a record."""
    try:
        canonical_labels(metric_name, labels)
    except InvalidTimeSeriesError as error:
        raise ValueError(f"{argument}: {str(error).partition(': ')[2]}") from None


def _metadata(given: Any) -> Metadata:
    try:
        return Metadata(*checked_metadata(given))
    except InvalidTimeSeriesError as error:
        raise ValueError(str(error)) from None
