"""
What is retried, and what is not.

1.0: "Retries & Backoff". 2.0: "Retries & Backoff", "Retries on Partial Writes", "Invalid Samples".
"""

from __future__ import annotations

import socket
from typing import Any

import pytest
from wire_receiver import AUTO, V1, V2, Reply, T, written

from pyflink_prometheus import (
    OnErrorBehavior,
    RejectionReason,
    RemoteWriteFatalError,
    RetriesExhaustedError,
    RetryConfiguration,
    SinkWriterErrorHandlingBehaviorConfiguration,
)
from pyflink_prometheus.http.outcome import Kind

ONE = ("m", {"a": "1"}, ((1.0, T),))
SOME: list[tuple[Any, ...]] = [(f"m{number}", {}, ((1.0, T + number),)) for number in range(10)]
# Statuses that no sample can cause, so no other request would succeed; the job fails with advice.
FATAL = [401, 402, 403, 404, 405, 406, 407, 410, 411, 421, 426, 431, 451, 499]
# Statuses that a sample can cause.
REFUSALS = [400, 409, 422]


def bodies(receiver):
    return [request.body for request in receiver.requests]


@pytest.mark.parametrize("status", [500, 501, 502, 503, 504, 599])
def test_senders_must_retry_on_5xx(version, write, receiver, status):
    receiver.script += [status] * 3
    writer = write(version, *SOME)
    assert len(receiver.requests) == 4
    assert len(set(bodies(receiver))) == 1
    assert (writer.ledger.samples_accepted, writer.ledger.requests_retried) == (10, 3)


def test_senders_must_go_on_to_retry_on_5xx(version, write, receiver):
    receiver.script += [503] * 90
    assert write(version, ONE).ledger.samples_accepted == 1
    assert len(receiver.requests) == 91


def test_what_is_not_taken_in_the_end_must_not_be_lost_without_a_word(version, start, receiver):
    """Flink then restarts from its last checkpoint and replays the same samples, which is also a retry."""
    receiver.decide = lambda request: 500
    writer = start(version, retry=RetryConfiguration(max_retry_count=3))
    writer.add(ONE)
    with pytest.raises(RetriesExhaustedError):
        writer.flush()
    assert len(receiver.requests) == 4
    assert writer.ledger.samples_pending == 1


def test_who_would_rather_lose_samples_than_wait_can_have_that_counted(version, write, receiver):
    receiver.decide = lambda request: 500 if request.samples[0][0] == "m" else 204
    handling = SinkWriterErrorHandlingBehaviorConfiguration(on_max_retry_exceeded=OnErrorBehavior.DISCARD_AND_CONTINUE)
    writer = write(
        version,
        ONE,
        ("good", {}, ((1.0, T),)),
        max_batch_size_in_samples=1,
        retry=RetryConfiguration(max_retry_count=3),
        error_handling=handling,
    )
    assert writer.ledger.samples_rejected[RejectionReason.RETRIES_EXHAUSTED] == 1
    assert receiver.stored == [("good", T)]


@pytest.mark.parametrize("status", [200, 202, 204, 299])
def test_senders_must_not_retry_on_2xx(version, write, receiver, status):
    receiver.decide = lambda request: status
    assert write(version, *SOME).ledger.samples_accepted == 10
    assert len(receiver.requests) == 1


@pytest.mark.parametrize("status", REFUSALS)
def test_senders_must_not_retry_on_4xx_other_than_429(version, write, receiver, status):
    receiver.decide = lambda request: status if request.samples else 204
    writer = write(version, ONE)
    assert [request.samples for request in receiver.requests if request.samples] == [[("m", T)]]
    assert writer.ledger.samples_rejected[RejectionReason.REFUSED] == 1
    assert writer.ledger.requests_retried == 0


@pytest.mark.parametrize("status", FATAL)
def test_senders_must_not_retry_on_4xx_that_say_that_the_configuration_is_wrong(version, start, receiver, status):
    receiver.decide = lambda request: status
    writer = start(version)
    writer.add(ONE)
    with pytest.raises(RemoteWriteFatalError) as error:
        writer.flush()
    assert error.value.status == status
    assert len(receiver.requests) == 1


def test_an_endpoint_that_has_never_taken_anything_is_asked_once_whether_it_is_a_receiver(start, receiver):
    """By a request without samples: if that is also refused, no sample is the reason, whatever the response says."""
    receiver.decide = lambda request: Reply(400, "unknown path")
    writer = start(AUTO)
    for record in SOME:
        writer.add(record)
    with pytest.raises(RemoteWriteFatalError, match="not a Remote-Write receiver.*HTTP 400: unknown path") as error:
        writer.flush()
    assert [(request.version, len(request.samples)) for request in receiver.requests] == [(V2, 10), (V1, 10), (V1, 0)]
    assert (error.value.status, error.value.samples) == (400, 10)
    assert writer.ledger.samples_pending == 10


@pytest.mark.parametrize("status", [404, 405, 413, 415, 422])
def test_whatever_refuses_a_request_without_samples_is_no_receiver(start, receiver, status):
    receiver.decide = lambda request: Reply(422 if request.samples else status)
    writer = start(V1)
    writer.add(ONE)
    with pytest.raises(RemoteWriteFatalError, match="not a Remote-Write receiver"):
        writer.flush()


def test_a_receiver_that_takes_a_request_without_samples_is_asked_no_second_time(start, receiver):
    receiver.decide = lambda request: Reply(400 if request.samples else 204)
    writer = start(V1)
    for number in range(3):
        writer.add(("m", {}, ((1.0, T + number),)))
        writer.flush()
    assert [len(request.samples) for request in receiver.requests] == [1, 0, 1, 1]
    assert writer.ledger.samples_rejected[RejectionReason.REFUSED] == 3


def test_whether_it_is_a_receiver_is_asked_again_where_it_was_too_busy_to_say(start, receiver):
    receiver.decide = lambda request: Reply(400 if request.samples else 204)
    receiver.script += [Reply(400), Reply(503)]
    writer = start(V1)
    for number in range(3):
        writer.add(("m", {}, ((1.0, T + number),)))
        writer.flush()
    assert [len(request.samples) for request in receiver.requests] == [1, 0, 1, 0, 1]


@pytest.mark.parametrize("known_by", [204, Reply(400, "", written(0))], ids=["success", "written headers"])
def test_a_receiver_that_is_known_for_one_is_not_asked(start, receiver, known_by):
    receiver.script += [known_by]
    receiver.decide = lambda request: Reply(400, "bad")
    writer = start(V2)
    for number in range(3):
        writer.add(("m", {}, ((1.0, T + number),)))
        writer.flush()
    assert [len(request.samples) for request in receiver.requests] == [1, 1, 1]


@pytest.mark.parametrize("status", [400, 409, 413, 422])
def test_senders_must_not_send_the_same_request_again_after_a_4xx(version, write, receiver, status):
    """Parts are other requests: in 1.0 they find the samples that the receiver accepts."""
    receiver.decide = lambda request: status if ("m3", T + 3) in request.samples else 204
    writer = write(version, *SOME)
    assert len(set(bodies(receiver))) == len(receiver.requests)
    assert writer.ledger.samples_pending == 0


def test_what_2_0_has_written_in_part_is_not_sent_in_parts(write, receiver):
    """The receiver has already written the good part ("Partial Write")."""
    receiver.decide = lambda request: Reply(400, "one is bad", written(samples=9))
    writer = write(V2, *SOME)
    assert len(receiver.requests) == 1
    assert (writer.ledger.samples_accepted, writer.ledger.samples_rejected[RejectionReason.REFUSED]) == (9, 1)


def test_a_part_that_2_0_refuses_is_not_sent_in_parts_again(write, receiver):
    def decide(request):
        if len(request.samples) > 5:
            return 413
        return Reply(400, "one is bad", written(samples=len(request.samples) - 1))

    receiver.decide = decide
    writer = write(V2, *SOME)
    assert [len(request.samples) for request in receiver.requests] == [10, 5, 5]
    assert (writer.ledger.samples_accepted, writer.ledger.samples_rejected[RejectionReason.REFUSED]) == (8, 2)


def test_what_is_refused_whole_is_sent_in_parts_until_the_bad_one_is_alone(version, write, receiver):
    receiver.decide = lambda request: 400 if ("m3", T + 3) in request.samples else 204
    writer = write(version, *SOME)
    assert sorted(receiver.stored) == sorted((f"m{number}", T + number) for number in range(10) if number != 3)
    assert writer.ledger.samples_rejected[RejectionReason.REFUSED] == 1


def test_who_wants_no_requests_in_parts_can_have_that(write, receiver):
    receiver.decide = lambda request: 400 if request.samples else 204
    writer = write(V1, *SOME, max_isolation_requests=0)
    assert [len(request.samples) for request in receiver.requests] == [10, 0]
    assert writer.ledger.samples_rejected[RejectionReason.REFUSED] == 10


def test_progress_must_be_made_when_there_are_errors_of_the_client(version, start, receiver):
    receiver.decide = lambda request: 400 if ("bad", T) in request.samples else 204
    writer = start(version)
    for name in ("bad", "good", "bad", "better"):
        writer.add((name, {}, ((1.0, T),)))
        writer.flush()
    assert receiver.stored == [("good", T), ("better", T)]


@pytest.mark.parametrize("status", [408, 425, 429])
def test_4xx_that_speak_of_the_moment_are_retried(version, write, receiver, status):
    """GreptimeDB responds with 408 under load, never to malformed requests."""
    receiver.script += [status] * 3
    assert write(version, *SOME).ledger.samples_accepted == 10
    assert len(receiver.requests) == 4
    assert len(set(bodies(receiver))) == 1


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_partial_write_that_may_be_retried_is_retried_whole(write, receiver, status):
    """Whatever its counts: the receiver has to be idempotent."""
    receiver.script += [Reply(status, "not now", written(samples=4)), Reply(status, "not now", written(samples=10))]
    writer = write(V2, *SOME)
    assert len(receiver.requests) == 3
    assert len(set(bodies(receiver))) == 1
    assert writer.ledger.samples_accepted == 10


def test_413_asks_for_smaller_requests(version, start, receiver):
    receiver.decide = lambda request: 413 if len(request.samples) > 3 else 204
    writer = start(version, max_batch_size_in_samples=10)
    for record in SOME:
        writer.add(record)
    writer.flush()
    assert [len(request.samples) for request in receiver.requests] == [10, 5, 2, 2, 2, 2, 2]
    assert sorted(receiver.stored) == [(f"m{number}", T + number) for number in range(10)]
    receiver.forget()
    for number in range(10):
        writer.add((f"m{number}", {}, ((1.0, T + 100 + number),)))
    writer.flush()
    assert {len(request.samples) for request in receiver.requests} == {2}


def test_senders_must_not_retry_on_413_of_a_single_sample(version, write, receiver):
    receiver.decide = lambda request: 413
    writer = write(version, ONE)
    assert len(receiver.requests) == 1
    assert writer.ledger.samples_rejected[RejectionReason.REFUSED] == 1


def closed_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_a_refused_connection_is_retryable_and_shows_no_secret(attempt):
    outcome = attempt(f"http://user:hunter2@127.0.0.1:{closed_port()}/api/v1/write?token=hunter2")
    assert (outcome.kind, outcome.status) == (Kind.RETRYABLE, None)
    assert "Connection refused" in outcome.message
    assert "hunter2" not in outcome.message


def test_a_name_that_does_not_resolve_is_retryable(attempt):
    outcome = attempt("http://no-such-host.invalid/api/v1/write")
    assert outcome.kind is Kind.RETRYABLE
    assert "no-such-host.invalid" in outcome.message


@pytest.mark.parametrize("response", [b"", b"HTTP/1.1 2", b"garbage\r\n\r\n"])
def test_a_response_that_breaks_off_before_its_status_is_retryable(serve_once, attempt, response):
    outcome = attempt(serve_once(response))
    assert (outcome.kind, outcome.status) == (Kind.RETRYABLE, None)


def test_a_receiver_that_stays_silent_is_given_up_after_the_timeout(serve_once, attempt):
    outcome = attempt(serve_once(None), socket_timeout_ms=1_000)
    assert (outcome.kind, outcome.message) == (Kind.RETRYABLE, "no response within 1 s")
