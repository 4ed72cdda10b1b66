"""The requests of a shard by tenant, so that a tenant that must wait does not hold up the others."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict, deque
from collections.abc import Iterable
from typing import NamedTuple

from pyflink_prometheus.http.outcome import Outcome
from pyflink_prometheus.wire.series import Tenant
from pyflink_prometheus.writer.delivery import Step
from pyflink_prometheus.writer.isolation import Steps
from pyflink_prometheus.writer.prepared import PreparedRequest


class Lane:
    """
    The requests of one tenant, delivered one after the other; on the shard's thread.

    :ivar tenant: the tenant of the requests.
    :ivar requests: in order; the first one is being delivered.
    :ivar due: the time of the monotonic clock before which nothing is to be done.
    :ivar steps: the delivery of the first request; ``None`` before it begins.
    :ivar step: the step to be carried out; ``None`` if the next one must be taken from ``steps``.
    :ivar outcome: the outcome of its latest step, for the next one.
    :ivar settled: how many samples of the first request are settled.
    """

    __slots__ = ("due", "outcome", "requests", "settled", "step", "steps", "tenant")

    def __init__(self, tenant: Tenant) -> None:
        self.tenant = tenant
        self.requests: deque[PreparedRequest] = deque()
        self.due = -math.inf
        self.steps: Steps | None = None
        self.step: Step | None = None
        self.outcome: Outcome | None = None
        self.settled = 0

    def next_step(self) -> Step | None:
        """Return the step to be carried out; ``None`` if the delivery has ended."""
        if self.step is None and self.steps is not None:
            outcome, self.outcome = self.outcome, None
            try:
                self.step = self.steps.send(outcome)
            except StopIteration:
                self.steps = None
        return self.step

    def done(self, outcome: Outcome | None = None) -> None:
        """Note that the step has been carried out."""
        self.step, self.outcome = None, outcome

    def reset(self) -> None:
        """Forget the delivery of the first request."""
        self.steps = self.step = self.outcome = None
        self.settled = 0


class Remainder(NamedTuple):
    """
    A request that is not fully settled.

    :param settled: how many of its samples are settled.
    """

    request: PreparedRequest
    settled: int


class Lanes:
    """
    The lanes that have requests. Each gets its turn: a lane that is returned goes behind the others.

    The shard's thread adds, delivers and settles requests; another thread may drop some that are not in flight.

    :param lock: the backlog's lock.
    """

    def __init__(self, lock: threading.Lock) -> None:
        self._lock = lock
        self._lanes: dict[Tenant, Lane] = {}
        self._in_flight: Lane | None = None  # the one that had the latest turn
        self._behind: OrderedDict[int, Lane] = OrderedDict()  # of the requests behind the first of a lane, by sequence

    # The shard's thread.

    def ready(self, now: float) -> Lane | None:
        """Return the next lane that has something to do now; its first request is in flight from then on."""
        with self._lock:
            for tenant, lane in self._lanes.items():
                if lane.due <= now:
                    del self._lanes[tenant]
                    self._lanes[tenant] = self._in_flight = lane
                    return lane
            return None

    @property
    def due(self) -> float:
        """The time of the monotonic clock at which the first lane is ready; infinity if there are none."""
        with self._lock:
            return min([lane.due for lane in self._lanes.values()], default=math.inf)

    def settle_first(self, lane: Lane) -> PreparedRequest:
        """Remove and return the first request of a lane, which has been delivered."""
        with self._lock:
            return self._remove_first(lane)

    # Any thread. The caller must hold the lock.

    def add(self, requests: Iterable[PreparedRequest]) -> None:
        """Add requests, each behind those of its tenant."""
        for request in requests:
            tenant = request.batch.tenant
            lane = self._lanes.get(tenant)
            if lane is None:
                lane = self._lanes[tenant] = Lane(tenant)
            else:
                self._behind[request.sequence] = lane
            lane.requests.append(request)

    def has(self, tenant: Tenant) -> bool:
        """Return whether a tenant has requests."""
        return tenant in self._lanes

    @property
    def oldest_behind(self) -> int | None:
        """The sequence of the oldest request behind the first of its lane; ``None`` if there is none."""
        return next(iter(self._behind), None)

    def drop_behind(self) -> Remainder:
        """Remove and return the oldest request behind the first of its lane."""
        _, lane = self._behind.popitem(last=False)
        request = lane.requests[1]
        del lane.requests[1]
        return Remainder(request, 0)

    @property
    def oldest_first(self) -> int | None:
        """The sequence of the oldest first request of a lane, except the one in flight; ``None`` if there is none."""
        return min([lane.requests[0].sequence for lane in self._not_in_flight()], default=None)

    def drop_first(self) -> Remainder:
        """Remove and return the oldest first request of a lane, excluding the one in flight."""
        lane = min(self._not_in_flight(), key=lambda lane: lane.requests[0].sequence)
        settled = lane.settled
        return Remainder(self._remove_first(lane), settled)

    def remaining(self) -> list[Remainder]:
        """Return all requests."""
        return [
            Remainder(request, lane.settled if request is lane.requests[0] else 0)
            for lane in self._lanes.values()
            for request in lane.requests
        ]

    def _not_in_flight(self) -> list[Lane]:
        return [lane for lane in self._lanes.values() if lane is not self._in_flight]

    def _remove_first(self, lane: Lane) -> PreparedRequest:
        request = lane.requests.popleft()
        lane.reset()
        if lane.requests:
            del self._behind[lane.requests[0].sequence]
        else:
            del self._lanes[lane.tenant]
        return request
