"""All that a writer learns about its endpoint from the responses; shared by its shards."""

from __future__ import annotations

import logging
from enum import Enum
from typing import NamedTuple

from pyflink_prometheus.config import RemoteWriteVersion
from pyflink_prometheus.http.outcome import Kind, Outcome

V1, V2 = RemoteWriteVersion.V1, RemoteWriteVersion.V2
_log = logging.getLogger(__name__)

#: After so many seconds in 1.0 the next request is tried as 2.0 again; doubled each time that fails, up to the second.
FIRST_PROBE_AFTER_S, LONGEST_PROBE_AFTER_S = 60.0, 3600.0

#: For so many seconds a size that the receiver answered in time stays the largest; then twice as much is tried.
LARGER_AFTER_S = 600.0


class Refusal(Enum):
    """What the receiver does with the good samples of a request that it refuses."""

    #: Nothing has shown it yet.
    UNKNOWN = "unknown"
    #: It keeps nothing: what it refused is sent again in parts, and the good parts are taken.
    KEEPS_NOTHING = "keeps nothing"
    #: It keeps them without saying which; what it has of a series it refuses when it comes again behind newer samples.
    KEEPS_GOOD = "keeps the good ones"
    #: It keeps them, and the Written headers say exactly how many.
    COUNTS = "counts"


class RefusalStyle(NamedTuple):
    """
    The kinds of refusals that a receiver may treat differently.

    Prometheus keeps nothing of a refused 1.0 request, and the good samples of a 2.0 one. Cortex keeps nothing of a 2.0
    request that it refuses without a count, and the good samples of one that it refuses with a count.
    """

    version: RemoteWriteVersion
    is_counted: bool


COUNTED = RefusalStyle(V2, is_counted=True)


class Endpoint:
    """
    What the responses of one endpoint have shown.

    All shards of a writer share it, without a lock: each attribute is written as a whole, and what one shard does not
    know yet costs it a request and no sample.

    :param version: what the user asked for.
    :ivar reached: whether it has ever responded.
    :ivar speaks_v2: whether it has ever sent a Written header in response to a 2.0 request.
    :ivar is_receiver: whether it has shown that it is a receiver: by a Written header, or by accepting a request.
    """

    def __init__(self, version: RemoteWriteVersion) -> None:
        self.reached = False
        self.speaks_v2 = False
        self.is_receiver = False
        self.is_automatic = version is RemoteWriteVersion.AUTO
        self._version = V1 if version is V1 else V2
        self._probe_at = 0.0  # when 2.0 is to be tried again
        self._probe_after_s = FIRST_PROBE_AFTER_S
        self._refusals: dict[RefusalStyle, Refusal] = {}
        self._claims_too_much = False
        self._size_in_time: int | None = None
        self._larger_at = 0.0
        self._refused_whole_in_a_row = 0

    @property
    def version(self) -> RemoteWriteVersion:
        """The version that the receiver is believed to understand best."""
        return self._version

    def next_version(self, now: float) -> RemoteWriteVersion:
        """Return the version for the next request: once in a while, one in 1.0 is tried as 2.0 again."""
        if self._version is V1 and self.is_automatic and now >= self._probe_at:
            self._put_off_probe(now)
            return V2
        return self._version

    def learn(self, version: RemoteWriteVersion, outcome: Outcome) -> None:
        """Remember what the response to a request of that version shows."""
        self.reached = self.reached or outcome.status is not None
        if version is V2 and outcome.written is not None:
            self.speaks_v2 = self.is_receiver = True
            self._probe_after_s = FIRST_PROBE_AFTER_S
            if self._version is V1:
                self._version = V2
                _log.info("the receiver understands Remote-Write 2.0 (again); requests are sent in 2.0 from now on")
        if outcome.kind is Kind.ACCEPTED and (version is V1 or outcome.written is not None):
            self.is_receiver = True

    def prefer(self, version: RemoteWriteVersion, why: str, now: float) -> None:
        """Begin the next requests with the other version, because of what the receiver has responded."""
        if version is self._version or not self.is_automatic:
            return
        self._version = version
        if version is V1:
            self._put_off_probe(now)
            _log.info(
                "the receiver does not understand Remote-Write 2.0 (%s); requests are sent in 1.0 from now on, and 2.0 "
                "is tried again from time to time",
                why,
            )
        else:
            _log.info("the receiver takes only Remote-Write 2.0 (%s); requests are sent in 2.0 from now on", why)

    def refusal(self, style: RefusalStyle) -> Refusal:
        """Return what it does with the good samples of a refused request, as far as it has shown."""
        return self._refusals.get(style, Refusal.UNKNOWN)

    def note_refusal(self, style: RefusalStyle, refusal: Refusal) -> None:
        """
        Remember what it does with the good samples of a refused request.

        Once the counts have contradicted themselves they are never again taken for exact.
        """
        if not (refusal is Refusal.COUNTS and self._claims_too_much):
            self._refusals[style] = refusal

    def note_claim_of_all(self) -> None:
        """Remember that it has refused a request and claimed to have written all of it: its counts mean otherwise."""
        self._claims_too_much = True
        if self.refusal(COUNTED) is not Refusal.KEEPS_NOTHING:
            self._refusals[COUNTED] = Refusal.KEEPS_GOOD

    @property
    def counts_are_exact(self) -> bool:
        """Whether its counts have been borne out by its responses so far."""
        return not self._claims_too_much

    def size_in_time(self, now: float) -> int | None:
        """Return how many samples a request may hold for it to be answered in time; ``None`` for any number."""
        if self._size_in_time is not None and now >= self._larger_at:
            self.note_size_in_time(2 * self._size_in_time, now)
        return self._size_in_time

    def note_size_in_time(self, samples: int, now: float) -> None:
        """Remember that larger requests were not answered in time."""
        self._size_in_time = samples
        self._larger_at = now + LARGER_AFTER_S

    def refused_only_whole(self, is_so: bool) -> bool:
        """
        Remember whether a refused request was accepted in parts, none of its samples being at fault.

        :return: whether that has been so twice in a row, which shows that it was the size.
        """
        self._refused_whole_in_a_row = self._refused_whole_in_a_row + 1 if is_so else 0
        return self._refused_whole_in_a_row > 1

    def _put_off_probe(self, now: float) -> None:
        self._probe_at = now + self._probe_after_s
        self._probe_after_s = min(2 * self._probe_after_s, LONGEST_PROBE_AFTER_S)
