"""Rows that arrive behind the watermark, as a table."""

from __future__ import annotations

from typing import NamedTuple

from pyflink.table import Table

from pyflink_prometheus._validation import shown
from pyflink_prometheus.flink.table_select import quoted
from pyflink_prometheus.flink.tables.sql import checked_time, millis_of, query
from pyflink_prometheus.transforms.windows import CumulativeWindows, SlidingWindows, TumblingWindows, Windows


class SplitRows(NamedTuple):
    """
    The rows of a table, each in one of two tables.

    :param in_time: rows that are accepted by functions that wait for the watermark.
    :param late: rows that these functions would drop.
    """

    in_time: Table
    late: Table


def split_late(table: Table, time: str, windows: Windows | None = None) -> SplitRows:
    """
    Split a table into rows that arrive in time and rows that are late.

    ::

        rows, late = split_late(rows, "event_time")
        ordered = reorder_table(rows, "device", time="event_time")

    Flink itself drops late rows, and only counts them. Each row is compared with the watermark of the subtask that
    reads it, so call it on the table of the source. Then nothing is dropped, and ``late`` can be written or counted.

    :param time: the column of event time.
    :param windows: the windows of the aggregate that reads the rows: a row is in time while one of its windows is open.
        Default: a row is in time if it is newer than the watermark.
    """
    of_time = checked_time(table, time)
    closes = millis_of(quoted(time), of_time)
    if windows is not None:
        if not isinstance(windows, (TumblingWindows, SlidingWindows, CumulativeWindows)):
            raise TypeError(
                f"windows: expected TumblingWindows, SlidingWindows or CumulativeWindows, got {shown(windows)}"
            )
        step = windows.slide_ms if isinstance(windows, SlidingWindows) else windows.size_ms
        closes = f"{closes} - MOD({closes}, {step}) + {windows.size_ms} - 1"
    watermark = millis_of(f"CURRENT_WATERMARK({quoted(time)})", of_time)
    is_late = f"COALESCE({closes} <= {watermark}, FALSE)"
    return SplitRows(
        query(table, f"SELECT * FROM {table} WHERE NOT {is_late}"),
        query(table, f"SELECT * FROM {table} WHERE {is_late}"),
    )
