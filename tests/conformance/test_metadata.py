"""Metadata. 2.0: "Metadata", "Protobuf Message", "Symbols"; 1.0 does not support it."""

from __future__ import annotations

import pytest
import snappy
from doors import BOTH_DOORS
from wire_receiver import AUTO, V1, V2, Reply, T

from pyflink_prometheus import (
    Exemplar,
    Metadata,
    NativeHistogram,
    RejectionReason,
)

pytestmark = BOTH_DOORS

# The numbers of the specification's MetricType.
TYPES = {
    "unknown": 0,
    "counter": 1,
    "gauge": 2,
    "histogram": 3,
    "gaugehistogram": 4,
    "summary": 5,
    "info": 6,
    "stateset": 7,
}
HISTOGRAM = NativeHistogram(schema=0, sum=3.0, positive={1: 2})


def metadata(request, series):
    said = series.metadata
    return said.type, request.message.symbols[said.help_ref], request.message.symbols[said.unit_ref]


def test_the_type_of_a_metric_should_be_provided(sent):
    request = sent(V2, *[(kind, {}, ((1.0, T),), Metadata(kind), ()) for kind in TYPES])
    found = {request.name(series): metadata(request, series) for series in request.series}
    assert found == {kind: (number, "", "") for kind, number in TYPES.items()}


@pytest.mark.parametrize(
    ("value", "exemplars"),
    [(1.0, ()), (HISTOGRAM, ()), (1.0, (Exemplar({"a": "1"}, 1.0, T),))],
    ids=["sample", "histogram", "exemplar"],
)
def test_help_and_unit_should_be_provided(sent, value, exemplars):
    request = sent(V2, ("m", {}, ((value, T),), Metadata("counter", "Counts what there is.", "seconds"), exemplars))
    assert metadata(request, request.series[0]) == (1, "Counts what there is.", "seconds")


@pytest.mark.parametrize(("text", "unit"), [("", ""), ("a help", ""), ("", "seconds")])
def test_help_and_unit_that_are_not_provided_must_refer_to_the_empty_symbol(sent, text, unit):
    request = sent(V2, ("m", {}, ((1.0, T),), Metadata("gauge", text, unit), ()))
    said = request.series[0].metadata
    assert (said.help_ref == 0, said.unit_ref == 0) == (text == "", unit == "")
    assert metadata(request, request.series[0]) == (2, text, unit)


def test_metadata_that_is_not_known_is_left_out(sent):
    request = sent(
        V2, ("m", {}, ((1.0, T),)), ("n", {}, ((HISTOGRAM, T),)), ("o", {}, ((1.0, T),), Metadata("gauge"), ())
    )
    assert [series.HasField("metadata") for series in request.series] == [False, False, True]


def test_metadata_may_be_any_sequence_of_utf_8(sent):
    texts = ["é 日本 \U0001f600", 'with "quotes" and \\', "two\nlines", "x" * 10_000]
    request = sent(V2, *[(f"m{len(text)}", {}, ((1.0, T),), Metadata("gauge", text, text), ()) for text in texts])
    assert [metadata(request, series) for series in request.series] == [(2, text, text) for text in texts]


def test_each_series_has_its_metrics_metadata(sent):
    records = [
        (f"m{number % 3}", {"a": f"{number}"}, ((1.0, T),), Metadata("gauge", f"help {number % 3}", "bytes"), ())
        for number in range(30)
    ]
    request = sent(V2, *records)
    for series in request.series:
        assert metadata(request, series) == (2, f"help {request.name(series)[1:]}", "bytes")


def test_metadata_is_in_every_request_of_a_series(start, receiver):
    """The protocol is stateless: a request does not inherit metadata from previous ones."""
    writer = start(V2)
    receiver.script += [204, 503]
    for number in range(3):
        writer.add(("m", {}, ((1.0, T + number),), Metadata("gauge", "a help", "seconds"), ()))
        writer.flush()
    assert [metadata(request, request.series[0]) for request in receiver.requests] == [(2, "a help", "seconds")] * 4


def test_of_metadata_that_changes_the_newest_is_sent(start, receiver):
    writer = start(V2)
    for number, text in enumerate(("old", "new")):
        writer.add(("m", {"a": "1"}, ((1.0, T + number),), Metadata("gauge", text), ()))
    writer.flush()
    [request] = receiver.requests
    assert [metadata(request, series) for series in request.series] == [(2, "new", "")]


def test_metadata_that_cannot_be_written_is_never_sent(version, write, receiver):
    bad = [
        Metadata("timer"),
        Metadata("COUNTER"),
        Metadata("gauge", None),  # type: ignore[arg-type]
        Metadata("gauge", "\ud800"),
        Metadata(2),  # type: ignore[arg-type]
        "gauge",
    ]
    writer = write(version, *[("bad", {}, ((1.0, T),), each, ()) for each in bad], ("good", {}, ((1.0, T),)))
    assert [request.samples for request in receiver.requests] == [[("good", T)]]
    assert writer.ledger.samples_rejected[RejectionReason.INVALID] == len(bad)


def test_metadata_must_not_be_in_1_0(sent):
    """1.0 reserves the field that Prometheus used for it."""
    with_metadata = sent(V1, ("m", {}, ((1.0, T),), Metadata("gauge", "a help of it", "seconds"), ()))
    without = sent(V1, ("m", {}, ((1.0, T),)))
    assert with_metadata.unknown_bytes == 0
    assert with_metadata.body == without.body


def test_metadata_is_left_out_after_the_change_to_1_0(write, receiver):
    receiver.script += [Reply(415)]
    write(AUTO, ("m", {}, ((1.0, T),), Metadata("gauge", "a help of it", "seconds"), ()))
    as_v2, as_v1 = receiver.requests
    assert b"a help of it" in snappy.uncompress(as_v2.body)
    assert b"a help of it" not in snappy.uncompress(as_v1.body)
    assert as_v1.unknown_bytes == 0
    assert as_v1.samples == [("m", T)]
