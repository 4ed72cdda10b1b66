"""Thanos Receive."""

from __future__ import annotations

from pyflink_prometheus.testing.decoding import ReceivedRequest
from pyflink_prometheus.testing.models.model import (
    ReceiverModel,
    StoredSample,
    refusal,
    samples_of,
)
from pyflink_prometheus.testing.models.tsdb_head import Appender, TsdbHead
from pyflink_prometheus.testing.receiver import Response


class ThanosModel(ReceiverModel):
    """
    One tenant of Thanos Receive without limits.

    Modelled after the sources of Thanos (``pkg/receive/handler.go``, ``writer.go``), not measured. It accepts both
    versions and stores the valid part of a request. It responds with 409 without counts if any sample was out of order,
    out of bounds or a duplicate, and otherwise claims to have written everything. Samples may be any time ahead.
    """

    def __init__(self) -> None:
        self._head = TsdbHead()

    @property
    def stored(self) -> list[StoredSample]:
        """The samples in its storage."""
        return self._head.stored

    def __call__(self, request: ReceivedRequest) -> Response:
        """Store the valid part and respond."""
        appender = Appender(self._head)
        problems = [
            f"{problem} for {key}"
            for key, value, timestamp in samples_of(request)
            if (problem := appender.append(key, value, timestamp)) is not None
        ]
        appender.commit()
        return refusal(request, problems, status=409, says_written=False) if problems else Response(200)
