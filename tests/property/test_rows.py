"""Rows by column are written exactly as the same samples record by record."""

from __future__ import annotations

from functools import partial

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pyflink_prometheus import Metadata, RejectedSamples, RemoteWriteVersion
from pyflink_prometheus.config import SinkConfig
from pyflink_prometheus.testing import FakeClock, ScriptedTransport
from pyflink_prometheus.writer.family import RowFamily
from pyflink_prometheus.writer.writer import RemoteWriter

T = 1_700_000_000_000

families = st.sampled_from(
    [
        RowFamily("m", ()),
        RowFamily("m", ("a", "b")),
        RowFamily("m", ("b", "a"), Metadata("gauge", "helps", "seconds")),
        RowFamily(None, ("a",)),
    ]
)
texts = st.sampled_from([None, "", "x", "y"]) | st.integers(0, 30).map(str)
# Mostly usual, or too old or new for a guard, or in seconds; sometimes far from each other.
timestamps = st.integers(0, 40).map(lambda number: T + 1000 * number) | st.sampled_from(
    [T - 86_400_000, T + 86_400_000, T // 1000]
)
rows = st.tuples(texts, texts, timestamps, st.sampled_from([0.0, 1.0, float("inf")]))
bundles = st.lists(st.tuples(families, st.lists(rows, max_size=40)), min_size=1, max_size=4)
guards = st.sampled_from([{}, {"max_sample_age_ms": 20_000}, {"max_sample_lead_ms": 20_000}])


def write(version, bundles, add, **settings):
    """Write each bundle with a function; return the stored samples, and the ledger's counts."""
    transport = ScriptedTransport()
    rejected: list[RejectedSamples] = []
    config = SinkConfig(
        "http://receiver.invalid/api/v1/write",
        remote_write_version=version,
        rejected_samples_handler=rejected.extend,
        **settings,
    )
    clock = FakeClock()
    writer = RemoteWriter(config, new_transport=lambda config: transport, clock=clock)
    try:
        for family, rows in bundles:
            add(writer, family, rows)
            writer.flush()
    finally:
        writer.close()
    stored: dict[str, list[tuple[float, int]]] = {}
    for key, value, timestamp in transport.stored:
        stored.setdefault(key, []).append((value, timestamp))
    assert writer.ledger.samples_pending == 0
    return stored, writer.ledger.samples_in, writer.ledger.samples_rejected, sorted(each.message for each in rejected)


def instead(transport, config):
    return transport


def by_record(writer, family, rows):
    for *texts, timestamp, value in rows:
        columns = [[text] for text in texts][: len(family.label_names) + (family.metric_name is None)]
        ((metric_name, labels),) = family.records(columns, 1)
        writer.add((metric_name, labels, ((value, timestamp),), family.metadata, ()))


def by_column(writer, family, rows):
    columns = [list(column) for column in zip(*rows)] or [[], [], [], []]
    writer.add_rows(
        family,
        columns[: len(family.label_names) + (family.metric_name is None)],
        np.array(columns[2], np.int64),
        np.array(columns[3], np.float64),
    )


@settings(max_examples=150)
@given(
    st.sampled_from([RemoteWriteVersion.V1, RemoteWriteVersion.V2]),
    bundles,
    guards,
    st.sampled_from([1, 3]),
    st.sampled_from([1, 7, 1000]),
    st.sampled_from([3, 12, 60, 200_000]),
)
def test_both_ways_store_and_count_the_same(version, bundles, guard, shards, batch, cached):
    limits = {
        "max_in_flight_requests": shards,
        "max_batch_size_in_samples": batch,
        "max_cached_series": cached,
    }
    stored, *counts = write(version, bundles, by_column, **guard, **limits)
    expected, *expected_counts = write(version, bundles, by_record, **guard, **limits)
    assert counts[0] == expected_counts[0]
    # Two values at one time are handled by the requests that they are in, and rows may be grouped differently.
    assert set(stored) == set(expected)
    for key, samples in stored.items():
        assert {timestamp for _, timestamp in samples} == {timestamp for _, timestamp in expected[key]}
    if batch == 1000:
        assert stored == expected
        assert counts == expected_counts


def test_rows_of_one_bundle_are_sent_series_by_series_if_they_are_close_in_time():
    rows = [(str(number % 4), None, T + number, 1.0) for number in range(40)]
    for spread, expected in ((1, 4), (100_000, 16)):
        transport = ScriptedTransport()
        config = SinkConfig("http://receiver.invalid/api/v1/write", max_batch_size_in_samples=10)
        writer = RemoteWriter(config, new_transport=partial(instead, transport), clock=FakeClock())
        by_column(
            writer,
            RowFamily("m", ("a",)),
            [(one, other, T + spread * (timestamp - T), value) for one, other, timestamp, value in rows],
        )
        writer.flush()
        writer.close()
        assert sum(len(request.series) for request in transport.requests) == expected
        assert len(transport.stored) == len(rows)
