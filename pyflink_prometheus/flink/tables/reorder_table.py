"""Rows in order of time, as a table."""

from __future__ import annotations

from collections.abc import Sequence

from pyflink.table import Table

from pyflink_prometheus.flink.table_select import quoted
from pyflink_prometheus.flink.table_writer import types_of
from pyflink_prometheus.flink.tables.sql import checked_columns, checked_time, is_number, listed, number, query
from pyflink_prometheus.flink.tables.window_sql import windowed
from pyflink_prometheus.transforms.reordering import SameTimestamp
from pyflink_prometheus.transforms.windows import TumblingWindows

_MOMENT = TumblingWindows(1)


def reorder_table(
    table: Table,
    key: str | Sequence[str],
    *,
    time: str,
    same_timestamp: SameTimestamp = SameTimestamp.FIRST,
    value: str | None = None,
) -> Table:
    """
    Return the rows in order of time for each key, as :class:`~pyflink_prometheus.Reorder` does, in Java.

    ::

        ordered = reorder_table(rows, "icao24", time="event_time")

    A row is emitted when the watermark has passed it. Unlike ``ORDER BY``, it runs in several subtasks, each with some
    of the keys. Late rows are dropped and counted by Flink (``numLateRecordsDropped``):
    :func:`~pyflink_prometheus.split_late` keeps them. There is no ``max_held``, because Flink does not bound its state.

    :param table: rows that are only inserted.
    :param key: the columns of the key.
    :param time: the column of event time.
    :param same_timestamp: which rows of a key with the same timestamp are kept.
    :param value: the column that is compared, for MAX and MEAN; NULL and NaN are less than any number.
    :return: the same columns.
    """
    policy = SameTimestamp(same_timestamp)
    checked_time(table, time)
    keys = checked_columns(table, "key", key)
    compared = ""
    if policy in (SameTimestamp.MAX, SameTimestamp.MEAN):
        if value is None:
            raise ValueError(f"value: expected a column, because {policy} needs one")
        (compared,) = checked_columns(table, "value", value)
    if policy is SameTimestamp.ALL:
        return _in_order(table, keys, time)
    if policy is SameTimestamp.MEAN:
        table = _with_means(table, keys, time, compared)
    ranks = {
        SameTimestamp.LAST: f"{quoted('event time')} DESC",
        SameTimestamp.MAX: f"CASE WHEN {is_number(number(quoted(compared)))} THEN {number(quoted(compared))} END DESC "
        "NULLS LAST",
    }
    names = [name for name in types_of(table) if name != time]
    # A window's columns must not have the names of other columns, and next to them the row's time is not an event time.
    inner = query(
        table,
        f"SELECT {', '.join([f'{quoted(name)} AS {quoted(_inner(name))}' for name in names])}"
        f", {quoted(time)} AS {quoted('event time')} FROM {table}",
    )
    rank = ranks.get(policy, f"{quoted('event time')} ASC").replace(quoted(compared), quoted(_inner(compared)))
    ranked = (
        f"SELECT *, ROW_NUMBER() OVER (PARTITION BY window_start, window_end, {listed(map(_inner, keys))} "
        f"ORDER BY {rank}) AS nth FROM {windowed(inner, 'event time', _MOMENT)}"
    )
    columns = [
        f"window_time AS {quoted(time)}" if name == time else f"{quoted(_inner(name))} AS {quoted(name)}"
        for name in types_of(table)
    ]
    return query(table, f"SELECT {', '.join(columns)} FROM ({ranked}) WHERE nth = 1")


def _in_order(table: Table, keys: Sequence[str], time: str) -> Table:
    """Return all rows in order of time; rows with the same time stay in order of arrival."""
    over = _peers(keys, time)
    sorted_rows = query(table, f"SELECT *, COUNT(*) OVER ({over}) AS {quoted('rows now')} FROM {table}")
    # This condition always holds; without it, the planner would leave out the window.
    return query(table, f"SELECT {listed(types_of(table))} FROM {sorted_rows} WHERE {quoted('rows now')} > 0")


def _with_means(table: Table, keys: Sequence[str], time: str, value: str) -> Table:
    """Return all rows in order of time, with the mean of the values that have the same time."""
    plain = number(quoted(value))
    mean = f"AVG(CASE WHEN {is_number(plain)} THEN {plain} END) OVER ({_peers(keys, time)})"
    means = query(table, f"SELECT *, {mean} AS {quoted('mean now')} FROM {table}")
    columns = [
        f"COALESCE({quoted('mean now')}, {plain}) AS {quoted(name)}" if name == value else quoted(name)
        for name in types_of(table)
    ]
    return query(table, f"SELECT {', '.join(columns)} FROM {means}")


def _peers(keys: Sequence[str], time: str) -> str:
    return (
        f"PARTITION BY {listed(keys)} ORDER BY {quoted(time)} "
        "RANGE BETWEEN INTERVAL '0' SECOND PRECEDING AND CURRENT ROW"
    )


def _inner(name: str) -> str:
    return f"row {name}"
