"""The writer in 2.0: counts of written samples, receivers that do not support it, richer records."""

from __future__ import annotations

import logging
import struct

import pytest
from doors import BOTH_DOORS
from rejections import Rejections

from pyflink_prometheus import (
    STALE_MARKER,
    Exemplar,
    Metadata,
    NativeHistogram,
    PrometheusTimeSeries,
    RejectionReason,
    RemoteWriteFatalError,
    RemoteWriteVersion,
)
from pyflink_prometheus.http.outcome import Kind, Outcome, Written
from pyflink_prometheus.testing import (
    FakeClock,
    Response,
    ScriptedTransport,
    decode_request,
)

pytestmark = BOTH_DOORS

V1, V2, AUTO = RemoteWriteVersion.V1, RemoteWriteVersion.V2, RemoteWriteVersion.AUTO
T = 1_700_000_000_000
HISTOGRAM = NativeHistogram.from_observations([0.1, 0.2, 0.4])


@pytest.fixture
def rejections():
    return Rejections()


@pytest.fixture
def start(rejections, open_writer):
    """Return a function that starts a writer with a scripted transport."""

    def start_one(transport, **settings):
        settings = {"rejected_samples_handler": rejections, **settings}
        return open_writer(new_transport=lambda config: transport, clock=FakeClock(), **settings)

    return start_one


def add(writer, *numbers):
    for number in numbers:
        writer.add(("m", {"series": str(number)}, ((float(number), T + number),)))
    writer.flush()


def versions(transport):
    return [request.version for request in transport.requests]


def test_a_partly_written_request_counts_exactly_and_is_not_sent_again(start, rejections):
    transport = ScriptedTransport([Response(400, "out of bounds for 2", written=Written(samples=8))])
    writer = start(transport)
    add(writer, *range(10))
    ledger = writer.ledger
    assert len(transport.requests) == 1
    assert (ledger.samples_accepted, ledger.samples_rejected[RejectionReason.REFUSED], ledger.samples_pending) == (
        8,
        2,
        0,
    )
    assert (ledger.requests_accepted, ledger.requests_failed) == (0, 1)
    assert ledger.newest_timestamp == T + 7  # whichever two were rejected, this one or a newer one was written
    (told,) = rejections
    assert (told.record, told.count, told.reason, told.status) == (None, 2, RejectionReason.REFUSED, 400)
    assert "out of bounds for 2" in told.message
    assert [series.samples for series in told.candidates] == [((float(n), T + n),) for n in range(10)]


def test_a_request_of_which_nothing_was_written_is_told_sample_by_sample(start, rejections):
    add(start(ScriptedTransport(decide=lambda request: Response(400, "no"))), 1, 2)
    assert [(each.record.samples, each.count) for each in rejections] == [(((1.0, T + 1),), 1), (((2.0, T + 2),), 1)]


def test_only_the_kind_of_which_some_are_missing_is_told(start, rejections):
    writer = start(ScriptedTransport([Response(400, "no", written=Written(samples=2, histograms=0))]))
    writer.add(("h", {}, ((HISTOGRAM, T), (HISTOGRAM, T + 1))))
    add(writer, 1, 2)
    assert [(each.record.metric_name, each.count) for each in rejections] == [("h", 2)]
    assert writer.ledger.samples_accepted == 2


def test_a_receiver_that_claims_less_than_it_was_sent_is_reported(start, rejections):
    writer = start(ScriptedTransport([Response(204, written=Written(samples=1))]))
    add(writer, 1, 2, 3)
    assert [(each.count, each.reason, each.status) for each in rejections] == [(2, RejectionReason.UNCONFIRMED, 204)]
    assert writer.ledger.samples_accepted == 1
    assert writer.ledger.samples_pending == 0


def test_the_log_says_how_many_of_a_request_were_refused(start, caplog):
    writer = start(ScriptedTransport([Response(400, "too old", written=Written(2))]), rejected_samples_handler=None)
    with caplog.at_level(logging.WARNING):
        add(writer, 1, 2, 3)
    assert (
        "1 sample(s) not written, reason refused, the latest: 1 of 3 in one request: the receiver wrote 2 of 3 "
        "samples (HTTP 400: too old)"
    ) in caplog.text


@pytest.mark.parametrize("shards", [1, 4])
@pytest.mark.parametrize(
    "response",
    [
        Outcome(Kind.REFUSED, "HTTP 415", 415),
        Outcome(Kind.ACCEPTED, "HTTP 204", 204),
        Outcome(Kind.REFUSED, "HTTP 400", 400),
    ],
    ids=lambda response: str(response.status),
)
def test_a_receiver_of_1_0_is_found_out_and_remembered(start, caplog, response, shards):
    class Old(ScriptedTransport):
        def post(self, body, headers):
            if "v2" not in headers["Content-Type"]:
                return super().post(body, headers)
            self.requests.append(decode_request(body, headers))
            return response

    transport = Old()
    writer = start(transport, max_in_flight_requests=shards)
    with caplog.at_level(logging.INFO):
        add(writer, *range(20))
        add(writer, *range(20, 40))
    assert writer.ledger.samples_accepted == 40
    assert sorted(value for _, value, _ in transport.stored) == [float(number) for number in range(40)]
    assert versions(transport).count(V2) <= shards
    assert set(versions(transport)[-shards:]) == {V1}
    assert caplog.text.count("does not support Remote-Write 2.0") == 1


def test_a_refusal_without_counts_of_a_receiver_that_has_spoken_2_0_is_sent_as_1_0(start, rejections):
    """As Cortex and Thanos do: a sample that is also refused in 1.0 is at fault, and 2.0 stays."""

    def decide(request):
        values = {value for _, value, _ in request.samples}
        return Outcome(Kind.REFUSED, "HTTP 400: no", 400) if 2.0 in values else None

    transport = ScriptedTransport(decide=decide)
    writer = start(transport)
    for number in (1, 2, 3):
        add(writer, number)
    assert versions(transport) == [V2, V2, V1, V2]
    assert [each.record.samples for each in rejections] == [((2.0, T + 2),)]


def test_a_receiver_that_refuses_both_versions_may_still_be_one_of_2_0(start, rejections):
    no_count = Outcome(Kind.REFUSED, "HTTP 400: no", 400)
    transport = ScriptedTransport([no_count, no_count])
    writer = start(transport)
    add(writer, 1)
    add(writer, 2)
    assert versions(transport) == [V2, V1, V1, V2]
    assert transport.requests[2].samples == []  # checks whether it is a receiver at all
    assert [each.record.samples for each in rejections] == [((1.0, T + 1),)]


@pytest.mark.parametrize("response", [415, Outcome(Kind.ACCEPTED, "HTTP 204", 204)])
def test_2_0_alone_fails_at_a_receiver_that_does_not_understand_it_and_says_what_to_do(start, response):
    writer = start(ScriptedTransport([response]), remote_write_version=V2)
    with pytest.raises(RemoteWriteFatalError, match="set AUTO or V1 with set_remote_write_version; it responded "):
        add(writer, 1)
    assert writer.ledger.samples_accepted == 0


def test_1_0_alone_never_says_2_0_and_reads_no_counts(start):
    transport = ScriptedTransport([Outcome(Kind.ACCEPTED, "HTTP 204", 204, written=Written())])
    writer = start(transport, remote_write_version=V1)
    add(writer, 1)
    assert versions(transport) == [V1]
    assert writer.ledger.samples_accepted == 1


def test_all_that_a_record_holds_is_sent(start):
    transport = ScriptedTransport()
    record = (
        PrometheusTimeSeries.builder()
        .with_metric_name("requests_total")
        .with_metadata("counter", "Requests.", "requests")
        .add_label("path", "/")
        .add_sample(1.0, T, start_timestamp=T - 1000)
        .add_sample(2.0, T + 1, start_timestamp=T - 1000)
        .add_exemplar({"trace_id": "abc"}, 0.5, T)
        .build()
    )
    writer = start(transport)
    writer.add(record)
    writer.add(("latency_seconds", {}, ((HISTOGRAM, T), (STALE_MARKER, T + 1)), Metadata("histogram")))
    writer.flush()
    first, histogram, marker = transport.requests[0].series
    assert first == record._replace(exemplars=(Exemplar((("trace_id", "abc"),), 0.5, T),))
    assert histogram.samples == ((HISTOGRAM, T),)
    assert histogram.metadata == marker.metadata == Metadata("histogram")
    assert struct.pack(">d", marker.samples[0][0]).hex() == "7ff0000000000002"
    assert (writer.ledger.samples_accepted, writer.ledger.exemplars_accepted) == (4, 1)


def test_a_series_is_the_same_one_whatever_its_metadata_says(start):
    transport = ScriptedTransport()
    writer = start(transport)
    writer.add(("m", {}, ((1.0, T),), Metadata("gauge", "old words")))
    writer.add(("m", {}, ((2.0, T + 1),), Metadata("gauge", "new words")))
    writer.flush()
    (series,) = transport.requests[0].series
    assert series.samples == ((1.0, T), (2.0, T + 1))
    assert series.metadata is not None
    assert series.metadata.help == "new words"


@pytest.mark.parametrize(
    "metadata",
    [
        Metadata("guage"),
        Metadata("gauge", None),  # type: ignore[arg-type]
        ("gauge",),
        "gauge",
        7,
        {"type": "gauge"},
    ],
)
def test_metadata_that_cannot_be_written_rejects_the_record_with_a_word_on_what_was_expected(
    start, rejections, metadata
):
    writer = start(ScriptedTransport())
    writer.add(("m", {}, ((1.0, T),), metadata))
    writer.flush()
    assert [each.reason for each in rejections] == [RejectionReason.INVALID]
    assert rejections[0].message.startswith("metadata: expected")


@pytest.mark.parametrize(
    "exemplar",
    [
        Exemplar({"trace_id": "x" * 121}, 1.0, T),
        Exemplar({"": "x"}, 1.0, T),
        Exemplar({"a": "x"}, "1.0", T),  # type: ignore[arg-type]
        Exemplar({"a": "x"}, HISTOGRAM, T),  # type: ignore[arg-type]
        Exemplar({"a": "x"}, 1.0, None),  # type: ignore[arg-type]
        "abc",
    ],
)
def test_an_exemplar_that_cannot_be_written_costs_no_sample(start, rejections, caplog, exemplar):
    transport = ScriptedTransport()
    writer = start(transport)
    good = Exemplar({"trace_id": "x" * 120}, 1.0, T)
    with caplog.at_level(logging.WARNING):
        for number in range(2):
            writer.add(("m", {}, ((1.0, T + number),), None, (exemplar, good)))
        writer.flush()
    assert [len(series.exemplars) for series in transport.requests[0].series] == [2]
    assert (writer.ledger.samples_accepted, len(rejections)) == (2, 0)
    assert (writer.ledger.exemplars_accepted, writer.ledger.exemplars_rejected) == (2, 2)
    assert caplog.text.count("such exemplars are dropped and counted (logged once)") == 1


def test_exemplars_are_counted_by_what_the_receiver_says(start):
    responses: list[int | Response] = [
        Response(204, written=Written(1, 0, 0)),
        Response(400, "old exemplar", written=Written(1, 0, 1)),
        400,
    ]
    writer = start(ScriptedTransport(responses))
    for number in range(3):
        exemplars = [Exemplar({}, 1.0, T), Exemplar({}, 2.0, T + 1)]
        writer.add(("m", {}, ((1.0, T + number),), None, exemplars))
        writer.flush()
    ledger = writer.ledger
    assert (ledger.exemplars_accepted, ledger.exemplars_rejected) == (1, 5)
    assert (ledger.samples_accepted, ledger.samples_rejected[RejectionReason.REFUSED]) == (2, 1)
    assert ledger.requests_failed == 1  # a request whose samples were all written has not failed


def test_a_bad_sample_takes_only_its_own_exemplars_along(start, rejections):
    writer = start(ScriptedTransport())
    writer.add(("m", {}, ((1.0, T), (2.0, "now")), None, (Exemplar({}, 1.0, T),)))
    writer.flush()
    assert [each.record.samples for each in rejections] == [((2.0, "now"),)]
    assert (writer.ledger.samples_accepted, writer.ledger.exemplars_rejected) == (1, 1)


@pytest.mark.parametrize("samples", [((1.0, T, "x"),), ((1.0, T, 2.5),), ((1.0, T, 2**63),), ((1.0, T, 1, 2),)])
def test_a_start_timestamp_is_checked(start, rejections, samples):
    writer = start(ScriptedTransport())
    writer.add(("m", {}, samples))
    assert [each.reason for each in rejections] == [RejectionReason.INVALID]


@pytest.mark.parametrize("start_timestamp", [None, 0])
def test_no_start_timestamp_is_none(start, start_timestamp):
    transport = ScriptedTransport()
    writer = start(transport)
    writer.add(("m", {}, ((1.0, T, start_timestamp),)))
    writer.flush()
    assert transport.requests[0].series[0].samples == ((1.0, T),)
