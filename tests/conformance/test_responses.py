"""
The effects that responses have and must not have.

1.0: "Protocol", "Labels". 2.0: "Response", "Required Written Response Headers", "Partial Write".
"""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
from typing import Any

import pytest
from wire_receiver import AUTO, V1, V2, Reply, T, written

from pyflink_prometheus import (
    Exemplar,
    NativeHistogram,
    PrometheusSinkError,
    RejectedSamples,
    RejectionReason,
    RemoteWriteFatalError,
)
from pyflink_prometheus.http.outcome import Kind
from pyflink_prometheus.testing import Receiver, Response

ONE = ("m", {"a": "1"}, ((1.0, T),))
SOME: list[tuple[Any, ...]] = [(f"m{number}", {}, ((1.0, T + number),)) for number in range(10)]
HISTOGRAM = NativeHistogram(schema=0, sum=3.0, positive={1: 2})
EXEMPLARS = (Exemplar({"a": "1"}, 1.0, T), Exemplar({"a": "2"}, 1.0, T + 1))
# Seven samples, three histograms, two exemplars.
OF_ALL_KINDS: list[tuple[Any, ...]] = [
    *[(f"m{number}", {}, ((1.0, T),)) for number in range(6)],
    *[(f"h{number}", {}, ((HISTOGRAM, T),)) for number in range(3)],
    ("e", {}, ((1.0, T),), None, EXEMPLARS),
]
# Texts that would mislead a sender that interprets them.
TEXTS = [
    "",
    "out of order sample",
    "too old sample, out of bounds",
    "duplicate sample for timestamp",
    "rate limited, please retry later with Retry-After: 60",
    "internal server error 503",
    "415 unsupported media type, use prometheus.WriteRequest",
    "X-Prometheus-Remote-Write-Samples-Written: 10",
    '{"status": "success", "written": 10}',
    "<html><body>200 OK</body></html>",
]


def account(writer):
    ledger = writer.ledger
    return (
        ledger.samples_accepted,
        {reason: count for reason, count in ledger.samples_rejected.items() if count},
        ledger.exemplars_accepted,
        ledger.exemplars_rejected,
        ledger.requests_retried,
        ledger.samples_pending,
    )


@pytest.mark.parametrize("status", [200, 299])
def test_senders_must_ignore_the_body_of_a_success(version, start, receiver, caplog, status):
    texts = [*TEXTS, "error: nothing was written", "\x00\xff" * 5000]
    receiver.script += [Reply(status, text, written(samples=1)) for text in texts]
    writer = start(version)
    with caplog.at_level(logging.DEBUG, logger="pyflink_prometheus"):
        for number in range(len(texts)):
            writer.add(("m", {}, ((1.0, T + number),)))
            writer.flush()
    assert account(writer) == (len(texts), {}, 0, 0, 0, 0)
    assert len(receiver.requests) == len(texts)
    assert caplog.records == []


@pytest.mark.parametrize("status", [200, 203])
def test_a_success_that_is_a_web_page_fails_the_job(version, start, receiver, status):
    """It is from a login page in front of the receiver, or from something else at this URL; nothing is stored."""
    receiver.decide = lambda request: Reply(status, "<html>Sign in</html>", {"Content-Type": "text/html"})
    writer = start(version)
    writer.add(ONE)
    with pytest.raises(PrometheusSinkError, match=rf"the URL returns a web page.*\(HTTP {status}: Sign in\)"):
        writer.flush()
    assert (len(receiver.requests), writer.ledger.samples_accepted) == (1, 0)


@pytest.mark.parametrize("status", [400, 413, 422, 429, 500, 503])
def test_senders_must_not_interpret_the_error_message(version, start, receiver, clock, status):
    """The body of a response has no effect on requests, delays or the ledger."""
    effects = []
    for text in TEXTS:
        receiver.forget()
        receiver.script += [Reply(status, text, written(samples=0))]
        clock.sleeps.clear()
        writer = start(version)
        for record in SOME[:3]:
            writer.add(record)
        writer.flush()
        requests = [(request.version, request.samples) for request in receiver.requests]
        effects.append((requests, [round(seconds, 9) for seconds in clock.sleeps], account(writer)))
    assert all(effect == effects[0] for effect in effects)


@pytest.mark.parametrize("status", [400, 401, 415, 404])
def test_senders_must_not_interpret_the_error_message_of_any_response_to_auto(start, receiver, status):
    effects = []
    for text in TEXTS:
        receiver.forget()
        receiver.script += [Reply(status, text)]
        writer = start(AUTO)
        writer.add(ONE)
        failed = ""
        try:
            writer.flush()
        except PrometheusSinkError as error:
            failed = type(error).__name__
        effects.append((receiver.versions, failed, account(writer)))
    assert all(effect == effects[0] for effect in effects)


@pytest.mark.parametrize(
    "text",
    [
        "out of order sample: m{a=\"1\"} 17 < 18",
        "100% of %s %d {} {0} refused, \\n",
        "é 日本 \U0001f600",
        "two  spaces,\ta tab",
        "x" * 900,
    ],
    ids=["plain", "placeholders", "UTF-8", "spaces", "long"],
)  # fmt: skip
def test_senders_should_log_the_error_message_as_it_is(version, write, receiver, caplog, text):
    receiver.decide = lambda request: Reply(400, text, written(samples=0)) if request.samples else 204
    with caplog.at_level(logging.WARNING, logger="pyflink_prometheus"):
        write(version, ONE)
    assert any(text in record.getMessage() for record in caplog.records)


def test_an_error_message_of_several_lines_is_logged_on_one(version, write, receiver, caplog):
    """A user who searches the log finds it beside the words that say what failed."""
    page = "<!DOCTYPE html>\n<html>\n<body>first line\r\n\n  second line</body></html>"
    receiver.decide = lambda request: Reply(400, page, written(samples=0)) if request.samples else 204
    with caplog.at_level(logging.WARNING, logger="pyflink_prometheus"):
        write(version, ONE)
    [line] = [record.getMessage() for record in caplog.records]
    assert line.endswith(": HTTP 400: first line second line")
    assert len(line.splitlines()) == 1


def test_what_fails_a_job_is_told_on_one_line_with_the_advice_first(version, start, receiver):
    receiver.decide = lambda request: Reply(401, "<html><body>\nWho are\nyou?</body></html>")
    writer = start(version)
    writer.add(ONE)
    with pytest.raises(PrometheusSinkError) as error:
        writer.flush()
    assert str(error.value).endswith(
        "the receiver requires credentials, or different ones: set them with set_request_signer "
        "(HTTP 401: Who are you?)"
    )
    assert len(str(error.value).splitlines()) == 1


def test_the_error_message_of_a_failure_is_in_the_exception_as_it_is(version, start, receiver):
    text = "first line\n  second line: é %s"
    receiver.decide = lambda request: Reply(401, text)
    writer = start(version)
    writer.add(ONE)
    with pytest.raises(RemoteWriteFatalError) as error:
        writer.flush()
    assert error.value.body_excerpt == text


def test_senders_must_not_take_missing_written_headers_for_zero_in_1_0(write, receiver):
    receiver.decide = lambda request: Reply(204)
    assert account(write(V1, *OF_ALL_KINDS)) == (10, {}, 2, 0, 0, 0)


@pytest.mark.parametrize("headers", [written(), written(samples=1), written(samples=99)])
@pytest.mark.parametrize("status", [200, 204])
def test_written_headers_in_responses_to_1_0_mean_nothing(write, receiver, headers, status):
    """Some receivers send zeros there, although they have written everything."""
    receiver.decide = lambda request: Reply(status, headers=headers)
    assert account(write(V1, *OF_ALL_KINDS)) == (10, {}, 2, 0, 0, 0)
    assert len(receiver.requests) == 1


def test_written_headers_in_refusals_of_1_0_mean_nothing(write, receiver):
    receiver.decide = lambda request: Reply(400, "bad", written(samples=1)) if request.samples else 204
    assert account(write(V1, ONE)) == (0, {RejectionReason.REFUSED: 1}, 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("headers", "samples", "exemplars"),
    [(written(7, 3, 1), 10, 1), (written(7, 2, 1), 9, 1), (written(4, 3, 0), 7, 0), (written(0, 0, 2), 0, 2)],
)
def test_a_partial_write_is_counted_as_the_receiver_counts_it(write, receiver, headers, samples, exemplars):
    receiver.decide = lambda request: Reply(400, "some are bad", headers)
    refused = {RejectionReason.REFUSED: 10 - samples} if samples < 10 else {}
    assert account(write(V2, *OF_ALL_KINDS)) == (samples, refused, exemplars, 2 - exemplars, 0, 0)
    assert len(receiver.requests) == 1


def test_a_refusal_that_says_that_nothing_was_written_costs_no_neighbour(write, receiver):
    """Receivers MAY write the valid samples; if one does not, other requests write the good ones."""

    def decide(request):
        bad = any(name in ("m3", "h1") for name, _ in request.samples)
        return Reply(400, "bad", written()) if bad else 204

    receiver.decide = decide
    assert account(write(V2, *OF_ALL_KINDS)) == (8, {RejectionReason.REFUSED: 2}, 2, 0, 0, 0)
    assert sorted(receiver.stored) == sorted(
        (name, T) for name in ("e", "h0", "h2", *(f"m{number}" for number in (0, 1, 2, 4, 5)))
    )


def test_a_refusal_that_says_that_nothing_was_written_is_believed_of_one_that_counts(start, receiver):
    """Prometheus refuses every sample of a replay: it has shown before that its counts are exact."""
    receiver.script += [Reply(400, "some are bad", written(6))]
    writer = start(V2)
    for offset in (0, 100):
        for name, labels, ((value, timestamp),) in SOME:
            writer.add((name, labels, ((value, timestamp + offset),)))
        writer.flush()
        receiver.decide = lambda request: Reply(400, "all are bad", written())
    assert account(writer) == (6, {RejectionReason.REFUSED: 14}, 0, 0, 0, 0)
    assert len(receiver.requests) == 2


@pytest.mark.parametrize("headers", [written(7, 3, 2), written(2**62, 2**62, 2**62)], ids=["all", "more"])
def test_a_refusal_that_says_that_all_was_written_is_not_believed(write, receiver, headers):
    """It contradicts itself: such a receiver counts the samples sent. The sink finds out which ones it kept."""
    told: list[RejectedSamples] = []

    def decide(request):
        return Reply(400, "m3 is bad", headers) if ("m3", T) in request.samples else 204

    receiver.decide = decide
    writer = write(V2, *OF_ALL_KINDS, rejected_samples_handler=told.extend)
    assert account(writer) == (9, {RejectionReason.REFUSED: 1}, 2, 0, 0, 0)
    assert [each.record.metric_name for each in told] == ["m3"]
    assert "m3 is bad" in told[0].message


@pytest.mark.parametrize("status", [200, 204])
@pytest.mark.parametrize(("headers", "samples"), [(written(7, 2, 2), 9), (written(3, 3, 2), 6), (written(), 0)])
def test_a_success_that_claims_less_is_counted_as_unconfirmed(write, receiver, status, headers, samples):
    """It is not known which samples are missing, or why; they are not resent, because the response was a 2xx."""
    receiver.decide = lambda request: Reply(status, headers=headers)
    accepted, rejected, *_ = account(write(V2, *OF_ALL_KINDS))
    assert (accepted, rejected) == (samples, {RejectionReason.UNCONFIRMED: 10 - samples})
    assert len(receiver.requests) == 1


@pytest.mark.parametrize("status", [204, 400])
def test_a_written_header_that_is_missing_among_others_means_zero(write, receiver, status):
    receiver.decide = lambda request: Reply(status, headers={"X-Prometheus-Remote-Write-Samples-Written": "7"})
    reason = RejectionReason.UNCONFIRMED if status == 204 else RejectionReason.REFUSED
    assert account(write(V2, *OF_ALL_KINDS)) == (7, {reason: 3}, 0, 2, 0, 0)


@pytest.mark.parametrize("status", [200, 204])
def test_a_receiver_that_claims_more_than_was_sent_does_not_upset_the_account(write, receiver, status):
    receiver.decide = lambda request: Reply(status, headers=written(2**62, 2**62, 2**62))
    assert account(write(V2, *OF_ALL_KINDS)) == (10, {}, 2, 0, 0, 0)


@pytest.mark.parametrize("nonsense", ["", "many", "-1", "1.5", "1,1", "0x1"])
def test_written_headers_that_are_no_integers_are_none(write, receiver, nonsense):
    headers = dict.fromkeys(written(), nonsense)
    receiver.decide = lambda request: Reply(204, headers=headers if request.version is V2 else {})
    writer = write(AUTO, *SOME)
    assert receiver.versions == [V2, V1]
    assert account(writer) == (10, {}, 0, 0, 0, 0)


def test_what_was_partly_written_is_told_with_how_many_are_missing(write, receiver):
    told: list[RejectedSamples] = []
    receiver.decide = lambda request: Reply(400, "three are bad", written(4, 3, 2))
    write(V2, *OF_ALL_KINDS, rejected_samples_handler=told.extend)
    [rejected] = told
    assert (rejected.count, rejected.reason, rejected.status) == (3, RejectionReason.REFUSED, 400)
    assert "three are bad" in rejected.message
    assert {record.metric_name for record in rejected.candidates} == {"e", *(f"m{number}" for number in range(6))}


def test_the_account_adds_up_whatever_the_response(version, start, receiver):
    responses = [204, 400, 413, 429, 500, Reply(400, "", written(1)), Reply(200, "", written(2)), 422, 202]
    receiver.decide = lambda request: responses[len(receiver.requests) % len(responses)] if request.samples else 204
    writer = start(version, max_batch_size_in_samples=5)
    for number in range(100):
        writer.add((f"m{number % 8}", {}, ((1.0, T + number),)))
    writer.flush()
    accepted, rejected, *_, pending = account(writer)
    assert (accepted + sum(rejected.values()), pending) == (100, 0)


def test_redirects_are_not_followed(post):
    with Receiver() as elsewhere:
        outcome, requests_seen = post(lambda request: Response(307, headers={"Location": elsewhere.url}))
        assert outcome.kind is Kind.FATAL
        assert elsewhere.url in outcome.message
        assert elsewhere.requests == []
    assert len(requests_seen) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_neither_followed_nor_retried(version, start, receiver, status):
    receiver.decide = lambda request: Reply(status, headers={"Location": f"{receiver.root}/elsewhere"})
    writer = start(version)
    writer.add(ONE)
    with pytest.raises(PrometheusSinkError, match="/elsewhere"):
        writer.flush()
    assert [(request.method, request.path) for request in receiver.requests] == [("POST", "/api/v1/write")]


def test_the_responses_body_is_read_only_up_to_a_limit(post):
    outcome, _ = post(lambda request: Response(400, "x" * 1_000_000))
    assert outcome.kind is Kind.REFUSED
    assert 0 < len(outcome.body_excerpt) <= 10_000


def test_a_response_that_breaks_off_after_its_status_counts_by_its_status(serve_once, attempt):
    outcome = attempt(serve_once(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 1000\r\n\r\nout of"))
    assert (outcome.kind, outcome.status) == (Kind.REFUSED, 400)


def test_a_body_that_drips_is_given_up_after_the_timeout(attempt):
    listener = socket.create_server(("127.0.0.1", 0))
    stop = threading.Event()

    def drip():
        connection, _ = listener.accept()
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 100000\r\n\r\n")
        with contextlib.suppress(OSError):
            while not stop.wait(0.02):
                connection.sendall(b"x")
        connection.close()

    thread = threading.Thread(target=drip, daemon=True)
    thread.start()
    outcome = attempt(f"http://127.0.0.1:{listener.getsockname()[1]}/", socket_timeout_ms=1_000)
    assert not stop.is_set()  # the response was still arriving
    stop.set()
    thread.join(120)
    listener.close()
    assert (outcome.kind, outcome.status) == (Kind.REFUSED, 400)
    assert 0 < len(outcome.body_excerpt) < 1000
