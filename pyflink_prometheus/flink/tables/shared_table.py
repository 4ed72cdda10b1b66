"""A table that is computed once for all its users."""

from __future__ import annotations

from pyflink.table import Table

from pyflink_prometheus.flink.tables.sql import checked_time
from pyflink_prometheus.flink.tables.time_column import with_time


def shared_table(table: Table, *, time: str) -> Table:
    """
    Return a table that Flink computes once, even if several tables and sinks use it.

    ::

        rows = shared_table(enrich_table(rows, operators, "code").rows, time="event_time")

    Flink plans each query separately, and each sink that has a name, a uid or several subtasks is a query: without this
    function, everything upstream of the sinks would run once for each. It costs a copy of each row.

    :param table: rows that are only inserted, of a StreamTableEnvironment.
    :param time: the column of event time.
    :return: the same columns.
    """
    checked_time(table, time)
    return with_time(table, time)
