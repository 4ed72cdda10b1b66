"""What a writer learns of its endpoint from the answers: whether it is there, and which version it understands."""

from __future__ import annotations

import logging

from pyflink_prometheus.config import RemoteWriteVersion
from pyflink_prometheus.http.outcome import Kind, Outcome

V1, V2 = RemoteWriteVersion.V1, RemoteWriteVersion.V2
_log = logging.getLogger(__name__)


class Endpoint:
    """
    Remember what the answers of one endpoint have shown; all shards of a writer share it.

    A receiver of 2.0 is known by the Written headers that it must send, whether it takes a request or refuses it; the
    words of its answers are never read. So, of the answers to a 2.0 request:

    - 415, and 2xx without any of these headers, are those of a receiver of 1.0 ("Unsupported Request Content",
      "Required Written Response Headers"): it has stored nothing, and the same samples are sent as 1.0.
    - 400 or the like without them may be either: a receiver of 1.0 that cannot read the request, or one of 2.0 that
      refuses it before it has looked at a sample. Nothing is stored in both cases. As long as the endpoint has never
      sent one of these headers the same samples are sent as 1.0; if any are taken, that settles it.

    :param version: what the user asked for.
    :ivar version: what to begin the next request with.
    :ivar reached: whether it has ever answered.
    :ivar speaks_v2: whether it has ever sent a Written header in answer to a 2.0 request.
    """

    def __init__(self, version: RemoteWriteVersion) -> None:
        self.version = V1 if version is V1 else V2
        self.reached = False
        self.speaks_v2 = False
        self._automatic = version is RemoteWriteVersion.AUTO

    def misunderstood(self, version: RemoteWriteVersion, outcome: Outcome) -> bool:
        """Tell whether this is how a receiver answers that does not understand the version."""
        if version is V1 or outcome.written is not None:
            return False
        if outcome.status == 415 or outcome.kind is Kind.ACCEPTED:
            return True
        return self._automatic and outcome.kind is Kind.REJECTED and not self.speaks_v2

    def learn(self, version: RemoteWriteVersion, outcome: Outcome) -> None:
        """Remember what an answer to a request of that version shows."""
        self.reached = self.reached or outcome.status is not None
        if version is V2 and outcome.written is not None:
            self.speaks_v2 = True
        if not self._automatic or self.version is V1:
            return
        certain = outcome.status == 415 or outcome.kind is Kind.ACCEPTED
        if self.misunderstood(version, outcome) and certain:
            self._fall_back(f"it answered {outcome.message}" + ("" if outcome.status == 415 else ", with no count"))
        elif version is V1 and outcome.kind is Kind.ACCEPTED and not self.speaks_v2:
            self._fall_back("it refused 2.0 and took 1.0")

    def _fall_back(self, why: str) -> None:
        self.version = V1
        _log.info("the receiver does not understand Remote-Write 2.0 (%s); from now on it is written to in 1.0", why)
