"""The writer's entry point for rows that arrive many at a time, by column; on the caller's thread."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from itertools import compress, repeat
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pyflink_prometheus._validation import shown
from pyflink_prometheus.errors import InvalidTimeSeriesError
from pyflink_prometheus.model.column_mapping import ColumnMapping
from pyflink_prometheus.model.epoch import Epoch
from pyflink_prometheus.model.histogram_text import histogram_of
from pyflink_prometheus.model.mapped_rows import label_text, map_of, no_timestamp
from pyflink_prometheus.model.samples import STALE_MARKER
from pyflink_prometheus.model.timeseries import PrometheusTimeSeries
from pyflink_prometheus.writer.family import RowFamily
from pyflink_prometheus.writer.writer import RemoteWriter

#: The value for NULL in a column of timestamps, as in numpy's ``datetime64``.
NO_TIMESTAMP = -(2**63)
_MOST_KNOWN_LABELS = 100_000


class NullValues(Enum):
    """How NULLs appear in a column of values, where they become NaN in transit."""

    #: Each NaN is a NULL.
    NAN = "nan"
    #: A further column says for each row whether the value is NULL.
    FLAGGED = "flagged"
    #: There are none, and a NaN is a NaN.
    NEVER = "never"


class MappedColumns:
    """
    The rows of a column mapping, many at once, by column.

    A column is a pandas Series or a numpy array, or a plain value that all rows have. The columns are those of the
    mapping, in its order, followed by one of booleans for each column of values that is :attr:`NullValues.FLAGGED`.

    :param mapping: says what each column holds.
    :param writer: gets the samples.
    :param nulls: how NULLs appear in the columns of values, in the order of ``mapping.value_columns``. Default: NaN.
    :param has_local_time: whether integer timestamps are local times in the mapping's time zone, as if it were UTC.
    """

    def __init__(
        self,
        mapping: ColumnMapping,
        writer: RemoteWriter,
        nulls: Sequence[NullValues] | None = None,
        *,
        has_local_time: bool = False,
    ) -> None:
        self._mapping = mapping
        self._writer = writer
        self._epoch = Epoch(mapping.time_zone)
        self._has_local_time = has_local_time
        self._place = {name: number for number, name in enumerate(mapping.columns)}
        self._nulls = [NullValues.NAN] * len(mapping.value_columns) if nulls is None else list(nulls)
        pairs = zip(mapping.value_columns.values(), self._nulls)
        flags = dict.fromkeys(name for name, each in pairs if each is NullValues.FLAGGED)
        self._flags = {name: len(self._place) + number for number, name in enumerate(flags)}
        self._constants = list(mapping.constant_labels.items())
        names = tuple(dict.fromkeys([*mapping.label_columns, *mapping.constant_labels]))
        self._families = [RowFamily(metric, names, mapping.metadata_of(metric)) for metric in mapping.value_columns]
        has_own_metadata = mapping.metric_name_column is not None and isinstance(mapping.metadata, Mapping)
        self._is_mixed = mapping.labels_column is not None or has_own_metadata
        self._known: dict[Any, tuple[tuple[str, ...], tuple[str, ...]] | InvalidTimeSeriesError] = {}

    def add(self, columns: Sequence[Any]) -> None:
        """
        Take the samples of many rows.

        :raises TypeError: if the columns are not those of the mapping, or have an ambiguous type.
        """
        mapping, flags = self._mapping, len(self._flags)
        if len(columns) != len(self._place) + flags:
            raise TypeError(
                f"pass the arguments {', '.join(self._place)} in this order: expected {len(self._place)}, "
                f"got {len(columns) - flags}"
            )
        rows = next((len(column) for column in columns if hasattr(column, "dtype") and column.ndim), 1)
        timestamps = self._timestamps(columns[self._place[mapping.timestamp]], rows)
        labels = [self._texts(columns[self._place[name]], rows) for name in mapping.label_columns.values()]
        name_column = mapping.metric_name_column
        names = None if name_column is None else self._texts(columns[self._place[name_column]], rows)
        maps = None
        if mapping.labels_column is not None:
            column = columns[self._place[mapping.labels_column]]
            maps = column.tolist() if hasattr(column, "dtype") else [column] * rows
        stale = None if mapping.stale is None else self._booleans(columns[self._place[mapping.stale]], rows)
        histograms = None
        if mapping.histogram is not None:
            column = columns[self._place[mapping.histogram]]
            histograms = column.tolist() if hasattr(column, "dtype") else [column] * rows
        for family, column_name, nulls in zip(self._families, mapping.value_columns.values(), self._nulls):
            values = self._numbers(columns[self._place[column_name]], rows)
            is_null = np.zeros(rows, dtype=bool)
            if nulls is NullValues.NAN:
                is_null = np.isnan(values)
            elif nulls is NullValues.FLAGGED:
                is_null |= np.asarray(columns[self._flags[column_name]], dtype=bool)
            if stale is not None:
                values = np.where(stale, STALE_MARKER, values)
            part = _Part(family, names, labels, maps, timestamps, values)
            if histograms is not None:
                is_histogram = np.array([each is not None for each in histograms], dtype=bool)
                self._add_histograms(part.only(is_histogram), list(compress(histograms, is_histogram.tolist())))
                part, is_null = part.only(~is_histogram), is_null[~is_histogram]
            if is_null.any():
                part = part.only(~is_null)
                self._writer.ledger.null_values_skipped += int(is_null.sum())
            self._add_part(part)

    def _add_part(self, part: _Part) -> None:
        """Add the samples of one column of values, none of which is NULL."""
        has_none = part.timestamps == NO_TIMESTAMP
        if has_none.any():
            for family, columns, _, values in self._by_family(part.only(has_none)):
                for texts, value in zip(_rows(columns, len(values)), values.tolist()):
                    self._reject_without_timestamp(family, texts, value)
            part = part.only(~has_none)
        for family, columns, timestamps, values in self._by_family(part):
            if len(values):
                self._writer.add_rows(family, columns, timestamps, values)

    def _add_histograms(self, part: _Part, texts: Sequence[Any]) -> None:
        """Add native histograms, one by one: there are few, because they come from windows."""
        for number, text in enumerate(texts):
            name = part.family.metric_name if part.names is None else part.names[number]
            metadata = self._mapping.metadata_of(name)
            labels = None if part.maps is None else part.maps[number]
            row = [column[number] for column in part.labels]
            known = self._labels_of(labels, row)
            timestamp = int(part.timestamps[number])
            try:
                if isinstance(known, InvalidTimeSeriesError):
                    raise known
                value = histogram_of(text)
            except InvalidTimeSeriesError as error:
                self._writer.reject(self._as_record(name, labels, row, part, number), error)
                continue
            pairs = dict(zip(*known))
            if timestamp == NO_TIMESTAMP:
                series = PrometheusTimeSeries(name, pairs, ((value, None),), metadata)  # type: ignore[arg-type]
                self._writer.reject(series, no_timestamp(self._mapping))
            else:
                self._writer.add((name, pairs, ((value, timestamp),), metadata, ()))

    def _by_family(self, part: _Part) -> Iterator[tuple[RowFamily, list[list[Any]], Any, Any]]:
        """Yield rows that share metric name, label names and metadata; all rows of a series together, in order."""
        if not self._is_mixed:
            columns = self._with_constants(part.labels, len(part.values))
            yield part.family, columns if part.names is None else [part.names, *columns], part.timestamps, part.values
            return
        groups: dict[tuple[Any, tuple[str, ...]], tuple[list[int], list[tuple[str, ...]]]] = {}
        rows = len(part.values)
        names = repeat(part.family.metric_name, rows) if part.names is None else part.names
        maps = repeat(None, rows) if part.maps is None else part.maps
        for number, (name, labels, *texts) in enumerate(zip(names, maps, *part.labels)):
            known = self._labels_of(labels, texts)
            if isinstance(known, InvalidTimeSeriesError):
                self._writer.reject(self._as_record(name, labels, texts, part, number), known)
                continue
            label_names, label_texts = known
            numbers, of_group = groups.setdefault((name, label_names), ([], []))
            numbers.append(number)
            of_group.append(label_texts)
        for (name, label_names), (numbers, of_group) in groups.items():
            family = RowFamily(name, label_names, self._mapping.metadata_of(name))
            columns = [list(column) for column in zip(*of_group)]
            if name is None:
                columns.insert(0, [None] * len(numbers))
            yield family, columns, part.timestamps[numbers], part.values[numbers]

    def _labels_of(
        self, labels: Any, texts: Sequence[str | None]
    ) -> tuple[tuple[str, ...], tuple[str, ...]] | InvalidTimeSeriesError:
        """Return the names and the values of a row's labels, sorted by name; or why they are not valid."""
        try:
            pairs = labels.items() if isinstance(labels, Mapping) else labels
            key = (pairs if pairs is None or isinstance(pairs, str) else tuple(map(tuple, pairs)), *texts)
            return self._known[key]
        except KeyError:
            pass
        except TypeError:
            key = None
        found: tuple[tuple[str, ...], tuple[str, ...]] | InvalidTimeSeriesError
        try:
            merged = map_of(self._mapping, json.loads(labels) if isinstance(labels, str) else labels)
            merged.update(self._constants)
            merged.update((label, text) for label, text in zip(self._mapping.label_columns, texts) if text)
            found = tuple(sorted(merged)), tuple([merged[name] for name in sorted(merged)])
        except InvalidTimeSeriesError as error:
            found = error
        if key is not None:
            if len(self._known) >= _MOST_KNOWN_LABELS:
                self._known.clear()
            self._known[key] = found
        return found

    def _with_constants(self, labels: list[list[Any]], rows: int) -> list[list[Any]]:
        """Return the columns of the family's labels, where a constant takes the place of a NULL."""
        if not self._constants:
            return labels
        columns = dict(zip(self._mapping.label_columns, labels))
        for label, constant in self._constants:
            column = columns.get(label)
            columns[label] = [constant] * rows if column is None else [text or constant for text in column]
        return list(columns.values())

    def _as_record(self, name: Any, labels: Any, texts: Sequence[Any], part: _Part, number: int) -> dict[str, Any]:
        """Return a row for the handler of rejected samples, with the columns that are known here."""
        record = dict(zip(self._mapping.label_columns.values(), texts))
        if self._mapping.labels_column is not None:
            record[self._mapping.labels_column] = labels
        return {
            **record,
            "metric_name": name,
            "value": float(part.values[number]),
            self._mapping.timestamp: int(part.timestamps[number]),
        }

    def _reject_without_timestamp(self, family: RowFamily, texts: Sequence[Any], value: float) -> None:
        name = family.metric_name
        if name is None:
            name, *texts = texts
        labels = {label: text for label, text in zip(family.label_names, texts) if text}
        series = PrometheusTimeSeries(name, labels, ((value, None),), family.metadata)  # type: ignore[arg-type]
        self._writer.reject(series, no_timestamp(self._mapping))

    def _texts(self, column: Any, rows: int) -> list[Any]:
        """Return a column of labels or metric names."""
        if not hasattr(column, "dtype") or not column.ndim:
            return [label_text(column)] * rows
        if column.dtype.kind == "f":  # integers, with NULLs among them
            return [None if math.isnan(number) else label_text(int(number)) for number in column.tolist()]
        texts: list[Any] = column.tolist()
        if all(text is None or type(text) is str for text in texts):
            return texts
        return [label_text(text) for text in texts]

    def _booleans(self, column: Any, rows: int) -> npt.NDArray[np.bool_]:
        """Return a column of booleans, false for NULL."""
        if not hasattr(column, "dtype") or not column.ndim:
            return np.full(rows, bool(column), dtype=bool)
        return np.array([bool(each) for each in column.tolist()], dtype=bool)

    def _numbers(self, column: Any, rows: int) -> npt.NDArray[np.float64]:
        """Return a column of values, NaN for NULL."""
        if not hasattr(column, "dtype") or not column.ndim:
            number = np.nan if column is None else float(column)
            return np.full(rows, number, dtype=np.float64)
        if column.dtype.kind == "O":  # numbers of variable length, or booleans with NULLs among them
            plain = [np.nan if value is None else float(value) for value in column.tolist()]
            return np.array(plain, dtype=np.float64)
        return np.asarray(column, dtype=np.float64)

    def _timestamps(self, column: Any, rows: int) -> npt.NDArray[np.int64]:
        """Return a column of timestamps in milliseconds, :data:`NO_TIMESTAMP` for NULL."""
        if not hasattr(column, "dtype") or not column.ndim:
            return np.full(rows, self._timestamp(column), dtype=np.int64)
        kind = getattr(column.dtype, "kind", "O")
        zone = getattr(column.dtype, "tz", None)
        if zone is not None and str(zone) not in ("UTC", "Etc/UTC", "GMT"):
            raise TypeError(
                f"set table.local-time-zone to UTC, or insert the table with the sink's insert(): {self._named} is a "
                f"TIMESTAMP_LTZ, and PyFlink mistakes its UTC time for one in {zone}"
            )
        if kind in "iu":
            integers = np.asarray(column, dtype=np.int64)
            return self._from_local(integers) if self._has_local_time else integers
        if kind == "f":  # integers, with NULLs among them
            numbers = np.asarray(column, dtype=np.float64)
            millis: npt.NDArray[np.int64] = np.nan_to_num(numbers).astype(np.int64)
            millis[np.isnan(numbers)] = NO_TIMESTAMP
            return millis
        if kind == "M":
            plain = column if zone is None else column.dt.tz_convert("UTC").dt.tz_localize(None)
            millis = np.asarray(plain).astype("datetime64[ms]").astype(np.int64)
            return self._from_local(millis) if zone is None else millis
        return np.array([self._timestamp(each) for each in column.tolist()], dtype=np.int64)

    def _from_local(self, local: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        millis = self._epoch.all_from_local(local)
        millis[local == NO_TIMESTAMP] = NO_TIMESTAMP
        return millis

    def _timestamp(self, value: Any) -> int:
        millis = NO_TIMESTAMP if value is None else self._epoch.millis(value)
        if isinstance(millis, bool) or not isinstance(millis, int):
            raise TypeError(
                f"CAST {self._named} to BIGINT (milliseconds since 1970) or TIMESTAMP(3): the sink cannot read "
                f"{shown(value)} as a time"
            )
        return millis

    @property
    def _named(self) -> str:
        return f"the timestamp {self._mapping.timestamp!r}"


class _Part(NamedTuple):
    """The rows of one column of values."""

    family: RowFamily
    names: list[Any] | None
    labels: list[list[Any]]
    maps: list[Any] | None
    timestamps: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]

    def only(self, chosen: npt.NDArray[np.bool_]) -> _Part:
        """Return the chosen rows."""
        keep = chosen.tolist()
        return _Part(
            self.family,
            None if self.names is None else list(compress(self.names, keep)),
            [list(compress(column, keep)) for column in self.labels],
            None if self.maps is None else list(compress(self.maps, keep)),
            self.timestamps[chosen],
            self.values[chosen],
        )


def _rows(columns: Sequence[Sequence[Any]], rows: int) -> Iterator[tuple[Any, ...]]:
    """Yield columns row by row."""
    return zip(*columns) if columns else repeat((), rows)
