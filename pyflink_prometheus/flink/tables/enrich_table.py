"""Rows with columns of a reference, as a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from pyflink.table import DataTypes, Table
from pyflink.table.udf import udf

from pyflink_prometheus import _validation
from pyflink_prometheus._validation import shown
from pyflink_prometheus.flink.table_select import quoted
from pyflink_prometheus.flink.table_writer import types_of
from pyflink_prometheus.flink.tables.sql import checked_columns, checked_time, function_name, listed, query, text

#: Java's code for more literals than this would be too long for a method.
_MOST_LITERALS = 200


class Enriched(NamedTuple):
    """
    The rows of a table with their references.

    :param rows: all rows, or only those with a reference if the others are dropped.
    :param unmatched: the rows without a reference, as they were.
    """

    rows: Table
    unmatched: Table


def enrich_table(
    table: Table,
    references: Mapping[Any, Mapping[str, str]],
    key: str,
    *,
    default: Mapping[str, str] | None = None,
    drop_unmatched: bool = False,
) -> Enriched:
    """
    Add the columns of a reference to each row, as :class:`~pyflink_prometheus.Enrich` does.

    ::

        operators = {"AFR": {"operator": "Air France", "country": "FR"}}
        rows, unmatched = enrich_table(rows, operators, "code", default={"operator": "other"})

    A column that the table already has is left unchanged. Up to 200 references are part of the query and looked up in
    Java; more are looked up in Python, for many rows at once.

    :param references: the added columns, which are strings, by key.
    :param key: the column with the key, a string.
    :param default: the reference of rows that match none; these rows are still in ``unmatched``. Default: none, so
        their added columns are NULL.
    :param drop_unmatched: whether to leave rows without a reference out of ``rows``.
    """
    if not isinstance(references, Mapping):
        raise TypeError(f"references: expected a mapping from keys to references, got {shown(references)}")
    checked_columns(table, "key", key)
    found = {_text("references", each): dict(reference) for each, reference in references.items()}
    names = dict.fromkeys(name for each in [*found.values(), default or {}] for name in each)
    added = [name for name in names if name not in types_of(table)]
    lookup = _literal if len(found) <= _MOST_LITERALS else _in_python
    is_known = f"({lookup(table, key, dict.fromkeys(found, 'yes'))}) IS NOT NULL"
    columns = ["*"]
    for name in added:
        values = {each: _text(name, reference[name]) for each, reference in found.items() if name in reference}
        expression = lookup(table, key, values)
        if default is not None and name in default:
            # A column that a row's own reference lacks stays NULL.
            expression = f"CASE WHEN {is_known} THEN {expression} ELSE {text(_text(name, default[name]))} END"
        columns.append(f"CAST({expression} AS STRING) AS {quoted(name)}")
    where = f" WHERE {is_known}" if drop_unmatched else ""
    rows = query(table, f"SELECT {', '.join(columns)} FROM {table}{where}")
    return Enriched(rows, query(table, f"SELECT * FROM {table} WHERE NOT ({is_known})"))


def enrich_from_table(
    table: Table,
    updates: Table,
    key: str,
    *,
    time: str,
    updates_key: str,
    updates_time: str,
    drop_unmatched: bool = False,
) -> Enriched:
    """
    Add the columns that a table of updates has at a row's time, in Java.

    ::

        rows, unmatched = enrich_from_table(
            rows, operators, "code", time="event_time", updates_key="code", updates_time="valid_from"
        )

    Unlike :class:`~pyflink_prometheus.EnrichFromStream`, which uses the updates that have arrived, it uses the newest
    update that is not newer than the row, whatever arrives first. So rows wait until both watermarks have passed them.
    If the watermark of the updates stands still, it holds up all rows: see ``table.exec.source.idle-timeout``. Java
    keeps the last update of each key forever. Other tables, such as those in databases, can be joined by a lookup join
    in SQL.

    :param updates: rows that are only inserted; an update with NULL in all other columns removes a reference's values.
    :param key: the column with the key.
    :param time: the column of event time.
    :param updates_key: the column of the updates with the key.
    :param updates_time: the column of the updates with their event time.
    :param drop_unmatched: whether to leave rows without a reference out of ``rows``.
    """
    checked_time(table, time)
    checked_columns(table, "key", key)
    checked_time(updates, updates_time)
    checked_columns(updates, "updates_key", updates_key)
    names = [name for name in types_of(updates) if name not in (updates_key, updates_time)]
    added = [name for name in names if name not in types_of(table)]
    latest = (
        f"SELECT *, ROW_NUMBER() OVER (PARTITION BY {quoted(updates_key)} ORDER BY {quoted(updates_time)} DESC) AS nth "
        f"FROM {updates}"
    )
    versions = query(updates, f"SELECT {listed(types_of(updates))} FROM ({latest}) WHERE nth = 1")
    columns = [f"mine.{quoted(name)}" for name in types_of(table)]
    found = quoted("key of the reference")
    joined = query(
        table,
        f"SELECT {', '.join([*columns, *(f'theirs.{quoted(name)}' for name in added)])}, "
        f"theirs.{quoted(updates_key)} AS {found} "
        f"FROM {table} AS mine LEFT JOIN {versions} FOR SYSTEM_TIME AS OF mine.{quoted(time)} AS theirs "
        f"ON mine.{quoted(key)} = theirs.{quoted(updates_key)}",
    )
    where = f" WHERE {found} IS NOT NULL" if drop_unmatched else ""
    return Enriched(
        query(table, f"SELECT {listed([*types_of(table), *added])} FROM {joined}{where}"),
        query(table, f"SELECT {listed(types_of(table))} FROM {joined} WHERE {found} IS NULL"),
    )


def _literal(table: Table, key: str, values: Mapping[str, str]) -> str:
    """Return the lookup in a map of literals."""
    if not values:
        return "CAST(NULL AS STRING)"
    entries = ", ".join(f"{text(each)}, {text(value)}" for each, value in values.items())
    # The planner assumes that a lookup in a map of literals is never NULL.
    return f"CASE WHEN {quoted(key)} IN ({', '.join(map(text, values))}) THEN MAP[{entries}][{quoted(key)}] END"


def _in_python(table: Table, key: str, values: Mapping[str, str]) -> str:
    """Return the lookup in a dict on the worker."""
    name = function_name()
    function = udf(_Lookup(dict(values)), result_type=DataTypes.STRING(), func_type="pandas")
    table._t_env.create_temporary_system_function(name, function)
    return f"{name}({quoted(key)})"


class _Lookup:
    """A lookup of many keys at once."""

    def __init__(self, values: dict[str, str]) -> None:
        self._values = values

    def __call__(self, keys: Any) -> Any:
        import pandas as pd  # loaded by PyFlink on the worker, and not needed on the client

        return pd.Series(list(map(self._values.get, keys.tolist())), dtype=object)


def _text(argument: str, value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{argument}: expected strings, got {shown(value)}")
    _validation.line(argument, value)
    return value
