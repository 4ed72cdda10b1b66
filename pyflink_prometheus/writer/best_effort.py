"""An endpoint that must not stop the job: what is kept for it is bounded, and what exceeds that is counted."""

from __future__ import annotations

import logging
from collections.abc import Callable

from pyflink_prometheus.clock import Clock
from pyflink_prometheus.config import BestEffortConfiguration, SinkConfig
from pyflink_prometheus.errors import PrometheusSinkError, RemoteWriteError
from pyflink_prometheus.http.outcome import Outcome
from pyflink_prometheus.writer.backlog import Stopped
from pyflink_prometheus.writer.delivery import Accepted, PartlyWritten, Rejected, Step
from pyflink_prometheus.writer.destination import Destination, DestinationBacklog
from pyflink_prometheus.writer.ledger import Ledger, RejectionReason
from pyflink_prometheus.writer.prepared import PreparedRequest, SealedBatch
from pyflink_prometheus.writer.shard import Shard

_log = logging.getLogger(__name__)

#: How many seconds pass before an endpoint that cannot work is tried again: its configuration may be mended meanwhile.
RETRY_AFTER_S = 30.0

#: What a request takes in memory in addition to its content, about.
REQUEST_OVERHEAD = 4096

_UNSENT = "the endpoint had not responded when the writer was closed; after a failure of the job it may get them again"


class BestEffortBacklog(DestinationBacklog):
    """
    A backlog with bounds.

    :param bounds: how much is kept, and how long the job waits.
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
        """Whether more is kept than may be; the caller must hold the lock."""
        size_in_bytes = self._bytes + REQUEST_OVERHEAD * self._requests
        return self._samples > self._bounds.max_buffered_samples or size_in_bytes > self._bounds.max_buffered_bytes

    def wait_for_room(self) -> None:
        """
        Wait while too much is kept, but only so long.

        :raises PrometheusSinkError: if the handler of rejected samples has failed.
        """
        self._wait_at_most(lambda: self.is_too_large)

    def wait_until_settled(self) -> None:
        """
        Wait until all samples are settled, but only so long.

        :raises PrometheusSinkError: if the handler of rejected samples has failed.
        """
        self._wait_at_most(lambda: self._samples > 0)

    def _wait_at_most(self, condition: Callable[[], bool]) -> None:
        """Wait while something is so; if that takes too long, wait no more until nothing is pending."""
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
                "check best-effort endpoint %s, which does not keep up: the job goes on without it, %d samples are "
                "kept for it, and what exceeds that is dropped and counted as overflow",
                self._config.url_without_credentials,
                self._bounds.max_buffered_samples,
            )
        self.raise_failure()


class BestEffortShard(Shard):
    """The thread that sends the requests of a best-effort endpoint, and goes on after failures."""

    _request: PreparedRequest | None = None  # the one in flight
    _settled = 0  # how many of its samples are

    def abandon(self, message: str) -> None:
        """
        Reject what remains of the request in flight.

        :raises PrometheusSinkError: if the handler fails.
        """
        with self._backlog.lock:  # else the thread and the end of the writer might both do it
            request, self._request = self._request, None
        if request is None:
            return
        if not self._settled:
            self._settlement.reject(request.batch, RejectionReason.UNSENT, message)
        elif remaining := len(request.batch) - self._settled:
            self._settlement.reject_some(request.batch, remaining, RejectionReason.UNSENT, message)

    def _deliver(self, request: PreparedRequest) -> None:
        self._request = request
        while self._request is not None:
            self._settled = 0
            try:
                super()._deliver(request)
                self._request = None
            except RemoteWriteError as error:
                if self._backlog.may_warn_of_retry():
                    _log.warning("correct a best-effort endpoint, which is tried again from time to time: %s", error)
                if self._settled:  # which of them is not known any more
                    self.abandon(str(error))
                self._backlog.wait_until(self._clock.monotonic() + RETRY_AFTER_S)

    def _act(self, step: Step) -> Outcome | None:
        if isinstance(step, (Accepted, PartlyWritten, Rejected)):
            if self._backlog.is_stopped:  # and what is in flight has been abandoned
                raise Stopped
            self._settled += len(step.batch)
        return super()._act(step)


class BestEffortDestination(Destination):
    """An endpoint that must not stop the job."""

    _kind_of_shard = BestEffortShard

    def _new_backlog(self, on_failure: Callable[[BaseException], None]) -> DestinationBacklog:
        self._bounds = self.config.best_effort or BestEffortConfiguration()
        self._bounded = BestEffortBacklog(self.config, self._clock, self.ledger, on_failure, self._bounds)
        return self._bounded

    def make_room(self) -> None:
        """
        Drop the oldest requests that are not in flight, as long as too much is kept after a wait.

        :raises PrometheusSinkError: if the handler fails.
        """
        super().make_room()
        while (dropped := self._oldest_beyond_bounds()) is not None:
            bounds = self._bounds
            self._reject(
                dropped,
                RejectionReason.OVERFLOW,
                f"raise max_buffered_samples={bounds.max_buffered_samples} or max_buffered_bytes="
                f"{bounds.max_buffered_bytes} to keep more for a best-effort endpoint that does not keep up",
            )

    def close(self, wait_s: float) -> None:
        """Wait for the threads, which have been stopped, reject what they have not sent, and close the handler."""
        for shard in self._shards:
            shard.join(wait_s / len(self._shards))
        try:
            for shard in self._shards:
                if isinstance(shard, BestEffortShard):
                    shard.abandon(_UNSENT)
                for sealed in shard.queue.sealed:
                    self._reject(sealed, RejectionReason.UNSENT, _UNSENT)
        except PrometheusSinkError as error:
            _log.warning("%s", error)
        self.settlement.close()

    def _oldest_beyond_bounds(self) -> SealedBatch | None:
        """Remove and return the oldest request that is not in flight, if too much is kept."""
        with self._backlog.lock:
            queues = [shard.queue.sealed for shard in self._shards if shard.queue.sealed]
            if not queues or not self._bounded.is_too_large:
                return None
            return min(queues, key=lambda queue: queue[0].sequence).popleft()

    def _reject(self, sealed: SealedBatch, reason: RejectionReason, message: str) -> None:
        for request in sealed.requests(self._prepare):
            self.settlement.reject(request.batch, reason, message)
            self._backlog.settle(sealed.size, request.encoded.size_in_bytes)
