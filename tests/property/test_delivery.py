"""Whatever a 1.0 receiver responds, each sample is settled once and in order, and a rejected one costs no others."""

from __future__ import annotations

from typing import Any

import pytest
from batches import batch_of
from hypothesis import given
from hypothesis import strategies as st
from snappy import compress

from pyflink_prometheus.config import (
    OnErrorBehavior,
    RemoteWriteVersion,
    RetryConfiguration,
    SinkConfig,
    SinkWriterErrorHandlingBehaviorConfiguration,
)
from pyflink_prometheus.errors import RemoteWriteFatalError, RetriesExhaustedError
from pyflink_prometheus.http.outcome import Kind, Outcome, classify_status
from pyflink_prometheus.model.labels import canonical_labels
from pyflink_prometheus.testing import decode_request
from pyflink_prometheus.wire.encoder_v1 import encode_request
from pyflink_prometheus.wire.series import Series
from pyflink_prometheus.writer.delivery import (
    FIRST_CONTACT_RETRIES,
    Accepted,
    Delivery,
    Post,
    Rejected,
    Wait,
)
from pyflink_prometheus.writer.endpoint import Endpoint
from pyflink_prometheus.writer.isolation import deliver
from pyflink_prometheus.writer.ledger import RejectionReason

SERIES = [Series(canonical_labels(name, {})) for name in "abc"]


def encode(batch, version):
    assert version is RemoteWriteVersion.V1
    return compress(encode_request(batch))


def batch_of_size(size):
    """Return a batch of several series whose samples have the values 0, 1, 2 …, so that a value identifies a sample."""
    samples = sorted((number % len(SERIES), number) for number in range(size))
    return batch_of((SERIES[which], number, float(number)) for which, number in samples)


def config(*, discard=False, retries=100, isolation=None):
    behavior = OnErrorBehavior.DISCARD_AND_CONTINUE if discard else OnErrorBehavior.FAIL
    return SinkConfig(
        prometheus_remote_write_url="http://user:secret@receiver/write",
        retry=RetryConfiguration(max_retry_count=retries),
        error_handling=SinkWriterErrorHandlingBehaviorConfiguration(on_max_retry_exceeded=behavior),
        max_isolation_requests=isolation,
    )


def steps_of(batch, settings, endpoint, encode=encode, draw=lambda: 1.0):
    """Start a delivery in which no time passes."""
    delivery = Delivery(config=settings, encode=encode, draw=draw, monotonic=lambda: 0.0, endpoint=endpoint)
    return deliver(batch, delivery)


def run(batch, settings, respond, *, reached_before=True):
    """Run a delivery with ``respond(decoded request) -> status``; return the settled samples in order and the steps."""
    endpoint = Endpoint(RemoteWriteVersion.V1)
    endpoint.reached = endpoint.is_receiver = reached_before
    steps = steps_of(batch, settings, endpoint)
    seen: list[Any] = []
    reply = None
    while True:
        try:
            step = steps.send(reply)
        except StopIteration:
            return seen
        seen.append(step)
        reply = None
        if isinstance(step, Post):
            reply = classify_status(respond(decode_request(step.body)))


def settled(seen, kind):
    return [value for step in seen if isinstance(step, kind) for value in step.batch.values.tolist()]


@given(st.integers(1, 60), st.data())
def test_a_refused_sample_costs_one_sample(size, data):
    batch = batch_of_size(size)
    poison = data.draw(st.sets(st.sampled_from(batch.values.tolist())))
    troubles = iter(data.draw(st.lists(st.sampled_from([204, 429, 500, 503]), max_size=40)))

    def respond(request):
        trouble = next(troubles, 204)
        if trouble != 204:
            return trouble
        return 400 if poison & {value for _, value, _ in request.samples} else 204

    seen = run(batch, config(), respond)
    by_time = sorted(batch.values.tolist())
    assert sorted(settled(seen, Accepted)) == [value for value in by_time if value not in poison]
    assert settled(seen, Rejected) == [value for value in by_time if value in poison]
    assert all(step.reason is RejectionReason.REFUSED for step in seen if isinstance(step, Rejected))
    assert_in_order(seen)


def assert_in_order(seen):
    """No sample of a series is posted for the first time after a newer one was settled."""
    newest: dict[Series, int] = {}
    for step in seen:
        if isinstance(step, (Accepted, Rejected)):
            for series, time in zip(step.batch.series, step.batch.timestamps):
                assert time > newest.get(series, -1)
                newest[series] = time


@given(st.integers(1, 200), st.integers(0, 50), st.data())
def test_isolation_costs_no_more_requests_than_it_may_and_asks_for_every_sample(size, bound, data):
    batch = batch_of_size(size)
    poison = data.draw(st.sets(st.sampled_from(batch.values.tolist())))
    asked = set()

    def respond(request):
        values = {value for _, value, _ in request.samples}
        if values != set(batch.values.tolist()):
            asked.update(values)
        return 400 if poison & values else 204

    seen = run(batch, config(isolation=bound), respond)
    assert sum(isinstance(step, Post) for step in seen) <= 1 + bound
    assert sorted(settled(seen, Accepted) + settled(seen, Rejected)) == sorted(batch.values.tolist())
    assert set(settled(seen, Rejected)) >= poison
    if poison and bound > 1 and size > 1:
        assert asked == set(batch.values.tolist())
    assert_in_order(seen)


def test_a_bound_that_leaves_no_room_for_halves_asks_in_larger_parts():
    poisoned = {0.0}
    seen = run(
        batch_of_size(3),
        config(isolation=2),
        lambda request: 400 if poisoned & {value for _, value, _ in request.samples} else 204,
    )
    assert settled(seen, Accepted) == [2.0]
    assert settled(seen, Rejected) == [0.0, 1.0]


@pytest.mark.parametrize(
    ("size", "poison", "most"),
    [
        (2000, [1000], 2 * 11),
        (2000, range(0, 2000, 100), 20 * 18),
        (2000, range(1500), 1500 + 2 * 11),
        (2000, range(2000), 2000 + 11),
    ],
    ids=["one", "one in a hundred", "the older three quarters", "all"],
)
def test_what_isolation_costs(size, poison, most):
    batch, refused = batch_of_size(size), {float(number) for number in poison}
    seen = run(batch, config(), lambda request: 400 if refused & {value for _, value, _ in request.samples} else 204)
    assert set(settled(seen, Rejected)) == refused
    assert sum(isinstance(step, Post) for step in seen) <= 1 + most


def test_a_bound_never_throws_the_newest_samples_away_unasked():
    """After a restart Flink replays samples that Prometheus has, with new ones at the end of the same request."""
    batch = batch_of_size(2000)
    seen = run(
        batch,
        config(isolation=300),
        lambda request: 400 if any(value < 1500 for _, value, _ in request.samples) else 204,
    )
    lost = [value for value in settled(seen, Rejected) if value >= 1500]
    assert len(lost) < 10


@given(st.integers(1, 20), st.integers(0, 30))
def test_retries_are_counted_and_then_the_policy_decides(size, retries):
    batch = batch_of_size(size)
    seen = run(batch, config(discard=True, retries=retries), lambda request: 503)
    assert [type(step) for step in seen] == [Post, *[Wait, Post] * retries, Rejected]
    assert [step.retries for step in seen if isinstance(step, Post)] == list(range(retries + 1))
    assert seen[-1].reason is RejectionReason.RETRIES_EXHAUSTED
    assert len(seen[-1].batch) == size
    with pytest.raises(RetriesExhaustedError, match=f"failed {retries + 1} times") as caught:
        run(batch, config(retries=retries), lambda request: 503)
    assert (caught.value.status, caught.value.samples) == (503, size)


@given(st.sampled_from([401, 403, 404, 405, 302]))
def test_a_fatal_response_ends_it_at_once_and_shows_no_secret(status):
    with pytest.raises(RemoteWriteFatalError) as caught:
        run(batch_of_size(3), config(discard=True), lambda request: status)
    assert caught.value.status == status
    assert "secret" not in str(caught.value) + str(caught.value.__dict__)


@pytest.mark.parametrize(
    ("reached_before", "retries", "message"),
    [(False, FIRST_CONTACT_RETRIES, "got no response"), (True, 40, "failed 41 times")],
)
def test_an_endpoint_that_never_responded_is_given_up_earlier(reached_before, retries, message):
    endpoint = Endpoint(RemoteWriteVersion.V1)
    endpoint.reached = reached_before
    steps = steps_of(batch_of_size(1), config(retries=40), endpoint, draw=lambda: 0.0)
    posts, step = 0, next(steps)
    with pytest.raises(RetriesExhaustedError, match=message):
        while True:
            posts += isinstance(step, Post)
            step = steps.send(Outcome(Kind.RETRYABLE, "no connection") if isinstance(step, Post) else None)
    assert posts == 1 + retries
