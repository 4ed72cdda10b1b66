"""The query that passes a table's columns to Python without loss, whatever their types."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from pyflink.common import Types

from pyflink_prometheus.model.column_mapping import ColumnMapping
from pyflink_prometheus.model.mapped_rows import check_columns
from pyflink_prometheus.writer.mapped_columns import MappedColumns, NullValues
from pyflink_prometheus.writer.writer import RemoteWriter

if TYPE_CHECKING:
    from pyflink_prometheus.flink.batches import Column

_log = logging.getLogger(__name__)

_TEXTS = ("CHAR", "VARCHAR")
_INTEGERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT")
_FLOATS = ("FLOAT", "DOUBLE")

# The least BIGINT, which cannot be written as a literal. With NULLs, pandas would turn the column into floats.
_NO_TIMESTAMP = "-9223372036854775807 - 1"


class SqlType(NamedTuple):
    """
    The properties of a column's type that matter here.

    :param root: Flink's name for the kind of type, such as ``VARCHAR``.
    :param text: the type as written in SQL, for messages.
    :param is_nullable: whether there may be NULLs.
    :param children: the kinds of a map's keys and values.
    """

    root: str
    text: str
    is_nullable: bool = True
    children: tuple[str, ...] = ()

    @staticmethod
    def of(j_logical_type: Any) -> SqlType:
        """Return the properties of a Java ``LogicalType``."""
        children = tuple(child.getTypeRoot().name() for child in j_logical_type.getChildren())
        text = j_logical_type.asSummaryString().removesuffix(" NOT NULL")
        return SqlType(j_logical_type.getTypeRoot().name(), text, j_logical_type.isNullable(), children)


class Selection(NamedTuple):
    """
    A query's list of expressions, and the layout of the batches that it returns.

    :param expressions: one for each column of the mapping, then the flags of values that may be NULL.
    :param names: the names of the expressions.
    :param flags: the names of the expressions that say whether a value is NULL.
    :param nulls: how the columns of values represent NULLs.
    :param has_local_time: whether timestamps are local times of the mapping's time zone, converted as if they were UTC.
    """

    expressions: tuple[str, ...]
    names: tuple[str, ...]
    flags: tuple[str, ...]
    nulls: tuple[NullValues, ...]
    has_local_time: bool


def select(mapping: ColumnMapping, types: Mapping[str, SqlType]) -> Selection:
    """
    Return the expressions by which a mapping's columns are passed to Python.

    :param mapping: the column mapping.
    :param types: the types of the table's columns.
    :raises ValueError: naming columns that do not exist.
    :raises TypeError: naming a column whose type does not fit its use in the mapping.
    """
    check_columns(mapping.columns, list(types))
    found: dict[str, str] = {}

    def take(name: str, expression: str | None, what: str, expected: str) -> None:
        if expression is None:
            raise TypeError(
                f"CAST column {name!r} to {expected} before the sink: {what} cannot be of type {types[name].text}"
            )
        if found.setdefault(name, expression) != expression:
            raise ValueError(
                f"select column {name!r} twice, under two names: the mapping uses it for two purposes that need "
                "different types"
            )

    for column, expression_of, what, expected in (
        (mapping.metric_name_column, _text, "a metric name", "STRING"),
        *((each, _label, "a label", "STRING") for each in mapping.label_columns.values()),
        (mapping.labels_column, _map, "a map of labels", "MAP<STRING, STRING>"),
        (mapping.histogram, _text, "a histogram", "STRING"),
        (mapping.stale, _stale, "a stale flag", "BOOLEAN"),
    ):
        if column is not None:
            take(column, expression_of(quoted(column), types[column]), what, expected)
    nulls: list[NullValues] = []
    flags: dict[str, str] = {}
    for name in mapping.value_columns.values():
        take(name, _value(quoted(name), types[name]), "a value", "DOUBLE")
        nulls.append(_nulls(types[name]))
        if nulls[-1] is NullValues.FLAGGED:
            flags[f"{name} is null"] = f"{quoted(name)} IS NULL"
    name = mapping.timestamp
    take(name, timestamp(quoted(name), types[name]), "a timestamp", "TIMESTAMP_LTZ(3) or BIGINT (milliseconds)")
    return Selection(
        expressions=(*(found[name] for name in mapping.columns), *flags.values()),
        names=(*mapping.columns, *flags),
        flags=tuple(flags),
        nulls=tuple(nulls),
        has_local_time=types[name].root == "TIMESTAMP_WITHOUT_TIME_ZONE" and mapping.time_zone != "UTC",
    )


class ColumnReader:
    """
    A :class:`~pyflink_prometheus.flink.batches.BatchReader` that reads columns according to a mapping.

    :param mapping: the column mapping.
    :param selection: the layout of the batches; ``None`` for the arguments of a SQL function.
    """

    def __init__(self, mapping: ColumnMapping, selection: Selection | None = None) -> None:
        self._mapping = mapping
        self._selection = selection
        self._columns: MappedColumns | None = None

    def read(self, columns: Sequence[Column], rows: int, writer: RemoteWriter) -> None:
        """Add the samples of a batch."""
        if self._columns is None:
            nulls = None if self._selection is None else self._selection.nulls
            is_local = self._selection is not None and self._selection.has_local_time
            self._columns = MappedColumns(self._mapping, writer, nulls, has_local_time=is_local)
        self._columns.add(columns)


def key_columns_of(mapping: ColumnMapping) -> tuple[str, ...]:
    """
    Return the columns in which the rows of a series have the same values.

    A map of labels is not among them, because its entries may come in any order.
    """
    names = (mapping.metric_name_column, *mapping.label_columns.values())
    keys = tuple(dict.fromkeys(name for name in names if name is not None))
    if not keys and mapping.labels_column is not None:
        _log.warning(
            "give the column mapping a column in labels if the Prometheus writer has several subtasks: rows cannot be "
            "distributed by a map of labels, so samples of a series may overtake each other"
        )
    return keys


def stream_types(mapping: ColumnMapping, selection: Selection) -> dict[str, Any]:
    """Return the types that the selected columns have in a stream."""
    types = dict.fromkeys(selection.names, Types.STRING())
    types.update(dict.fromkeys(mapping.value_columns.values(), Types.DOUBLE()))
    types.update(dict.fromkeys(selection.flags, Types.BOOLEAN()))
    if mapping.stale is not None:
        types[mapping.stale] = Types.BOOLEAN()
    types[mapping.timestamp] = Types.LONG()
    return types


def quoted(name: str) -> str:
    """Return a name quoted for SQL, whatever characters it contains."""
    return "`" + name.replace("`", "``") + "`"


def timestamp(column: str, of: SqlType) -> str | None:
    """
    Return the milliseconds since 1970 of a column; a TIMESTAMP is taken to be in UTC.

    A TIMESTAMP_LTZ must not be passed to Python as such: PyFlink takes its UTC time for one in the session's zone. SQL
    has no function that converts it to milliseconds, and differences in units finer than minutes overflow. Where the
    session's zone is not UTC, times before 1970 may be off by up to a minute.
    """
    if of.root == "BIGINT":
        millis = column
    elif of.root in _INTEGERS:
        millis = f"CAST({column} AS BIGINT)"
    elif of.root == "TIMESTAMP_WITHOUT_TIME_ZONE":
        millis = f"EXTRACT(EPOCH FROM {column}) * 1000 + EXTRACT(MILLISECOND FROM {column})"
    elif of.root == "TIMESTAMP_WITH_LOCAL_TIME_ZONE":
        millis = (
            f"CAST(TIMESTAMPDIFF(MINUTE, TO_TIMESTAMP_LTZ(0, 3), {column}) AS BIGINT) * 60000"
            f" + EXTRACT(SECOND FROM {column}) * 1000 + EXTRACT(MILLISECOND FROM {column})"
        )
    else:
        return None
    return f"COALESCE({millis}, {_NO_TIMESTAMP})" if of.is_nullable else millis


def _text(column: str, of: SqlType) -> str | None:
    return column if of.root in _TEXTS else None


def _stale(column: str, of: SqlType) -> str | None:
    return f"COALESCE({column}, FALSE)" if of.root == "BOOLEAN" else None


def _label(column: str, of: SqlType) -> str | None:
    if of.root in _TEXTS:
        return column
    if of.root in _INTEGERS:
        return f"CAST({column} AS STRING)"
    return f"CASE WHEN {column} THEN 'true' WHEN NOT {column} THEN 'false' END" if of.root == "BOOLEAN" else None


def _map(column: str, of: SqlType) -> str | None:
    """Return a map as JSON: its entries would take Python a microsecond per row, but equal texts are one object."""
    if of.root != "MAP" or of.children[0] not in _TEXTS or of.children[1] not in (*_TEXTS, *_INTEGERS, "BOOLEAN"):
        return None
    return f"JSON_STRING({column})"


def _value(column: str, of: SqlType) -> str | None:
    if of.root == "DOUBLE":
        return column
    if of.root in ("FLOAT", "DECIMAL", *_INTEGERS):
        return f"CAST({column} AS DOUBLE)"
    if of.root == "BOOLEAN":
        return f"CAST(CASE WHEN {column} THEN 1 WHEN NOT {column} THEN 0 END AS DOUBLE)"
    return None


def _nulls(of: SqlType) -> NullValues:
    if of.root not in _FLOATS:
        return NullValues.NAN
    return NullValues.FLAGGED if of.is_nullable else NullValues.NEVER
