"""Rows result in the same samples one by one and by column, whatever is in them."""

from __future__ import annotations

import random
from collections import defaultdict
from datetime import datetime, timedelta

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st
from rejections import Rejections

from pyflink_prometheus import ColumnMapping, Metadata
from pyflink_prometheus.config import SinkConfig
from pyflink_prometheus.testing import FakeClock, ScriptedTransport
from pyflink_prometheus.writer.mapped_columns import MappedColumns, NullValues
from pyflink_prometheus.writer.mapped_records import MappedRecords
from pyflink_prometheus.writer.writer import RemoteWriter

T = 1_700_000_000_000

names = st.sampled_from(["m", "n", "o"])
texts = st.none() | st.sampled_from(["", "a", "b", "ü", 'a"b\\\n'])
tags = st.none() | st.dictionaries(st.sampled_from(["x", "y", "room", "site"]), texts, max_size=3)
floats = st.none() | st.floats(width=32)
integers = st.none() | st.integers(-(2**40), 2**40)
naive = st.none() | st.datetimes(datetime(1975, 1, 1), datetime(2100, 1, 1)).map(
    lambda time: time - timedelta(microseconds=time.microsecond % 1000)
)
millis = st.none() | st.integers(T, T + 10)

rows = st.lists(
    st.fixed_dictionaries(
        {
            "metric": st.none() | names,
            "room": texts,
            "id": st.none() | st.integers(0, 3),
            "on": st.none() | st.booleans(),
            "tags": tags,
            "celsius": floats,
            "count": integers,
            "at": millis,
            "local": naive,
        }
    ),
    min_size=1,
    max_size=20,
)
mappings = st.builds(
    lambda metric, labels, optional, timestamp, zone: ColumnMapping(
        **metric, labels=labels, **optional, timestamp=timestamp, time_zone=zone
    ),
    st.sampled_from(
        [
            {"metric_name": "m", "values": "celsius"},
            {"metric_name": "m", "values": "count", "metadata": Metadata("gauge", "warmth", "celsius")},
            {"metric_name_column": "metric", "values": "celsius"},
            {"metric_name_column": "metric", "values": "count", "metadata": {"n": Metadata("counter")}},
            {"values": {"m": "celsius", "n": "count"}, "metadata": {"n": Metadata("counter")}},
        ]
    ),
    st.sampled_from([{}, {"place": "room"}, {"room": "room", "id": "id"}, {"on": "on", "site": "room"}]),
    st.fixed_dictionaries(
        {},
        optional={"labels_column": st.just("tags"), "constant_labels": st.just({"site": "here", "kind": "k"})},
    ),
    st.sampled_from(["at", "local"]),
    st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kolkata"]),
)


def series_of(name, values):
    """Return a column as PyFlink makes it from these values."""
    if name in ("celsius", "count"):
        return pd.Series(values, dtype=np.float64)  # cast to DOUBLE by the query
    if name in ("at", "id"):
        return pd.Series(values, dtype=np.float64 if None in values else np.int64)
    if name == "local":
        return pd.Series(values, dtype="datetime64[ns]")
    if name == "on" and None not in values:
        return pd.Series(values, dtype=bool)
    if name == "tags":
        values = [None if each is None else list(each.items()) for each in values]
    return pd.Series(values, dtype=object)


class Outcome:
    """The samples that a writer has stored, rejected and skipped, by series."""

    def __init__(self, write):
        transport, rejected = ScriptedTransport(), Rejections()
        config = SinkConfig(
            prometheus_remote_write_url="http://receiver.invalid/api/v1/write", rejected_samples_handler=rejected
        )
        writer = RemoteWriter(
            config, new_transport=lambda config: transport, clock=FakeClock(), draw=random.Random(1).random
        )
        try:
            write(writer)
            writer.flush()
        finally:
            writer.close()
        self.stored = defaultdict(list)
        for request in transport.accepted:
            for series, value, timestamp in request.samples:
                self.stored[series].append((np.float64(value).tobytes(), timestamp))
        self.rejected = sorted((each.reason.value, each.message, each.count) for each in rejected)
        self.metadata = {series.key(): series.metadata for request in transport.accepted for series in request.series}
        ledger = writer.ledger
        assert ledger.samples_in == ledger.samples_accepted + sum(ledger.samples_rejected.values())
        self.skipped = ledger.null_values_skipped


@given(rows, mappings)
def test_rows_and_columns_give_the_same_samples(rows, mapping):
    def one_by_one(writer):
        records = MappedRecords(mapping, writer)
        for row in rows:
            records.add(row)

    def by_column(writer):
        columns = [series_of(name, [row[name] for row in rows]) for name in mapping.columns]
        nulls = []
        for name in mapping.value_columns.values():
            nulls.append(NullValues.FLAGGED if name == "celsius" else NullValues.NAN)
            if name == "celsius":
                columns.append(pd.Series([row[name] is None for row in rows]))
        MappedColumns(mapping, writer, nulls).add(columns)

    expected, found = Outcome(one_by_one), Outcome(by_column)
    assert found.stored == expected.stored
    assert found.rejected == expected.rejected
    assert found.skipped == expected.skipped
    assert found.metadata == expected.metadata
