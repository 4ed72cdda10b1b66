"""
Decide what to do next with one batch until every sample of it is settled. Pure: it says what, a shard does it.

:func:`deliver` is a generator. It yields steps and is sent the :class:`~pyflink_prometheus.http.outcome.Outcome` of
each :class:`Post`; the other steps need no answer. Nothing of a series is posted before all that came before it is
settled, so order holds across retries and isolation.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Union

from pyflink_prometheus.config import OnErrorBehavior, SinkConfig
from pyflink_prometheus.errors import RemoteWriteError, RemoteWriteFatalError, RetriesExhaustedError
from pyflink_prometheus.http.outcome import Kind, Outcome
from pyflink_prometheus.writer.batch import Batch
from pyflink_prometheus.writer.ledger import Reason
from pyflink_prometheus.writer.retry import RetryState

#: As long as an endpoint has never answered, it may be the URL that is wrong: then so many retries are enough (about
#: ten seconds by default) before the job fails and says so.
FIRST_CONTACT_RETRIES = 10


@dataclass(frozen=True)
class Post:
    """Send this body once and send its outcome back."""

    body: bytes
    retry: bool


@dataclass(frozen=True)
class Wait:
    """Wait before the next step; where the receiver asked for it, every shard of the endpoint does."""

    seconds: float
    asked_by_receiver: bool


@dataclass(frozen=True)
class Accepted:
    """Count these samples as written."""

    batch: Batch


@dataclass(frozen=True)
class Rejected:
    """Count these samples as lost for good, and tell why."""

    batch: Batch
    reason: Reason
    outcome: Outcome


@dataclass(frozen=True)
class Shrink:
    """Make later batches no larger than this: the receiver takes none that are."""

    samples: int


Step = Union[Post, Wait, Accepted, Rejected, Shrink]


def deliver(
    batch: Batch,
    body: bytes,
    *,
    config: SinkConfig,
    encode: Callable[[Batch], bytes],
    draw: Callable[[], float],
    reached_before: bool,
) -> Generator[Step, Outcome | None, None]:
    """
    Yield the steps that settle one batch.

    A refused request is halved until the offenders stand alone, as long as it may (Prometheus keeps nothing of a
    refused 1.0 request, so resending the rest harms nothing). One that is too large is halved until it is not.

    :param body: the encoded batch, made beforehand; parts of it are encoded here when they are needed.
    :param draw: gives a random number from 0 to 1.
    :param reached_before: whether this endpoint has ever answered.
    :raises RemoteWriteFatalError: if no retry can help.
    :raises RetriesExhaustedError: if the retries are used up and the configuration says FAIL.
    """
    extra_requests = config.max_isolation_requests
    parts: list[tuple[Batch, bytes | None]] = [(batch, body)]
    while parts:
        part, part_body = parts.pop()
        outcome = yield from _attempt(
            part, encode(part) if part_body is None else part_body, config, draw, reached_before
        )
        reached_before = True
        if outcome.kind is Kind.ACCEPTED:
            yield Accepted(part)
            continue
        isolate = outcome.kind is Kind.REJECTED and extra_requests >= 2
        if len(part) > 1 and (isolate or outcome.kind is Kind.TOO_LARGE):
            first, second = part.halves()
            parts += [(second, None), (first, None)]
            if isolate:
                extra_requests -= 2
            else:
                yield Shrink(len(second))
        else:
            reason = Reason.RETRIES_EXHAUSTED if outcome.kind is Kind.RETRYABLE else Reason.REFUSED
            yield Rejected(part, reason, outcome)


def _attempt(
    batch: Batch, body: bytes, config: SinkConfig, draw: Callable[[], float], reached: bool
) -> Generator[Step, Outcome | None, Outcome]:
    """Post one body until something else than "try again" comes back."""
    fail = config.error_handling.on_max_retry_exceeded is OnErrorBehavior.FAIL
    state = RetryState(config.retry)
    while True:
        outcome = yield Post(body, retry=state.retries > 0)
        if outcome is None:
            raise TypeError("a Post step must be answered with an Outcome")
        if outcome.kind is Kind.FATAL:
            raise _error(RemoteWriteFatalError, config, outcome, batch, "cannot work")
        if outcome.kind is not Kind.RETRYABLE:
            return outcome
        reached = reached or outcome.status is not None
        if fail and not reached and state.retries >= FIRST_CONTACT_RETRIES:
            tried = f"never answered in {state.retries + 1} attempts: check the URL, and whether the receiver runs"
            raise _error(RetriesExhaustedError, config, outcome, batch, tried)
        following = state.next()
        if following is None:
            if fail:
                tried = f"failed {state.retries + 1} times in a row, the last time with"
                raise _error(RetriesExhaustedError, config, outcome, batch, tried)
            return outcome
        state = following
        yield Wait(state.delay_s(draw(), outcome.retry_after_s), outcome.retry_after_s is not None)


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
