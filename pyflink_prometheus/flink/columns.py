"""The record types that can be passed as columns, and the conversion of columns back to records."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from pyflink.common import Row, Types
from pyflink.common.typeinfo import ExternalTypeInfo, PickledBytesTypeInfo, RowTypeInfo, TupleTypeInfo, TypeInformation

from pyflink_prometheus.flink.subtask import Conversion, adder
from pyflink_prometheus.writer.writer import RemoteWriter

if TYPE_CHECKING:
    from pyflink_prometheus.flink.batches import Column


class _Kind(Enum):
    """The kind of values in a column; PyFlink's own types can't be pickled into the job."""

    INTEGER = auto()
    FLOAT = auto()
    OTHER = auto()


_KINDS = (
    *((each, _Kind.INTEGER) for each in (Types.LONG(), Types.INT(), Types.SHORT(), Types.BYTE())),
    *((each, _Kind.FLOAT) for each in (Types.DOUBLE(), Types.FLOAT())),
    *((each, _Kind.OTHER) for each in (Types.STRING(), Types.BOOLEAN(), Types.PRIMITIVE_ARRAY(Types.BYTE()))),
)
_NULLS_IN_A_MASK = 62  # bits of a BIGINT, without its sign

_CAN_BE_COLUMNS = "only numbers, strings, booleans and bytes, on their own or as fields of a tuple or row,"


class NotColumnsError(TypeError):
    """An error for records that cannot be passed as columns; the text says why."""


@dataclass(frozen=True, slots=True)
class RecordColumns:
    """
    The columns of records of one type.

    SQL has two kinds of missing numbers: NULL, and NaN in a DOUBLE. Pandas has only NaN, and turns integers into floats
    to represent it. So each number that may be NULL has a bit in additional columns, and an integer that is NULL is
    passed as 0.

    :ivar names: the names of the fields; one name if records are plain values.
    :ivar kinds: the kinds of the fields.
    :ivar of_columns: makes records from the columns' values.
    :ivar may_be_null: whether a number may be NULL.
    """

    names: tuple[str, ...]
    kinds: tuple[_Kind, ...]
    of_columns: Callable[[Sequence[list[Any]]], Iterable[Any]]
    may_be_null: bool = False

    def records(self, columns: Sequence[Column]) -> Iterable[Any]:
        """Return the records, as a Python function of a DataStream would get them."""
        values = [column.tolist() for column in columns[: len(self.names)]]
        for group, mask in zip(self.nulls(), columns[len(self.names) :]):
            if isinstance(mask, int) and mask == 0:
                continue  # a constant: Flink knows from the table's types that none is NULL
            bits = mask.to_numpy()
            if bits.any():
                for field, bit in group:
                    for row in (bits & bit).nonzero()[0].tolist():
                        values[field][row] = None
        return self.of_columns(values)

    def is_integer(self, field: int) -> bool:
        """Return whether a field is an integer."""
        return self.kinds[field] is _Kind.INTEGER

    def nulls(self) -> list[list[tuple[int, int]]]:
        """Return, for each additional column in order, the fields whose NULLs it marks, each with its bit."""
        if not self.may_be_null:
            return []
        fields = [field for field, kind in enumerate(self.kinds) if kind is not _Kind.OTHER]
        return [
            [(field, 1 << bit) for bit, field in enumerate(fields[first : first + _NULLS_IN_A_MASK])]
            for first in range(0, len(fields), _NULLS_IN_A_MASK)
        ]


def record_columns(record_type: TypeInformation) -> RecordColumns:
    """
    Return the columns of records.

    :param record_type: the type of a stream's records.
    :raises NotColumnsError: if columns would lose part of the records.
    """
    from_table = isinstance(record_type, ExternalTypeInfo)
    if from_table:
        record_type = record_type._type_info
    if isinstance(record_type, (RowTypeInfo, TupleTypeInfo)) and not record_type.get_field_types():
        raise NotColumnsError("records have no fields")
    if isinstance(record_type, RowTypeInfo):
        names = tuple(record_type.get_field_names())
        fields = _fields(names, record_type.get_field_types())
        return RecordColumns(names, fields, _Rows(names), may_be_null=True)
    if isinstance(record_type, TupleTypeInfo):
        types = record_type.get_field_types()
        names = tuple(f"f{number}" for number in range(len(types)))
        return RecordColumns(names, _fields(names, types), _tuples)
    if isinstance(record_type, PickledBytesTypeInfo):
        raise NotColumnsError("records are pickled objects; give the stream's operator an output_type")
    kind = _kind("records are", record_type)
    return RecordColumns(("f0",), (kind,), _values, may_be_null=from_table)


class RecordReader:
    """
    A :class:`~pyflink_prometheus.flink.batches.BatchReader` that makes a record from each row, and converts it.

    :param columns: defines how records are made from rows.
    :param converter: turns a record into series; ``None`` if records are series.
    """

    def __init__(self, columns: RecordColumns, converter: Conversion | None) -> None:
        self._columns = columns
        self._converter = converter

    def read(self, columns: Sequence[Column], rows: int, writer: RemoteWriter) -> None:
        """Add all records of a batch, as if they came one by one."""
        add = adder(writer, self._converter)
        for record in self._columns.records(columns):
            add(record)


class _Rows:
    """A conversion from columns to rows that gives the same rows as PyFlink's coders."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = list(names)

    def __call__(self, columns: Sequence[list[Any]]) -> Iterable[Row]:
        first = Row(*(each[0] for each in columns))
        first.set_field_names(self._names)
        like_first, new = vars(first), Row.__new__
        for values in zip(*columns):
            # In place of Row's constructor and set_field_names, which would be a large part of a record's cost.
            row = new(Row)
            row.__dict__.update(like_first, _values=list(values))
            yield row


def _tuples(columns: Sequence[list[Any]]) -> Iterable[tuple[Any, ...]]:
    return zip(*columns)


def _values(columns: Sequence[list[Any]]) -> Iterable[Any]:
    return columns[0]


def _fields(names: Sequence[str], types: Sequence[TypeInformation]) -> tuple[_Kind, ...]:
    return tuple(_kind(f"field {name} is", each) for name, each in zip(names, types))


def _kind(what_is: str, found: TypeInformation) -> _Kind:
    for known, kind in _KINDS:
        if found == known:
            return kind
    raise NotColumnsError(f"{what_is} of type {found}; {_CAN_BE_COLUMNS} can be columns")
