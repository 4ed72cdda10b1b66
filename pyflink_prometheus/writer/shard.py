"""
A shard: a queue of batches, and the thread that sends them, one request in flight.

The caller's thread fills and seals batches; everything else here runs on the shard's thread. If series have tenants,
each tenant has its own lane, in which requests and their retries follow each other: a tenant that must wait does not
hold up the others.
"""

from __future__ import annotations

import logging
import math
import threading
from collections import deque
from collections.abc import Callable

from pyflink_prometheus.clock import Clock
from pyflink_prometheus.config import RemoteWriteVersion, SinkConfig
from pyflink_prometheus.guards.guards import Guards
from pyflink_prometheus.http.outcome import Outcome
from pyflink_prometheus.http.transport import Transport
from pyflink_prometheus.wire.request import encode, headers_of
from pyflink_prometheus.wire.series import Tenant, shown_tenant
from pyflink_prometheus.wire.table import SeriesTable
from pyflink_prometheus.writer.backlog import Backlog, Stopped
from pyflink_prometheus.writer.batch import Batch, FillingBatch
from pyflink_prometheus.writer.delivery import (
    Delivery,
    Post,
    Reserve,
    Settled,
    Shrink,
    Wait,
)
from pyflink_prometheus.writer.endpoint import Endpoint
from pyflink_prometheus.writer.isolation import Steps, deliver
from pyflink_prometheus.writer.lanes import Lane, Lanes
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
    :param endpoint: what is known about the receiver; also shared.
    :param transport: makes one POST; closed when the thread ends.
    :param prepare: turns a batch into requests.
    :param settlement: counts settled samples, and passes the rejected ones to the handler.
    :param guards: the user's limits on rates, for all shards together.
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
        guards: Guards,
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
        self._lanes = Lanes(backlog.lock)
        self._has_tenants = config.tenant is not None
        self._guards = guards
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
            while (lane := self._next_lane()) is not None:
                self._advance(lane)
        except Stopped:
            pass
        except BaseException as error:  # raised again on the caller's thread
            self._backlog.stop(error)
        finally:
            self._transport.close()

    def _next_lane(self) -> Lane | None:
        """Wait until a lane has something to do, and return it; ``None`` when the writer stops."""
        while not self._backlog.is_stopped:
            lane = self._lanes.ready(self._clock.monotonic())
            if lane is not None:
                return lane
            due = self._lanes.due
            if due < math.inf and not self._has_tenants:  # the next samples must wait for the earlier ones
                self._backlog.wait_until(due)
            elif (sealed := self._next_batch(due)) is not None:
                requests = sealed.requests(self._prepare)
                with self._backlog.lock:
                    if self.queue.sealed and self.queue.sealed[0] is sealed:  # else another thread has dropped it
                        self.queue.sealed.popleft()
                        self._lanes.add(requests)
                if rejected := sealed.size - sum(len(request.batch) for request in requests):
                    self._backlog.settle(rejected, 0)
        return None

    def _next_batch(self, due: float) -> SealedBatch | None:
        """
        Wait for a sealed batch, or seal one that has become too old; it stays in the queue.

        :param due: the time of the monotonic clock at which to return ``None``, as when the writer stops.
        """
        queue = self.queue
        with queue.changed:
            while not self._backlog.is_stopped and (now := self._clock.monotonic()) < due:
                if queue.sealed:
                    return queue.sealed[0]
                wait_s = due - now
                if queue.filling_since is not None:
                    left_s = self._config.max_time_in_buffer_ms / 1000 - (now - queue.filling_since)
                    if left_s <= 0:
                        self._backlog.hand_over(queue.seal_what_is_there().size)
                        continue
                    wait_s = min(wait_s, left_s)
                self._clock.wait(queue.changed, None if wait_s == math.inf else wait_s)
        return None

    def _advance(self, lane: Lane) -> None:  # noqa: C901  (one case for each kind of step)
        """Carry out the steps of a lane up to its next request, or to a wait."""
        if lane.steps is None:
            lane.steps = self._deliver(lane.requests[0])
        has_posted = False
        while (step := lane.next_step()) is not None:
            now = self._clock.monotonic()
            if isinstance(step, (Post, Reserve)):
                lane.due = self._backlog.turn_of(lane.tenant)
                if has_posted or lane.due > now:
                    return
            if isinstance(step, Post):
                lane.done(self._post(step, lane.tenant))
                has_posted = True
                continue
            lane.done()
            if isinstance(step, Wait):
                self._warn_of_retry(step.seconds, lane.tenant)
                lane.due = now + step.seconds
                if step.asked_by_receiver:
                    self._backlog.hold_off(lane.tenant, lane.due)
                return
            if isinstance(step, Reserve):
                lane.due = now + self._guards.reserve(step.samples, step.size_in_bytes)
                if lane.due > now:
                    return
            elif isinstance(step, Shrink):
                self._bound_batches(step)
            else:
                self._settle(lane, step)
        request = self._lanes.settle_first(lane)
        self._backlog.settle(len(request.batch), request.encoded.size_in_bytes)

    def _deliver(self, request: PreparedRequest) -> Steps:
        """Return the steps that settle all samples of a request."""

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
            tenant=request.batch.tenant,
        )
        return deliver(request.batch, delivery)

    def _settle(self, lane: Lane, step: Settled) -> None:
        """Settle samples of the first request of a lane."""
        lane.settled += len(step.batch)
        self._settlement.settle(step)

    def _post(self, step: Post, tenant: Tenant) -> Outcome:
        headers = {**headers_of(step.version), **dict(tenant)}
        if step.retries:
            headers["Retry-Attempt"] = str(step.retries)
        began = self._clock.monotonic()
        outcome = self._transport.post(step.body, headers)
        time_in_flight_s = self._clock.monotonic() - began
        for ledger in self._settlement.ledgers_of(tenant):
            ledger.attempt(len(step.body), time_in_flight_s, retry=step.retries > 0)
        self._last_message = outcome.message
        return outcome

    def _warn_of_retry(self, wait_s: float, tenant: Tenant) -> None:
        if self._backlog.may_warn_of_retry():
            _log.warning(
                "a request to %s%s failed and will be retried in %.2f s (%d retries so far): %s",
                self._config.url_without_credentials,
                f" for {shown_tenant(tenant)}" if tenant else "",
                wait_s,
                self._ledger.requests_retried,
                self._last_message,
            )

    def _bound_batches(self, step: Shrink) -> None:
        if self._backlog.bound_batches(step.samples):
            _log.warning(
                "raise the receiver's request size limit if %d samples per request are too few: it refuses larger "
                "requests, so from now on the sink sends none: %s",
                step.samples,
                step.outcome.message,
            )
