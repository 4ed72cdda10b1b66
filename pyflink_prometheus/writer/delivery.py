"""
The delivery of one batch, step by step, until every sample of it is settled. Pure: a shard carries the steps out.

:func:`~pyflink_prometheus.writer.isolation.deliver` is a generator. It yields steps and is sent the
:class:`~pyflink_prometheus.http.outcome.Outcome` of each :class:`Post`; for the other steps it is sent ``None``. No
sample of a series is posted before all earlier ones are settled, so order holds across retries, isolation and version
changes.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from enum import Enum
from typing import NamedTuple

from pyflink_prometheus.config import OnErrorBehavior, RemoteWriteVersion, SinkConfig
from pyflink_prometheus.errors import RemoteWriteError, RemoteWriteFatalError, RetriesExhaustedError
from pyflink_prometheus.http.outcome import Kind, Outcome, Written
from pyflink_prometheus.wire.series import Tenant
from pyflink_prometheus.writer.batch import Batch
from pyflink_prometheus.writer.endpoint import (
    COUNTED,
    Endpoint,
    Refusal,
    RefusalStyle,
)
from pyflink_prometheus.writer.ledger import RejectionReason
from pyflink_prometheus.writer.retry import RetryState

V1, V2 = RemoteWriteVersion.V1, RemoteWriteVersion.V2

#: The job fails after this many retries (about fifteen seconds by default), or after this many seconds, if the endpoint
#: has never responded, because the URL may be wrong.
FIRST_CONTACT_RETRIES = 10
FIRST_CONTACT_S = 60.0

#: After this many timeouts in a row a request is resent in smaller parts.
_TIMEOUTS_AT_ONE_SIZE = 2


@dataclass(frozen=True)
class Post:
    """A step: send this body once and return the outcome; ``retries`` is how often it has been retried so far."""

    body: bytes
    version: RemoteWriteVersion
    retries: int = 0


@dataclass(frozen=True)
class Wait:
    """A step: wait; if the receiver asked for the wait, all shards of the endpoint hold back the tenant's requests."""

    seconds: float
    asked_by_receiver: bool


@dataclass(frozen=True)
class Reserve:
    """A step: wait until a request of this many samples and bytes may be sent within the user's limits."""

    samples: int
    size_in_bytes: int


@dataclass(frozen=True)
class Accepted:
    """A step: count these samples as written, with this many of their exemplars."""

    batch: Batch
    exemplars: int


@dataclass(frozen=True)
class Rejected:
    """A step: count these samples as rejected and report the reason."""

    batch: Batch
    reason: RejectionReason
    outcome: Outcome


@dataclass(frozen=True)
class PartlyWritten:
    """A step: count as many samples written as the receiver reports, and the rest rejected; which ones is unknown."""

    batch: Batch
    written: Written
    reason: RejectionReason
    outcome: Outcome


@dataclass(frozen=True)
class Shrink:
    """A step: limit later batches to this size, because the receiver does not accept larger ones."""

    samples: int
    outcome: Outcome


Settled = Accepted | Rejected | PartlyWritten
Step = Reserve | Post | Wait | Settled | Shrink


class Finding(Enum):
    """What the response to a request says about its samples."""

    #: Each sample, or a known number of them, is written or rejected.
    SETTLED = "settled"
    #: Some are at fault. It is not known which ones, nor whether the others are written.
    REFUSED = "refused"
    #: There are too many for one request.
    TOO_LARGE = "too large"
    #: There are too many for one request to be processed before it times out.
    TOO_SLOW = "too slow"
    #: Nothing: all retries have failed.
    GIVEN_UP = "given up"


class Verdict(NamedTuple):
    """
    The result of one request, including its retries and a change of version.

    :param settled: the step that counts the samples; ``None`` unless they are settled.
    :param claims_nothing: whether the receiver says that it has written nothing of the request.
    """

    finding: Finding
    outcome: Outcome
    version: RemoteWriteVersion
    settled: Settled | None = None
    claims_nothing: bool = False

    @property
    def style(self) -> RefusalStyle:
        """The style of the refusal, if it is one."""
        return RefusalStyle(self.version, self.version is V2 and self.outcome.written is not None)

    @property
    def is_accepted(self) -> bool:
        """Whether the receiver has accepted the whole request."""
        return isinstance(self.settled, Accepted)


Sending = Generator[Step, Outcome | None, Verdict]


class Delivery:
    """
    The delivery of one batch, in one or more requests.

    :param config: the writer's settings, for retries and error handling.
    :param encode: encodes a batch, whose samples may be sorted by time across series.
    :param draw: returns a random number from 0 to 1.
    :param monotonic: returns the time of a monotonic clock in seconds.
    :param endpoint: what is known about the receiver; updated with each response.
    :param tenant: the tenant of the samples.
    """

    def __init__(
        self,
        *,
        config: SinkConfig,
        encode: Callable[[Batch, RemoteWriteVersion], bytes],
        draw: Callable[[], float],
        monotonic: Callable[[], float],
        endpoint: Endpoint,
        tenant: Tenant = (),
    ) -> None:
        self.config = config
        self.endpoint = endpoint
        self._tenant = tenant
        self._accepted_before: int | None = None  # by others, when one of this tenant was first refused
        self._encode = encode
        self._draw = draw
        self._monotonic = monotonic
        self._has_quota = config.sending_limits.limit_rates
        self._fail = config.error_handling.on_max_retry_exceeded is OnErrorBehavior.FAIL
        self._version = endpoint.next_version(monotonic())
        self._state = RetryState(config.retry)  # of all requests since the last response that was not retryable
        self._first_attempt_at: float | None = None
        self._refused_as_v2: Outcome | None = None  # the refusal of a 2.0 request without Written headers

    def now(self) -> float:
        """Return the time of the monotonic clock in seconds."""
        return self._monotonic()

    def send(self, batch: Batch) -> Sending:  # noqa: C901, PLR0912  (one case for each kind of response)
        """
        Post a batch, with retries, until the response is final.

        :raises RemoteWriteFatalError: if no retry can help.
        :raises RetriesExhaustedError: if the retries are exhausted and the configuration says FAIL.
        """
        refused: Outcome | None = None  # the refusal of this batch in 2.0, without Written headers
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
            if outcome.kind is Kind.FATAL and not self._is_unwelcome(outcome):
                if (yield from self._wait_for_others(batch, outcome)):
                    continue
                raise self.error(RemoteWriteFatalError, outcome, batch, "cannot work")
            self._state, self._first_attempt_at = RetryState(self.config.retry), None
            if outcome.kind is Kind.FATAL:
                return _settled(Rejected(batch, RejectionReason.REFUSED, outcome), outcome, version)
            if outcome.kind is Kind.UNSUPPORTED:
                self._version = self._other_version(version, outcome, batch, refused)
                if refused is not None:  # in 2.0, by a receiver that supports only 2.0
                    return self._judged(batch, V2, refused)
                refused = outcome
                continue
            if version is V2 and outcome.written is None:
                if outcome.kind is Kind.ACCEPTED:
                    # A 1.0 receiver has stored nothing ("Required Written Response Headers"). In front of a 2.0
                    # receiver, something else may have responded in its place.
                    if self.endpoint.speaks_v2 and not untrusted:
                        untrusted = True
                        continue
                    self._version = self._without_v2(outcome, batch)
                    continue
                if outcome.kind is Kind.REFUSED and self.endpoint.is_automatic and refused is None:
                    # Either a 1.0 receiver cannot parse it, or a 2.0 receiver has not looked at any sample.
                    refused, self._version = outcome, V1
                    self._refused_as_v2 = outcome
                    continue
            if outcome.kind is Kind.ACCEPTED and self._refused_as_v2 is not None:
                self._learn_from_v1(self._refused_as_v2, is_same_batch=refused is not None)
            return self._judged(batch, version, outcome)

    def send_empty(self, batch: Batch, refusal: Outcome) -> Generator[Step, Outcome | None, None]:
        """
        Send a request without samples, to find out whether an endpoint that has accepted nothing so far is a receiver.

        Prometheus, VictoriaMetrics and others accept an empty request, and a refusal cannot be due to its samples.

        :param batch: the batch that was refused.
        :param refusal: the response to it.
        :raises RemoteWriteFatalError: if the empty request is also refused.
        """
        outcome = yield from self._post(Batch.empty(), self._version)
        while outcome.kind not in (Kind.ACCEPTED, Kind.RETRYABLE) and not self._is_unwelcome(outcome):
            if not (yield from self._wait_for_others(batch, refusal)):
                raise self.error(RemoteWriteFatalError, refusal, batch, _NO_RECEIVER)
            outcome = yield from self._post(Batch.empty(), self._version)
        self._first_attempt_at = None  # the next request has its full time for retries
        if outcome.kind is Kind.ACCEPTED:
            self.endpoint.is_receiver = True

    def error(self, kind: type[RemoteWriteError], outcome: Outcome, batch: Batch, what: str) -> RemoteWriteError:
        """Return the exception that fails the job."""
        url = self.config.url_without_credentials
        return kind(
            f"Prometheus Remote-Write to {url} {what}: {outcome.message}",
            url=url,
            status=outcome.status,
            body_excerpt=outcome.body_excerpt,
            samples=len(batch),
        )

    def _post(self, batch: Batch, version: RemoteWriteVersion) -> Generator[Step, Outcome | None, Outcome]:
        body = self._encode(batch, version)
        if self._has_quota:
            yield from self._reserve(len(batch), len(body))
        if self._first_attempt_at is None:
            self._first_attempt_at = self.now()
        outcome = yield Post(body, version, self._state.retries)
        if outcome is None:
            raise TypeError("expected an Outcome for a Post step, got None")
        self.endpoint.learn(version, outcome, self._tenant)
        return outcome

    def _reserve(self, samples: int, size_in_bytes: int) -> Generator[Step, Outcome | None, None]:
        """Wait for the user's own limits; the wait does not count towards the time for retries."""
        began = self.now()
        yield Reserve(samples, size_in_bytes)
        if self._first_attempt_at is not None:
            self._first_attempt_at += self.now() - began

    def _is_unwelcome(self, outcome: Outcome) -> bool:
        """
        Return whether the receiver refuses all requests of this tenant, but not those of others.

        It does if it has accepted a request of another tenant after it refused the first one of this tenant.
        """
        if not self._tenant or outcome.status is None:
            return False
        others = self.endpoint.latest_accepted_of_others(self._tenant)
        if self._accepted_before is None:
            self._accepted_before = others
        elif others > self._accepted_before:
            self.endpoint.note_unwelcome(self._tenant)
        return self.endpoint.is_unwelcome(self._tenant)

    def _wait_for_others(self, batch: Batch, outcome: Outcome) -> Generator[Step, Outcome | None, bool]:
        """Wait before resending a refused request; return whether it may be refused only because of its tenant."""
        retries = min(FIRST_CONTACT_RETRIES, self.config.retry.max_retry_count)
        if not self._tenant or outcome.status is None or self._state.retries >= retries:
            return False
        return (yield from self._back_off(batch, outcome))

    def _back_off(self, batch: Batch, outcome: Outcome) -> Generator[Step, Outcome | None, bool]:
        """Wait before the next retry; return whether there is one left."""
        state, fail = self._state, self._fail
        waited_s = 0.0 if self._first_attempt_at is None else self.now() - self._first_attempt_at
        is_enough = state.retries >= FIRST_CONTACT_RETRIES or waited_s >= FIRST_CONTACT_S
        if fail and not self.endpoint.reached and is_enough:
            times = f"{state.retries + 1} attempts"
            what = f"got no response in {times}: check the URL, and that the receiver is running"
            what = f"could not be signed in {times}" if outcome.unsigned else what
            raise self.error(RetriesExhaustedError, outcome, batch, what)
        following, exhausted = state.next(), "max_retry_count"
        delay_s = 0.0 if following is None else following.delay_s(self._draw(), outcome.retry_after_s)
        if waited_s + delay_s > self.config.retry.max_retry_duration_ms / 1000:
            following, exhausted = None, "max_retry_duration_ms"
        if following is None:
            if not fail:
                return False
            times = f"{state.retries + 1} times in {waited_s:.0f} s"
            what = f"failed {times}, the limit of {exhausted}; the last failure was"
            raise self.error(RetriesExhaustedError, outcome, batch, what)
        self._state = following
        yield Wait(delay_s, outcome.retry_after_s is not None)
        return True

    def _other_version(
        self, version: RemoteWriteVersion, outcome: Outcome, batch: Batch, refused: Outcome | None
    ) -> RemoteWriteVersion:
        """Return the version in which to resend a batch that got a 415 response."""
        if not self.endpoint.is_automatic:
            raise self.error(RemoteWriteFatalError, outcome, batch, _NOT_SPOKEN[version])
        if refused is not None and refused.kind is Kind.UNSUPPORTED:
            raise self.error(RemoteWriteFatalError, outcome, batch, _NEITHER_VERSION)
        other = V1 if version is V2 else V2
        self.endpoint.prefer(other, f"it responded with {outcome.message}", self.now())
        return other

    def _without_v2(self, outcome: Outcome, batch: Batch) -> RemoteWriteVersion:
        """Return the version in which to resend a batch that was accepted as 2.0 without Written headers."""
        if not self.endpoint.is_automatic:
            raise self.error(RemoteWriteFatalError, outcome, batch, _NOT_SPOKEN[V2])
        self.endpoint.prefer(V1, f"it responded with {outcome.message} and did not say what it wrote", self.now())
        return V1

    def _learn_from_v1(self, refused_as_v2: Outcome, *, is_same_batch: bool) -> None:
        """Record that 1.0 was accepted after 2.0 had been refused, for the same samples or for a part of them."""
        if is_same_batch or not self.endpoint.speaks_v2:
            self.endpoint.prefer(V1, f"it refused 2.0 with {refused_as_v2.message}, and accepted 1.0", self.now())

    def _judged(self, batch: Batch, version: RemoteWriteVersion, outcome: Outcome) -> Verdict:
        """Return the verdict on a response that asks neither for a retry nor for another version."""
        if outcome.kind is Kind.TOO_LARGE:
            if len(batch) == 1:
                return _settled(Rejected(batch, RejectionReason.REFUSED, outcome), outcome, version)
            return Verdict(Finding.TOO_LARGE, outcome, version)
        if version is V1 or outcome.written is None:
            if outcome.kind is Kind.ACCEPTED:
                return _settled(Accepted(batch, batch.exemplars), outcome, version)
            return Verdict(Finding.REFUSED, outcome, version)
        return self._counted(batch, outcome, outcome.written)

    def _counted(self, batch: Batch, outcome: Outcome, claimed: Written) -> Verdict:
        """Return the verdict on a response with counts to a 2.0 request, using the counts where they are reliable."""
        histograms = batch.histograms
        written = Written(
            min(claimed.samples, len(batch) - histograms),
            min(claimed.histograms, histograms),
            min(claimed.exemplars, batch.exemplars),
        )
        samples = written.samples + written.histograms
        if outcome.kind is Kind.ACCEPTED:
            return _settled(_partly(batch, written, RejectionReason.UNCONFIRMED, outcome), outcome, V2)
        is_exact = self.endpoint.counts_are_exact
        if samples == len(batch) and (written.exemplars == batch.exemplars or not is_exact):
            # A refusal that claims everything contradicts itself: the receiver counts what it got, not what it wrote.
            # One that lacks only exemplars does not: Prometheus also refuses a request because of its exemplars.
            self.endpoint.note_claim_of_all()
        elif (samples or written.exemplars) and is_exact:
            self.endpoint.note_refusal(COUNTED, Refusal.COUNTS)
            return _settled(_partly(batch, written, RejectionReason.REFUSED, outcome), outcome, V2)
        elif samples == 0 and (len(batch) == 1 or self.endpoint.refusal(COUNTED) is Refusal.COUNTS):
            step = _partly(batch, written, RejectionReason.REFUSED, outcome)
            return Verdict(Finding.SETTLED, outcome, V2, step, claims_nothing=True)
        return Verdict(Finding.REFUSED, outcome, V2, claims_nothing=samples == 0)


def _settled(step: Settled, outcome: Outcome, version: RemoteWriteVersion) -> Verdict:
    return Verdict(Finding.SETTLED, outcome, version, step)


def _partly(batch: Batch, written: Written, reason: RejectionReason, outcome: Outcome) -> Settled:
    samples = written.samples + written.histograms
    if samples == len(batch):
        return Accepted(batch, written.exemplars)
    counted = replace(outcome, message=f"the receiver wrote {samples} of {len(batch)} samples ({outcome.message})")
    if samples == written.exemplars == 0:
        return Rejected(batch, reason, outcome if reason is RejectionReason.REFUSED else counted)
    return PartlyWritten(batch, written, reason, counted)


_NOT_SPOKEN = {
    V2: "cannot work, because the receiver does not support Remote-Write 2.0 and the sink is set to V2: set AUTO or V1 "
    "with set_remote_write_version; it responded with",
    V1: "cannot work, because the receiver does not support Remote-Write 1.0 and the sink is set to V1: set AUTO or V2 "
    "with set_remote_write_version; it responded with",
}
_NEITHER_VERSION = (
    "cannot work, because the endpoint supports neither version of Remote-Write: check the URL's path; it responded "
    "with"
)
_NO_RECEIVER = (
    "cannot work, because the endpoint has never accepted a sample and refuses even an empty request, so it is not a "
    "Remote-Write receiver: check the path of the URL, and whether the URL must begin with https://; it responded with"
)
