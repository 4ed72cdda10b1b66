"""The adaptive concurrency and request size, as a value derived from past requests."""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

from pyflink_prometheus.config import SinkConfig
from pyflink_prometheus.writer.ledger import Ledger

#: The initial limit of samples in a request, as in Prometheus's own sender.
FIRST_BATCH_SIZE = 2000

_LEAST_BATCH_SIZE = 500
_REQUESTS_A_SHARD = 6  # a decision needs at least this many requests per shard
_MIN_WAITING_SHARE = 0.2  # of the time, from which a step up may help
_MIN_GAIN = 1.2  # in throughput, for a step up to be kept
_MAX_RETRY_SHARE = 0.05  # of the attempts, beyond which the receiver is overloaded
_FIRST_PAUSE, _LONGEST_PAUSE = 4, 64  # in decisions


class FlushStats(NamedTuple):
    """
    What happened between two flushes, or over several flushes.

    :param flushes: the number of flushes.
    :param samples: the number of samples sent.
    :param attempts: the number of POSTs.
    :param repeated: how many of the POSTs were retries.
    :param time_in_flight_s: the time in flight of all POSTs together.
    :param waited_s: how long the caller was blocked because responses were missing.
    :param elapsed_s: the total time.
    """

    flushes: int = 0
    samples: int = 0
    attempts: int = 0
    repeated: int = 0
    time_in_flight_s: float = 0.0
    waited_s: float = 0.0
    elapsed_s: float = 0.0

    def plus(self, other: FlushStats) -> FlushStats:
        """Return the sum of both."""
        return FlushStats(*map(operator.add, self, other))

    @property
    def waiting(self) -> float:
        """The share of the time for which the caller waited."""
        return self.waited_s / self.elapsed_s if self.elapsed_s > 0 else 0.0

    @property
    def mean_time_in_flight_s(self) -> float:
        """The mean time from a POST to its response."""
        return self.time_in_flight_s / self.attempts if self.attempts else 0.0


_NOTHING = FlushStats()


@dataclass(frozen=True)
class Pace:
    """
    The number of shards of a writer, and the largest number of samples in a request.

    Both start small. While the caller waits for much of its time and a flush holds more than the shards can send at
    once, the pace steps up: it doubles the shards, and at their limit it doubles the batch. The step is kept if
    throughput grows, which means that latency was the limit and not the receiver. Otherwise it is reverted, and the
    next step waits, longer each time. If more than one attempt in twenty fails with 429, 5xx or no response, the last
    step is reverted as well, down to a quarter of a batch. If flushes hold far less than the shards can send, requests
    are needlessly small, and the number of shards is halved.

    Immutable: :meth:`next` returns a new value. A value set by the user has equal bounds and never changes.

    :param shards: the number of requests in flight.
    :param batch_size: the largest number of samples in a request.
    :param least_shards: the lower bound of ``shards``.
    :param most_shards: the upper bound of ``shards``.
    :param least_batch_size: the lower bound of ``batch_size``.
    :param most_batch_size: the upper bound of ``batch_size``.
    :param stats: the statistics since the last decision.
    :param throughput_before: samples per second before the last step up; ``None`` if that step has been decided on.
    :param pause: how many decisions to skip before the next step up.
    :param next_pause: the pause after the next step that fails.
    """

    shards: int
    batch_size: int
    least_shards: int
    most_shards: int
    least_batch_size: int
    most_batch_size: int
    stats: FlushStats = _NOTHING
    throughput_before: float | None = None
    pause: int = 0
    next_pause: int = _FIRST_PAUSE

    @staticmethod
    def begin(config: SinkConfig) -> Pace:
        """Return the initial pace."""
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

    def next(self, stats: FlushStats) -> Pace:
        """Return the pace after one more flush."""
        if not stats.attempts:
            return self  # nothing was sent
        stats = self.stats.plus(stats)
        if stats.attempts < _REQUESTS_A_SHARD * self.shards:
            return replace(self, stats=stats)
        decided = replace(self, stats=_NOTHING, throughput_before=None, pause=max(0, self.pause - 1))
        throughput = self._throughput(stats)
        if stats.repeated > _MAX_RETRY_SHARE * stats.attempts:
            return decided._down()._pause_steps_up()
        if self.throughput_before is not None:
            if throughput < _MIN_GAIN * self.throughput_before:
                return decided._down()._pause_steps_up()
            decided = replace(decided, next_pause=_FIRST_PAUSE)
        elif stats.samples < stats.flushes * self.shards * self.batch_size / 4:
            return replace(decided, shards=max(self.least_shards, self.shards // 2))
        return decided._up_if_needed(stats, throughput)

    def no_batch_above(self, samples: int) -> Pace:
        """Return the pace for a receiver that does not accept larger requests than that."""
        return replace(
            self,
            batch_size=min(self.batch_size, samples),
            least_batch_size=min(self.least_batch_size, samples),
            most_batch_size=min(self.most_batch_size, samples),
        )

    def _throughput(self, stats: FlushStats) -> float:
        """Return the samples per second of these requests while all shards were busy."""
        if stats.time_in_flight_s <= 0:
            return 0.0
        return self.shards * stats.samples / stats.time_in_flight_s

    def _up_if_needed(self, stats: FlushStats, throughput: float) -> Pace:
        enough = stats.samples > stats.flushes * self.shards * self.batch_size
        if self.pause or not enough or stats.waiting < _MIN_WAITING_SHARE:
            return self
        if self.shards < self.most_shards and self.batch_size >= self._usual_batch_size:
            return replace(self, shards=min(2 * self.shards, self.most_shards), throughput_before=throughput)
        if self.batch_size < self.most_batch_size:
            larger = min(2 * self.batch_size, self.most_batch_size)
            return replace(self, batch_size=larger, throughput_before=throughput)
        return self

    def _down(self) -> Pace:
        """Step down once; go below the usual batch size only at the fewest shards."""
        smaller = max(self.least_batch_size, self.batch_size // 2)
        if self.batch_size > self._usual_batch_size:
            return replace(self, batch_size=max(smaller, self._usual_batch_size))
        if self.shards > self.least_shards:
            return replace(self, shards=max(self.least_shards, self.shards // 2))
        return replace(self, batch_size=smaller)

    @property
    def _usual_batch_size(self) -> int:
        return max(self.least_batch_size, min(FIRST_BATCH_SIZE, self.most_batch_size))

    def _pause_steps_up(self) -> Pace:
        return replace(self, pause=self.next_pause, next_pause=min(2 * self.next_pause, _LONGEST_PAUSE))


class PaceWatch:
    """
    The statistics of each flush, as differences of the ledger's counters.

    :param ledger: the writer's ledger.
    :param monotonic: returns the time of a monotonic clock in seconds.
    """

    def __init__(self, ledger: Ledger, monotonic: Callable[[], float]) -> None:
        self._ledger = ledger
        self._monotonic = monotonic
        self._waited_s = 0.0
        self._flushes = 0
        self._last = self._total()

    def waited(self, seconds: float) -> None:
        """Add to the time for which the caller was blocked."""
        self._waited_s += seconds

    def stats(self) -> FlushStats:
        """Return the statistics since the last call."""
        self._flushes += 1
        last, self._last = self._last, self._total()
        return FlushStats(*map(operator.sub, self._last, last))

    def _total(self) -> FlushStats:
        ledger = self._ledger
        return FlushStats(
            self._flushes,
            ledger.samples_in,
            ledger.requests_attempted,
            ledger.requests_retried,
            ledger.time_in_flight_s,
            self._waited_s,
            self._monotonic(),
        )
