"""A table whose event time is another column."""

from __future__ import annotations

from pyflink.table import Schema, StreamTableEnvironment, Table

from pyflink_prometheus._validation import shown
from pyflink_prometheus.flink.row_stream import row_stream


def with_time(table: Table, time: str) -> Table:
    """
    Return a table with a column as its event time, and with the watermarks that it had before.

    Flink computes the table once, no matter how the result is used.

    :param table: rows that are only inserted, of a StreamTableEnvironment, none behind the watermark.
    :param time: a column of times.
    :return: the same columns.
    """
    t_env = table._t_env
    if not isinstance(t_env, StreamTableEnvironment):
        raise TypeError(
            f"table: expected a table of a StreamTableEnvironment, got one of {shown(type(t_env).__name__)}"
        )
    schema = Schema.new_builder()
    j_schema = table._j_table.getResolvedSchema()
    names, types = j_schema.getColumnNames(), j_schema.getColumnDataTypes()
    for at in range(names.size()):
        schema.column(names.get(at), types.get(at).getLogicalType().asSerializableString())
    schema.watermark(time, "SOURCE_WATERMARK()")
    return t_env.from_data_stream(row_stream(t_env, table), schema.build())
