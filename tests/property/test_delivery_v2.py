"""With any receiver, 2.0 or not: each sample is settled once, and counted samples are sent once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from test_delivery import assert_in_order, batch_of_size, config, settled, steps_of

from pyflink_prometheus.config import RemoteWriteVersion
from pyflink_prometheus.http.outcome import (
    Kind,
    Outcome,
    Written,
    classify_status,
)
from pyflink_prometheus.writer.delivery import (
    Accepted,
    PartlyWritten,
    Post,
    Rejected,
)
from pyflink_prometheus.writer.endpoint import Endpoint

V1, V2, AUTO = RemoteWriteVersion.V1, RemoteWriteVersion.V2, RemoteWriteVersion.AUTO
NO_CONNECTION = Outcome(Kind.RETRYABLE, "no connection")


def run(batch, version, respond):
    """Run a delivery with ``respond(values, version) -> outcome``; return the steps and the samples of each POST."""
    endpoint = Endpoint(version)
    endpoint.is_receiver = True
    steps = steps_of(batch, config(), endpoint, encode=lambda part, version: part)
    seen: list[Any] = []
    posts: list[tuple[Any, ...]] = []
    reply = None
    while True:
        try:
            step = steps.send(reply)
        except StopIteration:
            return seen, posts, endpoint
        seen.append(step)
        reply = None
        if isinstance(step, Post):
            part: Any = step.body  # as `encode` left it
            reply = respond(part.values, step.version)
            posts.append((step.version, tuple(part.values), reply))


class Receiver:
    """A receiver like Prometheus: errors for a while, 413 for too large requests, otherwise by its version."""

    def __init__(self, data, poison, *, versions=(V1, V2), old_status=415):
        self.troubles = iter(data.draw(st.lists(st.sampled_from([429, 500, 503, None]), max_size=10)))
        self.limit = data.draw(st.sampled_from([1, 3, 1000]))
        self.poison, self.versions, self.old_status = poison, versions, old_status
        self.stored = []

    def __call__(self, values, version):
        if (status := next(self.troubles, 0)) != 0:
            return NO_CONNECTION if status is None else classify_status(status)
        if version not in self.versions:
            return classify_status(self.old_status)
        if len(values) > self.limit:
            return classify_status(413)
        good = [value for value in values if value not in self.poison]
        status = 204 if len(good) == len(values) else 400
        if version is V1:
            self.stored += good if status == 204 else []
            return classify_status(status)
        self.stored += good
        return replace(classify_status(status), written=Written(samples=len(good)))


def written(seen):
    return sum(len(step.batch) for step in seen if isinstance(step, Accepted)) + sum(
        step.written.samples for step in seen if isinstance(step, PartlyWritten)
    )


@given(st.integers(1, 40), st.sampled_from([V2, AUTO]), st.data())
def test_a_receiver_of_2_0_is_sent_again_only_what_it_has_written_nothing_of(size, version, data):
    batch = batch_of_size(size)
    poison = data.draw(st.sets(st.sampled_from(batch.values.tolist())))
    receiver = Receiver(data, poison)
    seen, posts, _ = run(batch, version, receiver)
    good = [value for value in batch.values.tolist() if value not in poison]
    assert sorted(receiver.stored) == sorted(good)  # and none of them twice
    assert written(seen) == len(good)
    settled_values = [value for kind in (Accepted, Rejected, PartlyWritten) for value in settled(seen, kind)]
    assert sorted(settled_values) == sorted(batch.values.tolist())
    assert_in_order([step for step in seen if not isinstance(step, PartlyWritten)])
    assert {version for version, *_ in posts} == {V2}
    counted: set[float] = set()
    for _, values, reply in posts:
        assert not counted & set(values)
        if reply.written is not None and (reply.written.samples or len(values) == 1):
            counted.update(values)


@given(st.integers(1, 40), st.sampled_from([415, 204, 200, 400, 422]), st.data())
def test_a_receiver_of_1_0_gets_every_sample_in_1_0_and_is_remembered(size, old_status, data):
    batch = batch_of_size(size)
    poison = data.draw(st.sets(st.sampled_from(batch.values.tolist())))
    receiver = Receiver(data, poison, versions=(V1,), old_status=old_status)
    seen, posts, endpoint = run(batch, AUTO, receiver)
    good = [value for value in batch.values.tolist() if value not in poison]
    assert sorted(receiver.stored) == sorted(good)
    assert sorted(settled(seen, Accepted)) == sorted(good)
    assert sorted(settled(seen, Rejected)) == sorted(poison)
    assert_in_order(seen)
    # In 2.0 nothing more is sent after the first response that is not an error.
    in_turn = [version for version, _, reply in posts if reply.kind is not Kind.RETRYABLE]
    assert in_turn[0] is V2
    assert set(in_turn[1:]) == {V1}
    assert endpoint.version is V1 or (old_status in (400, 422) and not good)


@given(st.integers(1, 10), st.integers(0, 20), st.integers(0, 5))
def test_a_receiver_that_takes_a_request_and_claims_less_is_believed(size, claims, exemplars):
    batch = batch_of_size(size)
    response = replace(classify_status(204), written=Written(samples=claims, exemplars=exemplars))
    seen, posts, _ = run(batch, AUTO, lambda values, version: response)
    assert len(posts) == 1
    (step,) = [step for step in seen if not isinstance(step, Post)]
    assert type(step) is (Accepted if claims >= size else PartlyWritten if claims else Rejected)
    assert written(seen) == min(claims, size)
    if not isinstance(step, Accepted):
        assert step.reason.value == "unconfirmed"
