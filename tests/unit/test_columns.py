"""Which records are passed as columns, and that they come out of columns unchanged."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pandas as pd
import pytest
from pyflink.common import Row, Types

from pyflink_prometheus.flink.columns import NotColumnsError, record_columns

BYTES = Types.PRIMITIVE_ARRAY(Types.BYTE())
NAMES = ["text", "long", "double", "flag", "bytes", "float", "short"]
TYPES = [Types.STRING(), Types.LONG(), Types.DOUBLE(), Types.BOOLEAN(), BYTES, Types.FLOAT(), Types.SHORT()]
VALUES = [
    pd.Series(["a", None]),
    pd.Series([2**62 + 1, 0]),
    pd.Series([math.nan, math.nan]),
    pd.Series([True, None], dtype=object),
    pd.Series([b"x", None]),
    pd.Series([0.1, math.nan], dtype=np.float32),
    pd.Series([3, 0], dtype=np.int16),
]


def same(left, right):
    """Return whether two values are the same, including NaN, and of the same type."""
    return type(left) is type(right) and repr(left) == repr(right)


@pytest.mark.parametrize(("kind", "column"), list(zip(TYPES, VALUES)), ids=NAMES)
def test_plain_values_come_back_as_python_has_them(kind, column):
    columns = record_columns(kind)
    found = list(columns.records([column.head(1)]))
    assert same(found, [column.tolist()[0]])
    assert type(found[0]) in (str, int, float, bool, bytes)


def test_tuples_come_back_as_tuples():
    found = list(record_columns(Types.TUPLE(TYPES)).records([column.head(1) for column in VALUES]))
    assert same(found, [("a", 2**62 + 1, math.nan, True, b"x", 0.10000000149011612, 3)])


@pytest.mark.parametrize("names", [NAMES, ["a column", "select", "Ü", "b`c", "d", "e", "f"]])
def test_rows_come_back_with_their_names_and_null_is_not_nan(names):
    columns = record_columns(Types.ROW_NAMED(names, TYPES))
    first, second = columns.records([*VALUES, pd.Series([0, 0b1111])])
    expected = Row("a", 2**62 + 1, math.nan, True, b"x", 0.10000000149011612, 3)
    expected.set_field_names(names)
    assert same(first, expected)
    assert first.as_dict() == dict(zip(names, first))
    assert list(second) == [None] * 7


def test_only_the_numbers_whose_bits_are_set_are_null():
    columns = record_columns(Types.ROW_NAMED(["a", "b"], [Types.LONG(), Types.DOUBLE()]))
    values, nulls = [[1, 0, 0, 0], [1.0, 1.0, math.nan, math.nan]], [0, 1, 2, 3]
    found = columns.records([pd.Series(each) for each in (*values, nulls)])
    assert list(map(tuple, found)) == [(1, 1.0), (None, 1.0), (0, None), (None, None)]


def test_what_flink_knows_is_never_null_comes_as_a_constant():
    columns = record_columns(Types.ROW_NAMED(["a"], [Types.LONG()]))
    assert [tuple(row) for row in columns.records([pd.Series([1, 2]), 0])] == [(1,), (2,)]


def test_more_numbers_than_a_mask_has_bits_get_several():
    names = [f"n{number}" for number in range(130)]
    columns = record_columns(Types.ROW_NAMED(names, [Types.LONG()] * 130))
    (row,) = columns.records([*([pd.Series([0])] * 130), pd.Series([1 << 61]), pd.Series([1]), pd.Series([1 << 5])])
    assert [field for field, value in enumerate(row) if value is None] == [61, 62, 129]


def test_what_the_job_carries_can_be_pickled():
    """A stream's types cannot be: they hold a lock of Java's gateway."""
    kind = Types.ROW_NAMED(NAMES, TYPES)
    kind._j_typeinfo = (number for number in range(1))  # a generator cannot be pickled either
    columns = record_columns(kind)
    assert pickle.loads(pickle.dumps(columns)).names == tuple(NAMES)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (Types.PICKLED_BYTE_ARRAY(), "records are pickled objects"),
        (Types.ROW_NAMED([], []), "records have no fields"),
        (Types.BIG_DEC(), "records are of type BigDecimal"),
        (Types.INSTANT(), "records are of type Instant"),
        (Types.CHAR(), "records are of type Char"),
        (Types.SQL_TIMESTAMP(), "records are of type "),
        (Types.MAP(Types.STRING(), Types.STRING()), "records are of type MapTypeInfo"),
        (Types.PRIMITIVE_ARRAY(Types.LONG()), "records are of type PrimitiveArrayTypeInfo"),
        (Types.TUPLE([Types.STRING(), Types.LIST(Types.STRING())]), "field f1 is of type ListTypeInfo"),
        (Types.TUPLE([Types.TUPLE([Types.LONG()])]), "field f0 is of type TupleTypeInfo"),
        (Types.ROW_NAMED(["a"], [Types.ROW_NAMED(["b"], [Types.LONG()])]), "field a is of type RowTypeInfo"),
        (Types.ROW_NAMED(["a", "b"], [Types.LONG(), Types.PICKLED_BYTE_ARRAY()]), "field b is of type Pickled"),
    ],
)
def test_what_would_be_lost_is_refused_with_its_name(kind, reason):
    with pytest.raises(NotColumnsError, match=f"^{reason}") as caught:
        record_columns(kind)
    assert "\n" not in str(caught.value)
