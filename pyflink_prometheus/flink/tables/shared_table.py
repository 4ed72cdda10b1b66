"""A table that is computed once for all that use it."""

from __future__ import annotations

from pyflink.table import Schema, StreamTableEnvironment, Table

from pyflink_prometheus._validation import shown
from pyflink_prometheus.flink.tables.sql import checked_time


def shared_table(table: Table, *, time: str) -> Table:
    """
    Return a table that Flink computes once, although several others and several sinks use it.

    ::

        rows = shared_table(enrich_table(rows, operators, "code").rows, time="event_time")

    Flink plans each query by itself, and each sink that has a name, a uid or several subtasks is one: without this, all
    that is before them would run once for each. It costs a copy of each row.

    :param table: rows that are only inserted, of a StreamTableEnvironment.
    :param time: the column of event time.
    :return: the same columns.
    """
    t_env = table._t_env
    if not isinstance(t_env, StreamTableEnvironment):
        raise TypeError(f"table: expected one of a StreamTableEnvironment, got one of {shown(type(t_env).__name__)}")
    checked_time(table, time)
    schema = Schema.new_builder()
    j_schema = table._j_table.getResolvedSchema()
    names, types = j_schema.getColumnNames(), j_schema.getColumnDataTypes()
    for at in range(names.size()):
        schema.column(names.get(at), types.get(at).getLogicalType().asSerializableString())
    schema.watermark(time, "SOURCE_WATERMARK()")
    return t_env.from_data_stream(t_env.to_data_stream(table), schema.build())
