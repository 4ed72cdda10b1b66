"""What a writer has learned about its endpoint from the responses; shared by its shards' threads."""

from __future__ import annotations

import logging
from enum import Enum
from typing import NamedTuple

from pyflink_prometheus.config import RemoteWriteVersion
from pyflink_prometheus.http.outcome import Kind, Outcome
from pyflink_prometheus.wire.series import Tenant, shown_tenant

V1, V2 = RemoteWriteVersion.V1, RemoteWriteVersion.V2
_log = logging.getLogger(__name__)

#: After the first interval with 1.0, one request is sent in 2.0 as a probe. The interval doubles each time the probe
#: fails, up to the second one. In seconds.
FIRST_PROBE_AFTER_S, LONGEST_PROBE_AFTER_S = 60.0, 3600.0

#: After timeouts the request size stays limited for this many seconds; then twice the size is allowed.
LARGER_AFTER_S = 600.0

#: The most tenants that are remembered because all of their requests are refused.
MOST_UNWELCOME = 1000


class Refusal(Enum):
    """What the receiver does with the good samples of a request that it refuses."""

    #: Not known yet.
    UNKNOWN = "unknown"
    #: It keeps nothing: the request is resent in parts, and the good parts are accepted.
    KEEPS_NOTHING = "keeps nothing"
    #: It keeps them without saying which. It refuses a kept sample that is resent after newer ones of its series.
    KEEPS_GOOD = "keeps the good ones"
    #: It keeps them, and the Written headers hold their exact number.
    COUNTS = "counts"


class RefusalStyle(NamedTuple):
    """
    A kind of refusal that a receiver may treat differently from others.

    Prometheus keeps nothing of a refused 1.0 request, and the good samples of a 2.0 one. Cortex keeps nothing of a 2.0
    request that it refuses without a count, and the good samples of one that it refuses with a count.
    """

    version: RemoteWriteVersion
    is_counted: bool


COUNTED = RefusalStyle(V2, is_counted=True)


class Endpoint:
    """
    What the responses of one endpoint have shown.

    All shards of a writer share it, without a lock: each attribute is assigned as a whole, and a shard with an outdated
    view loses a request but no sample.

    :param version: the configured version.
    :ivar reached: whether the endpoint has ever responded.
    :ivar speaks_v2: whether it has ever sent a Written header in response to a 2.0 request.
    :ivar is_receiver: whether it has proved to be a receiver, by a Written header or by accepting a request.
    """

    def __init__(self, version: RemoteWriteVersion) -> None:
        self.reached = False
        self.speaks_v2 = False
        self.is_receiver = False
        self.is_automatic = version is RemoteWriteVersion.AUTO
        self._version = V1 if version is V1 else V2
        self._probe_at = 0.0  # time of the next probe of 2.0
        self._probe_after_s = FIRST_PROBE_AFTER_S
        self._refusals: dict[RefusalStyle, Refusal] = {}
        self._claims_too_much = False
        self._size_in_time: int | None = None
        self._larger_at = 0.0
        self._refused_whole_in_a_row = 0
        # The tenant and number of the latest accepted request, and of the latest one of any other tenant.
        self._accepted: tuple[Tenant | None, int] = (None, 0)
        self._accepted_of_another: tuple[Tenant | None, int] = (None, 0)
        self._unwelcome: set[Tenant] = set()

    @property
    def version(self) -> RemoteWriteVersion:
        """The best version that the receiver is known to support."""
        return self._version

    def next_version(self, now: float) -> RemoteWriteVersion:
        """Return the version for the next request, which is occasionally a probe of 2.0."""
        if self._version is V1 and self.is_automatic and now >= self._probe_at:
            self._schedule_probe(now)
            return V2
        return self._version

    def learn(self, version: RemoteWriteVersion, outcome: Outcome, tenant: Tenant = ()) -> None:
        """Record what the response to a tenant's request of that version shows."""
        self.reached = self.reached or outcome.status is not None
        if version is V2 and outcome.written is not None:
            self.speaks_v2 = self.is_receiver = True
            self._probe_after_s = FIRST_PROBE_AFTER_S
            if self._version is V1:
                self._version = V2
                _log.info("the receiver supports Remote-Write 2.0 (again); from now on requests use 2.0")
        if outcome.kind is Kind.ACCEPTED and (version is V1 or outcome.written is not None):
            self.is_receiver = True
            if self._accepted[0] != tenant:
                self._accepted_of_another = self._accepted
            self._accepted = (tenant, self._accepted[1] + 1)
            self._unwelcome.discard(tenant)

    def prefer(self, version: RemoteWriteVersion, why: str, now: float) -> None:
        """Use the other version for the next requests, because of a response."""
        if version is self._version or not self.is_automatic:
            return
        self._version = version
        if version is V1:
            self._schedule_probe(now)
            _log.info(
                "the receiver does not support Remote-Write 2.0 (%s); from now on requests use 1.0, with a probe of "
                "2.0 from time to time",
                why,
            )
        else:
            _log.info("the receiver supports only Remote-Write 2.0 (%s); from now on requests use 2.0", why)

    def refusal(self, style: RefusalStyle) -> Refusal:
        """Return what the receiver is known to do with the good samples of a refused request."""
        return self._refusals.get(style, Refusal.UNKNOWN)

    def note_refusal(self, style: RefusalStyle, refusal: Refusal) -> None:
        """
        Record what the receiver does with the good samples of a refused request.

        Counts that have once contradicted themselves are never trusted again.
        """
        if not (refusal is Refusal.COUNTS and self._claims_too_much):
            self._refusals[style] = refusal

    def note_claim_of_all(self) -> None:
        """Record that it has refused a request but claimed to have written all of it: its counts are not reliable."""
        self._claims_too_much = True
        if self.refusal(COUNTED) is not Refusal.KEEPS_NOTHING:
            self._refusals[COUNTED] = Refusal.KEEPS_GOOD

    @property
    def counts_are_exact(self) -> bool:
        """Whether no response has contradicted its counts so far."""
        return not self._claims_too_much

    def size_in_time(self, now: float) -> int | None:
        """Return the largest number of samples in a request that does not time out; ``None`` for no limit."""
        if self._size_in_time is not None and now >= self._larger_at:
            self.note_size_in_time(2 * self._size_in_time, now)
        return self._size_in_time

    def note_size_in_time(self, samples: int, now: float) -> None:
        """Record that larger requests have timed out."""
        self._size_in_time = samples
        self._larger_at = now + LARGER_AFTER_S

    def refused_only_whole(self, is_so: bool) -> bool:
        """
        Record whether a refused request was accepted in parts, with none of its samples at fault.

        :return: whether this has happened twice in a row, which shows that the size was the cause.
        """
        self._refused_whole_in_a_row = self._refused_whole_in_a_row + 1 if is_so else 0
        return self._refused_whole_in_a_row > 1

    def latest_accepted_of_others(self, tenant: Tenant) -> int:
        """Return the number of the latest accepted request that was not of this tenant; 0 if there was none."""
        return (self._accepted if self._accepted[0] != tenant else self._accepted_of_another)[1]

    def is_unwelcome(self, tenant: Tenant) -> bool:
        """Return whether the receiver has refused all of a tenant's requests while it accepted those of others."""
        return tenant in self._unwelcome

    def note_unwelcome(self, tenant: Tenant) -> None:
        """Record that the receiver refuses all of a tenant's requests while it accepts those of others."""
        if tenant not in self._unwelcome:
            if len(self._unwelcome) >= MOST_UNWELCOME:
                self._unwelcome.clear()
            self._unwelcome.add(tenant)
            _log.warning(
                "check tenant %s: the receiver refuses all of its requests but accepts those of other tenants; its "
                "samples are rejected",
                shown_tenant(tenant),
            )

    def _schedule_probe(self, now: float) -> None:
        self._probe_at = now + self._probe_after_s
        self._probe_after_s = min(2 * self._probe_after_s, LONGEST_PROBE_AFTER_S)
