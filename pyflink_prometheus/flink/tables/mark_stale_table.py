"""Rows with stale markers where their series end, as a table."""

from __future__ import annotations

from collections.abc import Sequence

from pyflink.table import Table

from pyflink_prometheus import _validation
from pyflink_prometheus.flink.table_select import quoted
from pyflink_prometheus.flink.table_writer import types_of
from pyflink_prometheus.flink.tables.sql import checked_columns, checked_time, interval, listed, query
from pyflink_prometheus.flink.tables.time_column import with_time
from pyflink_prometheus.flink.tables.window_sql import windowed
from pyflink_prometheus.transforms.windows import TumblingWindows

#: The bits of a BIGINT, of which each column takes one.
_MOST_COLUMNS = 62
_TIME = "event time"
#: Of a row: its time, the columns that have values, as bits of a number, and whether it marks their possible end.
_AT, _WHICH, _IS_END = map(quoted, (_TIME, "columns with values", "is an end"))


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
    not arrive in order: for each combination of labels they are emitted in order of time, with the markers between
    them. So :func:`~pyflink_prometheus.reorder_table` upstream is needed only to remove duplicates, and if the column
    of event time is not declared as NOT NULL.

    Java keeps the time of each series' newest sample, for as long as ``table.exec.state.ttl`` says, by default forever.

    :param timeout_ms: how long, in event time, a series may go without samples.
    :param labels: the columns that are labels.
    :param values: the columns of values; NULL is not a sample.
    :param time: the column of event time.
    :return: the columns in ``labels`` and ``values``, ``stale``, ``timestamp``, and the column of event time. In a
        marker one of the values is not NULL.
    """
    of_time = checked_time(table, time)
    if of_time.is_nullable:
        # Flink allows the union of rows and windows only if both times are NOT NULL, as the times of windows are.
        raise ValueError(f"time: call reorder_table before this, or declare {time!r} as NOT NULL: its type allows NULL")
    _validation.integer("timeout_ms", timeout_ms, least=1)
    keys = checked_columns(table, "labels", labels)
    columns = checked_columns(table, "values", values)
    if len(columns) > _MOST_COLUMNS:
        raise ValueError(f"values: expected at most {_MOST_COLUMNS} columns, got {len(columns)}")
    types = types_of(table)
    # New names, because the table's names may clash with those of a window's columns.
    which = f"CAST({' + '.join(_bit(place, column) for place, column in enumerate(columns))} AS BIGINT)"
    inner = query(
        table,
        f"SELECT {listed(keys)}, {listed(columns)}, {which} AS {_WHICH}, {quoted(time)} AS {_AT} FROM {table}",
    )
    # Both rows and ends are made from it.
    inner = with_time(inner, _TIME)
    ends = _ends(
        query(inner, f"SELECT {listed(keys)}, {_WHICH}, {_AT} FROM {inner} WHERE {_WHICH} <> 0"), keys, timeout_ms
    )
    nothing = ", ".join(f"CAST(NULL AS {types[each].text}) AS {quoted(each)}" for each in columns)
    both = query(
        inner,
        f"SELECT *, FALSE AS {_IS_END} FROM {inner} UNION ALL "
        f"SELECT {listed(keys)}, {nothing}, {_WHICH}, {_AT}, TRUE FROM {ends}",
    )
    # Without the cast, only the first half of the union would have a time attribute.
    end = f"CAST({_AT} AS {of_time.text.partition(' ')[0]}) + {interval(timeout_ms)}"
    ends_at = ", ".join(
        f"MAX(CASE WHEN {quoted(each)} IS NOT NULL THEN {end} END) OVER now AS {quoted(f'end of {each}')}"
        for each in columns
    )
    judged = query(
        both,
        f"SELECT *, {ends_at} FROM {both} WINDOW now AS "
        f"(PARTITION BY {listed(keys)} ORDER BY {_AT} RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)",
    )
    has_ended = {
        each: f"MOD({_WHICH} / {2**place}, 2) = 1 AND {quoted(f'end of {each}')} = {_AT}"
        for place, each in enumerate(columns)
    }
    results = ", ".join(
        f"CASE WHEN NOT {_IS_END} THEN {quoted(each)} WHEN {ended} THEN CAST('0' AS {types[each].text}) END "
        f"AS {quoted(each)}"
        for each, ended in has_ended.items()
    )
    return query(
        judged,
        f"SELECT {listed(keys)}, {results}, {_IS_END} AS stale, {_AT} + {interval(0)} AS `timestamp`, "
        f"{_AT} AS {quoted(time)} FROM {judged} "
        f"WHERE NOT {_IS_END} OR {' OR '.join(f'({each})' for each in has_ended.values())}",
    )


def _ends(samples: Table, keys: Sequence[str], timeout_ms: int) -> Table:
    """
    Return the times at which the same columns may have had no sample for the timeout.

    A sample with another one after it in its window, which is as long as the timeout, was not the last for that long.
    So one sample of each window remains, and whether it was the last is checked when its time comes.
    """
    by = f"{listed(keys)}, {_WHICH}"
    ahead = query(
        samples,
        f"SELECT {by}, MAX({_AT}) + {interval(timeout_ms)} AS {_AT} "
        f"FROM {windowed(samples, _TIME, TumblingWindows(timeout_ms))} GROUP BY {by}, window_start, window_end",
    )
    ahead = with_time(ahead, _TIME)
    # A window of that single time holds the row until the watermark has passed it.
    return query(
        ahead,
        f"SELECT {by}, window_time AS {_AT} FROM {windowed(ahead, _TIME, TumblingWindows(1))} "
        f"GROUP BY {by}, window_start, window_end, window_time",
    )


def _bit(place: int, column: str) -> str:
    return f"CASE WHEN {quoted(column)} IS NULL THEN 0 ELSE {2**place} END"
