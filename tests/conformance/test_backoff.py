"""Delays between retries. 1.0 and 2.0: "Retries & Backoff"."""

from __future__ import annotations

import random
import threading
import time
from email.utils import formatdate

import pytest
from wire_receiver import V1, Reply, T

from pyflink_prometheus import RetriesExhaustedError, RetryConfiguration
from pyflink_prometheus.http.outcome import Kind
from pyflink_prometheus.testing import Response

ONE = ("m", {"a": "1"}, ((1.0, T),))
LONGEST_S = 150.0


@pytest.mark.parametrize("status", [500, 503, 429])
def test_senders_must_use_a_backoff_algorithm(version, write, receiver, clock, status):
    """Each delay is twice the previous one, up to a limit."""
    receiver.script += [status] * 12
    write(version, ONE)
    assert clock.sleeps == pytest.approx([0.03, 0.06, 0.12, 0.24, 0.48, 0.96, 1.92, 3.84, 5.0, 5.0, 5.0, 5.0])


def test_senders_must_use_a_backoff_algorithm_as_it_was_set(version, write, receiver, clock):
    receiver.script += [500] * 5
    write(version, ONE, retry=RetryConfiguration(initial_retry_delay_ms=100, max_retry_delay_ms=500))
    assert clock.sleeps == pytest.approx([0.1, 0.2, 0.4, 0.5, 0.5])


def test_backoff_begins_anew_with_the_next_request(version, start, receiver, clock):
    writer = start(version)
    for number in range(2):
        receiver.script += [500] * 3
        writer.add(("m", {}, ((1.0, T + number),)))
        writer.flush()
    assert clock.sleeps == pytest.approx([0.03, 0.06, 0.12] * 2)


def test_waits_are_drawn_at_random_so_that_senders_do_not_come_back_at_once(version, write, receiver, clock):
    receiver.script += [500] * 50
    write(version, ONE, draw=random.Random(7).random)
    assert len(clock.sleeps) == len(set(clock.sleeps)) == 50
    assert all(0 < seconds < 5.0 for seconds in clock.sleeps)
    assert sum(clock.sleeps[:8]) < sum(clock.sleeps[8:16]) < sum(clock.sleeps[16:])


def test_what_is_not_refused_is_not_waited_for(version, start, receiver, clock):
    writer = start(version)
    receiver.script += [204, 400, 204]
    for number in range(3):
        writer.add(("m", {}, ((1.0, T + number),)))
        writer.flush()
    assert clock.sleeps == []


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_in_seconds_is_waited_for(version, write, receiver, clock, status):
    receiver.script += [Reply(status, headers={"Retry-After": "17"}), status]
    write(version, ONE)
    assert clock.sleeps == pytest.approx([17.0, 0.06])


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_as_a_date_is_waited_for(version, write, receiver, clock, status):
    receiver.script += [Reply(status, headers={"Retry-After": formatdate(clock.time() + 23, usegmt=True)})]
    write(version, ONE)
    assert clock.sleeps == pytest.approx([23.0])


@pytest.mark.parametrize("value", ["", "soon", "-5", "0", "1.5", "Thu, 01 Jan 1970 00:00:00 GMT"])
def test_without_a_retry_after_that_makes_sense_it_is_the_backoffs_wait(version, write, receiver, clock, value):
    receiver.script += [Reply(503, headers={"Retry-After": value})]
    write(version, ONE)
    assert clock.sleeps == pytest.approx([0.03])


def test_retry_after_never_makes_a_wait_shorter(version, write, receiver, clock):
    receiver.script += [503] * 9 + [Reply(503, headers={"Retry-After": "1"})]
    write(version, ONE)
    assert clock.sleeps[-1] == pytest.approx(5.0)


@pytest.mark.parametrize("value", ["3600", "99999999999", "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_retry_after_is_not_waited_for_longer_than_two_and_a_half_minutes(version, write, receiver, clock, value):
    receiver.script += [Reply(429, headers={"Retry-After": value})]
    write(version, ONE)
    assert clock.sleeps == pytest.approx([LONGEST_S])


@pytest.mark.parametrize("seconds", [96, 144, 150])
def test_retry_after_is_waited_for_as_long_as_receivers_ask(version, write, receiver, clock, seconds):
    """Mimir asks for at most 96 s, plus half of that with its jitter."""
    receiver.script += [Reply(429, headers={"Retry-After": f"{seconds}"})]
    write(version, ONE)
    assert clock.sleeps == pytest.approx([float(seconds)])


@pytest.mark.parametrize(("value", "retries"), [("3600", 3), ("60", 8)])
def test_retry_after_makes_retries_no_longer_than_was_set(version, start, receiver, clock, value, retries):
    """However long each wait is: a longer flush would let the checkpoint time out."""
    receiver.decide = lambda request: Reply(503, headers={"Retry-After": value})
    writer = start(version)
    writer.add(ONE)
    with pytest.raises(
        RetriesExhaustedError, match=f"failed {retries + 1} times in .* the limit of max_retry_duration_ms"
    ):
        writer.flush()
    assert len(receiver.requests) == retries + 1
    assert sum(clock.sleeps) <= 480


def test_responses_that_are_slow_count_as_well(version, start, receiver, clock):
    def decide(request):
        clock.advance(29)
        return 503

    receiver.decide = decide
    writer = start(version, retry=RetryConfiguration(max_retry_duration_ms=60_000))
    writer.add(ONE)
    with pytest.raises(RetriesExhaustedError, match="failed 3 times in 87 s, the limit of max_retry_duration_ms"):
        writer.flush()


def test_the_time_for_retries_begins_anew_with_the_next_request(version, start, receiver, clock):
    writer = start(version, retry=RetryConfiguration(max_retry_duration_ms=20_000))
    for number in range(3):
        receiver.script += [Reply(503, headers={"Retry-After": "15"})]
        writer.add(("m", {}, ((1.0, T + number),)))
        writer.flush()
    assert writer.ledger.samples_accepted == 3


def test_the_time_for_retries_begins_anew_with_each_part_of_what_was_refused(write, receiver, clock):
    """Like their number and the waits between them."""
    busy = set()

    def decide(request):
        if request.body not in busy:
            busy.add(request.body)
            return Reply(503, headers={"Retry-After": "15"})
        return 400 if ("m3", T) in request.samples else 204

    receiver.decide = decide
    retry = RetryConfiguration(max_retry_duration_ms=20_000, max_retry_count=1)
    writer = write(V1, *[(f"m{number}", {}, ((1.0, T),)) for number in range(10)], retry=retry)
    assert writer.ledger.samples_accepted == 9
    assert sum(clock.sleeps) > 60
    assert {request.headers.get("retry-attempt") for request in receiver.requests} == {None, "1"}


def test_each_retry_says_which_one_it_is(version, start, receiver):
    """As Prometheus does; Mimir computes from it how long to ask the sender to wait."""
    writer = start(version)
    for number in range(2):
        receiver.script += [503, 429, 500]
        writer.add(("m", {}, ((1.0, T + number),)))
        writer.flush()
    said = [request.headers.get("retry-attempt") for request in receiver.requests]
    assert said == [None, "1", "2", "3"] * 2


def test_retry_after_of_what_is_not_retried_changes_nothing(version, write, receiver, clock):
    receiver.decide = lambda request: Reply(400, headers={"Retry-After": "17"}) if request.samples else 204
    write(version, ONE)
    assert [len(request.samples) for request in receiver.requests] == [1, 0]
    assert clock.sleeps == []


def test_retry_after_holds_for_all_requests_in_parallel(version, start, receiver, clock):
    """The receiver is too busy for the whole sender, not only for one of its connections."""
    waits, let_go = [], threading.Event()

    def sleep(seconds, wake):
        waits.append(seconds)
        let_go.wait(120)
        clock.advance(seconds)

    def eventually(condition):
        deadline = time.monotonic() + 120
        while not condition() and time.monotonic() < deadline:
            time.sleep(0.001)

    clock.sleep = sleep
    receiver.script += [Reply(429, headers={"Retry-After": "30"})]
    writer = start(version, max_in_flight_requests=4, max_batch_size_in_samples=1)
    writer.add(("first", {}, ((1.0, T),)))
    eventually(lambda: waits)
    for number in range(20):
        writer.add((f"m{number}", {}, ((1.0, T),)))
    eventually(lambda: len(waits) == 4 or len(receiver.requests) > 1)
    assert len(receiver.requests) == 1
    assert waits == pytest.approx([30.0] * 4)
    let_go.set()
    writer.flush()
    assert len(receiver.stored) == 21


def test_retry_after_is_read(post):
    outcome, _ = post(lambda request: Response(429, headers={"Retry-After": "17"}))
    assert (outcome.kind, outcome.retry_after_s) == (Kind.RETRYABLE, 17.0)
