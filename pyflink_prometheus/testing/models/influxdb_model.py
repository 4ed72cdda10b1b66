"""InfluxDB 1."""

from __future__ import annotations

import math
from typing import Any

from pyflink_prometheus.config import RemoteWriteVersion
from pyflink_prometheus.testing.decoding import ReceivedRequest
from pyflink_prometheus.testing.models.model import ReceiverModel, StoredSample, samples_of
from pyflink_prometheus.testing.receiver import Answer

_MAX_KEY_BYTES = 65_535
_NS = 1_000_000  # in a millisecond


class InfluxDbModel(ReceiverModel):
    """
    A database of InfluxDB 1.

    Modelled after what 1.6.7 does (``tests/integration/test_receiver_models.py`` holds it to it): any order is taken,
    and a second value at one time replaces the first. NaN, stale markers too, is dropped with 204. An infinity, or a
    series key over 65,535 bytes, makes the answer 400, and nothing of the request is stored. Times are kept in
    nanoseconds, so those of a sender that means microseconds wrap around. A 2.0 request is answered 204 without counts;
    nothing of it is stored.

    :param drops_infinities: whether infinities go the way of NaN, as InfluxDB's documentation says of 1.8.6 and later.
    """

    def __init__(self, *, drops_infinities: bool = False) -> None:
        self._drops_infinities = drops_infinities
        self._values: dict[tuple[str, int], Any] = {}

    @property
    def stored(self) -> list[StoredSample]:
        """The latest value of each series at each time."""
        return [(key, value, timestamp) for (key, timestamp), value in self._values.items()]

    def __call__(self, request: ReceivedRequest) -> Answer:
        """Store what can be stored, or nothing, and answer."""
        if request.version is RemoteWriteVersion.V2:
            return Answer(204, says_written=False)
        for key, value, _ in samples_of(request):
            if math.isinf(value) and not self._drops_infinities:
                return Answer(400, '{"error":"+/-Inf is an unsupported value for field value"}')
            if len(key.encode()) > _MAX_KEY_BYTES:
                return Answer(400, f'{{"error":"max key length exceeded: {len(key.encode())} > {_MAX_KEY_BYTES}"}}')
        for key, value, timestamp in samples_of(request):
            if not math.isnan(value) and not math.isinf(value):
                kept = ((timestamp * _NS + 2**63) % 2**64 - 2**63) // _NS
                self._values[key, kept] = value
        return Answer(204)
