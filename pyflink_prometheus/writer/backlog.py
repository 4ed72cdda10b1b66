"""What the caller's thread and the shards' threads share, all of it under one lock."""

from __future__ import annotations

import threading
from collections.abc import Callable

from pyflink_prometheus.clock import Clock
from pyflink_prometheus.config import SinkConfig
from pyflink_prometheus.errors import PrometheusSinkError
from pyflink_prometheus.writer.ledger import Ledger
from pyflink_prometheus.writer.pace import Pace, PaceWatch

#: How many batches of each shard may wait before the caller does, unless set otherwise.
BUFFERED_BATCHES = 10

#: The least time in seconds between two warnings of requests that are retried.
RETRY_WARNING_INTERVAL_S = 10.0


class Stopped(Exception):  # noqa: N818  (it leaves a thread, it reports nothing)
    """Leave a shard's thread: the writer is being closed, or another shard has failed."""


class Backlog:
    """
    What has been handed over to the shards and is not settled yet, and whether they go on.

    :param config: how much may wait.
    :param clock: tells the time.
    :param ledger: the writer's.
    :ivar lock: guards all of this, and the shards' queues.
    :ivar pace: how many requests are in flight at once, and how large they are, at present.
    :ivar is_stopped: whether nothing is sent any more; read without the lock.
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
        self._not_before = 0.0  # the receiver asked all shards to wait until then
        self._next_warning_at = 0.0

    # The caller's thread.

    def hand_over(self, samples: int) -> None:
        """Count samples that are to be sent; the caller holds the lock."""
        self._samples += samples

    def wait_for_room(self) -> None:
        """
        Wait while too much is on its way.

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
        Wait until nothing is on its way, and judge the pace.

        :raises PrometheusSinkError: if delivery has failed for good.
        """
        with self._settled:
            self._wait_while(lambda: self._samples > 0)
            self.pace = self.pace.next(self._pace_watch.seen())

    def raise_failure(self) -> None:
        """
        Raise what has stopped the writer, if anything has.

        :raises PrometheusSinkError: always, once it is stopped.
        """
        if not self.is_stopped:
            return
        if self._failure is None:
            raise PrometheusSinkError(f"the writer was closed with {self._ledger.samples_pending} sample(s) unsent")
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
        """Count the bytes of requests that have been prepared; on any thread."""
        with self.lock:
            self._bytes += size

    def settle(self, samples: int, size_in_bytes: int) -> None:
        """Count samples, and the bytes of their requests, as settled."""
        with self._settled:
            self._samples -= samples
            self._bytes -= size_in_bytes
            self._settled.notify()

    def hold_off(self, until: float) -> None:
        """Have all shards send nothing before a moment of the monotonic clock."""
        self._not_before = max(self._not_before, until)

    def wait_for_turn(self) -> None:
        """
        Wait until the receiver wants requests again.

        :raises Stopped: if the writer is stopped meanwhile.
        """
        self.wait_until(self._not_before)

    def wait_until(self, moment: float) -> None:
        """
        Wait until a moment of the monotonic clock.

        :raises Stopped: if the writer is stopped meanwhile.
        """
        while (seconds := moment - self._clock.monotonic()) > 0 and not self._stop.is_set():
            self._clock.sleep(seconds, self._stop)
        if self._stop.is_set():
            raise Stopped

    def may_warn_of_retry(self) -> bool:
        """Tell whether it is time for another warning, of all shards together."""
        now = self._clock.monotonic()
        with self.lock:
            if now < self._next_warning_at:
                return False
            self._next_warning_at = now + RETRY_WARNING_INTERVAL_S
            return True

    def bound_batches(self, samples: int) -> bool:
        """Have requests hold no more samples than that; return whether they held more."""
        with self.lock:
            if samples >= self.pace.batch_size:
                return False
            self.pace = self.pace.no_batch_above(samples)
            return True

    # Any thread.

    def wake(self, sleeper: threading.Condition) -> None:
        """Notify this condition, too, when the writer stops."""
        with self.lock:
            self._sleepers.append(sleeper)

    def stop(self, failure: BaseException | None = None) -> None:
        """Have every thread notice that it is over, because of a failure or without one; the first failure counts."""
        with self._settled:
            if self._failure is None:
                self._failure = failure
            self.is_stopped = True
            self._stop.set()
            self._settled.notify_all()
            for sleeper in self._sleepers:
                sleeper.notify()
