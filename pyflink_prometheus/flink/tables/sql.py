"""The shared part of the functions that make tables: columns, times and intervals in SQL."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from typing import Any

from pyflink.table import Table

from pyflink_prometheus import _validation
from pyflink_prometheus._validation import shown
from pyflink_prometheus.flink.table_select import SqlType, quoted, timestamp
from pyflink_prometheus.flink.table_writer import UTC, types_of

_ROWTIME = "*ROWTIME*"
_MS_OF_DAY, _MS_OF_HOUR, _MS_OF_MINUTE = 86_400_000, 3_600_000, 60_000


def query(table: Table, sql: str) -> Table:
    """Return the result of a query that names ``table`` and other tables of the same environment."""
    return table._t_env.sql_query(sql)


def column_names(argument: str, given: Any) -> tuple[str, ...]:
    """Return names of columns, each once, given one or several."""
    names = (given,) if isinstance(given, str) else given
    if not isinstance(names, Sequence):
        raise TypeError(f"{argument}: expected names of columns, got {shown(given)}")
    for name in names:
        _validation.line(argument, name)
    return tuple(dict.fromkeys(names))


def checked_columns(table: Table, argument: str, given: Any) -> tuple[str, ...]:
    """
    Return names of columns that a table has.

    :raises ValueError: naming the columns that the table lacks.
    """
    names = column_names(argument, given)
    known = types_of(table)
    missing = [name for name in names if name not in known]
    if missing:
        raise ValueError(f"{argument}: expected columns of the table ({', '.join(known)}), got {', '.join(missing)}")
    return names


def checked_time(table: Table, time: str) -> SqlType:
    """
    Return the type of a table's column of event time.

    :raises ValueError: if it is not one.
    """
    checked_columns(table, "time", time)
    found = types_of(table)[time]
    if _ROWTIME not in found.text:
        raise ValueError(
            f"time: expected a column with a watermark, got {time!r} of type {found.text}: declare WATERMARK FOR it, "
            "or watermark(...) in the schema, and leave the column unchanged in queries upstream"
        )
    zone = table._t_env.get_config().get_local_timezone()
    if found.root == "TIMESTAMP_WITH_LOCAL_TIME_ZONE" and zone not in UTC:
        raise ValueError(
            f"time: set table.local-time-zone to UTC: windows are made of local times, which may occur twice in {zone}"
        )
    return found


def free_name(table: Table, wanted: str) -> str:
    """Return a name that no column has."""
    known = types_of(table)
    while wanted in known:
        wanted += "_"
    return wanted


def listed(names: Iterable[str]) -> str:
    """Return columns as a list in SQL."""
    return ", ".join(map(quoted, names))


def text(value: str) -> str:
    """Return a string as a SQL literal."""
    return "'" + value.replace("'", "''") + "'"


def interval(millis: int) -> str:
    """Return an interval in SQL."""
    days, rest = divmod(millis, _MS_OF_DAY)
    hours, rest = divmod(rest, _MS_OF_HOUR)
    minutes, rest = divmod(rest, _MS_OF_MINUTE)
    seconds, rest = divmod(rest, 1000)
    precision = max(2, len(str(days)))
    return f"INTERVAL '{days} {hours:02}:{minutes:02}:{seconds:02}.{rest:03}' DAY({precision}) TO SECOND(3)"


def number(column: str) -> str:
    """Return a quoted column as a DOUBLE."""
    return f"CAST({column} AS DOUBLE)"


def is_number(column: str) -> str:
    """Return the condition that a DOUBLE is neither NULL nor NaN; the planner turns ``v = v`` into IS NOT NULL."""
    return f"ABS({column}) >= 0"


def millis_of(column: str, of: SqlType) -> str:
    """Return a time attribute in milliseconds since 1970; a time without a zone as if it were in UTC."""
    expression = timestamp(column, of._replace(is_nullable=False))
    assert expression is not None  # a time attribute is a time
    return expression


def joined(parts: Iterable[str]) -> str:
    """Return the parts of a SQL list that are not empty, as one list."""
    return ", ".join(part for part in parts if part)


def function_name() -> str:
    """Return a name for a function that no other function has."""
    return f"prometheus_{uuid.uuid4().hex}"
