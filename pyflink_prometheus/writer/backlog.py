"""The state that the caller's thread and the shards' threads share, under one lock."""

from __future__ import annotations

import threading
from collections.abc import Callable

from pyflink_prometheus.clock import Clock
from pyflink_prometheus.config import SinkConfig
from pyflink_prometheus.errors import PrometheusSinkError
from pyflink_prometheus.wire.series import Tenant
from pyflink_prometheus.writer.ledger import Ledger
from pyflink_prometheus.writer.pace import Pace, PaceWatch

#: How many batches per shard may be buffered before the caller has to wait, unless set otherwise.
BUFFERED_BATCHES = 10

#: The shortest time in seconds between two warnings about retries.
RETRY_WARNING_INTERVAL_S = 10.0


class Stopped(Exception):  # noqa: N818  (it ends a thread and is not an error)
    """The end of a shard's thread: the writer is being closed, or another shard has failed."""


class Backlog:
    """
    The samples handed over to the shards but not settled yet, and whether sending has stopped.

    :param config: the writer's settings, for the limits of the buffer.
    :param clock: the source of time.
    :param ledger: the writer's ledger.
    :ivar lock: guards this state and the shards' queues.
    :ivar pace: the current number of requests in flight and their size.
    :ivar is_stopped: whether sending has stopped; read without the lock.
    """

    def __init__(self, config: SinkConfig, clock: Clock, ledger: Ledger) -> None:
        self.lock = threading.Lock()
        self.pace = Pace.begin(config)
        self.is_stopped = False
        self._config = config
        self._clock = clock
        self._ledger = ledger
        self._settled = threading.Condition(self.lock)
        self._samples = 0
        self._bytes = 0
        self._failure: BaseException | None = None
        self._stop = threading.Event()
        self._sleepers: list[threading.Condition] = []
        self._pace_watch = PaceWatch(ledger, clock.monotonic)
        self._not_before: dict[Tenant, float] = {}  # the receiver asked for no requests of a tenant before this time
        self._next_warning_at = 0.0

    # The caller's thread.

    def hand_over(self, samples: int) -> None:
        """Count samples handed over to a shard; the caller must hold the lock."""
        self._samples += samples

    def wait_for_room(self) -> None:
        """
        Wait while too many samples or bytes are unsettled (backpressure).

        :raises PrometheusSinkError: if delivery has failed for good.
        """
        with self._settled:
            limit = self._config.max_buffered_samples
            if limit is None:
                limit = BUFFERED_BATCHES * self.pace.batch_size * self.pace.shards
            limit_in_bytes = BUFFERED_BATCHES * self._config.max_batch_size_in_bytes * self.pace.shards
            self._wait_while(lambda: self._samples > limit or self._bytes > limit_in_bytes)

    def wait_until_settled(self) -> None:
        """
        Wait until all samples are settled, then update the pace.

        :raises PrometheusSinkError: if delivery has failed for good.
        """
        with self._settled:
            self._wait_while(lambda: self._samples > 0)
            self.pace = self.pace.next(self._pace_watch.stats())

    def raise_failure(self) -> None:
        """
        Raise the failure that stopped the writer, if it is stopped.

        :raises PrometheusSinkError: if the writer is stopped, with or without a failure.
        """
        if not self.is_stopped:
            return
        if self._failure is None:
            raise PrometheusSinkError(f"the writer was closed with {self._ledger.samples_pending} unsent sample(s)")
        if isinstance(self._failure, PrometheusSinkError):
            raise self._failure
        raise PrometheusSinkError(f"writing to Prometheus failed unexpectedly: {self._failure!r}") from self._failure

    def _wait_while(self, condition: Callable[[], bool]) -> None:
        began = self._clock.monotonic()
        while not self.is_stopped and condition():
            self._clock.wait(self._settled, None)
        self._pace_watch.waited(self._clock.monotonic() - began)
        self.raise_failure()

    # The shards' threads.

    def count_bytes(self, size: int) -> None:
        """Count the bytes of prepared requests, on any thread."""
        with self.lock:
            self._bytes += size

    def settle(self, samples: int, size_in_bytes: int) -> None:
        """Count samples, and the bytes of their requests, as settled."""
        with self._settled:
            self._samples -= samples
            self._bytes -= size_in_bytes
            self._settled.notify_all()

    def hold_off(self, tenant: Tenant, until: float) -> None:
        """Keep all shards from sending requests of a tenant until a time of the monotonic clock."""
        now = self._clock.monotonic()
        with self.lock:
            others = {each: moment for each, moment in self._not_before.items() if moment > now}
            self._not_before = {**others, tenant: max(others.get(tenant, until), until)}

    def turn_of(self, tenant: Tenant) -> float:
        """Return the time of the monotonic clock before which the receiver wants no requests of a tenant."""
        return self._not_before.get(tenant, 0.0)

    def wait_until(self, moment: float) -> None:
        """
        Wait until a time of the monotonic clock.

        :raises Stopped: if the writer is stopped meanwhile.
        """
        while (seconds := moment - self._clock.monotonic()) > 0 and not self._stop.is_set():
            self._clock.sleep(seconds, self._stop)
        if self._stop.is_set():
            raise Stopped

    def may_warn_of_retry(self) -> bool:
        """Return whether a warning about a retry is due; all shards share one interval."""
        now = self._clock.monotonic()
        with self.lock:
            if now < self._next_warning_at:
                return False
            self._next_warning_at = now + RETRY_WARNING_INTERVAL_S
            return True

    def bound_batches(self, samples: int) -> bool:
        """Limit requests to this many samples; return whether they were larger before."""
        with self.lock:
            if samples >= self.pace.batch_size:
                return False
            self.pace = self.pace.no_batch_above(samples)
            return True

    # Any thread.

    def wake(self, sleeper: threading.Condition) -> None:
        """Register a condition to be notified when the writer stops."""
        with self.lock:
            self._sleepers.append(sleeper)

    def stop(self, failure: BaseException | None = None) -> None:
        """Stop all threads, after a failure or without one; the first failure is kept."""
        with self._settled:
            if self._failure is None:
                self._failure = failure
            self.is_stopped = True
            self._stop.set()
            self._settled.notify_all()
            for sleeper in self._sleepers:
                sleeper.notify()
