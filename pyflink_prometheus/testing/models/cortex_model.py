"""Cortex."""

from __future__ import annotations

from pyflink_prometheus.config import RemoteWriteVersion
from pyflink_prometheus.testing.decoding import ReceivedRequest
from pyflink_prometheus.testing.models.mimir_model import MIMIR_LIMITS
from pyflink_prometheus.testing.models.model import (
    ReceiverModel,
    StoredSample,
    key_of,
    refusal,
)
from pyflink_prometheus.testing.models.series_limits import SeriesLimits
from pyflink_prometheus.testing.models.tsdb_head import Appender, TsdbHead
from pyflink_prometheus.testing.receiver import Answer

_MAX_LEAD_MS = 600_000


class CortexModel(ReceiverModel):
    """
    One tenant of Cortex with the default limits and Remote-Write 2.0 switched on.

    Modelled after Cortex's issues (cortexproject/cortex#6953, #7761), not measured:

    - One invalid series makes it answer a 2.0 request 400 without counts, before it has stored anything. Of a 1.0
      request it stores the rest and answers 400.
    - Of samples that are too far ahead, out of order or out of bounds it stores the others and answers 400. The counts
      say how much was *validated*, which is more than was stored.

    :param now_ms: what the receiver takes for the present; it may be set later.
    :param limits: of the labels of a series.
    """

    def __init__(self, now_ms: int, limits: SeriesLimits = MIMIR_LIMITS) -> None:
        self.now_ms = now_ms
        self._limits = limits
        self._head = TsdbHead()

    @property
    def stored(self) -> list[StoredSample]:
        """What its storage holds."""
        return self._head.stored

    def __call__(self, request: ReceivedRequest) -> Answer:
        """Store the good part, or nothing, and answer."""
        appender = Appender(self._head)
        problems = []
        for series in request.series:
            invalid = self._limits.problem(series)
            if invalid is not None:
                if request.version is RemoteWriteVersion.V2:
                    return Answer(400, invalid, says_written=False)
                problems.append(invalid)
                continue
            key = key_of(series)
            for value, timestamp, *_ in series.samples:
                if timestamp > self.now_ms + _MAX_LEAD_MS:
                    problems.append(f"timestamp too new: {timestamp}, series {key}")
                elif (problem := appender.append(key, value, timestamp)) is not None:
                    problems.append(f"{problem}, series {key}")
        appender.commit()
        return refusal(request, problems, request.content) if problems else Answer(200)
