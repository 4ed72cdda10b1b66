"""
Decide what to do next with one batch until every sample of it is settled. Pure: it says what, a shard does it.

:func:`deliver` is a generator. It yields steps and is sent the :class:`~pyflink_prometheus.http.outcome.Outcome` of
each :class:`Post`; the other steps need no response. Nothing of a series is posted before all that came before it is
settled, so order holds across retries, isolation and the change to another version.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from enum import Enum
from typing import NamedTuple, Optional, Union

from pyflink_prometheus.config import OnErrorBehavior, RemoteWriteVersion, SinkConfig
from pyflink_prometheus.errors import RemoteWriteError, RemoteWriteFatalError, RetriesExhaustedError
from pyflink_prometheus.http.outcome import Kind, Outcome, Written
from pyflink_prometheus.writer.batch import Batch
from pyflink_prometheus.writer.endpoint import COUNTED, Endpoint, Refusal, RefusalStyle
from pyflink_prometheus.writer.ledger import Reason
from pyflink_prometheus.writer.retry import RetryState

V1, V2 = RemoteWriteVersion.V1, RemoteWriteVersion.V2

#: As long as an endpoint has never responded, it may be the URL that is wrong: then so many retries (about fifteen
#: seconds by default), or so many seconds, are enough before the job fails and says so.
FIRST_CONTACT_RETRIES = 10
FIRST_CONTACT_S = 60.0

#: So often a request is sent again at the same size when no response came in time.
_TIMEOUTS_AT_ONE_SIZE = 2


@dataclass(frozen=True)
class Post:
    """Send this body once and send its outcome back; ``retries`` says how often it has been sent before."""

    body: bytes
    version: RemoteWriteVersion
    retries: int = 0


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
    """Make later batches no larger than this: the receiver does not take larger ones."""

    samples: int
    outcome: Outcome


Settled = Union[Accepted, Rejected, PartlyWritten]
Step = Union[Post, Wait, Settled, Shrink]


class Finding(Enum):
    """What the response to a request says of its samples."""

    #: What has become of each of them, or of how many.
    SETTLED = "settled"
    #: That some are at fault; not which ones, nor what has become of the others.
    REFUSED = "refused"
    #: That they are too many for one request.
    TOO_LARGE = "too large"
    #: That they were too many for one request to be answered in time.
    TOO_SLOW = "too slow"
    #: Nothing, in all retries.
    GIVEN_UP = "given up"


class Verdict(NamedTuple):
    """
    What one request has led to, retries and a change of version included.

    :param settled: what to count, where the samples are settled.
    :param claims_nothing: whether the receiver says that it has written nothing of it.
    """

    finding: Finding
    outcome: Outcome
    version: RemoteWriteVersion
    settled: Optional[Settled] = None
    claims_nothing: bool = False

    @property
    def style(self) -> RefusalStyle:
        """The kind of refusal that this is, if it is one."""
        return RefusalStyle(self.version, self.version is V2 and self.outcome.written is not None)

    @property
    def is_accepted(self) -> bool:
        """Whether the receiver has taken all of the request."""
        return isinstance(self.settled, Accepted)


Asking = Generator[Step, Optional[Outcome], Verdict]


class Delivery:
    """
    The way of one batch to the receiver.

    :param config: how often to retry, and what becomes of what cannot be written.
    :param encode: encodes a batch; its samples may be in order of time across their series.
    :param draw: gives a random number from 0 to 1.
    :param monotonic: tells seconds that never go back.
    :param endpoint: what is known of the receiver; it learns from the responses.
    """

    def __init__(
        self,
        *,
        config: SinkConfig,
        encode: Callable[[Batch, RemoteWriteVersion], bytes],
        draw: Callable[[], float],
        monotonic: Callable[[], float],
        endpoint: Endpoint,
    ) -> None:
        self.config = config
        self.endpoint = endpoint
        self._encode = encode
        self._draw = draw
        self._monotonic = monotonic
        self._fail = config.error_handling.on_max_retry_exceeded is OnErrorBehavior.FAIL
        self._version = endpoint.next_version(monotonic())
        self._state = RetryState(config.retry)  # of all requests since the last one that was answered otherwise
        self._first_try_at: float | None = None
        self._refused_as_v2: Outcome | None = None  # how samples were refused in 2.0, without a word on what was kept

    def now(self) -> float:
        """Return seconds that never go back."""
        return self._monotonic()

    def ask(self, batch: Batch) -> Asking:
        """
        Post a batch until the receiver says something else than "later".

        :raises RemoteWriteFatalError: if no retry can help.
        :raises RetriesExhaustedError: if the retries are used up and the configuration says FAIL.
        """
        refused: Outcome | None = None  # how it refused this very batch in 2.0, without saying what it kept
        untrusted = False
        timeouts = 0
        while True:
            version = self._version
            outcome = yield from self._post(batch, version)
            timeouts = timeouts + 1 if outcome.timed_out else 0
            if outcome.kind is Kind.RETRYABLE:
                if not (yield from self._back_off(batch, outcome)):
                    return Verdict(Finding.GIVEN_UP, outcome, version)
                if timeouts >= _TIMEOUTS_AT_ONE_SIZE and len(batch) > 1:
                    return Verdict(Finding.TOO_SLOW, outcome, version)
                continue
            self._state, self._first_try_at = RetryState(self.config.retry), None
            if outcome.kind is Kind.FATAL:
                raise self.error(RemoteWriteFatalError, outcome, batch, "cannot work")
            if outcome.kind is Kind.UNSUPPORTED:
                self._version = self._other_version(version, outcome, batch, refused)
                if refused is not None:  # in 2.0, by a receiver that takes nothing else
                    return self._judged(batch, V2, refused)
                refused = outcome
                continue
            if version is V2 and outcome.written is None:
                if outcome.kind is Kind.ACCEPTED:
                    # It has stored nothing ("Required Written Response Headers"), if it is a receiver of 1.0. One of
                    # 2.0 may stand behind something that has responded in its place.
                    if self.endpoint.speaks_v2 and not untrusted:
                        untrusted = True
                        continue
                    self._version = self._without_v2(outcome, batch)
                    continue
                if outcome.kind is Kind.REJECTED and self.endpoint.is_automatic and refused is None:
                    # That of a receiver of 1.0 that cannot read it, or of one of 2.0 that has not looked at a sample.
                    refused, self._version = outcome, V1
                    self._refused_as_v2 = outcome
                    continue
            if outcome.kind is Kind.ACCEPTED and self._refused_as_v2 is not None:
                self._learn_from_v1(self._refused_as_v2, is_same_batch=refused is not None)
            return self._judged(batch, version, outcome)

    def ask_with_nothing(self, batch: Batch, refusal: Outcome) -> Generator[Step, Optional[Outcome], None]:
        """
        Find out by a request without samples whether an endpoint that has never accepted any is a receiver at all.

        Prometheus, VictoriaMetrics and others accept one, and whatever refuses it cannot refuse it for its samples.

        :param batch: what it has refused.
        :raises RemoteWriteFatalError: if it refuses that as well.
        """
        outcome = yield from self._post(Batch(), self._version)
        if outcome.kind is Kind.ACCEPTED:
            self.endpoint.is_receiver = True
        elif outcome.kind is not Kind.RETRYABLE:
            raise self.error(RemoteWriteFatalError, refusal, batch, _NO_RECEIVER)

    def error(self, kind: type[RemoteWriteError], outcome: Outcome, batch: Batch, what: str) -> RemoteWriteError:
        """Return what fails the job."""
        url = self.config.url_without_credentials
        return kind(
            f"Prometheus Remote-Write to {url} {what}: {outcome.message}",
            url=url,
            status=outcome.status,
            body_excerpt=outcome.body_excerpt,
            samples=len(batch),
        )

    def _post(self, batch: Batch, version: RemoteWriteVersion) -> Generator[Step, Optional[Outcome], Outcome]:
        if self._first_try_at is None:
            self._first_try_at = self.now()
        outcome = yield Post(self._encode(batch, version), version, self._state.retries)
        if outcome is None:
            raise TypeError("a Post step must be answered with an Outcome")
        self.endpoint.learn(version, outcome)
        return outcome

    def _back_off(self, batch: Batch, outcome: Outcome) -> Generator[Step, Optional[Outcome], bool]:
        """Wait before the next retry; return whether there is one."""
        state, fail = self._state, self._fail
        waited_s = 0.0 if self._first_try_at is None else self.now() - self._first_try_at
        is_enough = state.retries >= FIRST_CONTACT_RETRIES or waited_s >= FIRST_CONTACT_S
        if fail and not self.endpoint.reached and is_enough:
            what = f"never responded in {state.retries + 1} attempts: check the URL, and whether the receiver runs"
            raise self.error(RetriesExhaustedError, outcome, batch, what)
        following, exhausted = state.next(), "max_retry_count"
        delay_s = 0.0 if following is None else following.delay_s(self._draw(), outcome.retry_after_s)
        if waited_s + delay_s > self.config.retry.max_retry_duration_ms / 1000:
            following, exhausted = None, "max_retry_duration_ms"
        if following is None:
            if not fail:
                return False
            times = f"{state.retries + 1} times in {waited_s:.0f} s"
            what = f"failed {times}, all that {exhausted} allows; the last time with"
            raise self.error(RetriesExhaustedError, outcome, batch, what)
        self._state = following
        yield Wait(delay_s, outcome.retry_after_s is not None)
        return True

    def _other_version(
        self, version: RemoteWriteVersion, outcome: Outcome, batch: Batch, refused: Outcome | None
    ) -> RemoteWriteVersion:
        """Return the version to send a batch in that was answered with 415."""
        if not self.endpoint.is_automatic:
            raise self.error(RemoteWriteFatalError, outcome, batch, _NOT_SPOKEN[version])
        if refused is not None and refused.kind is Kind.UNSUPPORTED:
            raise self.error(RemoteWriteFatalError, outcome, batch, _NEITHER_VERSION)
        other = V1 if version is V2 else V2
        self.endpoint.prefer(other, f"it responded with {outcome.message}", self.now())
        return other

    def _without_v2(self, outcome: Outcome, batch: Batch) -> RemoteWriteVersion:
        """Return the version to send a batch in that was accepted as 2.0 without any count."""
        if not self.endpoint.is_automatic:
            raise self.error(RemoteWriteFatalError, outcome, batch, _NOT_SPOKEN[V2])
        self.endpoint.prefer(V1, f"it responded with {outcome.message} and did not say what it wrote", self.now())
        return V1

    def _learn_from_v1(self, refused_as_v2: Outcome, *, is_same_batch: bool) -> None:
        """Remember that 1.0 was accepted after 2.0 was refused: of the same samples, or of a part of them."""
        if is_same_batch or not self.endpoint.speaks_v2:
            self.endpoint.prefer(V1, f"it refused 2.0 with {refused_as_v2.message}, and accepted 1.0", self.now())

    def _judged(self, batch: Batch, version: RemoteWriteVersion, outcome: Outcome) -> Verdict:
        """Return what a response that is neither "later" nor "not like this" says of a batch."""
        if outcome.kind is Kind.TOO_LARGE:
            if len(batch) == 1:
                return _settled(Rejected(batch, Reason.REFUSED, outcome), outcome, version)
            return Verdict(Finding.TOO_LARGE, outcome, version)
        if version is V1 or outcome.written is None:
            if outcome.kind is Kind.ACCEPTED:
                return _settled(Accepted(batch, batch.exemplars), outcome, version)
            return Verdict(Finding.REFUSED, outcome, version)
        return self._counted(batch, outcome, outcome.written)

    def _counted(self, batch: Batch, outcome: Outcome, claimed: Written) -> Verdict:
        """Return what the counts of a response to a 2.0 request say, as far as they can be believed."""
        histograms = batch.histograms
        written = Written(
            min(claimed.samples, len(batch) - histograms),
            min(claimed.histograms, histograms),
            min(claimed.exemplars, batch.exemplars),
        )
        samples = written.samples + written.histograms
        if outcome.kind is Kind.ACCEPTED:
            return _settled(_partly(batch, written, Reason.UNCONFIRMED, outcome), outcome, V2)
        is_exact = self.endpoint.counts_are_exact
        if samples == len(batch) and (written.exemplars == batch.exemplars or not is_exact):
            # A refusal that claims all contradicts itself: such a receiver counts what it got, not what it wrote. One
            # that lacks only exemplars does not: Prometheus refuses a request for these as well.
            self.endpoint.note_claim_of_all()
        elif (samples or written.exemplars) and is_exact:
            self.endpoint.note_refusal(COUNTED, Refusal.COUNTS)
            return _settled(_partly(batch, written, Reason.REFUSED, outcome), outcome, V2)
        elif samples == 0 and (len(batch) == 1 or self.endpoint.refusal(COUNTED) is Refusal.COUNTS):
            step = _partly(batch, written, Reason.REFUSED, outcome)
            return Verdict(Finding.SETTLED, outcome, V2, step, claims_nothing=True)
        return Verdict(Finding.REFUSED, outcome, V2, claims_nothing=samples == 0)


def _settled(step: Settled, outcome: Outcome, version: RemoteWriteVersion) -> Verdict:
    return Verdict(Finding.SETTLED, outcome, version, step)


def _partly(batch: Batch, written: Written, reason: Reason, outcome: Outcome) -> Settled:
    samples = written.samples + written.histograms
    if samples == len(batch):
        return Accepted(batch, written.exemplars)
    counted = replace(outcome, message=f"the receiver wrote {samples} of {len(batch)} samples ({outcome.message})")
    if samples == written.exemplars == 0:
        return Rejected(batch, reason, outcome if reason is Reason.REFUSED else counted)
    return PartlyWritten(batch, written, reason, counted)


_NOT_SPOKEN = {
    V2: "cannot work, because the receiver does not understand Remote-Write 2.0 and the sink was set to V2: set AUTO "
    "or V1 with set_remote_write_version; it responded with",
    V1: "cannot work, because the receiver does not take Remote-Write 1.0 and the sink was set to V1: set AUTO or V2 "
    "with set_remote_write_version; it responded with",
}
_NEITHER_VERSION = (
    "cannot work, because the endpoint takes neither version of Remote-Write: check the URL's path; it responded with"
)
_NO_RECEIVER = (
    "cannot work, because the endpoint has never taken a sample and refuses even a request without any, so it is not a "
    "Remote-Write receiver: check the URL's path, and whether it must begin with https://; it responded with"
)
