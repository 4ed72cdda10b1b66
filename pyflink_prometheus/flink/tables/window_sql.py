"""Windows of event time in SQL."""

from __future__ import annotations

from collections.abc import Sequence

from pyflink.table import Table

from pyflink_prometheus._validation import shown
from pyflink_prometheus.flink.table_select import quoted
from pyflink_prometheus.flink.tables.sql import interval, listed
from pyflink_prometheus.transforms.windows import (
    CumulativeWindows,
    SessionWindows,
    SlidingWindows,
    TumblingWindows,
    Windows,
)

#: A sample's timestamp is its window's end; ``window_time`` is the last millisecond before it. ``window_end`` would be
#: a local time in the session's zone.
END_OF_WINDOW = f"window_time + {interval(1)}"


def windowed(table: Table, time: str, windows: Windows, keys: Sequence[str] = ()) -> str:
    """
    Return the table function in SQL that adds the windows of each row.

    :param keys: the keys of sessions.
    :raises ValueError: if SQL has no such windows.
    """
    of = f"DESCRIPTOR({quoted(time)})"
    if isinstance(windows, TumblingWindows):
        return f"TABLE(TUMBLE(TABLE {table}, {of}, {interval(windows.size_ms)}))"
    if isinstance(windows, SlidingWindows):
        _check_multiple("slide_ms", windows.slide_ms, windows.size_ms)
        return f"TABLE(HOP(TABLE {table}, {of}, {interval(windows.slide_ms)}, {interval(windows.size_ms)}))"
    if isinstance(windows, CumulativeWindows):
        return f"TABLE(CUMULATE(TABLE {table}, {of}, {interval(windows.step_ms)}, {interval(windows.size_ms)}))"
    if isinstance(windows, SessionWindows):
        by = f" PARTITION BY ({listed(keys)})" if keys else ""
        return f"TABLE(SESSION(TABLE {table}{by}, {of}, {interval(windows.gap_ms)}))"
    raise TypeError(f"windows: expected TumblingWindows(size_ms) or the like, got {shown(windows)}")


def _check_multiple(argument: str, part: int, whole: int) -> None:
    if whole % part:
        raise ValueError(f"{argument}: expected a divisor of size_ms, {whole}, as SQL requires, got {part}")
