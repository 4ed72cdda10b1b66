"""The expressions that pass a table's columns to Python, and the columns that are refused."""

from __future__ import annotations

import re

import pytest

from pyflink_prometheus import ColumnMapping
from pyflink_prometheus.flink.table_select import SqlType, key_columns_of, quoted, select
from pyflink_prometheus.writer.mapped_columns import NullValues

TEXT = SqlType("VARCHAR", "STRING")
DOUBLE = SqlType("DOUBLE", "DOUBLE")
MILLIS = SqlType("BIGINT", "BIGINT", is_nullable=False)
ROOMS = ColumnMapping(metric_name="m", labels=["room"], values="v", timestamp="at")


def selected(mapping=ROOMS, **types):
    return select(mapping, {"room": TEXT, "v": DOUBLE, "at": MILLIS, **types})


def test_columns_of_fitting_types_are_selected_as_they_are():
    found = selected(v=DOUBLE._replace(is_nullable=False), other=SqlType("RAW", "RAW"))
    assert found.expressions == ("`room`", "`v`", "`at`")
    assert found.names == ("room", "v", "at")
    assert found.nulls == (NullValues.NEVER,)
    assert not found.has_local_time


@pytest.mark.parametrize(
    ("root", "expression", "nulls"),
    [
        ("DOUBLE", "`v`", NullValues.FLAGGED),
        ("FLOAT", "CAST(`v` AS DOUBLE)", NullValues.FLAGGED),
        ("DECIMAL", "CAST(`v` AS DOUBLE)", NullValues.NAN),
        ("TINYINT", "CAST(`v` AS DOUBLE)", NullValues.NAN),
        ("BOOLEAN", "CAST(CASE WHEN `v` THEN 1 WHEN NOT `v` THEN 0 END AS DOUBLE)", NullValues.NAN),
    ],
)
def test_a_value_is_a_double_whose_nulls_are_not_mistaken_for_nan(root, expression, nulls):
    found = selected(v=SqlType(root, root))
    assert found.expressions[1] == expression
    assert found.nulls == (nulls,)
    assert found.expressions[3:] == (("`v` IS NULL",) if nulls is NullValues.FLAGGED else ())
    assert len(found.flags) == len(found.expressions[3:])


@pytest.mark.parametrize(
    ("root", "is_nullable", "pattern"),
    [
        ("BIGINT", True, r"COALESCE\(`at`, -9223372036854775807 - 1\)"),
        ("INTEGER", False, r"CAST\(`at` AS BIGINT\)"),
        (
            "TIMESTAMP_WITHOUT_TIME_ZONE",
            False,
            r"EXTRACT\(EPOCH FROM `at`\) \* 1000 \+ EXTRACT\(MILLISECOND FROM `at`\)",
        ),
        ("TIMESTAMP_WITH_LOCAL_TIME_ZONE", True, r"COALESCE\(CAST\(TIMESTAMPDIFF\(MINUTE, .*, -\d+ - 1\)"),
    ],
)
@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin"])
def test_a_timestamp_is_milliseconds_and_never_null(root, is_nullable, pattern, zone):
    mapping = ColumnMapping(metric_name="m", labels=["room"], values="v", timestamp="at", time_zone=zone)
    found = selected(mapping, at=SqlType(root, root, is_nullable))
    assert re.fullmatch(pattern, found.expressions[2])
    assert found.has_local_time == (root == "TIMESTAMP_WITHOUT_TIME_ZONE" and zone != "UTC")


@pytest.mark.parametrize(
    ("name", "of", "what"),
    [
        ("room", DOUBLE, "CAST column 'room' to STRING before the sink: a label cannot be of type DOUBLE"),
        ("room", SqlType("MAP", "MAP<INT, INT>"), "a label cannot be of type MAP<INT, INT>"),
        ("v", TEXT, "CAST column 'v' to DOUBLE before the sink: a value cannot be of type STRING"),
        ("v", SqlType("INTERVAL_DAY_TIME", "INTERVAL SECOND(3)"), "a value cannot be of type INTERVAL"),
        ("at", TEXT, "CAST column 'at' to TIMESTAMP_LTZ"),
        ("at", SqlType("DATE", "DATE"), "a timestamp cannot be of type DATE"),
        ("at", SqlType("TIMESTAMP_WITH_TIME_ZONE", "TIMESTAMP(3) WITH TIME ZONE"), "a timestamp cannot be of type"),
    ],
)
def test_a_type_that_does_not_fit_is_refused_by_the_name_of_the_column(name, of, what):
    with pytest.raises(TypeError, match=re.escape(what)):
        selected(**{name: of})


@pytest.mark.parametrize(
    ("children", "fits"),
    [
        (("VARCHAR", "VARCHAR"), True),
        (("CHAR", "BIGINT"), True),
        (("VARCHAR", "BOOLEAN"), True),
        (("VARCHAR", "DOUBLE"), False),
        (("INTEGER", "VARCHAR"), False),
        (("VARCHAR", "MAP"), False),
    ],
)
def test_a_map_of_labels_has_texts_as_keys_and_what_a_label_may_be_as_values(children, fits):
    mapping = ColumnMapping(metric_name="m", labels_column="tags", values="v", timestamp="at")
    tags = SqlType("MAP", "MAP<...>", children=children)
    if fits:
        assert selected(mapping, tags=tags).expressions[0] == "JSON_STRING(`tags`)"
    else:
        with pytest.raises(TypeError, match="^CAST column 'tags' to MAP<STRING, STRING> before the sink"):
            selected(mapping, tags=tags)


def test_names_may_be_anything():
    mapping = ColumnMapping(metric_name="m", labels=["a `b`"], values="select", timestamp="at")
    found = selected(mapping, **{"a `b`": TEXT, "select": DOUBLE})
    assert found.expressions[:2] == ("`a ``b```", "`select`")
    assert quoted("x") == "`x`"


def test_a_column_for_two_purposes_is_selected_once_if_its_type_fits_both():
    twice = selected(ColumnMapping(values={"m": "v", "n": "v"}, timestamp="at"))
    assert twice.expressions == ("`v`", "`at`", "`v` IS NULL")
    assert twice.flags == ("v is null",)
    both = ColumnMapping(metric_name="m", labels=["at"], values="v", timestamp="at")
    with pytest.raises(ValueError, match="^select column 'at' twice, under two names: "):
        selected(both)


def test_rows_are_partitioned_by_what_their_series_have_in_common(caplog):
    named = ColumnMapping(metric_name_column="n", labels={"a": "x", "b": "x"}, values="v", timestamp="at")
    assert key_columns_of(named) == ("n", "x")
    assert caplog.messages == []
    by_map = ColumnMapping(metric_name="m", labels_column="tags", values="v", timestamp="at")
    assert key_columns_of(by_map) == ()
    assert "give the column mapping a column in labels" in caplog.text
