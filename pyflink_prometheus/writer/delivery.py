"""
Decide what to do next with one batch until every sample of it is settled. Pure: it says what, a shard does it.

:func:`deliver` is a generator. It yields steps and is sent the :class:`~pyflink_prometheus.http.outcome.Outcome` of
each :class:`Post`; the other steps need no answer. Nothing of a series is posted before all that came before it is
settled, so order holds across retries, isolation and the change to another version.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Union

from pyflink_prometheus.config import OnErrorBehavior, RemoteWriteVersion, SinkConfig
from pyflink_prometheus.errors import RemoteWriteError, RemoteWriteFatalError, RetriesExhaustedError
from pyflink_prometheus.http.outcome import Kind, Outcome, Written
from pyflink_prometheus.writer.batch import Batch
from pyflink_prometheus.writer.endpoint import Endpoint
from pyflink_prometheus.writer.ledger import Reason
from pyflink_prometheus.writer.retry import RetryState

V1, V2 = RemoteWriteVersion.V1, RemoteWriteVersion.V2

#: As long as an endpoint has never answered, it may be the URL that is wrong: then so many retries are enough (about
#: fifteen seconds by default) before the job fails and says so.
FIRST_CONTACT_RETRIES = 10


@dataclass(frozen=True)
class Post:
    """Send this body once and send its outcome back."""

    body: bytes
    version: RemoteWriteVersion
    retry: bool


@dataclass(frozen=True)
class Wait:
    """Wait before the next step; where the receiver asked for it, every shard of the endpoint does."""

    seconds: float
    asked_by_receiver: bool


@dataclass(frozen=True)
class Accepted:
    """Count these samples as written, with so many of their exemplars."""

    batch: Batch
    exemplars: int


@dataclass(frozen=True)
class Rejected:
    """Count these samples as lost for good, and tell why."""

    batch: Batch
    reason: Reason
    outcome: Outcome


@dataclass(frozen=True)
class PartlyWritten:
    """Count what the receiver says that it has written, and the rest as lost; nobody knows which ones they are."""

    batch: Batch
    written: Written
    reason: Reason
    outcome: Outcome


@dataclass(frozen=True)
class Shrink:
    """Make later batches no larger than this: the receiver takes none that are."""

    samples: int


Step = Union[Post, Wait, Accepted, Rejected, PartlyWritten, Shrink]


def deliver(
    batch: Batch,
    *,
    config: SinkConfig,
    encode: Callable[[Batch, RemoteWriteVersion], bytes],
    draw: Callable[[], float],
    endpoint: Endpoint,
) -> Generator[Step, Outcome | None, None]:
    """
    Yield the steps that settle one batch.

    A receiver of 2.0 keeps the good part of a request that it refuses and says how much that is, so nothing of it is
    sent again. Prometheus keeps nothing of a refused 1.0 request, so resending its parts harms nothing: from the oldest
    sample on, parts are halved when they are refused, until offenders stand alone, and doubled when they are accepted.
    A few offenders cost some two log2(batch) requests each; a long run of them, such as what Flink replays and
    Prometheus has already, one each. A request that is too large is halved in the same way, under both versions.

    :param encode: encodes the batch, or a part of it, whose samples are in order of time across its series.
    :param draw: gives a random number from 0 to 1.
    :param endpoint: what is known of the receiver; it learns from what is answered here.
    :raises RemoteWriteFatalError: if no retry can help.
    :raises RetriesExhaustedError: if the retries are used up and the configuration says FAIL.
    """
    first, version = yield from _attempt(batch, endpoint.version, config, encode, draw, endpoint)
    if first.kind is Kind.ACCEPTED or (first.kind is Kind.REJECTED and version is V2):
        yield _settled(batch, version, first)
        return
    outcome, part, rest, start = first, batch, batch.by_time(), 0
    size = largest = len(batch)
    budget = _Budget(config.max_isolation_requests)
    while True:
        if outcome.kind is Kind.ACCEPTED:
            yield _settled(part, version, outcome)
            start, size = start + len(part), min(2 * size, largest)
        elif outcome.kind is Kind.TOO_LARGE and len(part) > 1:
            size = largest = len(part) // 2
            yield Shrink(size)
        elif (
            outcome.kind is Kind.REJECTED
            and version is V1
            and (smaller := max(len(part) // 2, budget.least_size(len(rest) - start))) < len(part)
        ):
            size = smaller
        else:
            yield _settled(part, version, outcome)
            start += len(part)
        if start == len(rest):
            return
        part = rest.part(start, start + size)
        budget.spend()
        outcome, version = yield from _attempt(part, version, config, encode, draw, endpoint)


def _settled(batch: Batch, version: RemoteWriteVersion, outcome: Outcome) -> Step:
    """Say what has become of a batch of which nothing will be sent again."""
    if version is V1 or outcome.written is None or outcome.kind not in (Kind.ACCEPTED, Kind.REJECTED):
        if outcome.kind is Kind.ACCEPTED:
            return Accepted(batch, batch.exemplars)
        return Rejected(batch, _REASONS.get(outcome.kind, Reason.REFUSED), outcome)
    histograms = batch.histograms
    written = Written(
        min(outcome.written.samples, len(batch) - histograms),
        min(outcome.written.histograms, histograms),
        min(outcome.written.exemplars, batch.exemplars),
    )
    samples = written.samples + written.histograms
    if samples == len(batch):
        return Accepted(batch, written.exemplars)
    reason = Reason.UNCONFIRMED if outcome.kind is Kind.ACCEPTED else Reason.REFUSED
    if samples == written.exemplars == 0:
        return Rejected(batch, reason, outcome)
    return PartlyWritten(batch, written, reason, outcome)


_REASONS = {Kind.RETRYABLE: Reason.RETRIES_EXHAUSTED}


class _Budget:
    """Count the extra requests that isolation may still make, so that the last of them have been asked for by then."""

    def __init__(self, requests: int | None) -> None:
        self._left = requests

    def spend(self) -> None:
        if self._left:
            self._left -= 1

    def least_size(self, samples: int) -> int:
        """Return how large parts must be at the least for each of so many samples to be sent once more."""
        if self._left is None:
            return 1
        return -(-samples // self._left) if self._left else samples + 1


def _attempt(
    batch: Batch,
    version: RemoteWriteVersion,
    config: SinkConfig,
    encode: Callable[[Batch, RemoteWriteVersion], bytes],
    draw: Callable[[], float],
    endpoint: Endpoint,
) -> Generator[Step, Outcome | None, tuple[Outcome, RemoteWriteVersion]]:
    """
    Post one batch until something else than "try again" comes back.

    Return it with the version that it answers, which is another one where the receiver did not understand the first.
    """
    fail = config.error_handling.on_max_retry_exceeded is OnErrorBehavior.FAIL
    state = RetryState(config.retry)
    body = encode(batch, version)
    while True:
        outcome = yield Post(body, version, retry=state.retries > 0)
        if outcome is None:
            raise TypeError("a Post step must be answered with an Outcome")
        endpoint.learn(version, outcome)
        if endpoint.misunderstood(version, outcome):
            if config.remote_write_version is V2:
                raise _error(RemoteWriteFatalError, config, outcome, batch, _NO_V2)
            version = V1
            body = encode(batch, version)
            continue
        if outcome.kind is Kind.FATAL:
            raise _error(RemoteWriteFatalError, config, outcome, batch, "cannot work")
        if outcome.kind is not Kind.RETRYABLE:
            return outcome, version
        if fail and not endpoint.reached and state.retries >= FIRST_CONTACT_RETRIES:
            tried = f"never answered in {state.retries + 1} attempts: check the URL, and whether the receiver runs"
            raise _error(RetriesExhaustedError, config, outcome, batch, tried)
        following = state.next()
        if following is None:
            if fail:
                tried = f"failed {state.retries + 1} times in a row, the last time with"
                raise _error(RetriesExhaustedError, config, outcome, batch, tried)
            return outcome, version
        state = following
        yield Wait(state.delay_s(draw(), outcome.retry_after_s), outcome.retry_after_s is not None)


_NO_V2 = (
    "cannot work, because the receiver does not understand Remote-Write 2.0 and the sink was set to V2: set AUTO or V1 "
    "with set_remote_write_version; it answered"
)


def _error(
    kind: type[RemoteWriteError], config: SinkConfig, outcome: Outcome, batch: Batch, what: str
) -> RemoteWriteError:
    url = config.url_without_credentials
    return kind(
        f"Prometheus Remote-Write to {url} {what}: {outcome.message}",
        url=url,
        status=outcome.status,
        body_excerpt=outcome.body_excerpt,
        samples=len(batch),
    )
