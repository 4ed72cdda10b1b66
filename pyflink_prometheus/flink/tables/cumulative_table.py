"""Counters of all rows so far, as a table."""

from __future__ import annotations

from collections.abc import Sequence

from pyflink.table import Table

from pyflink_prometheus import _validation
from pyflink_prometheus._validation import shown
from pyflink_prometheus.flink.table_select import quoted
from pyflink_prometheus.flink.tables.sql import (
    checked_columns,
    checked_time,
    interval,
    is_number,
    joined,
    listed,
    number,
    query,
    text,
)
from pyflink_prometheus.flink.tables.window_sql import END_OF_WINDOW, windowed
from pyflink_prometheus.transforms.windows import TumblingWindows

_KINDS = ("count", "sum")


def cumulative_table(
    table: Table,
    metric_name: str,
    value: str | None = None,
    of: str | Sequence[str] = ("count",),
    *,
    time: str,
    labels: str | Sequence[str] = (),
    interval_ms: int = 60_000,
) -> Table:
    """
    Return counters of all rows so far, which continue after a restart or from a savepoint, in Java.

    ::

        messages = cumulative_table(rows, "flight_messages", time="event_time", labels="operator")
        ColumnMapping(
            metric_name_column="metric_name", labels=["operator"], values="value", timestamp="timestamp"
        )

    Counters are emitted at the end of each interval with rows, the first with a 0 before it, as with
    :class:`~pyflink_prometheus.CumulativeAggregate`. Two of its features are missing here: native histograms, and the
    start timestamp of samples. Java keeps the totals of each combination of labels forever.

    :param metric_name: the prefix of the metrics' names.
    :param value: the column of values; rows with NULL or NaN are not counted. Default: all rows are counted.
    :param of: ``count``, ``sum`` or both.
    :param time: the column of event time.
    :param labels: the columns that are labels.
    :param interval_ms: how often, in event time, counters are emitted.
    :return: a row for each counter: ``metric_name``, the columns in ``labels``, ``value``, ``timestamp``, and
        ``window_time``, which is the event time of the result.
    """
    kinds = (of,) if isinstance(of, str) else tuple(of)
    if not kinds or not set(kinds) <= set(_KINDS):
        raise ValueError(f"of: expected some of {', '.join(map(repr, _KINDS))}, got {shown(of)}")
    if value is None and "sum" in kinds:
        raise ValueError("value: 'sum' needs a column of values")
    _validation.line("metric_name", metric_name)
    _validation.integer("interval_ms", interval_ms, least=1)
    checked_time(table, time)
    names = checked_columns(table, "labels", labels)
    counted, where = "1e0", ""
    if value is not None:
        checked_columns(table, "value", value)
        counted = number(quoted(value))
        where = f" WHERE {is_number(counted)}"
    columns = [listed(names), f"{counted} AS counted", f"{quoted(time)} AS event_time"]
    rows = query(table, f"SELECT {joined(columns)} FROM {table}{where}")
    closed = query(
        rows,
        f"SELECT {joined([listed(names), 'window_time'])}, COUNT(*) AS rows_now, SUM(counted) AS sum_now "
        f"FROM {windowed(rows, 'event_time', TumblingWindows(interval_ms))} "
        f"GROUP BY {joined([listed(names), 'window_start, window_end, window_time'])}",
    )
    by = f"PARTITION BY {listed(names)} " if names else ""
    over = f"OVER ({by}ORDER BY window_time ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)"
    totals = query(
        closed,
        f"SELECT {joined([listed(names), 'window_time'])}, COUNT(*) {over} AS nth, SUM(rows_now) {over} AS `count`, "
        f"SUM(sum_now) {over} AS `sum` FROM {closed}",
    )
    entries = ", ".join(f"{text(f'{metric_name}_{kind}')}, CAST({quoted(kind)} AS DOUBLE)" for kind in kinds)
    end, start = END_OF_WINDOW, f"{END_OF_WINDOW} - {interval(interval_ms)}"
    # Without a zero sample, increase() and rate() would miss the first interval.
    return query(
        totals,
        f"SELECT {joined(['metric_name', listed(names)])}, CASE WHEN is_zero THEN 0e0 ELSE total END AS `value`, "
        f"CASE WHEN is_zero THEN {start} ELSE {end} END AS `timestamp`, window_time FROM {totals} "
        f"CROSS JOIN UNNEST(MAP[{entries}]) AS counter(metric_name, total) "
        # An array that uses no column would be joined as another table, which keeps all rows in its state.
        "CROSS JOIN UNNEST(CASE WHEN nth = 1 THEN ARRAY[TRUE, FALSE] ELSE ARRAY[FALSE] END) AS sample(is_zero)",
    )
