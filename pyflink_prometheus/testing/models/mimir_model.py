"""Mimir, and thus Grafana Cloud."""

from __future__ import annotations

from pyflink_prometheus.testing.decoding import ReceivedRequest
from pyflink_prometheus.testing.models.model import (
    ReceiverModel,
    StoredSample,
    key_of,
    refusal,
)
from pyflink_prometheus.testing.models.series_limits import SeriesLimits
from pyflink_prometheus.testing.models.tsdb_head import Appender, TsdbHead
from pyflink_prometheus.testing.receiver import Response

#: The defaults of Mimir's distributor.
MIMIR_LIMITS = SeriesLimits(labels=30, name_bytes=1024, value_bytes=2048, classic_names=True)
_MAX_LEAD_MS = 600_000


class MimirModel(ReceiverModel):
    """
    One tenant of Mimir with the default limits.

    Modelled after the sources and issues of Mimir 2.17 and 3 (``pkg/distributor``, grafana/mimir#12682), not measured:

    - Invalid series, samples more than 10 minutes ahead, and the second of two samples of a series at one time are
      dropped; the rest goes to the TSDB, which refuses sample by sample. All valid samples are stored, in both
      versions. One bad sample makes the response 400.
    - The Written headers of a 2.0 request say what was *received*, with 200 as well as with 400.

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
        """Store the valid part and respond."""
        appender = Appender(self._head)
        problems = []
        for series in request.series:
            invalid = self._limits.problem(series)
            if invalid is not None:
                problems.append(f"{invalid} (err-mimir-series-invalid)")
                continue
            key, times = key_of(series), set()
            for value, timestamp, *_ in series.samples:
                if timestamp > self.now_ms + _MAX_LEAD_MS:
                    problems.append(f"{key} at {timestamp} is too far in the future (err-mimir-too-far-in-future)")
                elif timestamp not in times:
                    times.add(timestamp)
                    problem = appender.append(key, value, timestamp)
                    if problem is not None:
                        problems.append(f"{problem} for {key} (err-mimir-sample-out-of-order)")
        appender.commit()
        return refusal(request, problems, request.content) if problems else Response(200)
