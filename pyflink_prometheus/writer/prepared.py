"""From a batch to its requests; on the caller's or the shard's thread, whichever comes first."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import count
from typing import NamedTuple

from pyflink_prometheus.config import RemoteWriteVersion, SinkConfig
from pyflink_prometheus.wire.request import EncodedRequest, encode
from pyflink_prometheus.writer.batch import Batch
from pyflink_prometheus.writer.ledger import RejectionReason
from pyflink_prometheus.writer.settlement import Settlement

_DUPLICATE = "the request held the same sample twice"
_CONFLICT = (
    "give the samples different timestamps or labels, or choose one with set_conflict_policy: the request held another "
    "value of this series with the same timestamp, and Prometheus keeps one of them"
)

_SEQUENCE = count()


class PreparedRequest(NamedTuple):
    """
    A batch that one request may hold, and that request.

    :param batch: in order, without duplicates, of one tenant.
    :param sequence: larger for requests made later.
    """

    batch: Batch
    encoded: EncodedRequest
    sequence: int


class Prepared(NamedTuple):
    """
    A batch as prepared for one version.

    :param requests: the requests; those of a tenant are to be sent one after the other.
    :param duplicates: samples that no request may hold, by tenant: see
        :class:`~pyflink_prometheus.writer.batch.Ordered`.
    :param conflicting: conflicting samples, likewise.
    """

    requests: list[PreparedRequest]
    duplicates: list[Batch]
    conflicting: list[Batch]


class Preparation:
    """
    The preparation of requests from batches.

    :param config: the settings: the largest request, and which of conflicting samples to keep.
    :param settlement: receives the samples that no request may hold.
    """

    def __init__(self, config: SinkConfig, settlement: Settlement) -> None:
        self._policy = config.conflict_policy
        self._max_bytes = config.max_batch_size_in_bytes
        self._settlement = settlement

    def prepare(self, batch: Batch, version: RemoteWriteVersion) -> list[PreparedRequest]:
        """Return the requests that a batch needs, those of a tenant to be sent one after the other."""
        return self.settle(self.make(batch, version))

    def make(self, batch: Batch, version: RemoteWriteVersion) -> Prepared:
        """Prepare a batch, without settling the samples that no request may hold."""
        prepared = Prepared([], [], [])
        for of_tenant in batch.by_tenant():
            ordered, duplicates, conflicting = of_tenant.in_order(self._policy)
            prepared.duplicates.append(duplicates)
            prepared.conflicting.append(conflicting)
            for each in ordered.requests():
                self._encode_within_bounds(each, version, prepared.requests)
        return prepared

    def settle(self, prepared: Prepared) -> list[PreparedRequest]:
        """Reject the samples that no request may hold, and return the requests."""
        for duplicates in prepared.duplicates:
            self._settlement.reject(duplicates, RejectionReason.DUPLICATE, _DUPLICATE)
        for conflicting in prepared.conflicting:
            self._settlement.reject(conflicting, RejectionReason.CONFLICTING, _CONFLICT)
        return prepared.requests

    def _encode_within_bounds(self, batch: Batch, version: RemoteWriteVersion, prepared: list[PreparedRequest]) -> None:
        """Encode a batch as one request, or as several if it is too large for one."""
        if not len(batch):
            return
        encoded = encode(batch, version)
        if encoded.size_in_bytes <= self._max_bytes or len(batch) == 1:
            prepared.append(PreparedRequest(batch, encoded, next(_SEQUENCE)))
            return
        parts = min(len(batch), -(-encoded.size_in_bytes // self._max_bytes))
        size = -(-len(batch) // parts)
        for start in range(0, len(batch), size):
            self._encode_within_bounds(batch.part(start, start + size), version, prepared)


def cut(request: PreparedRequest, limit: int) -> list[PreparedRequest]:
    """Split a request into requests of at most ``limit`` samples each."""
    batch, version = request.batch, request.encoded.version
    if len(batch) <= limit:
        return [request]
    parts = [batch.part(start, start + limit) for start in range(0, len(batch), limit)]
    return [PreparedRequest(part, encode(part, version), next(_SEQUENCE)) for part in parts]


class SealedBatch:
    """
    A batch that is complete, and its requests once a thread has prepared them.

    :param requests: its requests, if they are already prepared.
    :ivar size: in samples.
    """

    def __init__(self, batch: Batch, requests: list[PreparedRequest] | None = None) -> None:
        self.size = len(batch)
        self._batch = batch
        self._requests = requests
        self._lock = threading.Lock()

    def requests(self, prepare: Callable[[Batch], list[PreparedRequest]]) -> list[PreparedRequest]:
        """Return the batch's requests; the first thread to call this prepares them, a second one waits for it."""
        with self._lock:
            if self._requests is None:
                self._requests = prepare(self._batch)
                self._batch = Batch.empty()  # no longer needed
            return self._requests
