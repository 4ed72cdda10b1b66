"""The requests of a shard by tenant, so that a tenant that must wait holds up no other one; on the shard's thread."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable

from pyflink_prometheus.http.outcome import Outcome
from pyflink_prometheus.wire.series import Tenant
from pyflink_prometheus.writer.delivery import Step
from pyflink_prometheus.writer.isolation import Steps
from pyflink_prometheus.writer.prepared import PreparedRequest


class Lane:
    """
    The requests of one tenant, delivered one after the other.

    :ivar tenant: whose they are.
    :ivar requests: in order; the first one is being delivered.
    :ivar due: the time of the monotonic clock before which nothing is to be done.
    :ivar steps: the delivery of the first request; ``None`` before it begins.
    :ivar step: the step of it that is to be carried out; ``None`` if the next one is to be asked for.
    :ivar outcome: the outcome of its latest step, for the next one.
    """

    __slots__ = ("due", "outcome", "requests", "step", "steps", "tenant")

    def __init__(self, tenant: Tenant) -> None:
        self.tenant = tenant
        self.requests: deque[PreparedRequest] = deque()
        self.due = -math.inf
        self.steps: Steps | None = None
        self.step: Step | None = None
        self.outcome: Outcome | None = None

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


class Lanes:
    """The lanes that have requests. Each gets its turn: a lane that is returned goes behind the others."""

    def __init__(self) -> None:
        self._lanes: dict[Tenant, Lane] = {}

    def __len__(self) -> int:
        return len(self._lanes)

    def add(self, requests: Iterable[PreparedRequest]) -> None:
        """Add requests, each behind those of its tenant."""
        for request in requests:
            tenant = request.batch.tenant
            lane = self._lanes.get(tenant)
            if lane is None:
                lane = self._lanes[tenant] = Lane(tenant)
            lane.requests.append(request)

    def ready(self, now: float) -> Lane | None:
        """Return the next lane in which something is to be done now."""
        for tenant, lane in self._lanes.items():
            if lane.due <= now:
                del self._lanes[tenant]
                self._lanes[tenant] = lane
                return lane
        return None

    @property
    def due(self) -> float:
        """The time of the monotonic clock at which the first lane is ready; infinity without any."""
        return min([lane.due for lane in self._lanes.values()], default=math.inf)

    def settle_first(self, lane: Lane) -> PreparedRequest:
        """Remove and return the first request of a lane, which has been delivered."""
        request = lane.requests.popleft()
        if not lane.requests:
            del self._lanes[lane.tenant]
        return request
