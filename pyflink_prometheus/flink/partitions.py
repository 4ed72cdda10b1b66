"""Partitioning by columns in Java: no Python function has to see the records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pyflink.common import Types
from pyflink.common.typeinfo import RowTypeInfo, TupleTypeInfo, TypeInformation
from pyflink.datastream import DataStream
from pyflink.java_gateway import get_gateway

_KEY_TYPES = (
    *(Types.STRING(), Types.BOOLEAN(), Types.LONG(), Types.INT(), Types.SHORT(), Types.BYTE()),
    *(Types.DOUBLE(), Types.FLOAT()),
)


def partitioned_stream(stream: DataStream, columns: Sequence[str], record_type: TypeInformation) -> DataStream:
    """
    Return a stream in which all tuples or rows with the same values in some columns are on the same subtask.

    :param columns: names of fields; ``f0``, ``f1`` and so on for tuples.
    :param record_type: the type of the stream's records.
    :raises ValueError: naming the columns that don't exist or can't be keys.
    """
    if isinstance(record_type, RowTypeInfo):
        names = list(record_type.get_field_names())
    elif isinstance(record_type, TupleTypeInfo):
        names = [f"f{number}" for number in range(len(record_type.get_field_types()))]
    else:
        raise ValueError(
            f"key_columns: give the stream's operator an output_type of Types.ROW_NAMED or Types.TUPLE, or use key_by "
            f"instead: records of type {record_type} have no columns"
        )
    check_keys(columns, dict(zip(names, record_type.get_field_types())))
    jvm, j_stream = get_gateway().jvm, stream._j_data_stream
    j_type = j_stream.getType()
    if isinstance(record_type, RowTypeInfo):  # Flink parses keys, so field names may not be valid ones
        j_type = jvm.org.apache.flink.api.java.typeutils.RowTypeInfo(j_type.getFieldTypes())
    j_columns = get_gateway().new_array(jvm.java.lang.String, len(columns))
    for number, column in enumerate(columns):
        j_columns[number] = f"f{names.index(column)}"
    j_keys = jvm.org.apache.flink.api.common.operators.Keys.ExpressionKeys(j_columns, j_type)
    selector = jvm.org.apache.flink.streaming.util.keys.KeySelectorUtil.getSelectorForKeys(
        j_keys, j_type, j_stream.getExecutionConfig()
    )
    # A plain DataStream, because the functions that read it are not keyed.
    return DataStream(j_stream.keyBy(selector))


def check_keys(columns: Sequence[str], types: Mapping[str, TypeInformation]) -> None:
    """
    Check that columns can be keys.

    :param types: the types of all columns, by their names.
    :raises ValueError: naming the columns that don't exist or can't be keys.
    """
    for column in columns:
        if column not in types:
            raise ValueError(f"key_columns: choose from {', '.join(types)}: there is no column {column!r}")
        if types[column] not in _KEY_TYPES:
            raise ValueError(
                f"key_columns: use columns of numbers, strings or booleans: {column!r} is of type {types[column]}"
            )
