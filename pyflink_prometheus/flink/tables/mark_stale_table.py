"""Rows with stale markers where their series end, as a table."""

from __future__ import annotations

from collections.abc import Sequence

from pyflink.table import Table

from pyflink_prometheus import _validation
from pyflink_prometheus.flink.table_select import quoted
from pyflink_prometheus.flink.table_writer import types_of
from pyflink_prometheus.flink.tables.reorder_table import reorder_table
from pyflink_prometheus.flink.tables.sql import checked_columns, checked_time, interval, listed, query
from pyflink_prometheus.flink.tables.window_sql import END_OF_WINDOW, windowed
from pyflink_prometheus.transforms.reordering import SameTimestamp
from pyflink_prometheus.transforms.windows import SessionWindows


def mark_stale_table(
    table: Table, timeout_ms: int, labels: str | Sequence[str], values: str | Sequence[str], *, time: str
) -> Table:
    """
    Return the rows with a stale marker where a series gets no sample for a while, in Java.

    ::

        ended = mark_stale_table(rows, 60_000, ["icao24"], ["altitude"], time="event_time")
        ColumnMapping(
            labels=["icao24"], values={"flight_altitude_feet": "altitude"}, stale="stale", timestamp="timestamp"
        )

    A series is a column of ``values`` with some ``labels``. Its marker has the timestamp of its last sample plus the
    timeout, and is emitted when the watermark has passed it, as with :class:`~pyflink_prometheus.MarkStale`. Rows need
    not come in order: they go out in order of time, with the markers between them, for each combination of labels. So
    :func:`~pyflink_prometheus.reorder_table` before this is needed only to remove what arrives twice, and if the column
    of event time is not declared as NOT NULL.

    It costs a session window for each column of values.

    :param timeout_ms: how long, in event time, a series may go without samples.
    :param labels: the columns that are labels.
    :param values: the columns of values; NULL is no sample.
    :param time: the column of event time.
    :return: the columns in ``labels`` and ``values``, ``stale``, ``timestamp``, and the column of event time. In a
        marker one of the values is not NULL.
    """
    if checked_time(table, time).is_nullable:
        # Flink unites rows and windows only if the times of both are never NULL, as those of windows are.
        raise ValueError(
            f"time: call reorder_table before this, or declare {time!r} as NOT NULL: Flink thinks that it may be NULL"
        )
    _validation.integer("timeout_ms", timeout_ms, least=1)
    keys = checked_columns(table, "labels", labels)
    columns = checked_columns(table, "values", values)
    types = types_of(table)
    at = quoted("event time")
    # Of its own names, because those of a window's columns may be among the table's.
    inner = query(table, f"SELECT {listed(keys)}, {listed(columns)}, {quoted(time)} AS {at} FROM {table}")
    selects = [
        f"SELECT {listed(keys)}, {listed(columns)}, FALSE AS stale, "
        f"{at} + {interval(0)} AS `timestamp`, {at} FROM {inner}"
    ]
    for column in columns:
        samples = query(inner, f"SELECT {listed(keys)}, {at} FROM {inner} WHERE {quoted(column)} IS NOT NULL")
        marks = ", ".join(
            f"CAST({'0' if each == column else 'NULL'} AS {types[each].text}) AS {quoted(each)}" for each in columns
        )
        selects.append(
            f"SELECT {listed(keys)}, {marks}, TRUE AS stale, {END_OF_WINDOW} AS `timestamp`, window_time AS {at} "
            f"FROM {windowed(samples, 'event time', SessionWindows(timeout_ms), keys)} "
            f"GROUP BY {listed(keys)}, window_start, window_end, window_time"
        )
    both = query(table, " UNION ALL ".join(selects))
    ordered = reorder_table(both, keys, time="event time", same_timestamp=SameTimestamp.ALL)
    return query(
        table,
        f"SELECT {listed(keys)}, {listed(columns)}, stale, `timestamp`, {at} AS {quoted(time)} FROM {ordered}",
    )
