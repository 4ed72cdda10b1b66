"""The writer: order, one request in flight per shard, backpressure, the age of batches, and a balanced ledger."""

from __future__ import annotations

import logging
import random
import threading
import time
from array import array
from collections.abc import Callable

import pytest
from doors import BOTH_DOORS
from rejections import Rejections

from pyflink_prometheus import (
    ConflictPolicy,
    PrometheusTimeSeries,
    RemoteWriteFatalError,
    RemoteWriteVersion,
    RetriesExhaustedError,
    RetryConfiguration,
)
from pyflink_prometheus.clock import SystemClock
from pyflink_prometheus.errors import PrometheusSinkError
from pyflink_prometheus.http.outcome import Kind, Outcome
from pyflink_prometheus.testing import FakeClock, Response, ScriptedTransport
from pyflink_prometheus.writer.ledger import RejectionReason

pytestmark = BOTH_DOORS

T = 1_700_000_000_000
URL = "http://receiver.invalid/api/v1/write"


@pytest.fixture(params=[RemoteWriteVersion.V1, RemoteWriteVersion.V2], ids=lambda version: version.name)
def start(request, open_writer):
    """Return a function that starts a writer with a scripted transport."""

    def start_one(transport, **settings):
        settings = {"remote_write_version": request.param, "clock": FakeClock(), **settings}
        return open_writer(URL, new_transport=lambda config: transport, draw=lambda: 1.0, **settings)

    return start_one


def add(writer, series, number, value=None):
    writer.add(("m", {"series": str(series)}, ((float(number if value is None else value), T + number),)))


def per_series(samples):
    grouped: dict[str, list[int]] = {}
    for key, _, timestamp in samples:
        grouped.setdefault(key, []).append(timestamp)
    return grouped


def eventually(condition):
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline, "did not happen within two minutes"
        time.sleep(0.001)


def test_a_flush_returns_when_everything_has_a_response(start):
    transport = ScriptedTransport()
    writer = start(transport)
    for number in range(10):
        add(writer, number % 3, number)
    assert writer.ledger.samples_pending == 10
    writer.flush()
    assert len(transport.stored) == writer.ledger.samples_accepted == 10
    assert writer.ledger.samples_pending == 0
    writer.flush()
    assert len(transport.requests) == 1  # nothing new, no request


def test_a_full_batch_goes_without_a_flush(start):
    transport = ScriptedTransport()
    writer = start(transport, max_batch_size_in_samples=4)
    for number in range(4):
        add(writer, 0, number)
    eventually(lambda: transport.requests)
    assert len(transport.requests[0].samples) == 4


def test_a_batch_that_grows_old_goes_without_a_flush(start):
    transport, clock = ScriptedTransport(), FakeClock()
    writer = start(transport, clock=clock, max_time_in_buffer_ms=5000)
    add(writer, 0, 1)
    clock.advance(4.9)
    add(writer, 0, 2)
    time.sleep(0.05)
    assert transport.requests == []
    clock.advance(0.2)
    eventually(lambda: transport.requests)
    assert len(transport.requests[0].samples) == 2


class Interrupted(array):
    """A column that lets another thread run after each append."""

    interrupt: Callable[[], object]

    def append(self, item):
        super().append(item)
        self.interrupt()

    def frombytes(self, content):
        super().frombytes(content)
        self.interrupt()


@pytest.mark.parametrize("column", ["numbers", "timestamps", "values"])
def test_a_batch_may_be_taken_at_any_moment_of_adding_to_it(start, column):
    transport = ScriptedTransport()
    writer = start(transport)
    backlog, queue = writer._backlog, writer._shards[0].queue

    def take():
        with backlog.lock:
            if len(queue.filling):
                backlog.hand_over(queue.seal_what_is_there().size)

    interrupted = Interrupted(getattr(queue.filling, column).typecode)
    interrupted.interrupt = take
    setattr(queue.filling, column, interrupted)
    for number in range(5):
        add(writer, 0, number)
    writer.flush()
    assert [(value, timestamp) for _, value, timestamp in transport.stored] == [(n, T + n) for n in range(5)]
    assert len(transport.requests) == 5


def test_samples_that_are_added_while_others_grow_old_are_all_sent_in_order(start):
    transport = ScriptedTransport()
    writer = start(
        transport,
        clock=SystemClock(),
        max_time_in_buffer_ms=1,
        max_in_flight_requests=2,
        max_batch_size_in_samples=30_000,
    )
    for number in range(30_000):
        add(writer, number % 3, number)
        if number % 1000 == 500:
            time.sleep(0.002)  # so that a batch sometimes reaches its age limit
            deadline = time.monotonic() + 30
            while not transport.requests and time.monotonic() < deadline:
                time.sleep(0.002)  # and one certainly does
    writer.flush()
    assert per_series(transport.stored) == {
        f'm{{series="{each}"}}': [*range(T + each, T + 30_000, 3)] for each in range(3)
    }
    assert len(transport.requests) > 2, "no batch was sent because of its age: the test has shown nothing"


@pytest.mark.parametrize("shards", [1, 4, 8])
def test_order_and_one_request_in_flight_hold_in_every_shard_across_retries(start, shards):
    in_flight: dict[str, int] = {}
    most, lock = [0], threading.Lock()
    rng = random.Random(7)

    class Watching(ScriptedTransport):
        def post(self, body, headers):
            thread = threading.current_thread().name
            with lock:
                in_flight[thread] = in_flight.get(thread, 0) + 1
                most[0] = max(most[0], *in_flight.values())
            time.sleep(0.0005)
            outcome = super().post(body, headers)
            with lock:
                in_flight[thread] -= 1
            return outcome

    transport = Watching(decide=lambda request: rng.choice([204, 204, 500, 503, 429]))
    writer = start(transport, max_in_flight_requests=shards, max_batch_size_in_samples=25)
    for number in range(2000):
        add(writer, number % 40, number)
    writer.flush()
    assert most[0] == 1
    assert len(in_flight) == shards
    grouped = per_series(transport.stored)
    assert len(grouped) == 40
    for timestamps in grouped.values():
        assert len(timestamps) == 50
        assert timestamps == sorted(timestamps)
    # No request, including retries, goes back behind samples that the receiver has already accepted.
    latest: dict[str, int] = {}
    for request in transport.requests:
        for key, _, timestamp in request.samples:
            assert timestamp >= latest.get(key, 0)
        if any(request is accepted for accepted in transport.accepted):
            latest.update({key: timestamp for key, _, timestamp in request.samples})


def test_a_full_buffer_makes_the_caller_wait(start):
    let_go, added = threading.Event(), []

    def decide(request):
        let_go.wait(120)
        return 204

    writer = start(ScriptedTransport(decide=decide), max_batch_size_in_samples=10, max_buffered_samples=30)

    def produce():
        for number in range(100):
            add(writer, number, number)
            added.append(number)

    producer = threading.Thread(target=produce, daemon=True)
    producer.start()
    eventually(lambda: len(added) >= 39)
    time.sleep(0.05)
    assert len(added) == 39  # the fortieth seals a batch beyond the limit and waits
    assert writer.ledger.samples_pending == 40
    let_go.set()
    producer.join(120)
    assert len(added) == 100
    writer.flush()
    assert writer.ledger.samples_accepted == 100


def test_encoding_goes_on_while_a_request_is_in_flight(start):
    let_go = threading.Event()
    writer = start(
        ScriptedTransport(decide=lambda request: 204 if let_go.wait(120) else 500), max_batch_size_in_samples=5
    )
    for number in range(20):
        add(writer, number, number)  # would block here if taking samples waited for the response
    assert writer.ledger.requests_accepted == 0
    let_go.set()
    writer.flush()
    assert writer.ledger.samples_accepted == 20


def test_a_long_record_is_dealt_out_to_several_batches(start):
    transport = ScriptedTransport()
    writer = start(transport, max_batch_size_in_samples=10)
    writer.add(("m", {}, tuple((float(number), T + number) for number in range(25))))
    writer.flush()
    assert [len(request.samples) for request in transport.requests] == [10, 10, 5]


@pytest.mark.parametrize("status", [404, 401])
def test_what_cannot_work_is_raised_by_the_next_call_and_nothing_is_counted_as_settled(start, status):
    writer = start(ScriptedTransport([status]))
    add(writer, 0, 1)
    for call in (writer.flush, writer.flush, lambda: add(writer, 0, 2)):
        with pytest.raises(RemoteWriteFatalError, match=f"HTTP {status}"):
            call()
    assert writer.ledger.samples_accepted == 0
    assert writer.ledger.samples_pending == writer.ledger.samples_in


def test_a_caller_that_waits_for_room_is_told_of_a_failure(start):
    writer = start(ScriptedTransport([404]), max_batch_size_in_samples=1, max_buffered_samples=1)
    with pytest.raises(RemoteWriteFatalError):
        for number in range(10):
            add(writer, 0, number)


def test_retries_wait_ever_longer_and_are_counted(start):
    clock = FakeClock()
    writer = start(ScriptedTransport([500, 503, 429]), clock=clock)
    add(writer, 0, 1)
    writer.flush()
    assert clock.sleeps == pytest.approx([0.03, 0.06, 0.12])
    assert (writer.ledger.requests_retried, writer.ledger.requests_accepted) == (3, 1)


def test_retry_after_is_waited_for_by_every_shard(start):
    """One shard is asked to wait 30 s; the other, which sees that before its own request, posts no earlier."""
    clock, told, posts = FakeClock(), threading.Event(), []

    class SlowClock(FakeClock):
        def sleep(self, seconds, wake):
            told.set()
            let_go.wait(120)
            super().sleep(seconds, wake)

    class Throttling(ScriptedTransport):
        def post(self, body, headers):
            outcome = super().post(body, headers)
            posts.append((threading.current_thread().name, clock.monotonic()))
            return Outcome(Kind.RETRYABLE, "HTTP 429", 429, retry_after_s=30.0) if len(posts) == 1 else outcome

    clock, let_go = SlowClock(), threading.Event()
    writer = start(
        Throttling(), clock=clock, max_in_flight_requests=2, max_batch_size_in_samples=1, max_buffered_samples=100
    )
    add(writer, 0, 1)
    assert told.wait(120)
    for number in range(20):  # some of these are for the other shard
        add(writer, number, number + 2)
    let_go.set()
    writer.flush()
    assert len({thread for thread, _ in posts}) == 2
    assert all(moment >= 30.0 for _, moment in posts[1:])


def test_retries_end(start):
    writer = start(ScriptedTransport(decide=lambda request: 503), retry=RetryConfiguration(max_retry_count=2))
    add(writer, 0, 1)
    with pytest.raises(RetriesExhaustedError, match="failed 3 times in .* the limit of max_retry_count; "):
        writer.flush()


def test_a_sample_refused_by_a_receiver_of_1_0_is_told_with_its_words(start):
    rejections = Rejections()

    def refuse(request):
        return Response(400, "unlucky number") if any(value == 13.0 for _, value, _ in request.samples) else None

    transport = ScriptedTransport(decide=refuse)
    writer = start(transport, rejected_samples_handler=rejections, remote_write_version=RemoteWriteVersion.V1)
    for number in range(100):
        add(writer, number % 7, number)
    writer.flush()
    assert len(transport.stored) == writer.ledger.samples_accepted == 99
    assert [(each.record.samples, each.reason, each.status) for each in rejections] == [
        (((13.0, T + 13),), RejectionReason.REFUSED, 400)
    ]
    assert "unlucky number" in rejections[0].message
    assert writer.ledger.samples_rejected[RejectionReason.REFUSED] == 1


def test_what_cannot_be_written_is_rejected_alone(start):
    rejections = Rejections()
    transport = ScriptedTransport()
    writer = start(transport, rejected_samples_handler=rejections)
    writer.add(("m", {"": "x"}, ((1.0, T), (2.0, T + 1)), None, ()))
    writer.add(("m", {}, ((1.0, T), ("2", T + 1), (3.0, T + 2.0), (4.0, T + 3))))
    writer.add(("m", {}, ()))
    writer.flush()
    assert [value for _, value, _ in transport.stored] == [1.0, 4.0]
    assert [each.message.split(":")[0] for each in rejections] == ["labels", "samples", "samples", "samples"]
    assert all(isinstance(each.record, PrometheusTimeSeries) for each in rejections)
    ledger = writer.ledger
    assert (ledger.samples_in, ledger.samples_accepted, ledger.samples_rejected[RejectionReason.INVALID]) == (7, 2, 5)
    assert ledger.samples_pending == 0


def test_samples_out_of_order_and_twice_within_a_request_are_put_right(start):
    transport = ScriptedTransport()
    writer = start(transport, rejected_samples_handler=Rejections())
    for number in (3, 1, 2, 2):
        add(writer, 0, number)
    writer.flush()
    assert per_series(transport.stored) == {'m{series="0"}': [T + 1, T + 2, T + 3]}
    assert writer.ledger.samples_rejected[RejectionReason.DUPLICATE] == 1
    assert writer.ledger.samples_pending == 0


def test_timestamps_in_other_units_are_pointed_out_once_for_each(start, caplog):
    """Receivers drop some of them silently; they are sent nevertheless, because only the user can know."""
    writer = start(ScriptedTransport())
    with caplog.at_level(logging.WARNING):
        for number in range(3):
            for series, timestamp in enumerate((T // 1000, T, T * 1000, T * 1_000_000)):
                writer.add((f"m{series}", {}, ((1.0, timestamp + number),)))
    advice = ["multiply it by 1000", "divide it by 1000 (//)", "divide it by 1,000,000 (//)"]
    lines = [record.getMessage() for record in caplog.records]
    assert [advice[number] in line for number, line in enumerate(lines)] == [True] * 3
    assert "is in the year 1970, because" in lines[0]
    assert "seconds" in lines[0]
    assert "microseconds" in lines[1]
    assert "nanoseconds" in lines[2]
    writer.flush()
    assert writer.ledger.samples_accepted == 12


@pytest.mark.parametrize("timestamp", [-(2**63), 2**63 - 1])
def test_a_record_without_a_timestamp_of_flinks_is_rejected_with_advice(start, timestamp):
    """An empty Prometheus that stored it would refuse everything that follows."""
    rejections = Rejections()
    writer = start(ScriptedTransport(), rejected_samples_handler=rejections)
    writer.add(("m", {}, ((1.0, timestamp), (1.0, T))))
    writer.flush()
    assert [(each.reason, each.record.samples) for each in rejections] == [
        (RejectionReason.INVALID, ((1.0, timestamp),))
    ]
    assert "set a timestamp assigner with assign_timestamps_and_watermarks" in rejections[0].message
    assert writer.ledger.samples_accepted == 1


READINGS = (1.0, 2.0, 2.0, 3.0, 1.0)


@pytest.mark.parametrize(
    ("policy", "stored", "rejected"),
    [
        (None, [1.0], [2.0, 2.0, 3.0]),
        (ConflictPolicy.KEEP_FIRST, [1.0], [2.0, 2.0, 3.0]),
        (ConflictPolicy.KEEP_LAST, [1.0], [2.0, 2.0, 3.0]),
        (ConflictPolicy.REJECT_ALL, [], list(READINGS)),
    ],
)
def test_of_several_values_at_one_time_the_user_decides_and_none_is_lost_without_a_word(
    start, policy, stored, rejected
):
    rejections, transport = Rejections(), ScriptedTransport()
    settings = {} if policy is None else {"conflict_policy": policy}
    writer = start(transport, rejected_samples_handler=rejections, **settings)
    for value in READINGS:
        add(writer, 0, 1, value)
    add(writer, 1, 1)
    writer.flush()
    assert [value for key, value, _ in transport.stored if key == 'm{series="0"}'] == stored
    told = [
        value for each in rejections if each.reason is RejectionReason.CONFLICTING for value, _ in each.record.samples
    ]
    assert told == rejected
    assert all(
        "set_conflict_policy" in each.message for each in rejections if each.reason is RejectionReason.CONFLICTING
    )
    ledger = writer.ledger
    assert ledger.samples_rejected[RejectionReason.CONFLICTING] == len(rejected)
    assert (ledger.samples_accepted, ledger.samples_pending) == (1 + len(stored), 0)


def test_of_several_values_at_one_time_all_are_sent_one_after_the_other_if_the_user_wants_that(start):
    """The receiver then decides on each; no other sample of the series overtakes them."""
    rejections = Rejections()

    def decide(request):
        if not request.samples or request.samples[0][1] != 2.0:
            return None
        return Response(400, "duplicate sample for timestamp")

    transport = ScriptedTransport(decide=decide)
    writer = start(transport, rejected_samples_handler=rejections, conflict_policy=ConflictPolicy.SEND_ALL)
    for value in READINGS:
        add(writer, 0, 1, value)
    add(writer, 0, 2, 9.0)
    writer.flush()
    sent = [[value for _, value, _ in request.samples] for request in transport.requests if request.samples]
    assert sent[0] == [1.0]
    assert [values for values in sent if values != [2.0]] == [[1.0], [3.0], [1.0, 9.0]]
    assert [(each.reason, each.record.samples) for each in rejections] == [
        (RejectionReason.DUPLICATE, ((2.0, T + 1),)),
        (RejectionReason.REFUSED, ((2.0, T + 1),)),
    ]
    assert writer.ledger.samples_pending == 0


def test_rejections_are_logged_with_reason_and_count_but_not_each(start, caplog):
    clock = FakeClock()
    writer = start(ScriptedTransport(), clock=clock)
    with caplog.at_level(logging.WARNING):
        for _ in range(100):
            writer.add(("", {}, ((1.0, T),)))
        clock.advance(11)
        writer.add(("", {}, ((1.0, T),)))
    lines = [record.getMessage() for record in caplog.records]
    assert [line.split(",")[0] for line in lines] == ["1 sample(s) not written", "100 sample(s) not written"]
    assert all("metric_name: expected a non-empty string" in line for line in lines)


def test_closing_wakes_a_shard_that_waits_to_retry_and_leaves_no_thread(start):
    waiting = threading.Event()

    class PatientClock(FakeClock):
        def sleep(self, seconds, wake):
            waiting.set()
            wake.wait(120)

    transport = ScriptedTransport(decide=lambda request: 503)
    writer = start(transport, clock=PatientClock())
    add(writer, 0, 1)
    told = []

    def flush():
        with pytest.raises(PrometheusSinkError, match="closed with 1 unsent sample") as caught:
            writer.flush()
        told.append(caught.value)

    flusher = threading.Thread(target=flush, daemon=True)
    flusher.start()
    assert waiting.wait(120)
    writer.close()
    flusher.join(120)
    assert told
    assert transport.closed
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("prometheus-shard")]


def test_an_unexpected_error_on_a_shard_reaches_the_caller(start):
    class Broken(ScriptedTransport):
        def post(self, body, headers):
            raise RuntimeError("boom")

    writer = start(Broken())
    add(writer, 0, 1)
    with pytest.raises(PrometheusSinkError, match="writing to Prometheus failed unexpectedly: .*boom"):
        writer.flush()


def test_records_may_be_named_tuples_or_tuples_with_any_form_of_labels(start):
    transport = ScriptedTransport()
    writer = start(transport)
    writer.add(PrometheusTimeSeries("m", {"a": "1"}, ((1.0, T),)))
    writer.add(("m", [("a", "1")], [(2, T + 1)]))
    writer.flush()
    assert transport.stored == [('m{a="1"}', 1.0, T), ('m{a="1"}', 2.0, T + 1)]


def test_a_request_that_is_too_large_is_split_and_later_ones_are_smaller(start, caplog):
    transport = ScriptedTransport(decide=lambda request: 413 if len(request.samples) > 30 else 204)
    writer = start(transport, max_batch_size_in_samples=100)
    for number in range(300):
        add(writer, number % 3, number)
        if number == 99:
            writer.flush()  # so that the size is reduced before the next batch is full
    writer.flush()
    assert sorted(value for _, value, _ in transport.stored) == [float(number) for number in range(300)]
    assert [len(request.samples) for request in transport.requests][:6] == [100, 50, 25, 25, 25, 25]
    assert all(len(request.samples) <= 25 for request in transport.requests[6:])
    assert "raise the receiver's request size limit if 25 samples" in caplog.text
    for times in per_series(transport.stored).values():
        assert times == sorted(times)


def test_one_sample_that_is_too_large_is_refused_alone(start):
    rejections = Rejections()
    transport = ScriptedTransport(decide=lambda request: 413 if 2.0 in {v for _, v, _ in request.samples} else 204)
    writer = start(transport, rejected_samples_handler=rejections)
    for number in range(4):
        add(writer, 0, number)
    writer.flush()
    assert [each.record.samples[0][0] for each in rejections] == [2.0]
    assert writer.ledger.samples_accepted == 3


def sizes(transport, start=0):
    return [len(request.samples) for request in transport.requests[start:]]


def write_at_once(writer, count, first=0):
    for number in range(first, first + count):
        add(writer, number % 7, number)
    writer.flush()


def test_requests_that_are_refused_whole_and_accepted_in_parts_become_smaller(start, caplog):
    """Prometheus, Mimir and others refuse too many bytes like this; once may be chance, twice in a row is the size."""
    transport = ScriptedTransport(decide=lambda request: 400 if len(request.samples) > 30 else 204)
    writer = start(transport, max_batch_size_in_samples=100)
    write_at_once(writer, 100)
    write_at_once(writer, 100, 100)
    before = len(transport.requests)
    assert "if 25 samples per request are too few" in caplog.text
    write_at_once(writer, 100, 200)
    assert sizes(transport, before) == [25] * 4
    assert writer.ledger.samples_accepted == 300
    for times in per_series(transport.stored).values():
        assert times == sorted(times)


def test_requests_keep_their_size_where_it_was_a_sample(start, caplog):
    """Even with a refusal of the other kind before and after."""
    rejections = Rejections()
    limits = {0: 30, 1: 1000, 2: 30, 3: 1000}

    def decide(request):
        if not request.samples:
            return None
        numbers = [int(value) for _, value, _ in request.samples]
        return 400 if len(numbers) > limits[numbers[0] // 100] or 150 in numbers else None

    transport = ScriptedTransport(decide=decide)
    writer = start(transport, max_batch_size_in_samples=100, rejected_samples_handler=rejections)
    for first in (0, 100, 200, 300):
        write_at_once(writer, 100, first)
    assert sizes(transport)[-1] == 100
    assert [each.record.samples[0][0] for each in rejections] == [150.0]
    assert "from now on" not in caplog.text


TIMED_OUT = Outcome(Kind.RETRYABLE, "no response within 30 s", timed_out=True)


class SlowUplink(ScriptedTransport):
    """A transport that can send requests of up to this many samples within the timeout."""

    def __init__(self, limit):
        super().__init__(decide=lambda request: TIMED_OUT if len(request.samples) > self.limit else None)
        self.limit = limit


def test_requests_that_time_out_twice_are_halved_and_the_size_is_remembered(start):
    transport, clock = SlowUplink(300), FakeClock()
    writer = start(transport, clock=clock, max_batch_size_in_samples=1000)
    write_at_once(writer, 1000)
    assert sizes(transport) == [1000, 1000, 500, 500, 250, 250, 250, 250]
    write_at_once(writer, 1000, 1000)
    assert sizes(transport, 8) == [250] * 4
    for times in per_series(transport.stored).values():
        assert times == sorted(times)
    assert writer.ledger.samples_accepted == len(transport.stored) == 2000


def test_larger_requests_are_tried_again_after_a_while_once_for_all_parts(start):
    transport, clock = SlowUplink(300), FakeClock()
    writer = start(transport, clock=clock, max_batch_size_in_samples=2000)
    write_at_once(writer, 2000)
    clock.advance(601)
    before = len(transport.requests)
    write_at_once(writer, 2000, 2000)
    assert sizes(transport, before) == [500, 500, *[250] * 8]
    clock.advance(601)
    transport.limit = 10_000
    before = len(transport.requests)
    write_at_once(writer, 2000, 4000)
    assert sizes(transport, before) == [500] * 4
    clock.advance(601)
    write_at_once(writer, 2000, 6000)
    assert sizes(transport, before + 4) == [1000] * 2


def test_one_timeout_changes_no_size_nor_do_two_that_are_apart(start):
    transport = ScriptedTransport([TIMED_OUT, 503, TIMED_OUT, 429, TIMED_OUT])
    writer = start(transport)
    write_at_once(writer, 100)
    assert sizes(transport) == [100] * 6


def test_a_single_sample_that_times_out_is_retried_as_it_is(start):
    transport = ScriptedTransport([TIMED_OUT] * 5)
    writer = start(transport)
    add(writer, 0, 1)
    writer.flush()
    assert (sizes(transport), writer.ledger.samples_accepted) == ([1] * 6, 1)


class WaitingIsSeen(FakeClock):
    """A clock that signals when a thread of this name waits for others."""

    def __init__(self, thread):
        super().__init__()
        self.thread, self.waiting = thread, threading.Event()

    def wait(self, condition, seconds):
        if threading.current_thread().name == self.thread:
            self.waiting.set()
        super().wait(condition, seconds)


def test_many_bytes_on_their_way_make_the_caller_wait_as_well(start):
    let_go, added, clock = threading.Event(), [], WaitingIsSeen("producer")
    transport = ScriptedTransport(decide=lambda request: 204 if let_go.wait(10) else 500)
    writer = start(
        transport,
        clock=clock,
        max_batch_size_in_samples=1,
        max_buffered_samples=1000,
        max_batch_size_in_bytes=2000,
    )

    def produce():
        for number in range(100):
            writer.add(("m", {"long": f"{number:01000}"}, ((1.0, T + number),)))
            added.append(number)

    producer = threading.Thread(target=produce, name="producer", daemon=True)
    producer.start()
    assert clock.waiting.wait(10)
    assert 17 <= len(added) <= 19  # ten requests of 2000 bytes, where each sample takes a bit more than half of one
    let_go.set()
    producer.join(10)
    writer.flush()
    assert writer.ledger.samples_accepted == len(added) == 100
    for number in range(100, 200):  # settled samples no longer take space
        writer.add(("m", {"long": f"{number:01000}"}, ((1.0, T + number),)))
    writer.flush()
    assert writer.ledger.samples_accepted == 200


def test_a_handler_is_flushed_with_the_writer_and_closed_with_it(start):
    calls = []

    class Handler:
        def __call__(self, rejected):
            calls.append("told")

        def flush(self):
            calls.append("flush")

        def close(self):
            calls.append("close")

    writer = start(ScriptedTransport([400]), rejected_samples_handler=Handler())
    add(writer, 0, 1)
    writer.flush()
    writer.close()
    assert calls == ["told", "flush", "close"]


def test_a_handler_that_fails_fails_the_writer(start):
    def handler(rejected):
        raise OSError("disk full")

    writer = start(ScriptedTransport([400]), rejected_samples_handler=handler)
    add(writer, 0, 1)
    with pytest.raises(PrometheusSinkError, match="the handler of rejected samples failed: .*disk full"):
        writer.flush()


def test_guards_reject_before_sending(start):
    rejections = Rejections()
    transport, clock = ScriptedTransport(), FakeClock(T / 1000)
    writer = start(
        transport,
        clock=clock,
        rejected_samples_handler=rejections,
        max_sample_age_ms=1000,
        max_sample_lead_ms=1000,
        drop_out_of_order_samples=True,
    )
    writer.add(("m", {}, tuple((float(offset), T + offset) for offset in (-1001, 0, 1001, -5, 5))))
    writer.flush()
    assert [value for _, value, _ in transport.stored] == [0.0, 5.0]
    assert [each.reason for each in rejections] == [
        RejectionReason.TOO_OLD,
        RejectionReason.TOO_NEW,
        RejectionReason.OUT_OF_ORDER,
    ]


def test_the_ledger_knows_requests_bytes_and_the_newest_sample(start):
    class Slow(ScriptedTransport):
        def post(self, body, headers):
            clock.advance(0.25)
            return super().post(body, headers)

    clock = FakeClock()
    writer = start(Slow(), clock=clock)
    for number in (1, 7, 3):
        add(writer, number, number)
    writer.flush()
    ledger = writer.ledger
    assert (ledger.requests_accepted, ledger.last_batch_size, ledger.newest_timestamp) == (1, 3, T + 7)
    assert (ledger.time_in_flight_s, ledger.last_time_in_flight_s) == (0.25, 0.25)
    assert ledger.bytes_sent > 30


def test_retries_are_said_once_in_a_while_with_their_cause(start, caplog):
    clock = FakeClock()
    writer = start(ScriptedTransport([Response(503, "starting up")] * 12), clock=clock)
    with caplog.at_level(logging.WARNING):
        add(writer, 0, 1)
        writer.flush()
    lines = [record.getMessage() for record in caplog.records]
    assert clock.monotonic() > 20
    assert [line.rpartition("in ")[2] for line in lines] == [
        f"{wait} s ({retries} retries so far): HTTP 503: starting up"
        for wait, retries in (("0.03", 0), ("5.00", 9), ("5.00", 11))
    ]
