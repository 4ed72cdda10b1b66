"""Labels. 1.0: "Labels", "Glossary". 2.0: "Series Labels", "Protobuf Message"."""

from __future__ import annotations

import logging

import pytest
import snappy
from doors import BOTH_DOORS
from wire_receiver import V1, V2, T

from pyflink_prometheus import RejectionReason

pytestmark = BOTH_DOORS

GOOD = ("good", {"a": "1"}, ((1.0, T),))
# In order of their UTF-8 bytes; UTF-16 would swap the last two, and case folding the first ones.
IN_ORDER = ["0digit", "Z", "_", "__name__", "a", "a.b", "aB", "a_", "ab", "b", "é", "日本", "\uffff", "\U0001f600"]


@pytest.fixture
def refused(write, receiver):
    """Return a function that checks that records are never sent, are counted, and do not affect others."""

    def check(version, *records):
        writer = write(version, *records, GOOD)
        assert [request.samples for request in receiver.requests] == [[("good", T)]]
        assert writer.ledger.samples_rejected[RejectionReason.INVALID] == len(records)

    return check


def test_the_complete_set_of_labels_must_be_sent_with_each_sample(version, start, receiver):
    """Also in the second request of a series, and in a retry: no request depends on another."""
    receiver.script += [204, 503]
    labels = {f"label_{number}": f"value {number}" for number in range(100)}
    writer = start(version)
    for number in range(3):
        writer.add(("m", labels, ((1.0, T + number),)))
        writer.flush()
    assert len(receiver.requests) == 4
    for request in receiver.requests:
        [series] = request.series
        assert dict(request.labels(series)) == {"__name__": "m", **labels}


def test_labels_should_contain_the_metrics_name(version, sent):
    request = sent(version, *[(name, {"a": "1"}, ((1.0, T),)) for name in ("one", "two", "three")])
    assert [dict(request.labels(series)).get("__name__") for series in request.series] == ["one", "two", "three"]


def test_a_series_without_a_metrics_name_is_never_sent(version, refused):
    refused(version, *[(name, {"a": "1"}, ((1.0, T),)) for name in ("", None, 7)])


def test_label_names_must_not_be_repeated(version, refused):
    refused(version, *[("m", (("a", "1"), ("b", "1"), ("a", second)), ((1.0, T),)) for second in ("1", "2", "")])


def test_label_names_must_be_sorted_in_lexicographical_order(version, sent):
    given = [name for name in reversed(IN_ORDER) if name != "__name__"]
    request = sent(version, ("m", [(name, "x") for name in given], ((1.0, T),)))
    [series] = request.series
    assert [name for name, _ in request.labels(series)] == IN_ORDER


def test_label_names_must_not_be_empty(version, refused):
    refused(version, ("m", {"": "1"}, ((1.0, T),)))


def test_label_values_must_not_be_empty(version, sent):
    """A label with an empty value is the same as no label, so it is left out and the sample is sent."""
    request = sent(version, ("m", {"a": "", "b": "1", "c": ""}, ((1.0, T),)), ("n", {"a": ""}, ((1.0, T),)))
    assert sorted(request.labels(series) for series in request.series) == [
        [("__name__", "m"), ("b", "1")],
        [("__name__", "n")],
    ]


def test_label_values_may_be_any_sequence_of_utf_8(version, sent):
    values = ["é", "日本", "\U0001f600", "e\u0301", "a\nb\tc", '"\\', "\x00", " ", "x" * 100_000]
    request = sent(version, *[("m", {"a": value}, ((1.0, T),)) for value in values])
    assert [dict(request.labels(series))["a"] for series in request.series] == values
    message = snappy.uncompress(request.body)
    assert all(value.encode("utf-8") in message for value in values)


@pytest.mark.parametrize("place", ["metric name", "label name", "label value"])
def test_names_and_values_must_be_utf_8(version, refused, place):
    broken = "a\ud800"
    name = broken if place == "metric name" else "m"
    labels = {"label name": {broken: "1"}, "label value": {"a": broken}}.get(place, {"a": "1"})
    refused(version, (name, labels, ((1.0, T),)))


def test_label_names_beginning_with_two_underscores_are_the_users_choice(version, sent):
    """Mimir and Cortex read such a name to deduplicate senders; a sink that refused it would lose samples."""
    labels = {"__replica__": "a", "__": "b", "__address__": "c", "cluster": "d"}
    request = sent(version, ("m", labels, ((1.0, T),)))
    assert [dict(request.labels(series)) for series in request.series] == [{"__name__": "m", **labels}]


def test_the_metrics_name_is_never_sent_as_one_of_the_labels_that_the_user_gives(version, refused):
    refused(version, ("m", {"__name__": "n"}, ((1.0, T),)), ("m", (("__name__", "m"),), ((1.0, T),)))


def test_valid_metric_names_are_sent_as_they_are(version, sent):
    names = ["m", "_", ":", "job:rate:5m", "_a1", "A", "a__", "m" * 1000]
    request = sent(version, *[(name, {"a": "1"}, ((1.0, T),)) for name in names])
    assert [request.name(series) for series in request.series] == names


def test_names_may_be_any_sequence_of_utf_8_in_2_0(sent):
    names = ["0digit", "with space", "with.dot", "é", "日本", "\U0001f600"]
    request = sent(V2, *[(name, {name: name}, ((1.0, T),)) for name in names])
    assert [dict(request.labels(series)) for series in request.series] == [
        {"__name__": name, name: name} for name in names
    ]


@pytest.mark.parametrize("name", ["0digit", "with space", "with.dot", "with-dash", "é", "日本"])
@pytest.mark.parametrize("place", ["metric name", "label name"])
def test_names_beyond_the_pattern_of_1_0_are_pointed_out(sent, caplog, name, place):
    """
    1.0 demands [a-zA-Z_:]([a-zA-Z0-9_:])* and, for labels, [a-zA-Z_]([a-zA-Z0-9_])*.

    Receivers that store any UTF-8 also accept them in 1.0, so they are sent; others may drop them silently.
    """
    record = (name, {"a": "1"}, ((1.0, T),)) if place == "metric name" else ("m", {name: "1"}, ((1.0, T),))
    with caplog.at_level(logging.WARNING, logger="pyflink_prometheus"):
        sent(V2, record)
        assert caplog.text == ""
        sent(V1, ("m:a_1", {"b_1": "1"}, ((1.0, T),)))
        assert caplog.text == ""
        sent(V1, record, (f"{name}2", {"a": "1"}, ((1.0, T),)))
    assert caplog.text.count("without legacy names") == 1
    assert name in caplog.text


def test_a_set_of_labels_is_one_series_in_whatever_order_it_came(version, sent):
    request = sent(
        version,
        ("m", {"a": "1", "b": "2"}, ((1.0, T),)),
        ("m", {"b": "2", "a": "1"}, ((1.0, T + 1),)),
        ("m", (("b", "2"), ("a", "1"), ("c", "")), ((1.0, T + 2),)),
    )
    assert [len(series.samples) for series in request.series] == [3]


def test_sets_of_labels_that_differ_are_different_series(version, sent):
    """Even if their concatenated texts are the same."""
    labels = [{"a": "bc"}, {"ab": "c"}, {"a": "b", "c": "d"}, {"a": "b,c=d"}, {}]
    request = sent(version, *[("m", each, ((1.0, T),)) for each in labels])
    found = [dict(request.labels(series)) for series in request.series]
    assert sorted(found, key=str) == sorted(({"__name__": "m", **each} for each in labels), key=str)
