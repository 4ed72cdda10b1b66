"""How many requests at once, and how large, as a value that learns from what the last ones took."""

from __future__ import annotations

import operator
import sys
from dataclasses import dataclass, replace
from typing import Callable, NamedTuple, Optional

from pyflink_prometheus.config import SinkConfig
from pyflink_prometheus.writer.ledger import Ledger

#: What a request holds at most where nothing else is set or has been learnt, as in Prometheus's own sender.
FIRST_BATCH_SIZE = 2000

_LEAST_BATCH_SIZE = 500
_REQUESTS_A_SHARD = 6  # that a judgement rests on
_MUCH_WAITING = 0.2  # of the time, from which on more requests at once may help
_GAIN = 1.2  # that a step up must bring to be kept
_TROUBLE = 0.05  # of the attempts repeated, from which on the receiver has too much to do
_FIRST_PATIENCE, _LONGEST_PATIENCE = 4, 64  # in judgements


class Seen(NamedTuple):
    """
    Hold what happened between two flushes, or several of them together.

    :param flushes: how many.
    :param samples: sent.
    :param attempts: POSTs.
    :param repeated: of these, how many were repetitions.
    :param time_in_flight_s: of all POSTs together.
    :param waited_s: how long the caller could not go on, for answers were missing.
    :param elapsed_s: in all.
    """

    flushes: int = 0
    samples: int = 0
    attempts: int = 0
    repeated: int = 0
    time_in_flight_s: float = 0.0
    waited_s: float = 0.0
    elapsed_s: float = 0.0

    def plus(self, other: Seen) -> Seen:
        """Return both together."""
        return Seen(*map(operator.add, self, other))

    @property
    def waiting(self) -> float:
        """The part of the time for which the caller waited."""
        return self.waited_s / self.elapsed_s if self.elapsed_s > 0 else 0.0

    @property
    def mean_time_in_flight_s(self) -> float:
        """From a POST to its answer."""
        return self.time_in_flight_s / self.attempts if self.attempts else 0.0


_NOTHING = Seen()


@dataclass(frozen=True)
class Pace:
    """
    Say how many shards a writer uses, and how many samples a request holds at most.

    Both begin small. While the caller waits much of its time and one flush brings more than the shards can send at
    once, a step up is tried: twice the shards, and when there are as many as there may be, twice the batch. It is kept
    if more gets through, which is so while it is the distance that takes the time and not the receiver; else the step
    is taken back, and the next try is put off, each time for longer. If the receiver answers 429 or 5xx, or does not
    answer, to more than one attempt in twenty, the last step is taken back as well, down to a quarter of a batch. Where
    flushes bring far less than the shards can take, there are too many of them, and requests are needlessly small.

    A value: :meth:`next` returns another one. What the user has set has equal bounds and never changes.

    :param shards: requests in flight.
    :param batch_size: samples in a request, at most.
    :param least_shards: how far ``shards`` may shrink.
    :param most_shards: how far it may grow.
    :param least_batch_size: how far ``batch_size`` may shrink.
    :param most_batch_size: how far it may grow.
    :param seen: what the next judgement will rest on.
    :param before: what got through before the last step up, in samples a second; ``None`` if that has been judged.
    :param rest: how many judgements to let pass before the next try.
    :param patience: for how many the next failure puts it off.
    """

    shards: int
    batch_size: int
    least_shards: int
    most_shards: int
    least_batch_size: int
    most_batch_size: int
    seen: Seen = _NOTHING
    before: Optional[float] = None
    rest: int = 0
    patience: int = _FIRST_PATIENCE

    @staticmethod
    def begin(config: SinkConfig) -> Pace:
        """Return the pace to begin with."""
        shards, batch_size, bounds = (
            config.max_in_flight_requests,
            config.max_batch_size_in_samples,
            config.adaptive_sending,
        )
        least_shards, most_shards = (1, bounds.max_in_flight_requests) if shards is None else (shards, shards)
        if batch_size is None:
            most = min(bounds.max_batch_size_in_samples, config.max_buffered_samples or sys.maxsize)
            batch_size, least = min(FIRST_BATCH_SIZE, most), min(_LEAST_BATCH_SIZE, most)
        else:
            least = most = batch_size
        return Pace(least_shards, batch_size, least_shards, most_shards, least, most)

    def next(self, seen: Seen) -> Pace:
        """Return the pace after one more flush."""
        if not seen.attempts:
            return self  # a flush of nothing says nothing
        seen = self.seen.plus(seen)
        if seen.attempts < _REQUESTS_A_SHARD * self.shards:
            return replace(self, seen=seen)
        judged = replace(self, seen=_NOTHING, before=None, rest=max(0, self.rest - 1))
        through = self._through(seen)
        if seen.repeated > _TROUBLE * seen.attempts:
            return judged._down()._put_off()
        if self.before is not None:
            if through < _GAIN * self.before:
                return judged._down()._put_off()
            judged = replace(judged, patience=_FIRST_PATIENCE)
        elif seen.samples < seen.flushes * self.shards * self.batch_size / 4:
            return replace(judged, shards=max(self.least_shards, self.shards // 2))
        return judged._up_if_needed(seen, through)

    def no_batch_above(self, samples: int) -> Pace:
        """Return the pace for a receiver that takes no larger requests than that."""
        return replace(
            self,
            batch_size=min(self.batch_size, samples),
            least_batch_size=min(self.least_batch_size, samples),
            most_batch_size=min(self.most_batch_size, samples),
        )

    def _through(self, seen: Seen) -> float:
        """Return how many samples a second these requests carried while all shards were busy."""
        if seen.time_in_flight_s <= 0:
            return 0.0
        return self.shards * seen.samples / seen.time_in_flight_s

    def _up_if_needed(self, seen: Seen, through: float) -> Pace:
        enough = seen.samples > seen.flushes * self.shards * self.batch_size
        if self.rest or not enough or seen.waiting < _MUCH_WAITING:
            return self
        if self.shards < self.most_shards and self.batch_size >= self._usual_batch_size:
            return replace(self, shards=min(2 * self.shards, self.most_shards), before=through)
        if self.batch_size < self.most_batch_size:
            return replace(self, batch_size=min(2 * self.batch_size, self.most_batch_size), before=through)
        return self

    def _down(self) -> Pace:
        """Go back by one step; below the usual batch only with one shard left."""
        smaller = max(self.least_batch_size, self.batch_size // 2)
        if self.batch_size > self._usual_batch_size:
            return replace(self, batch_size=max(smaller, self._usual_batch_size))
        if self.shards > self.least_shards:
            return replace(self, shards=max(self.least_shards, self.shards // 2))
        return replace(self, batch_size=smaller)

    @property
    def _usual_batch_size(self) -> int:
        return max(self.least_batch_size, min(FIRST_BATCH_SIZE, self.most_batch_size))

    def _put_off(self) -> Pace:
        return replace(self, rest=self.patience, patience=min(2 * self.patience, _LONGEST_PATIENCE))


class PaceWatch:
    """
    Tell what has happened since one flush at the next.

    :param ledger: whose numbers are compared.
    :param monotonic: tells seconds that never go back.
    """

    def __init__(self, ledger: Ledger, monotonic: Callable[[], float]) -> None:
        self._ledger = ledger
        self._monotonic = monotonic
        self._waited_s = 0.0
        self._flushes = 0
        self._last = self._total()

    def waited(self, seconds: float) -> None:
        """Add to the time for which the caller could not go on."""
        self._waited_s += seconds

    def seen(self) -> Seen:
        """Return what has happened since the last call."""
        self._flushes += 1
        last, self._last = self._last, self._total()
        return Seen(*map(operator.sub, self._last, last))

    def _total(self) -> Seen:
        ledger = self._ledger
        return Seen(
            self._flushes,
            ledger.samples_in,
            ledger.requests_attempted,
            ledger.requests_retried,
            ledger.time_in_flight_s,
            self._waited_s,
            self._monotonic(),
        )
