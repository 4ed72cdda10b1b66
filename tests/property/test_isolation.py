"""
Whatever a receiver does with the good samples of a request that it refuses, all are stored and reported correctly.

The receivers here enforce order, as real ones do: they refuse samples older than the newest of their series.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from batches import batch_of, rows_of
from hypothesis import given, settings
from hypothesis import strategies as st
from test_delivery import config, steps_of

from pyflink_prometheus.config import RemoteWriteVersion
from pyflink_prometheus.http.outcome import Written, classify_status
from pyflink_prometheus.model.labels import canonical_labels
from pyflink_prometheus.wire.series import Series
from pyflink_prometheus.writer.delivery import (
    Accepted,
    PartlyWritten,
    Post,
    Rejected,
)
from pyflink_prometheus.writer.endpoint import Endpoint
from pyflink_prometheus.writer.isolation import SUSPICIOUS
from pyflink_prometheus.writer.ledger import RejectionReason

V1, V2, AUTO = RemoteWriteVersion.V1, RemoteWriteVersion.V2, RemoteWriteVersion.AUTO
SERIES = [Series(canonical_labels("m", {"series": str(number)})) for number in range(480)]


class Store:
    """A receiver that keeps samples by series, and refuses those that are poisoned or too late."""

    def __init__(self):
        self.poison = set()
        self.limit = 10_000
        self.kept = {}

    def post(self, batch):
        """Return the number of refused samples, and the samples that would be kept with the others."""
        refused, kept = 0, dict(self.kept)
        for series, time, value in rows_of(batch):
            times = kept.get(series.head, ())
            if value in self.poison or (times and time < times[-1]):
                refused += 1
            elif not times or time > times[-1]:
                kept[series.head] = (*times, time)
        return refused, kept


class KeepsNothing(Store):
    """A receiver that rolls a refused request back: Prometheus in 1.0; in 2.0, one without partial writes."""

    written: Any = staticmethod(lambda sent, refused: Written())

    def __call__(self, batch, version):
        if len(batch) > self.limit:
            return classify_status(413)
        refused, kept = self.post(batch)
        if refused == 0 or self.keeps_good:
            self.kept = kept
        outcome = classify_status(400 if refused else 204)
        if version is V1 or (refused and self.written is None):
            return outcome
        return replace(outcome, written=self.written(len(batch), refused) if refused else Written(len(batch)))

    keeps_good = False


class KeepsNothingWithoutHeaders(KeepsNothing):
    """Cortex, where the conversion of one invalid series aborts the whole request."""

    written = None


class KeepsGood(KeepsNothing):
    """A receiver that silently keeps the good part of a refused request: Thanos; Mimir and Cortex in 1.0."""

    keeps_good = True
    written: Any = None


class ClaimsAll(KeepsGood):
    """A receiver that keeps the good part, and counts what was sent: Mimir."""

    written = staticmethod(lambda sent, refused: Written(sent))


class Counts(KeepsGood):
    """A receiver that keeps the good part, and counts it: Prometheus in 2.0."""

    written = staticmethod(lambda sent, refused: Written(sent - refused))


ALL = [KeepsNothing, KeepsNothingWithoutHeaders, KeepsGood, ClaimsAll, Counts]


def grid(series, samples, first):
    """Make a batch with this many series and samples of each, with consecutive numbers as values."""
    places = [(which, number) for which in range(series) for number in range(samples)]
    return batch_of(
        (SERIES[which], first + number, float(1000 * first + place)) for place, (which, number) in enumerate(places)
    )


def too_old(batch, samples):
    """Return the values of this many of the oldest samples of each series, like those of a backlog or a replay."""
    first = batch.timestamps.min()
    return {value for time, value in zip(batch.timestamps.tolist(), batch.values.tolist()) if time < first + samples}


def deliver(batch, receiver, endpoint):
    """Drive a delivery to its end; return the settled samples, and the number of requests."""
    seen: list[Any] = []
    steps, posts, reply = steps_of(batch, config(), endpoint, encode=lambda part, version: part), 0, None
    while True:
        try:
            step = steps.send(reply)
        except StopIteration:
            return seen, posts
        reply = None
        if isinstance(step, Post):
            posts += 1
            reply = receiver(step.body, step.version)
        else:
            seen.append(step)


def values(seen, kind, reason=None):
    return [
        value
        for step in seen
        if isinstance(step, kind) and (reason is None or step.reason is reason)
        for value in step.batch.values.tolist()
    ]


def most_requests(batch, samples, poison, versions):
    """
    Return the number of requests that a batch may take.

    One; for each poisoned sample about two times the halvings that single it out, and the same before the suspicion and
    after the check; the requests that raise the suspicion; and up to seven checks of each moment.
    """
    halvings = math.ceil(math.log2(max(2, len(batch)))) + 1
    return versions * (1 + 2 * halvings * (poison + 2) + SUSPICIOUS + 7 * samples)


@settings(max_examples=25)
@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("version", [V1, AUTO], ids=["1.0", "AUTO"])
@given(st.integers(1, 40), st.integers(1, 12), st.data())
def test_every_good_sample_is_stored_and_none_is_accepted_that_is_not(kind, version, series, samples, data):
    receiver, endpoint = kind(), Endpoint(version)
    expected: dict[Any, list[Any]] = {}
    for first in (0, 100, 200):
        batch = grid(series, samples, first)
        receiver.poison = data.draw(
            st.sets(st.sampled_from(batch.values.tolist()), max_size=5)
            | st.integers(0, samples).map(partial(too_old, batch))
        )
        good = [value for value in batch.values.tolist() if value not in receiver.poison]
        seen, posts = deliver(batch, receiver, endpoint)

        for head, time, value in rows_of(batch):
            if value in good:
                expected.setdefault(head.head, []).append(time)
        assert {head: list(times) for head, times in receiver.kept.items()} == expected

        settled = values(seen, (Accepted, Rejected, PartlyWritten))
        assert sorted(settled) == sorted(batch.values.tolist())
        assert not receiver.poison & set(values(seen, Accepted))
        if not receiver.poison:
            assert values(seen, Accepted) == batch.values.tolist()
        if not receiver.keeps_good:  # so that each kind is recognised
            assert set(values(seen, Rejected)) == receiver.poison
        if kind is Counts and version is AUTO:
            assert sum(step.written.samples for step in seen if isinstance(step, PartlyWritten)) + len(
                values(seen, Accepted)
            ) == len(good)
        assert posts <= most_requests(batch, samples, len(receiver.poison), 1 if version is V1 else 2)


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_what_is_refused_of_a_request_that_was_too_large_is_isolated_as_any_other(kind):
    receiver, endpoint = kind(), Endpoint(V1)
    receiver.limit = 250
    batch = grid(40, 12, 0)
    receiver.poison = {batch.values.tolist()[17], batch.values.tolist()[300]}
    seen, posts = deliver(batch, receiver, endpoint)
    assert sum(map(len, receiver.kept.values())) == 478
    assert not receiver.poison & set(values(seen, Accepted))
    assert posts < 150


def test_what_may_be_stored_is_unconfirmed_and_says_why():
    receiver, endpoint = KeepsGood(), Endpoint(V1)
    batch = grid(40, 12, 0)
    receiver.poison = {batch.values.tolist()[17]}
    seen, _ = deliver(batch, receiver, endpoint)
    told = [step for step in seen if isinstance(step, Rejected) and step.reason is RejectionReason.UNCONFIRMED]
    assert sum(len(step.batch) for step in told) > 300
    assert {(step.outcome.message, step.outcome.status) for step in told} == {
        (
            "the receiver refused the request with these samples without saying which of them it kept; it "
            "responded with HTTP 400",
            400,
        )
    }


@pytest.mark.parametrize(("series", "samples"), [(40, 12), (480, 1)])
def test_a_replay_that_a_receiver_refuses_whole_takes_few_requests(series, samples):
    """After a restart Flink rereads many samples that Prometheus has, all older than those since."""
    receiver = Counts()
    deliver(grid(series, samples, 1000), receiver, Endpoint(AUTO))
    endpoint = Endpoint(AUTO)
    for first in (0, 100):
        seen, posts = deliver(grid(series, samples, first), receiver, endpoint)
        assert len(values(seen, Rejected, RejectionReason.REFUSED)) == 480
        assert posts < 130
    batch = grid(series, samples, 2000)
    receiver.poison = {batch.values.tolist()[7]}
    assert deliver(batch, receiver, endpoint)[1] == 1  # which shows that its counts are exact
    seen, posts = deliver(grid(series, samples, 200), receiver, endpoint)
    assert (len(values(seen, Rejected, RejectionReason.REFUSED)), posts) == (480, 1)


@pytest.mark.parametrize("kind", [KeepsNothing, KeepsNothingWithoutHeaders], ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("version", [V1, AUTO], ids=["1.0", "AUTO"])
@pytest.mark.parametrize(("series", "samples"), [(40, 12), (480, 1)])
def test_a_replay_teaches_nothing_wrong_of_a_receiver_that_keeps_nothing(kind, version, series, samples):
    """All of it is refused, as if the receiver had it from the refused request; later requests lose nothing."""
    receiver, endpoint = kind(), Endpoint(version)
    deliver(grid(series, samples, 1000), receiver, endpoint)
    deliver(grid(series, samples, 0), receiver, endpoint)
    kept = sum(map(len, receiver.kept.values()))
    batch = grid(series, samples, 2000)
    receiver.poison = {batch.values.tolist()[-samples]}  # the oldest of the series that is checked first
    seen, _ = deliver(batch, receiver, endpoint)
    assert sum(map(len, receiver.kept.values())) == kept + 479
    assert values(seen, Rejected) == list(receiver.poison)


@pytest.mark.parametrize("kind", [KeepsNothing, KeepsNothingWithoutHeaders], ids=lambda kind: kind.__name__)
def test_a_backlog_that_ends_beside_a_bad_sample_takes_no_good_one_along(kind):
    receiver, batch = kind(), grid(15, 5, 0)
    receiver.poison = {*too_old(batch, 3), batch.values.tolist()[8]}
    deliver(batch, receiver, Endpoint(AUTO))
    assert sum(map(len, receiver.kept.values())) == len(batch) - len(receiver.poison)
