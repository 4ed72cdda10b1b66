"""An endpoint that must not stop the job: its buffer is bounded, and the excess is dropped and counted."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

from pyflink_prometheus.clock import Clock
from pyflink_prometheus.config import BestEffortConfiguration, SinkConfig
from pyflink_prometheus.errors import PrometheusSinkError, RemoteWriteError
from pyflink_prometheus.writer.backlog import Stopped
from pyflink_prometheus.writer.delivery import Settled
from pyflink_prometheus.writer.destination import Destination, DestinationBacklog
from pyflink_prometheus.writer.lanes import Lane, Remainder
from pyflink_prometheus.writer.ledger import Ledger, RejectionReason
from pyflink_prometheus.writer.prepared import PreparedRequest
from pyflink_prometheus.writer.settlement import Settlement
from pyflink_prometheus.writer.shard import Shard

_log = logging.getLogger(__name__)

#: The seconds after which an endpoint that cannot work is retried: its configuration may have been fixed.
RETRY_AFTER_S = 30.0

#: The approximate memory that a request takes in addition to its content, in bytes.
REQUEST_OVERHEAD = 4096

_UNSENT = (
    "the endpoint had not responded when the writer was closed; it may receive the samples again if the job failed"
)


class BestEffortBacklog(DestinationBacklog):
    """
    A backlog with bounds.

    :param bounds: how much is buffered, and how long the job waits.
    """

    def __init__(
        self,
        config: SinkConfig,
        clock: Clock,
        ledger: Ledger,
        on_failure: Callable[[BaseException], None],
        bounds: BestEffortConfiguration,
    ) -> None:
        super().__init__(config, clock, ledger, on_failure)
        self._bounds = bounds
        self._requests = 0
        self._is_behind = False

    def hand_over(self, samples: int) -> None:
        """Count samples of one request; the caller must hold the lock."""
        super().hand_over(samples)
        self._requests += 1

    def settle(self, samples: int, size_in_bytes: int) -> None:
        """Count the samples of one request, and its bytes, as settled."""
        with self.lock:
            self._requests -= 1
            has_caught_up = self._is_behind and self._samples == samples
            self._is_behind = self._is_behind and not has_caught_up
        super().settle(samples, size_in_bytes)
        if has_caught_up:
            _log.info("best-effort endpoint %s has caught up", self._config.url_without_credentials)

    @property
    def is_too_large(self) -> bool:
        """Whether more is buffered than the bounds allow; the caller must hold the lock."""
        size_in_bytes = self._bytes + REQUEST_OVERHEAD * self._requests
        return self._samples > self._bounds.max_buffered_samples or size_in_bytes > self._bounds.max_buffered_bytes

    def wait_for_room(self) -> None:
        """
        Wait while too much is buffered, but only up to the configured time.

        :raises PrometheusSinkError: if the handler of rejected samples has failed.
        """
        self._wait_at_most(lambda: self.is_too_large)

    def wait_until_settled(self) -> None:
        """
        Wait until all samples are settled, but only up to the configured time.

        :raises PrometheusSinkError: if the handler of rejected samples has failed.
        """
        self._wait_at_most(lambda: self._samples > 0)

    def _wait_at_most(self, condition: Callable[[], bool]) -> None:
        """Wait while a condition holds; if that takes too long, do not wait again until nothing is pending."""
        falls_behind = False
        with self.lock:
            until = self._clock.monotonic() + self._bounds.max_wait_ms / 1000
            while not self.is_stopped and not self._is_behind and condition():
                seconds = until - self._clock.monotonic()
                if seconds > 0:
                    self._clock.wait(self._settled, seconds)
                else:
                    self._is_behind = falls_behind = True
                    self._settled.notify_all()
        if falls_behind:
            _log.warning(
                "check best-effort endpoint %s, which does not keep up: the job continues without it; %d samples are "
                "kept for it, and the excess is dropped and counted as overflow",
                self._config.url_without_credentials,
                self._bounds.max_buffered_samples,
            )
        self.raise_failure()


class Droppable(NamedTuple):
    """
    A request that may be dropped, as long as the lock is held.

    :param sequence: its place in the order of all requests.
    :param drop: removes and returns it.
    """

    sequence: int
    drop: Callable[[], Remainder]


class BestEffortShard(Shard):
    """The thread that sends the requests of a best-effort endpoint, and continues after failures."""

    def _advance(self, lane: Lane) -> None:
        try:
            super()._advance(lane)
        except RemoteWriteError as error:
            if self._backlog.may_warn_of_retry():
                _log.warning("fix this best-effort endpoint, which is retried from time to time: %s", error)
            lane.due = self._clock.monotonic() + RETRY_AFTER_S
            if lane.settled:  # it is no longer known which samples
                self._give_up(lane, str(error))
            else:
                lane.reset()

    def _settle(self, lane: Lane, step: Settled) -> None:
        self._count(lane, len(step.batch))
        self._settlement.settle(step)

    def _give_up(self, lane: Lane, message: str) -> None:
        """Reject the unsettled samples of a lane's first request."""
        request, settled = lane.requests[0], lane.settled
        self._count(lane, len(request.batch) - settled)
        reject_rest(self._settlement, Remainder(request, settled), RejectionReason.UNSENT, message)
        self._lanes.settle_first(lane)
        self._backlog.settle(len(request.batch), request.encoded.size_in_bytes)

    def _count(self, lane: Lane, samples: int) -> None:
        """
        Count samples of the first request of a lane as settled, before they are.

        :raises Stopped: if the writer has been stopped: closing it then settles all samples that are not counted here.
        """
        with self._backlog.lock:
            if self._backlog.is_stopped:
                raise Stopped
            lane.settled += samples

    # The threads that hand batches over, and the caller's. The caller must hold the lock.

    def oldest_waiting(self) -> Droppable | None:
        """Return the oldest request that waits behind another one of its tenant, if there is one."""
        sequence = self._lanes.oldest_behind
        if sequence is not None:  # those in the queue are newer
            return Droppable(sequence, self._lanes.drop_behind)
        earlier_tenants = set()
        for place, request in enumerate(self._queued()):
            tenant = request.batch.tenant
            if tenant in earlier_tenants or self._lanes.has(tenant):
                return Droppable(request.sequence, partial(self._drop_queued, place))
            earlier_tenants.add(tenant)
        return None

    def oldest_first(self) -> Droppable | None:
        """Return the oldest request that waits behind none of its tenant and is not in flight, if there is one."""
        sequence = self._lanes.oldest_first
        if sequence is not None:
            return Droppable(sequence, self._lanes.drop_first)
        return next((Droppable(each.sequence, partial(self._drop_queued, 0)) for each in self._queued()), None)

    def _queued(self) -> Iterator[PreparedRequest]:
        for sealed in self.queue.sealed:
            yield from sealed.requests(self._prepare)  # one: see Destination.take

    def _drop_queued(self, place: int) -> Remainder:
        request = self.queue.sealed[place].requests(self._prepare)[0]
        del self.queue.sealed[place]
        return Remainder(request, 0)

    def remaining(self) -> list[Remainder]:
        """Return all requests."""
        return [*self._lanes.remaining(), *(Remainder(each, 0) for each in self._queued())]


class BestEffortDestination(Destination):
    """An endpoint that must not stop the job."""

    _kind_of_shard = BestEffortShard

    def _new_backlog(self, on_failure: Callable[[BaseException], None]) -> DestinationBacklog:
        self._bounds = self.config.best_effort or BestEffortConfiguration()
        self._bounded = BestEffortBacklog(self.config, self._clock, self.ledger, on_failure, self._bounds)
        return self._bounded

    def make_room(self) -> None:
        """
        Wait for room, then drop the oldest requests that are not in flight while too much is buffered.

        :raises PrometheusSinkError: if the handler fails.
        """
        super().make_room()
        while (dropped := self._oldest_beyond_bounds()) is not None:
            bounds = self._bounds
            reject_rest(
                self.settlement,
                dropped,
                RejectionReason.OVERFLOW,
                f"raise max_buffered_samples={bounds.max_buffered_samples} or max_buffered_bytes="
                f"{bounds.max_buffered_bytes} to keep more samples for a best-effort endpoint that does not keep up",
            )
            self._backlog.settle(len(dropped.request.batch), dropped.request.encoded.size_in_bytes)

    def close(self, wait_s: float) -> None:
        """Wait for the stopped threads to end, reject the samples that they have not sent, and close the handler."""
        for shard in self._shards:
            shard.join(wait_s / len(self._shards))
        with self._backlog.lock:
            remaining = [each for shard in self._best_effort_shards for each in shard.remaining()]
        try:
            for each in remaining:
                reject_rest(self.settlement, each, RejectionReason.UNSENT, _UNSENT)
        except PrometheusSinkError as error:
            _log.warning("%s", error)
        self.settlement.close()

    @property
    def _best_effort_shards(self) -> list[BestEffortShard]:
        return [shard for shard in self._shards if isinstance(shard, BestEffortShard)]

    def _oldest_beyond_bounds(self) -> Remainder | None:
        """
        Remove and return the oldest request that is not in flight, if too much is buffered.

        The tenants' first requests come last, because the backoff starts again with the next request.
        """
        with self._backlog.lock:
            if not self._bounded.is_too_large:
                return None
            shards = self._best_effort_shards
            waiting = [each for shard in shards if (each := shard.oldest_waiting()) is not None]
            droppable = waiting or [each for shard in shards if (each := shard.oldest_first()) is not None]
            return min(droppable, key=lambda each: each.sequence).drop() if droppable else None


def reject_rest(settlement: Settlement, remainder: Remainder, reason: RejectionReason, message: str) -> None:
    """
    Reject the samples of a request that are not settled.

    :raises PrometheusSinkError: if the handler fails.
    """
    batch, settled = remainder.request.batch, remainder.settled
    if not settled:
        settlement.reject(batch, reason, message)
    elif rest := len(batch) - settled:
        settlement.reject_some(batch, rest, reason, message)
