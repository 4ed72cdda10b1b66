"""Rows that can be true, and those that cannot, as tables."""

from __future__ import annotations

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
    listed,
    millis_of,
    number,
    query,
    text,
)
from pyflink_prometheus.transforms.checks import Threshold
from pyflink_prometheus.transforms.hampel import Hampel
from pyflink_prometheus.transforms.speed_gate import SpeedGate, are_near

#: How many positions before a row's own a speed gate is judged by: as many as the default needs to agree thrice.
_LEAST_POSITIONS = 15
#: What a row has of what a check judges.
_NOTHING, _VALID, _INVALID = 0, 1, 2
_KIND, _REASON = "kind of value", "reason"


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
    come. A :class:`Threshold` is judged in Java. For the others Java keeps the last values of each key, and Python
    judges many rows at once: so it keeps nothing that could be lost.

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
        table = query(judged, f"SELECT {names} FROM {judged} WHERE {quoted(_REASON)} IS NULL")
        rejected.append(query(judged, f"SELECT {names}, {_REASON} FROM {judged} WHERE {quoted(_REASON)} IS NOT NULL"))
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
    return query(table, f"SELECT *, {reason} AS {quoted(_REASON)} FROM {table}")


def _by_past(table: Table, keys: Sequence[str], check: Hampel | SpeedGate, time: str) -> Table:
    """Return the rows with the reason for rejecting them, which depends on those before."""
    numbers = [number(quoted(column)) for column in check.columns]
    invalid = " OR ".join(map(_is_not_finite, numbers))
    history = check.window if isinstance(check, Hampel) else max(_LEAST_POSITIONS, 3 * check.confirmations)
    if isinstance(check, SpeedGate):
        invalid += f" OR ABS({numbers[0]}) > 90 OR ABS({numbers[1]}) > 360"
        numbers.append(f"CAST({millis_of(quoted(time), checked_time(table, time))} AS DOUBLE)")
    nothing = " OR ".join(f"{quoted(column)} IS NULL" for column in check.columns)
    kind = f"CASE WHEN {nothing} THEN {_NOTHING} WHEN {invalid} THEN {_INVALID} ELSE {_VALID} END"
    sorted_out = query(table, f"SELECT *, {kind} AS {quoted(_KIND)} FROM {table}")
    over = (
        f"OVER (PARTITION BY {listed(keys)}, {quoted(_KIND)} ORDER BY {quoted(time)} "
        f"ROWS BETWEEN {history} PRECEDING AND CURRENT ROW)"
    )
    pasts = [f"past {place}" for place in range(len(numbers))]
    arrays = ", ".join(f"ARRAY_AGG({each}) {over} AS {quoted(name)}" for each, name in zip(numbers, pasts))
    with_past = query(table, f"SELECT *, {arrays} FROM {sorted_out}")
    function = udf(_Judge(check), result_type=DataTypes.STRING(), func_type="pandas")
    name = function_name()
    table._t_env.create_temporary_system_function(name, function)
    columns = listed(types_of(table))
    return query(
        table,
        f"SELECT {columns}, {name}({quoted(_KIND)}, {listed(pasts)}) AS {quoted(_REASON)} FROM {with_past}",
    )


def _is_not_finite(value: str) -> str:
    return f"NOT COALESCE(ABS({value}) <= 1.7976931348623157E308, FALSE)"


def _said(check: Threshold, value: str, words: str) -> str:
    return f"CONCAT({text(f'{check.name}: ')}, {value}, {text(words)})"


class _Judge:
    """
    What judges many rows at once.

    It finds those that may be wrong, and has the check itself judge these.
    """

    def __init__(self, check: Hampel | SpeedGate) -> None:
        self._check = check

    def __call__(self, kinds: Any, *pasts: Any) -> Any:
        """Return the reason for rejecting each row, ``None`` to accept it."""
        import pandas as pd  # loaded by PyFlink on the worker, and not needed on the client

        kinds = np.asarray(kinds)
        reasons = np.full(len(kinds), None, dtype=object)
        for row in np.flatnonzero(kinds == _INVALID).tolist():
            event = {name: past[row].tolist()[-1] for name, past in zip(self._check.columns, pasts)}
            reasons[row] = self._said(self._check.judge(event, 0, None)[0])
        valid = np.flatnonzero(kinds == _VALID)
        if valid.size:
            matrices = [_matrix(past, valid) for past in pasts]
            suspects = (
                _far(self._check, matrices[0]) if isinstance(self._check, Hampel) else _fast(self._check, matrices)
            )
            for place in np.flatnonzero(suspects).tolist():
                row = int(valid[place])
                reasons[row] = self._said(self._reason([past[row].tolist() for past in pasts]))
        return pd.Series(reasons, dtype=object)

    def _reason(self, pasts: Sequence[list[float]]) -> str | None:
        """Return why the last of several values in a row is rejected."""
        reason, state = None, None
        for values in zip(*pasts):
            event = dict(zip(self._check.columns, values))
            reason, state = self._check.judge(event, int(values[-1]) if len(values) > 1 else 0, state)
        return reason

    def _said(self, reason: str | None) -> str | None:
        return None if reason is None else f"{self._check.name}: {reason}"


def _matrix(arrays: Any, rows: Any) -> Any:
    """Return arrays of different lengths as the rows of one, with NaN in front of the shorter ones."""
    several = [arrays[row] for row in rows.tolist()]
    lengths = np.fromiter(map(len, several), dtype=np.int64, count=len(several))
    widest = int(lengths.max())
    matrix = np.full((len(several), widest), np.nan)
    matrix[np.arange(widest) >= widest - lengths[:, None]] = np.concatenate(several)
    return matrix


def _far(check: Hampel, values: Any) -> Any:
    """Return which of the last values may be too far from the median of those before."""
    if values.shape[1] < 2:
        return np.zeros(len(values), dtype=bool)
    past = values[:, :-1]
    has_past = ~np.isnan(past).all(axis=1)
    middle = np.full(len(past), np.nan)
    middle[has_past] = np.nanmedian(past[has_past], axis=1)
    # The spread only widens what is allowed.
    return ~(np.abs(values[:, -1] - middle) <= check.min_deviation)


def _fast(check: SpeedGate, points: Sequence[Any]) -> Any:
    """Return which of the last points may be too far from the last accepted one: not all before it are near."""
    before, after = [each[:, :-1] for each in points], [each[:, 1:] for each in points]
    return ~(are_near(check, before, after) | np.isnan(before[0])).all(axis=1)
