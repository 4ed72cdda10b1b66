"""
Isolation of the samples at fault in a request that was refused without saying which. Pure, like the delivery.

The samples are resent in parts, oldest first. A part is halved when it is refused, until each offender is alone, and
doubled when it is accepted. A few offenders cost about two log2(batch) requests each.

This assumes that the receiver has kept nothing, as Prometheus does in 1.0. Others (Mimir, Cortex, Thanos) keep the good
samples without saying so. Resending does no harm, but the receiver then refuses all samples of a series except the
newest, and they would all seem to be at fault. So, once :data:`SUSPICIOUS` samples in a row have been refused, each
alone, while newer ones of their series were in the same request, a few samples of each moment are sent as a check. If
one is accepted, everything is resent: the receiver keeps nothing, or has exactly that sample as the newest of its
series. If none is accepted, the samples count as UNCONFIRMED, and only the newest sample of each series is resent: if
it is good, it is accepted, whatever the receiver has kept. If most of them are accepted, the receiver keeps good
samples, and the next refused request is checked at once. If not, these were samples that it did not want, such as
samples of a replay.

If a receiver says that it has written nothing, in counts that are not confirmed yet, the check is the same, but samples
that it does not accept count as REFUSED, and nothing is resent.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Generator, Iterable, Sequence
from dataclasses import replace

from pyflink_prometheus.http.outcome import Kind, Outcome
from pyflink_prometheus.writer.batch import Batch
from pyflink_prometheus.writer.delivery import (
    Delivery,
    Finding,
    Rejected,
    Shrink,
    Step,
    Verdict,
)
from pyflink_prometheus.writer.endpoint import Refusal
from pyflink_prometheus.writer.ledger import RejectionReason

#: This many samples in a row, each refused alone, raise the suspicion that the receiver has kept them; the second
#: number applies if it has shown before that it keeps nothing of a refused request.
SUSPICIOUS, SUSPICIOUS_ALL_THE_SAME = 32, 256

#: How many samples of each moment a check resends: on suspicion, and if the receiver is known to keep good samples.
_CHECKS_ON_SUSPICION, _CHECKS = 4, 2

#: How many of the latest samples of each moment a check on suspicion includes.
_LATEST_CHECKED = 3

#: If a receiver says that it has written nothing, at least this many samples are resent before the others count as
#: refused.
_LEAST_CHECKS_OF_A_CLAIM = 16

Steps = Generator[Step, Outcome | None, None]


def deliver(batch: Batch, delivery: Delivery) -> Steps:
    """
    Yield the steps that settle one batch, which is small enough for one request.

    :raises RemoteWriteFatalError: if no retry can help.
    :raises RetriesExhaustedError: if the retries are exhausted and the configuration says FAIL.
    """
    rest = batch
    while len(rest):
        part, size = rest, delivery.endpoint.size_in_time(delivery.now())
        if size is None or size >= len(rest):
            rest = Batch.empty()
        else:
            rest = batch.by_time() if rest is batch else rest
            part, rest = rest.part(0, size), rest.part(size, len(rest))
        verdict = yield from delivery.send(part)
        if verdict.settled is not None:
            yield verdict.settled
        else:
            yield from Isolation(part, verdict, delivery).steps()


class Isolation:
    """
    The settling of samples that one request has not settled.

    :param batch: the samples.
    :param verdict: the result of the request with all of them.
    :param delivery: sends requests to the receiver.
    """

    def __init__(self, batch: Batch, verdict: Verdict, delivery: Delivery) -> None:
        self._batch = batch.by_time()
        self._open = list(range(len(batch)))  # the places in the batch that are not settled yet
        self._first = verdict
        self._delivery = delivery
        self._endpoint = delivery.endpoint
        self._budget = _Budget(delivery.config.max_isolation_requests)
        self._is_refused = verdict.finding is Finding.REFUSED
        self._series = self._batch.series.tolist()
        self._has_newer = _has_newer(self._series) if self._is_refused else []
        self._accepted = self._refused = self._refused_in_a_row = self._largest_accepted = 0
        self._too_large: Outcome | None = None
        self._after_check: tuple[int, int] | None = None  # samples left after a check, and accepted by then
        self._taken: set[int] = set()  # the series of which a sample was accepted

    def steps(self) -> Steps:  # noqa: C901, PLR0912  (one case for each finding)
        """Yield the steps that settle the samples."""
        if self._is_refused and not self._endpoint.is_receiver:
            yield from self._delivery.send_empty(self._batch, self._first.outcome)
        verdict, places = self._first, list(self._open)
        size = largest = len(places)
        while True:
            if verdict.settled is not None:
                yield from self._settle(places, verdict)
                if verdict.outcome.kind is Kind.TOO_LARGE:  # one sample is too large: others may be sent together
                    self._too_large, largest = None, len(self._batch)
                size = min(2 * size, largest) if verdict.is_accepted else size
            elif verdict.finding is Finding.GIVEN_UP:
                yield self._reject(self._open, RejectionReason.RETRIES_EXHAUSTED, verdict.outcome)
            elif verdict.finding is Finding.TOO_LARGE:
                size = largest = len(places) // 2
                self._too_large = verdict.outcome
            elif verdict.finding is Finding.TOO_SLOW:
                size = largest = len(places) // 2
                self._endpoint.note_size_in_time(size, self._delivery.now())
            elif not self._is_refused:  # a part of a request that was too large or too slow
                yield from Isolation(self._batch.pick(places), verdict, self._delivery).steps()
                self._close(places)
            elif (smaller := max(len(places) // 2, self._budget.least_size(len(self._open)))) < len(places):
                size = smaller
            else:
                yield self._reject(places, RejectionReason.REFUSED, verdict.outcome)
            if self._should_check(verdict):
                size = largest if (yield from self._check(verdict)) else 1
            if not self._open:
                break
            places = self._open[:size]
            self._budget.spend()
            verdict = yield from self._delivery.send(self._batch.pick(places))
        self._learn_from_check()
        if self._too_large is not None and self._largest_accepted:
            yield Shrink(self._largest_accepted, self._too_large)
        elif self._is_refused and self._endpoint.refused_only_whole(not self._refused):
            yield Shrink(self._largest_accepted, self._first.outcome)

    def _settle(self, places: Sequence[int], verdict: Verdict) -> Steps:
        """Settle samples by the verdict on a response."""
        if verdict.settled is None:
            return
        yield verdict.settled
        if verdict.is_accepted:
            self._accepted += len(places)
            self._refused_in_a_row = 0
            self._largest_accepted = max(self._largest_accepted, len(places))
            self._note_accepted(places)
        else:
            self._refused += len(places)
            self._refused_in_a_row += len(places)
        self._close(places)

    def _note_accepted(self, places: Sequence[int]) -> None:
        """
        Remember that the receiver keeps nothing, once it has accepted two samples of a series.

        Had it kept the samples that it refused, it would accept only the newest one of each series again.
        """
        series = [self._series[place] for place in places]
        if self._is_refused and not (len(set(series)) == len(series) and self._taken.isdisjoint(series)):
            self._endpoint.note_refusal(self._first.style, Refusal.KEEPS_NOTHING)
        self._taken.update(series)

    def _reject(self, places: Sequence[int], reason: RejectionReason, outcome: Outcome) -> Rejected:
        """Settle samples as rejected."""
        self._refused += len(places)
        self._refused_in_a_row += len(places)
        rejected = Rejected(self._batch.pick(places), reason, outcome)
        self._close(places)
        return rejected

    def _close(self, places: Sequence[int]) -> None:
        if self._open[: len(places)] == places:  # the usual case, fast
            del self._open[: len(places)]
        else:
            closed = set(places)
            self._open = [place for place in self._open if place not in closed]

    def _should_check(self, verdict: Verdict) -> bool:
        """Return whether the receiver may be refusing samples because it has kept them already."""
        if not self._is_refused or not self._budget.is_unlimited or verdict.finding is Finding.GIVEN_UP:
            return False
        if not (verdict.claims_nothing or any(self._has_newer[place] for place in self._open)):
            return False
        known = self._endpoint.refusal(self._first.style)
        if known is Refusal.KEEPS_GOOD:
            return verdict.finding is Finding.REFUSED
        return self._refused_in_a_row >= (SUSPICIOUS if known is Refusal.UNKNOWN else SUSPICIOUS_ALL_THE_SAME)

    def _check(self, verdict: Verdict) -> Generator[Step, Outcome | None, bool]:
        """
        Resend a few samples of each moment; if none is accepted, settle the others without resending them.

        The first moment is the oldest sample of each series, the next one is the second of each, and so on, so that no
        sample is sent after a newer one of its series. If the receiver says that it has written nothing, it is
        believed. Otherwise it is not known what it has kept, and the newest sample of each series remains to be resent.

        :return: whether everything has been checked; false once a sample is accepted or given up.
        """
        believed = verdict.claims_nothing
        known = self._endpoint.refusal(self._first.style)
        places = [place for place in self._open if believed or self._has_newer[place]]
        moments = _moments(self._series, places)
        checks = _CHECKS if known is Refusal.KEEPS_GOOD else _CHECKS_ON_SUSPICION
        reason, outcome = RejectionReason.UNCONFIRMED, _unconfirmed(self._first.outcome)
        if believed:
            checks = max(checks, -(-_LEAST_CHECKS_OF_A_CLAIM // max(1, len(moments))))
            reason, outcome = RejectionReason.REFUSED, self._first.outcome
        for moment in moments:
            resent = _spread(moment, checks)
            if known is not Refusal.KEEPS_GOOD:  # the latest may be the first that are not too old
                resent = sorted({*resent, *moment[-_LATEST_CHECKED:]})
            for place in resent:
                check = yield from self._delivery.send(self._batch.pick([place]))
                if check.is_accepted:
                    yield from self._settle([place], check)
                    return False
                if check.finding is Finding.GIVEN_UP:
                    yield self._reject(self._open, RejectionReason.RETRIES_EXHAUSTED, check.outcome)
                    return False
                if known is Refusal.KEEPS_GOOD:  # it refuses samples that it already has
                    yield self._reject([place], reason, outcome)
                else:
                    yield self._reject([place], RejectionReason.REFUSED, check.outcome)
            if others := sorted(set(moment).difference(resent)):
                yield self._reject(others, reason, outcome)
        self._refused_in_a_row = 0
        if known is Refusal.UNKNOWN and not believed:
            self._after_check = (len(self._open), self._accepted)
        return True

    def _learn_from_check(self) -> None:
        """Remember that the receiver keeps the good samples, if it has accepted most of the newest ones again."""
        if self._after_check is not None:
            left, accepted = self._after_check
            if 2 * (self._accepted - accepted) > left:
                self._endpoint.note_refusal(self._first.style, Refusal.KEEPS_GOOD)


class _Budget:
    """The extra requests that isolation may still make; parts are sized so that every sample gets into one of them."""

    def __init__(self, requests: int | None) -> None:
        self._left = requests
        self.is_unlimited = requests is None

    def spend(self) -> None:
        if self._left:
            self._left -= 1

    def least_size(self, samples: int) -> int:
        """Return the smallest size of parts for which the budget covers this many samples."""
        if self._left is None:
            return 1
        return -(-samples // self._left) if self._left else samples + 1


def _has_newer(series: Sequence[int]) -> list[bool]:
    """Return for the series of each sample, sorted by time, whether it has a later sample."""
    later: set[int] = set()
    result = []
    for each in reversed(series):
        result.append(each in later)
        later.add(each)
    return result[::-1]


def _moments(series: Sequence[int], places: Iterable[int]) -> list[list[int]]:
    """Group places by moment: the first place of each series, then the second of each, and so on."""
    seen: defaultdict[int, int] = defaultdict(int)
    moments: list[list[int]] = []
    for place in places:
        number = seen[series[place]]
        seen[series[place]] = number + 1
        if number == len(moments):
            moments.append([])
        moments[number].append(place)
    return moments


def _spread(places: Sequence[int], count: int) -> list[int]:
    """Return ``count`` of the places, evenly spread, including the last one."""
    if len(places) <= count:
        return list(places)
    return [places[len(places) - 1 - number * len(places) // count] for number in range(count)]


def _unconfirmed(outcome: Outcome) -> Outcome:
    return replace(
        outcome,
        message="the receiver refused the request with these samples without saying which of them it kept; it "
        f"responded with {outcome.message}",
    )
