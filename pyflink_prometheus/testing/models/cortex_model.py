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
from pyflink_prometheus.testing.receiver import Response

_MAX_LEAD_MS = 600_000


class CortexModel(ReceiverModel):
    """
    One tenant of Cortex with the default limits and Remote-Write 2.0 enabled.

    Modelled after Cortex's issues (cortexproject/cortex#6953, #7761), not measured:

    - One invalid series: a 2.0 request gets 400 without counts, and nothing is stored; the rest of a 1.0 request is
      stored, and the response is 400.
    - Samples that are too far ahead, out of order or out of bounds: the others are stored, and the response is 400. The
      counts say how many were *validated*, which is more than were stored.

    :param now_ms: the receiver's current time; may be changed later.
    :param limits: the limits on a series' labels.
    """

    def __init__(self, now_ms: int, limits: SeriesLimits = MIMIR_LIMITS) -> None:
        self.now_ms = now_ms
        self._limits = limits
        self._head = TsdbHead()

    @property
    def stored(self) -> list[StoredSample]:
        """The samples in its storage."""
        return self._head.stored

    def __call__(self, request: ReceivedRequest) -> Response:
        """Store the valid part, or nothing, and respond."""
        appender = Appender(self._head)
        problems = []
        for series in request.series:
            invalid = self._limits.problem(series)
            if invalid is not None:
                if request.version is RemoteWriteVersion.V2:
                    return Response(400, invalid, says_written=False)
                problems.append(invalid)
                continue
            key = key_of(series)
            for value, timestamp, *_ in series.samples:
                if timestamp > self.now_ms + _MAX_LEAD_MS:
                    problems.append(f"timestamp too new: {timestamp}, series {key}")
                elif (problem := appender.append(key, value, timestamp)) is not None:
                    problems.append(f"{problem}, series {key}")
        appender.commit()
        return refusal(request, problems, request.content) if problems else Response(200)
