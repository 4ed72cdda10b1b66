"""
A shard: a queue of batches, and the thread that sends them, one request in flight.

The caller's thread fills and seals batches; everything else here runs on the shard's thread.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable

from pyflink_prometheus.clock import Clock
from pyflink_prometheus.config import RemoteWriteVersion, SinkConfig
from pyflink_prometheus.http.outcome import Outcome
from pyflink_prometheus.http.transport import Transport
from pyflink_prometheus.wire.request import encode, headers_of
from pyflink_prometheus.wire.table import SeriesTable
from pyflink_prometheus.writer.backlog import Backlog, Stopped
from pyflink_prometheus.writer.batch import Batch, FillingBatch
from pyflink_prometheus.writer.delivery import (
    Delivery,
    Post,
    Shrink,
    Step,
    Wait,
)
from pyflink_prometheus.writer.endpoint import Endpoint
from pyflink_prometheus.writer.isolation import deliver
from pyflink_prometheus.writer.prepared import PreparedRequest, SealedBatch
from pyflink_prometheus.writer.settlement import Settlement

_log = logging.getLogger(__name__)


class ShardQueue:
    """
    The batches of one shard. All access is under the backlog's lock, except for adding samples.

    :param lock: the backlog's lock.
    :param table: the series of the first samples.
    :ivar changed: notified when a batch is started or sealed; only this shard's thread waits on it.
    :ivar filling: the batch to which samples are added, by the caller's thread only.
    :ivar filling_since: the time of its first sample, in seconds of the monotonic clock; ``None`` if it is empty.
    :ivar sealed: the batches to be sent, oldest first, without the one in flight.
    """

    def __init__(self, lock: threading.Lock, table: SeriesTable) -> None:
        self.changed = threading.Condition(lock)
        self.filling = FillingBatch(table)
        self.filling_since: float | None = None
        self.sealed: deque[SealedBatch] = deque()

    def watch_age(self, now: float) -> None:
        """Start watching the age of the filling batch, after its first sample."""
        if len(self.filling):  # else the shard's thread has just sealed it
            self.filling_since = now
            self.changed.notify()

    def seal(self, table: SeriesTable) -> SealedBatch | None:
        """
        Move the filling batch to the queue, if it has samples, on the caller's thread, and start a new one.

        :param table: the series of the next samples.
        """
        batch, self.filling = self.filling, FillingBatch(table)
        self.filling_since = None
        return self._enqueue(batch.take(len(batch))) if len(batch) else None

    def seal_what_is_there(self) -> SealedBatch:
        """
        Move the current content of the filling batch to the queue, on any thread.

        The caller may be adding to it at the same time, without the lock, which would cost too much for each sample.
        Appending to an array is atomic, and so is removing its front. The value of a sample is appended last, so once
        it is there, the other columns are complete.
        """
        batch = self.filling.take(len(self.filling))
        if not len(self.filling):  # else the samples added meanwhile keep the old batch's age
            self.filling_since = None
        return self._enqueue(batch)

    def _enqueue(self, batch: Batch) -> SealedBatch:
        return self.put(SealedBatch(batch))

    def put(self, sealed: SealedBatch) -> SealedBatch:
        """Add a batch to the queue, and return it."""
        self.sealed.append(sealed)
        self.changed.notify()
        return sealed


class Shard:
    """
    The thread that sends the batches of a queue by carrying out the steps of their delivery.

    :param number: the number of the shard, from 0.
    :param table: the series of its first samples.
    :param config: the writer's settings.
    :param backlog: shared with the caller's thread and the other shards.
    :param endpoint: what is known about the receiver; shared as well.
    :param transport: makes one POST; closed when the thread ends.
    :param prepare: turns a batch into requests.
    :param settlement: counts settled samples, and passes the rejected ones to the handler.
    :param clock: the source of time.
    :param draw: returns a random number from 0 to 1, for the jitter of retries.
    """

    def __init__(
        self,
        number: int,
        table: SeriesTable,
        *,
        config: SinkConfig,
        backlog: Backlog,
        endpoint: Endpoint,
        transport: Transport,
        prepare: Callable[[Batch], list[PreparedRequest]],
        settlement: Settlement,
        clock: Clock,
        draw: Callable[[], float],
    ) -> None:
        self.queue = ShardQueue(backlog.lock, table)
        self._config = config
        self._backlog = backlog
        self._endpoint = endpoint
        self._transport = transport
        self._prepare = prepare
        self._settlement = settlement
        self._ledger = settlement.ledger
        self._clock = clock
        self._draw = draw
        self._last_message = ""  # of the latest outcome
        backlog.wake(self.queue.changed)
        self._thread = threading.Thread(target=self._run, name=f"prometheus-shard-{number}", daemon=True)
        self._thread.start()

    def join(self, timeout_s: float) -> None:
        """Wait for the thread to end."""
        self._thread.join(timeout_s)

    def _run(self) -> None:
        try:
            while (sealed := self._next()) is not None:
                requests = sealed.requests(self._prepare)
                for request in requests:
                    self._deliver(request)
                self._backlog.settle(sealed.size, sum(request.encoded.size_in_bytes for request in requests))
        except Stopped:
            pass
        except BaseException as error:  # raised again on the caller's thread
            self._backlog.stop(error)
        finally:
            self._transport.close()

    def _next(self) -> SealedBatch | None:
        """Wait for a sealed batch, or seal one that has become too old; ``None`` when the writer stops."""
        queue = self.queue
        with queue.changed:
            while not self._backlog.is_stopped:
                if queue.sealed:
                    return queue.sealed.popleft()
                wait_s = None
                if queue.filling_since is not None:
                    age_s = self._clock.monotonic() - queue.filling_since
                    wait_s = self._config.max_time_in_buffer_ms / 1000 - age_s
                    if wait_s <= 0:
                        self._backlog.hand_over(queue.seal_what_is_there().size)
                        continue
                self._clock.wait(queue.changed, wait_s)
        return None

    def _deliver(self, request: PreparedRequest) -> None:
        """Send a request until all of its samples are settled."""

        def encoded(batch: Batch, version: RemoteWriteVersion) -> bytes:
            if batch is request.batch:
                return request.encoded.body if version is request.encoded.version else encode(batch, version).body
            return encode(batch.in_order().batch, version).body

        delivery = Delivery(
            config=self._config,
            encode=encoded,
            draw=self._draw,
            monotonic=self._clock.monotonic,
            endpoint=self._endpoint,
        )
        steps = deliver(request.batch, delivery)
        outcome: Outcome | None = None
        while True:
            try:
                step = steps.send(outcome)
            except StopIteration:
                return
            outcome = self._act(step)

    def _act(self, step: Step) -> Outcome | None:
        """Carry out a step; return the outcome of a POST."""
        if isinstance(step, Post):
            return self._post(step)
        if isinstance(step, Wait):
            self._warn_of_retry(step.seconds)
            until = self._clock.monotonic() + step.seconds
            if step.asked_by_receiver:
                self._backlog.hold_off(until)
            self._backlog.wait_until(until)
        elif isinstance(step, Shrink):
            self._bound_batches(step)
        else:
            self._settlement.settle(step)
        return None

    def _post(self, step: Post) -> Outcome:
        self._backlog.wait_for_turn()
        headers = headers_of(step.version)
        if step.retries:
            headers = {**headers, "Retry-Attempt": str(step.retries)}
        began = self._clock.monotonic()
        outcome = self._transport.post(step.body, headers)
        self._ledger.attempt(len(step.body), self._clock.monotonic() - began, retry=step.retries > 0)
        self._last_message = outcome.message
        return outcome

    def _warn_of_retry(self, wait_s: float) -> None:
        if self._backlog.may_warn_of_retry():
            _log.warning(
                "a request to %s failed and will be retried in %.2f s (%d retries so far): %s",
                self._config.url_without_credentials,
                wait_s,
                self._ledger.requests_retried,
                self._last_message,
            )

    def _bound_batches(self, step: Shrink) -> None:
        if self._backlog.bound_batches(step.samples):
            _log.warning(
                "raise the receiver's request size limit if %d samples per request are too few: it refuses larger "
                "requests, so from now on none is larger: %s",
                step.samples,
                step.outcome.message,
            )
