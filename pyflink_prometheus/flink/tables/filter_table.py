"""Rows that can be true, and those that cannot, as tables."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from pyflink.table import DataTypes, Table
from pyflink.table.udf import udf

from pyflink_prometheus._validation import shown
from pyflink_prometheus.flink.table_select import quoted
from pyflink_prometheus.flink.table_writer import types_of
from pyflink_prometheus.flink.tables.sql import (
    checked_columns,
    checked_time,
    function_name,
    joined,
    listed,
    millis_of,
    number,
    query,
    text,
)
from pyflink_prometheus.transforms.checks import Threshold
from pyflink_prometheus.transforms.hampel import Hampel
from pyflink_prometheus.transforms.speed_gate import EARTH_RADIUS_METERS, SpeedGate

#: How many positions before a row's own a speed gate is judged by: as many as the default needs to agree thrice.
_LEAST_POSITIONS = 15
#: What a row has of what a check judges.
_NOTHING, _VALID, _INVALID = 0, 1, 2
_KIND, _PAST, _REASON = map(quoted, ("kind of value", "past values", "reason"))
#: A row's position and time, as an array, and how long its parallel is, as a part of the equator.
_POINT, _PARALLEL = map(quoted, ("point", "length of the parallel"))


class Filtered(NamedTuple):
    """
    The rows of a table, each in one of two.

    :param accepted: rows that all checks accept.
    :param rejected: the others, with a column ``reason``.
    """

    accepted: Table
    rejected: Table


def filter_table(
    table: Table, key: str | Sequence[str], *checks: Threshold | Hampel | SpeedGate, time: str
) -> Filtered:
    """
    Judge each row as :class:`~pyflink_prometheus.Filter` does, by checks that name columns.

    ::

        checks = Threshold("altitude", max=60_000), Hampel("altitude", min_deviation=3_000)
        accepted, rejected = filter_table(rows, "icao24", *checks, time="event_time")

    Unlike the operator it waits for the watermark, because it compares rows in order of time, in whatever order they
    come. A :class:`Threshold` is judged in Java. For the others Java keeps the last values of each key, and passes most
    rows by itself: those that differ from each of the last values by ``min_deviation`` at most, or can be reached from
    each of the last positions. Only the rest goes to Python with them, so nothing is kept there that could be lost.

    A :class:`SpeedGate` is judged by the last positions only, 15 or three times its confirmations if that is more. Its
    result is that of the operator, unless so many of them are wrong that none of them are as many in a row as it takes
    to confirm a place.

    Rows without a value come from other subtasks than those with one, so call :func:`~pyflink_prometheus.reorder_table`
    after this if order matters.

    :param table: rows that are only inserted. Remove what arrives twice before.
    :param key: the columns of the key.
    :param checks: one or more; a row that one of them rejects does not reach the next.
    :param time: the column of event time.
    """
    checked_time(table, time)
    keys = checked_columns(table, "key", key)
    if not checks:
        raise ValueError('checks: expected one or more, such as Threshold("altitude", max=60_000)')
    rejected: list[Table] = []
    for check in checks:
        if not isinstance(check, (Threshold, Hampel, SpeedGate)):
            raise TypeError(f"checks: expected a Threshold, a Hampel or a SpeedGate, got {shown(check)}")
        if not check.columns:
            raise TypeError(f"checks: expected names of columns in {check.name!r} instead of a function, for a table")
        checked_columns(table, check.name, check.columns)
        judged = _by_threshold(table, check) if isinstance(check, Threshold) else _by_past(table, keys, check, time)
        names = listed(types_of(table))
        table = query(judged, f"SELECT {names} FROM {judged} WHERE {_REASON} IS NULL")
        rejected.append(query(judged, f"SELECT {names}, {_REASON} FROM {judged} WHERE {_REASON} IS NOT NULL"))
    every = " UNION ALL ".join(f"SELECT * FROM {each}" for each in rejected)
    return Filtered(table, query(table, every))


def _by_threshold(table: Table, check: Threshold) -> Table:
    """Return the rows with the reason for rejecting them."""
    value = number(quoted(check.columns[0]))
    shown_value = f"CAST({value} AS STRING)"
    low, high = check.bounds
    cases = [f"WHEN {_is_not_finite(value)} THEN {_said(check, shown_value, ' is not a finite number')}"]
    if np.isfinite(low):
        cases.append(f"WHEN {value} < {low!r} THEN {_said(check, shown_value, f' is below {low:g}')}")
    if np.isfinite(high):
        cases.append(f"WHEN {value} > {high!r} THEN {_said(check, shown_value, f' is above {high:g}')}")
    reason = f"CASE WHEN {value} IS NULL THEN CAST(NULL AS STRING) {' '.join(cases)} END"
    return query(table, f"SELECT *, {reason} AS {_REASON} FROM {table}")


def _by_past(table: Table, keys: Sequence[str], check: Hampel | SpeedGate, time: str) -> Table:
    """Return the rows with the reason for rejecting them, which depends on those before."""
    numbers = [number(quoted(column)) for column in check.columns]
    invalid = " OR ".join(map(_is_not_finite, numbers))
    added = ""
    if isinstance(check, Hampel):
        history, kept, clear = check.window, numbers[0], _within(check, numbers[0])
    else:
        invalid += f" OR ABS({numbers[0]}) > 90 OR ABS({numbers[1]}) > 360"
        history = max(_LEAST_POSITIONS, 3 * check.confirmations)
        millis = number(f"({millis_of(quoted(time), checked_time(table, time))})")
        kept, clear = _POINT, _reached(check, history)
        added = f", ARRAY[{joined([*numbers, millis])}] AS {_POINT}, COS(RADIANS({numbers[0]})) AS {_PARALLEL}"
    nothing = " OR ".join(f"{quoted(column)} IS NULL" for column in check.columns)
    kind = f"CASE WHEN {nothing} THEN {_NOTHING} WHEN {invalid} THEN {_INVALID} ELSE {_VALID} END"
    sorted_out = query(table, f"SELECT *, {kind} AS {_KIND}{added} FROM {table}")
    over = (
        f"OVER (PARTITION BY {listed(keys)}, {_KIND} ORDER BY {quoted(time)} "
        f"ROWS BETWEEN {history} PRECEDING AND CURRENT ROW)"
    )
    with_past = query(table, f"SELECT *, ARRAY_AGG({kept}) {over} AS {_PAST} FROM {sorted_out}")
    is_clear = f"({_KIND} = {_NOTHING} OR ({_KIND} = {_VALID} AND {clear}))"
    name = function_name()
    function = udf(_Judge(check), result_type=DataTypes.STRING(), func_type="pandas")
    table._t_env.create_temporary_system_function(name, function)
    columns = listed(types_of(table))
    unclear = query(
        table, f"SELECT {columns}, {name}({_KIND}, {_PAST}) AS {_REASON} FROM {with_past} WHERE NOT {is_clear}"
    )
    return query(
        table,
        f"SELECT {columns}, CAST(NULL AS STRING) AS {_REASON} FROM {with_past} WHERE {is_clear} UNION ALL "
        # Without an array between, the planner would call Python for all rows, and ask then for which it should.
        f"SELECT {columns}, said AS {_REASON} FROM {unclear} CROSS JOIN UNNEST(ARRAY[{_REASON}]) AS judged(said)",
    )


def _within(check: Hampel, value: str) -> str:
    """Return the condition that a value is surely not too far from the median of those before."""
    # Written out, this takes Java a third of the time of ARRAY_MAX and ARRAY_MIN.
    allowed = _double(check.min_deviation)
    return " AND ".join(
        f"COALESCE(ABS({value} - {_PAST}[{place}]) <= {allowed}, TRUE)" for place in range(1, check.window + 1)
    )


def _reached(check: SpeedGate, history: int) -> str:
    """Return the condition that a point can surely be reached from each of those before, whichever is accepted."""
    # A little less than allowed, because the last digits may differ from those of the gate itself.
    degrees_of_meters = (1 - 1e-9) * math.degrees(1 / EARTH_RADIUS_METERS)
    speed, tolerance = _double(check.max_speed / 1000 * degrees_of_meters), _double(check.tolerance * degrees_of_meters)
    reached = []
    for place in range(1, history + 1):
        past = f"{_PAST}[{place}]"
        north, east = f"({_POINT}[1] - {past}[1])", f"({_POINT}[2] - {past}[2])"
        # No parallel between the two is longer than this times the equator.
        longest = f"({_PARALLEL} + {_double(math.radians(1))} * ABS({north}))"
        allowed = f"({speed} * ABS({_POINT}[3] - {past}[3]) + {tolerance})"
        squares = f"{north} * {north} + {longest} * {longest} * {east} * {east}"
        reached.append(f"COALESCE({squares} <= {allowed} * {allowed}, TRUE)")
    return " AND ".join(reached)


def _is_not_finite(value: str) -> str:
    return f"NOT COALESCE(ABS({value}) <= 1.7976931348623157E308, FALSE)"


def _double(value: float) -> str:
    """Return a number as a literal in SQL."""
    return f"{min(value, sys.float_info.max):.17e}"


def _said(check: Threshold, value: str, words: str) -> str:
    return f"CONCAT({text(f'{check.name}: ')}, {value}, {text(words)})"


class _Judge:
    """What judges the rows of which Java cannot say that they are right."""

    def __init__(self, check: Hampel | SpeedGate) -> None:
        self._check = check

    def __call__(self, kinds: Any, pasts: Any) -> Any:
        """Return the reason for rejecting each row, ``None`` to accept it."""
        import pandas as pd  # loaded by PyFlink on the worker, and not needed on the client

        judge = self._of_values if isinstance(self._check, Hampel) else self._of_points
        reasons = [
            judge(past.tolist()[-1:] if kind == _INVALID else past.tolist())
            for kind, past in zip(kinds.tolist(), pasts)
        ]
        names = [None if reason is None else f"{self._check.name}: {reason}" for reason in reasons]
        return pd.Series(names, dtype=object)

    def _of_values(self, values: list[float]) -> str | None:
        """Return why the last of several values in a row is rejected."""
        *past, value = values
        return self._check.judge({self._check.columns[0]: value}, 0, tuple(past))[0]

    def _of_points(self, points: list[Any]) -> str | None:
        """Return why the last of several positions in a row is rejected."""
        reason, state = None, None
        for latitude, longitude, millis in points:
            event = dict(zip(self._check.columns, (latitude, longitude)))
            # What is no position has no time either that counts.
            reason, state = self._check.judge(event, int(millis), state)
        return reason
