"""The series of rows: each row gets a number of its series, whatever the cache drops in between."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pyflink_prometheus.model.labels import canonical_labels
from pyflink_prometheus.model.metadata import Metadata
from pyflink_prometheus.writer.family import RowFamily
from pyflink_prometheus.writer.row_series import RowSeries
from pyflink_prometheus.writer.series_cache import SeriesCache

FAMILIES = [
    RowFamily("m", ("a", "b")),
    RowFamily("m", ("b", "a")),
    RowFamily(None, ("a",)),
    RowFamily("m", ("a", "b"), Metadata("gauge", "help", "unit")),
]
TEXTS = st.sampled_from(["m", "", None])
ROWS = st.lists(st.tuples(st.sampled_from(["m", "n", "o"]), TEXTS), min_size=1, max_size=12)
RECORDS = st.tuples(st.just("m"), st.sampled_from([{"a": "m"}, {"b": "m"}, {"a": "m", "b": "m"}, {"a": "n"}]))


@given(
    st.lists(st.one_of(st.tuples(st.sampled_from(FAMILIES), ROWS), RECORDS), max_size=15),
    st.integers(min_value=2, max_value=40),
)
def test_each_row_gets_the_number_of_its_series(calls, limit):
    cache = SeriesCache(limit)
    rows_of = RowSeries(cache)
    for first, second in calls:
        if isinstance(first, str):  # one record, which takes the other path
            series = cache.get(first, second)
            assert cache.table.series[series.number] is series
        else:
            columns = list(zip(*second))
            wanted = [canonical_labels(name, labels) for name, labels in first.records(columns, len(second))]
            numbers = rows_of.numbers(first, columns, len(second))
            if numbers is None:
                assert len(set(second)) > limit // 2
                continue
            assert [cache.table.series[number].labels for number in numbers.tolist()] == wanted
            assert len({id(cache.table.series[number]) for number in numbers.tolist()}) <= len(set(second))
        of_labels: dict[object, set[int]] = {}
        everything = np.arange(len(cache.table.series), dtype=np.int32)
        for series, identity in zip(cache.table.series, cache.table.identities(everything).tolist()):
            of_labels.setdefault(series.labels, set()).add(identity)
            assert cache.table.texts_of(series.number) == list(series.symbols)
        assert all(len(identities) == 1 for identities in of_labels.values())
        assert len(everything) <= max(1, limit // 2)
