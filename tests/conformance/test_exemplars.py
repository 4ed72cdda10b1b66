"""Exemplars. 2.0: "Exemplars", "Protobuf Message"; in 1.0 they are in a field that Prometheus added."""

from __future__ import annotations

import math
from typing import Any

import pytest
from wire_receiver import AUTO, Reply, T

from pyflink_prometheus import Exemplar, NativeHistogram

HISTOGRAM = NativeHistogram(schema=0, sum=3.0, positive={1: 2})


def record(*exemplars, value=1.0):
    return ("m", {"a": "1"}, ((value, T),), None, exemplars)


def exemplars(request):
    return [
        (request.labels(each), each.value, each.timestamp) for series in request.series for each in series.exemplars
    ]


@pytest.mark.parametrize("value", [1.0, HISTOGRAM], ids=["sample", "histogram"])
def test_exemplars_should_be_provided_if_they_exist(version, sent, value):
    given = [Exemplar({"trace_id": f"t{number}"}, number / 2, T + number) for number in range(5)]
    request = sent(version, record(*given, value=value))
    assert request.unknown_bytes == 0
    assert exemplars(request) == [([("trace_id", f"t{number}")], number / 2, T + number) for number in range(5)]


def test_exemplars_are_in_the_series_that_they_belong_to(version, sent):
    request = sent(
        version,
        *[(f"m{number}", {}, ((1.0, T),), None, (Exemplar({"id": f"{number}"}, 1.0, T),)) for number in range(5)],
    )
    found = {request.name(series): request.labels(series.exemplars[0]) for series in request.series}
    assert found == {f"m{number}": [("id", f"{number}")] for number in range(5)}


def test_an_exemplar_must_contain_a_value(version, sent):
    values = [0.0, -0.0, 1e308, math.inf, -1.5]
    found = exemplars(sent(version, record(*[Exemplar({}, value, T) for value in values])))
    assert [str(value) for _, value, _ in found] == [str(value) for value in values]


def test_an_exemplar_must_contain_a_timestamp(version, sent):
    times = [-1, 0, 1, T - 1, T, 2**62 - 1]
    found = exemplars(sent(version, record(*[Exemplar({}, 1.0, timestamp) for timestamp in times])))
    assert [timestamp for _, _, timestamp in found] == times


BAD = [
    Exemplar({}, None, T),  # type: ignore[arg-type]
    Exemplar({}, "much", T),  # type: ignore[arg-type]
    Exemplar({}, HISTOGRAM, T),  # type: ignore[arg-type]
    Exemplar({}, 1.0, None),  # type: ignore[arg-type]
    Exemplar({}, 1.0, 1.5),  # type: ignore[arg-type]
    Exemplar({}, 1.0, 2**62),
    Exemplar({}, 1.0, 2**63 - 1),
    Exemplar({}, 1.0, -(2**63)),
    Exemplar({}, 1.0, 2**63),
    Exemplar(None, 1.0, T),  # type: ignore[arg-type]
    ({}, 1.0),
]


def test_an_exemplar_without_value_or_timestamp_is_never_sent(version, write, receiver):
    """It affects neither the sample nor the other exemplars."""
    writer = write(version, record(Exemplar({}, 1.0, T), *BAD, Exemplar({}, 2.0, T + 1)))
    [request] = receiver.requests
    assert request.samples == [("m", T)]
    assert exemplars(request) == [([], 1.0, T), ([], 2.0, T + 1)]
    assert (writer.ledger.exemplars_accepted, writer.ledger.exemplars_rejected) == (2, len(BAD))


def test_labels_of_exemplars_must_be_sorted_and_not_empty(version, sent):
    request = sent(version, record(Exemplar({"b": "1", "trace_id": "t", "a": "2", "gone": "", "A": "3"}, 1.0, T)))
    [(labels, _, _)] = exemplars(request)
    assert labels == [("A", "3"), ("a", "2"), ("b", "1"), ("trace_id", "t")]


def test_an_exemplar_with_labels_that_cannot_be_is_never_sent(version, sent):
    bad: list[Any] = [(("a", "1"), ("a", "2")), {"": "1"}, {"__name__": "1"}, {"a": "\ud800"}]
    assert exemplars(sent(version, record(*[Exemplar(labels, 1.0, T) for labels in bad]))) == []


def test_exemplars_of_a_series_are_in_timestamp_order(version, sent):
    order = [3, 1, 4, 0, 2]
    request = sent(version, record(*[Exemplar({}, float(number), T + number) for number in order]))
    assert [value for _, value, _ in exemplars(request)] == [0.0, 1.0, 2.0, 3.0, 4.0]


def test_a_trace_is_named_as_the_user_names_it(version, sent):
    """The label trace_id is what receivers look for."""
    [(labels, _, _)] = exemplars(
        sent(version, record(Exemplar({"trace_id": "4bf92f3577b34da6", "span_id": "00f0"}, 1, T)))
    )
    assert labels == [("span_id", "00f0"), ("trace_id", "4bf92f3577b34da6")]


def test_exemplars_are_there_again_in_a_retry_and_after_the_change_to_1_0(write, receiver):
    receiver.script += [503, Reply(415)]
    write(AUTO, record(Exemplar({"trace_id": "t"}, 1.0, T)))
    assert [exemplars(request) for request in receiver.requests] == [[([("trace_id", "t")], 1.0, T)]] * 3


def test_exemplars_stay_with_a_record_that_is_spread_over_requests(version, write, receiver):
    samples = [(1.0, T + number) for number in range(25)]
    write(version, ("m", {}, samples, None, (Exemplar({"id": "x"}, 1.0, T),)), max_batch_size_in_samples=10)
    assert [len(exemplars(request)) for request in receiver.requests] == [0, 0, 1]
