"""Possible and impossible rows, as tables."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
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

#: How many positions before a row's own a speed gate uses: three times the default number of confirmations.
_LEAST_POSITIONS = 15
#: Whether a row has the value that a check uses, and whether that value is valid.
_NOTHING, _VALID, _INVALID = 0, 1, 2
_KIND, _PAST, _REASON = map(quoted, ("kind of value", "past values", "reason"))


class Filtered(NamedTuple):
    """
    The rows of a table, each in one of two tables.

    :param accepted: rows that all checks accept.
    :param rejected: the others, with a column ``reason``.
    """

    accepted: Table
    rejected: Table


def filter_table(
    table: Table, key: str | Sequence[str], *checks: Threshold | Hampel | SpeedGate, time: str
) -> Filtered:
    """
    Check each row as :class:`~pyflink_prometheus.Filter` does, with checks that name columns.

    ::

        checks = Threshold("altitude", max=60_000), Hampel("altitude", min_deviation=3_000)
        accepted, rejected = filter_table(rows, "icao24", *checks, time="event_time")

    Unlike the operator, it waits for the watermark, because it compares rows in order of time, whatever order they
    arrive in. A :class:`Threshold` is checked in Java. For the other checks, Java keeps the last values of each key,
    and accepts most rows without Python: rows whose value differs by at most ``min_deviation`` from each value in the
    newer half of the window, and rows that end a run of positions, each reachable from the one before, that is long
    enough to confirm a place. Only the remaining rows go to Python, together with the last values of their key, so
    Python keeps no state that could be lost.

    A :class:`SpeedGate` uses only the last positions: 15, or three times its confirmations if that is more. Its result
    is the operator's, unless so many of these positions are wrong that they contain no run long enough to confirm a
    place.

    Rows without a value come from other subtasks than rows with one, so call :func:`~pyflink_prometheus.reorder_table`
    downstream if order matters.

    :param table: rows that are only inserted. Remove duplicates upstream.
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
    """Return the rows with the reason for rejecting them, which depends on earlier rows."""
    numbers = [number(quoted(column)) for column in check.columns]
    invalid = " OR ".join(map(_is_not_finite, numbers))
    if isinstance(check, Hampel):
        history, kept, clear = check.window, numbers[0], _within(check, numbers[0])
    else:
        invalid += f" OR ABS({numbers[0]}) > 90 OR ABS({numbers[1]}) > 360"
        history = max(_LEAST_POSITIONS, 3 * check.confirmations)
        millis = number(f"({millis_of(quoted(time), checked_time(table, time))})")
        kept, clear = f"ARRAY[{joined([*numbers, millis])}]", _reached(check)
    nothing = " OR ".join(f"{quoted(column)} IS NULL" for column in check.columns)
    kind = f"CASE WHEN {nothing} THEN {_NOTHING} WHEN {invalid} THEN {_INVALID} ELSE {_VALID} END"
    sorted_out = query(table, f"SELECT *, {kind} AS {_KIND} FROM {table}")
    over = (
        f"OVER (PARTITION BY {listed(keys)}, {_KIND} ORDER BY {quoted(time)} "
        f"ROWS BETWEEN {history} PRECEDING AND CURRENT ROW)"
    )
    with_past = query(table, f"SELECT *, ARRAY_AGG({kept}) {over} AS {_PAST} FROM {sorted_out}")
    is_clear = f"({_KIND} = {_NOTHING} OR ({_KIND} = {_VALID} AND COALESCE({clear}, FALSE)))"
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
        # Without an array in between, the planner would call Python for all rows, and filter them only afterwards.
        f"SELECT {columns}, said AS {_REASON} FROM {unclear} CROSS JOIN UNNEST(ARRAY[{_REASON}]) AS judged(said)",
    )


def _within(check: Hampel, value: str) -> str:
    """Return a condition under which a value is certainly close enough to the median of those before."""
    # The compared values are more than half of all, so the median is between two of them.
    allowed = _double(check.min_deviation)
    return _of_the_last(check.window // 2 + 1, lambda back: f"ABS({value} - {_before(back)}) <= {allowed}")


def _reached(check: SpeedGate) -> str:
    """Return a condition under which the gate certainly accepts the last point, whatever it has accepted before."""
    # A little less than allowed, because the last digits may differ from those of the gate itself.
    degrees_of_meters = (1 - 1e-9) * math.degrees(1 / EARTH_RADIUS_METERS)
    speed, tolerance = _double(check.max_speed / 1000 * degrees_of_meters), _double(check.tolerance * degrees_of_meters)

    def is_reached(back: int) -> str:
        one, two = _before(back), _before(back - 1)
        north, east = f"({two}[1] - {one}[1])", f"({two}[2] - {one}[2])"
        # No parallel between the two is longer than this times the equator.
        longest = f"(COS(RADIANS({one}[1])) + RADIANS(ABS({north})))"
        allowed = f"POWER({speed} * ABS({two}[3] - {one}[3]) + {tolerance}, 2)"
        # First as if on the equator: that is faster, and enough for most rows.
        is_near = f"POWER({north}, 2) + POWER({east}, 2) <= {allowed}"
        return f"{is_near} OR POWER({north}, 2) + POWER({longest} * {east}, 2) <= {allowed}"

    # Either one of this many points in a row is accepted, and with it the points after it, or they confirm each other.
    return _of_the_last(check.confirmations - 1, is_reached)


def _of_the_last(count: int, condition: Callable[[int], str]) -> str:
    """Return the conjunction of a condition over the places before the last one, up to a count, where they exist."""
    # Java evaluates only what it needs, but even so, the more is written out, the longer it takes.
    each = (f"(CARDINALITY({_PAST}) <= {back} OR {condition(back)})" for back in range(1, count + 1))
    return " AND ".join(each) or "TRUE"


def _before(back: int) -> str:
    return f"{_PAST}[CARDINALITY({_PAST}) - {back}]"


def _is_not_finite(value: str) -> str:
    return f"NOT COALESCE(ABS({value}) <= 1.7976931348623157E308, FALSE)"


def _double(value: float) -> str:
    """Return a number as a literal in SQL."""
    return f"{min(value, sys.float_info.max):.17e}"


def _said(check: Threshold, value: str, words: str) -> str:
    return f"CONCAT({text(f'{check.name}: ')}, {value}, {text(words)})"


class _Judge:
    """The check of the rows that Java cannot accept on its own."""

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
            # If this is not a valid position, its time does not count either.
            reason, state = self._check.judge(event, int(millis), state)
        return reason
