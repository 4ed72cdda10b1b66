"""Enrich adds references from a table or stream, and handles events without a reference as configured."""

from __future__ import annotations

import pytest
from operator_harness import Harness
from pyflink.common import Types
from pyflink.datastream import OutputTag

from pyflink_prometheus import (
    Enrich,
    EnrichFromStream,
    PrometheusSinkError,
    PrometheusTimeSeries,
)

UNMATCHED = OutputTag("unmatched", Types.PICKLED_BYTE_ARRAY())
TABLE = {"AFR": {"operator": "Air France"}}


def prefix(row):
    return row["callsign"][:3]


def row(callsign, **more):
    return {"callsign": callsign, **more}


def from_table(**options):
    return Harness(Enrich(TABLE, prefix, **options))


def from_stream(**options):
    return Harness(EnrichFromStream(lambda update: update, prefix, **options))


def test_a_reference_is_added_and_the_events_own_fields_stay():
    event = row("AFR12")
    harness = from_table().send(event).send(row("AFR1", operator="own"))
    assert harness.results == [row("AFR12", operator="Air France"), row("AFR1", operator="own")]
    assert event == row("AFR12")


def test_a_series_gets_labels():
    series = PrometheusTimeSeries("m", (("callsign", "AFR1"),), ((1.0, 2),))
    harness = Harness(Enrich(TABLE, lambda s: dict(s.labels)["callsign"][:3])).send(series)
    assert harness.results[0].key() == 'm{callsign="AFR1",operator="Air France"}'


def test_a_join_of_the_users():
    harness = Harness(Enrich({"a": 5}, lambda e: e[0], lambda e, reference: (*e, reference)))
    assert harness.send(("a", 1)).results == [("a", 1, 5)]


def test_what_the_default_join_cannot_join_says_what_to_do():
    with pytest.raises(TypeError, match=r"set join=\.\.\."):
        Harness(Enrich({"a": 5}, lambda e: e[0])).send(("a", 1))


@pytest.mark.parametrize("make", [from_table, from_stream])
@pytest.mark.parametrize(
    ("options", "main", "side"),
    [
        ({}, [row("XYZ")], []),
        ({"drop_unmatched": True}, [], []),
        ({"unmatched_output_tag": UNMATCHED}, [], [row("XYZ")]),
        ({"default": {"operator": "?"}}, [row("XYZ", operator="?")], []),
    ],
)
def test_events_without_a_reference(make, options, main, side):
    harness = make(**options).send(row("XYZ"))
    assert (harness.results, harness.side["unmatched"]) == (main, side)
    assert harness.counts["numEventsUnmatched"] == (0 if "default" in options else 1)


def test_a_key_of_none_matches_nothing():
    harness = Harness(Enrich({None: {"a": "1"}}, lambda event: None)).send({"b": "2"})
    assert harness.results == [{"b": "2"}]


def test_a_stream_of_references_changes_what_is_added():
    harness = from_stream(table=TABLE)
    harness.send(row("AFR1")).send(row("BAW1"))
    harness.broadcast(("BAW", {"operator": "British Airways"})).broadcast(("AFR", None))
    harness.send(row("AFR1")).send(row("BAW1"))
    known, unknown = row("AFR1", operator="Air France"), row("BAW1")
    assert harness.results == [known, unknown, row("AFR1"), row("BAW1", operator="British Airways")]


def test_references_and_their_removal_come_back_from_a_savepoint():
    first = from_stream(table=TABLE).broadcast(("BAW", {"operator": "BA"})).broadcast(("AFR", None))
    harness = Harness(EnrichFromStream(lambda u: u, prefix, table=TABLE), first.savepoint())
    harness.send(row("AFR1")).send(row("BAW1"))
    assert harness.results == [row("AFR1"), row("BAW1", operator="BA")]


def test_an_update_that_is_none_is_named():
    with pytest.raises(PrometheusSinkError, match="reference: expected a function that returns two values"):
        from_stream().broadcast(5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Enrich([1], prefix), "table: expected a mapping"),  # type: ignore[arg-type]
        (lambda: Enrich({}, "x"), "key: expected a function"),  # type: ignore[arg-type]
        (lambda: Enrich({}, prefix, "x"), "join: expected a function"),  # type: ignore[arg-type]
        (lambda: Enrich({}, prefix, unmatched_output_tag=UNMATCHED, drop_unmatched=True), "drop_unmatched"),
        (lambda: Enrich({}, prefix, unmatched_output_tag="x"), "unmatched_output_tag: expected an OutputTag"),
        (lambda: EnrichFromStream("x", prefix), "reference: expected a function"),  # type: ignore[arg-type]
    ],
)
def test_wrong_arguments_are_refused_by_name(make, message):
    with pytest.raises((TypeError, ValueError), match=message):
        make()
