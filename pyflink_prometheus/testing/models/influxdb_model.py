"""InfluxDB 1."""

from __future__ import annotations

import math
from typing import Any

from pyflink_prometheus.config import RemoteWriteVersion
from pyflink_prometheus.testing.decoding import ReceivedRequest
from pyflink_prometheus.testing.models.model import ReceiverModel, StoredSample, samples_of
from pyflink_prometheus.testing.receiver import Response

_MAX_KEY_BYTES = 65_535
_NS = 1_000_000  # in a millisecond


class InfluxDbModel(ReceiverModel):
    """
    An InfluxDB 1 database.

    Modelled after 1.6.7 (``tests/integration/test_receiver_models.py`` compares them). It accepts any order; a second
    value at the same time replaces the first. NaN, including stale markers, is dropped with 204. An infinity, or a
    series key over 65,535 bytes, gets 400, and nothing in the request is stored. Times are stored in nanoseconds, so
    those of a sender that uses microseconds overflow. A 2.0 request gets 204 without counts, and nothing in it is
    stored.

    :param drops_infinities: whether infinities are dropped like NaN, as InfluxDB's documentation says of 1.8.6 and
        later.
    """

    def __init__(self, *, drops_infinities: bool = False) -> None:
        self._drops_infinities = drops_infinities
        self._values: dict[tuple[str, int], Any] = {}

    @property
    def stored(self) -> list[StoredSample]:
        """The last value written for each series and time."""
        return [(key, value, timestamp) for (key, timestamp), value in self._values.items()]

    def __call__(self, request: ReceivedRequest) -> Response:
        """Store what can be stored, or nothing, and respond."""
        if request.version is RemoteWriteVersion.V2:
            return Response(204, says_written=False)
        for key, value, _ in samples_of(request):
            if math.isinf(value) and not self._drops_infinities:
                return Response(400, '{"error":"+/-Inf is an unsupported value for field value"}')
            if len(key.encode()) > _MAX_KEY_BYTES:
                return Response(400, f'{{"error":"max key length exceeded: {len(key.encode())} > {_MAX_KEY_BYTES}"}}')
        for key, value, timestamp in samples_of(request):
            if not math.isnan(value) and not math.isinf(value):
                kept = ((timestamp * _NS + 2**63) % 2**64 - 2**63) // _NS
                self._values[key, kept] = value
        return Response(204)
