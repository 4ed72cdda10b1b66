"""VictoriaMetrics."""

from __future__ import annotations

import math
from typing import Any

from pyflink_prometheus.config import RemoteWriteVersion
from pyflink_prometheus.model.samples import is_stale_marker
from pyflink_prometheus.testing.decoding import ReceivedRequest
from pyflink_prometheus.testing.models.model import ReceiverModel, StoredSample, key_of
from pyflink_prometheus.testing.models.series_limits import SeriesLimits
from pyflink_prometheus.testing.receiver import Response

_LIMITS = SeriesLimits(labels=40, name_bytes=256, value_bytes=4096)
_DAY_MS = 86_400_000
_RETENTION_MS = 31 * _DAY_MS
_MAX_LEAD_MS = 2 * _DAY_MS
_MAX_BYTES = 32 * 1024 * 1024


class VictoriaMetricsModel(ReceiverModel):
    """
    A single-node VictoriaMetrics with its defaults.

    Modelled after VictoriaMetrics 1.145 (``tests/integration/test_receiver_models.py`` compares them). It accepts any
    order, and stores duplicates twice. It drops, with 204 as for all requests: series over its limits (40 labels
    including the metric's name, 256 bytes per name, 4096 per value), samples more than two days ahead or older than its
    retention, and NaN that is not a stale marker. A request over 32 MiB is refused with 400. A 2.0 request gets 204
    without counts, and nothing in it is stored.

    :param now_ms: the receiver's current time; may be changed later.
    """

    def __init__(self, now_ms: int) -> None:
        self.now_ms = now_ms
        self._stored: list[StoredSample] = []

    @property
    def stored(self) -> list[StoredSample]:
        """The samples in its storage, before deduplication."""
        return self._stored

    def __call__(self, request: ReceivedRequest) -> Response:
        """Store what is within the limits, and respond with 204."""
        if request.decoded_bytes > _MAX_BYTES:
            return Response(400, "too big data size", says_written=False)
        if request.version is RemoteWriteVersion.V2:
            return Response(204, says_written=False)
        for series in request.series:
            if series.metric_name and _LIMITS.problem(series) is not None:
                continue
            key = key_of(series)
            self._stored += [
                (key, value, timestamp)
                for value, timestamp, *_ in series.samples
                if -_RETENTION_MS <= timestamp - self.now_ms <= _MAX_LEAD_MS and not _is_ordinary_nan(value)
            ]
        return Response(204)


def _is_ordinary_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value) and not is_stale_marker(value)
