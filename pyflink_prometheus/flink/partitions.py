"""Partitions by columns, which Java makes: no Python function sees the records for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pyflink.common import Types
from pyflink.common.typeinfo import RowTypeInfo, TupleTypeInfo, TypeInformation
from pyflink.datastream import DataStream
from pyflink.java_gateway import get_gateway
from pyflink.table import StreamTableEnvironment, Table
from pyflink.table.expressions import col, row

_KEY_TYPES = (
    *(Types.STRING(), Types.BOOLEAN(), Types.LONG(), Types.INT(), Types.SHORT(), Types.BYTE()),
    *(Types.DOUBLE(), Types.FLOAT()),
)
_KEY = "key of the Prometheus writer"


def partitioned_stream(stream: DataStream, columns: Sequence[str], record_type: TypeInformation) -> DataStream:
    """
    Return a stream of tuples or rows with all records that have the same values in some columns on one subtask.

    :param columns: names of fields; ``f0``, ``f1`` and so on for tuples.
    :param record_type: of the stream.
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
    _check(columns, dict(zip(names, record_type.get_field_types())))
    jvm, j_stream = get_gateway().jvm, stream._j_data_stream
    j_type = j_stream.getType()
    j_columns = get_gateway().new_array(jvm.java.lang.String, len(columns))
    for number, column in enumerate(columns):
        j_columns[number] = column
    j_keys = jvm.org.apache.flink.api.common.operators.Keys.ExpressionKeys(j_columns, j_type)
    selector = jvm.org.apache.flink.streaming.util.keys.KeySelectorUtil.getSelectorForKeys(
        j_keys, j_type, j_stream.getExecutionConfig()
    )
    # A plain stream, because the functions that read it are not keyed.
    return DataStream(j_stream.keyBy(selector))


def partitioned_table(
    t_env: StreamTableEnvironment, table: Table, columns: Sequence[str], types: Mapping[str, TypeInformation]
) -> Table:
    """
    Return a table with all rows that have the same values in some columns on one subtask.

    :param columns: their names.
    :param types: of all columns that the result keeps, by their names.
    :raises ValueError: naming the columns that don't exist or can't be keys.
    """
    _check(columns, types)
    # Rows out of a table can be keyed only by a row in their first field.
    keyed = table.select(row(*map(col, columns)).alias(_KEY), *map(col, types))
    j_stream = t_env.to_data_stream(keyed)._j_data_stream
    selector = get_gateway().jvm.org.apache.flink.streaming.api.functions.python.KeyByKeySelector()
    j_key_type = Types.ROW([types[column] for column in columns]).get_java_type_info()
    return t_env.from_data_stream(DataStream(j_stream.keyBy(selector, j_key_type))).drop_columns(col(_KEY))


def _check(columns: Sequence[str], types: Mapping[str, TypeInformation]) -> None:
    for column in columns:
        if column not in types:
            raise ValueError(f"key_columns: use names of {', '.join(types)}: there is no {column!r}")
        if types[column] not in _KEY_TYPES:
            raise ValueError(
                f"key_columns: use columns of numbers, strings or booleans: {column!r} is of type {types[column]}"
            )
