"""Aggregates of the rows of each window, as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pyflink.table import DataTypes, Table
from pyflink.table.udf import udf

from pyflink_prometheus._validation import shown
from pyflink_prometheus.flink.table_select import quoted
from pyflink_prometheus.flink.tables.sql import (
    checked_columns,
    checked_time,
    free_name,
    function_name,
    is_number,
    joined,
    listed,
    millis_of,
    number,
    query,
    text,
)
from pyflink_prometheus.flink.tables.window_sql import END_OF_WINDOW, windowed
from pyflink_prometheus.model.histogram import NativeHistogram
from pyflink_prometheus.model.histogram_text import histogram_text
from pyflink_prometheus.transforms.aggregation import QUANTILE_SUFFIX, SUFFIXES, Aggregation
from pyflink_prometheus.transforms.distribution import exact_quantile
from pyflink_prometheus.transforms.windows import SessionWindows, Windows

#: The aggregates that SQL has, as functions of the number.
_IN_SQL = {"count": "COUNT(*)", "sum": "SUM({})", "min": "MIN({})", "max": "MAX({})", "mean": "AVG({})"}
_VALUES, _TIMES = "values", "times"


def aggregate_table(
    table: Table,
    metric_name: str,
    value: str,
    windows: Windows,
    of: Sequence[str | float] = ("mean",),
    *,
    time: str,
    labels: str | Sequence[str] | Sequence[Sequence[str]] = (),
    schema: int = 3,
) -> Table:
    """
    Return the aggregates of each window of event time, as :class:`~pyflink_prometheus.Aggregate` writes them.

    ::

        per_minute = aggregate_table(
            rows, "flight_altitude_feet", "altitude", TumblingWindows(60_000), time="event_time", labels="operator"
        )
        ColumnMapping(
            metric_name_column="metric_name", labels=["operator"], values="value", timestamp="timestamp"
        )

    Everything runs in Java, except quantiles, histograms and ``last``: for these, Java keeps all values of a window
    until it closes, and Python is called once per window. So quantiles are always exact, and there is no bound on the
    state.

    A row is late if the watermark has passed the end of its windows. Flink drops it and counts
    ``numLateRecordsDropped``; :func:`~pyflink_prometheus.split_late` keeps such rows.

    :param table: rows that are only inserted.
    :param metric_name: the prefix of the metrics' names, with the unit.
    :param value: the column of values; NULL and NaN are skipped.
    :param windows: :class:`TumblingWindows`, :class:`SlidingWindows` whose size is a multiple of the slide,
        :class:`CumulativeWindows` or :class:`SessionWindows`.
    :param of: as for :class:`~pyflink_prometheus.Aggregate`.
    :param time: the column of event time.
    :param labels: the columns that are labels, or several such lists, each aggregated separately. Labels of the other
        lists are then NULL, so a label of a list must have a value in each row.
    :param schema: the resolution of histograms, from -4 to 8.
    :return: a row for each aggregate: ``metric_name``, the columns in ``labels``, ``quantile`` if there are any,
        ``value``, ``histogram`` if there are any, ``timestamp``, and ``window_time``, which is the event time of the
        result.
    """
    aggregation = Aggregation(metric_name, len, of, schema=schema)
    of_time = checked_time(table, time)
    checked_columns(table, "value", value)
    groups = [checked_columns(table, "labels", each) for each in _groups(labels)]
    names = tuple(dict.fromkeys(name for group in groups for name in group))
    found, at = free_name(table, "value"), free_name(table, "event_time")
    of_row = [listed(names), f"{number(quoted(value))} AS {quoted(found)}", f"{quoted(time)} AS {quoted(at)}"]
    numbers = query(table, f"SELECT {joined(of_row)} FROM {table} WHERE {is_number(number(quoted(value)))}")
    if isinstance(windows, SessionWindows) and len(groups) > 1:
        raise ValueError(
            "labels: expected one list of columns for SessionWindows, because each list would have different sessions"
        )

    kept = [f"{_IN_SQL[name].format(quoted(found))} AS {quoted(name)}" for name in aggregation.names if name in _IN_SQL]
    if aggregation.quantiles or not set(aggregation.names) <= set(_IN_SQL):
        kept.append(f"ARRAY_AGG({quoted(found)}) AS {quoted(_VALUES)}")
    if "last" in aggregation.names:
        kept.append(f"ARRAY_AGG({millis_of(quoted(at), of_time)}) AS {quoted(_TIMES)}")
    by = f"GROUPING SETS ({', '.join(f'({listed(group)})' for group in groups)})" if len(groups) > 1 else listed(names)
    closed = query(
        numbers,
        f"SELECT {joined([listed(names), 'window_time', *kept])} FROM {windowed(numbers, at, windows, names)} "
        f"GROUP BY {joined(['window_start', 'window_end', 'window_time', by])}",
    )
    return _in_rows(_with_python(closed, aggregation, names), aggregation, names)


def _with_python(closed: Table, aggregation: Aggregation, names: Sequence[str]) -> Table:
    """Return the closed windows with the aggregates that Python computes from their values."""
    columns = [listed(names), "window_time", listed(name for name in aggregation.names if name in _IN_SQL)]
    t_env = closed._t_env
    made: dict[str, tuple[Any, Any, str]] = {}
    for place, q in enumerate(aggregation.quantiles):
        made[f"quantile {place}"] = (_Quantile(q), DataTypes.DOUBLE(), quoted(_VALUES))
    if "histogram" in aggregation.names:
        made["histogram"] = (_Histogram(aggregation.schema), DataTypes.STRING(), quoted(_VALUES))
    if "last" in aggregation.names:
        made["last"] = (_last, DataTypes.DOUBLE(), f"{quoted(_VALUES)}, {quoted(_TIMES)}")
    if not made:
        return closed
    for name, (function, result_type, arguments) in made.items():
        unique = function_name()
        t_env.create_temporary_system_function(unique, udf(function, result_type=result_type, func_type="pandas"))
        columns.append(f"{unique}({arguments}) AS {quoted(name)}")
    return query(closed, f"SELECT {joined(columns)} FROM {closed}")


def _in_rows(closed: Table, aggregation: Aggregation, names: Sequence[str]) -> Table:
    """Return a row for each aggregate of closed windows."""
    prefix = aggregation.metric_name
    columns = {name: quoted(name) for name in aggregation.names}
    if "histogram" in columns:
        columns["histogram"] = "CAST(0 AS DOUBLE)"  # its value is in a separate column
    values = {f"{prefix}_{SUFFIXES[name]}": column for name, column in columns.items()}
    quantiles = {f"{q:g}": f"quantile {place}" for place, q in enumerate(aggregation.quantiles)}
    values |= {q: quoted(column) for q, column in quantiles.items()}
    entries = ", ".join(f"{text(name)}, CAST({column} AS DOUBLE)" for name, column in values.items())
    result = ["what AS metric_name", listed(names), "what_value AS `value`"]
    if quantiles:
        is_quantile = f"what IN ({', '.join(map(text, quantiles))})"
        result[0] = f"CASE WHEN {is_quantile} THEN {text(f'{prefix}_{QUANTILE_SUFFIX}')} ELSE what END AS metric_name"
        result.append(f"CASE WHEN {is_quantile} THEN what END AS quantile")
    if "histogram" in columns:
        name = f"{prefix}_{SUFFIXES['histogram']}"
        result.append(f"CASE WHEN what = {text(name)} THEN `histogram` END AS `histogram`")
    result += [f"{END_OF_WINDOW} AS `timestamp`", "window_time"]
    rows = f"{closed} CROSS JOIN UNNEST(MAP[{entries}]) AS entry(what, what_value)"
    return query(closed, f"SELECT {joined(result)} FROM {rows}")


def _groups(labels: Any) -> list[Any]:
    """Return the lists of labels: one, unless several were given."""
    if isinstance(labels, str) or not isinstance(labels, Sequence) or all(isinstance(each, str) for each in labels):
        return [labels]
    if any(isinstance(each, str) for each in labels):
        raise TypeError(f"labels: expected names of columns, or lists of names, got {shown(labels)}")
    return list(labels)


class _Quantile:
    """A quantile of the values of each window."""

    def __init__(self, q: float) -> None:
        self._q = q

    def __call__(self, windows: Any) -> Any:
        return windows.map(lambda values: exact_quantile(sorted(values.tolist()), self._q))


class _Histogram:
    """A native histogram of the values of each window, as text."""

    def __init__(self, schema: int) -> None:
        self._schema = schema

    def __call__(self, windows: Any) -> Any:
        return windows.map(self._of)

    def _of(self, values: Any) -> str:
        return histogram_text(NativeHistogram.from_observations(values, schema=self._schema).as_gauge())


def _last(windows: Any, times: Any) -> Any:
    """Return the newest value of each window; of several with one timestamp, the one that arrived last."""
    import pandas as pd  # loaded by PyFlink on the worker, and not needed on the client

    newest = [len(at) - 1 - at[::-1].argmax() for at in times]
    return pd.Series([values[place] for values, place in zip(windows, newest)])
