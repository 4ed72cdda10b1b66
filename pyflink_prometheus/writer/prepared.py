"""From a batch to the requests that it takes; on whichever thread comes first, the caller's or the shard's."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import NamedTuple

from pyflink_prometheus.config import RemoteWriteVersion, SinkConfig
from pyflink_prometheus.wire.request import EncodedRequest, encode
from pyflink_prometheus.writer.batch import Batch
from pyflink_prometheus.writer.ledger import Reason
from pyflink_prometheus.writer.settlement import Settlement

_DUPLICATE = "the same sample was in one request twice"
_CONFLICT = (
    "the same request held another value of this series at the same time, and Prometheus keeps one of them: give them "
    "timestamps or labels that differ, or choose with set_conflict_policy"
)


class PreparedRequest(NamedTuple):
    """
    A batch as one request may hold it, and that request.

    :param batch: in order, without duplicates.
    """

    batch: Batch
    encoded: EncodedRequest


class Preparation:
    """
    Make requests of batches.

    :param config: how large a request may be, and which of conflicting samples to keep.
    :param settlement: gets the samples that no request may hold.
    """

    def __init__(self, config: SinkConfig, settlement: Settlement) -> None:
        self._policy = config.conflict_policy
        self._max_bytes = config.max_batch_size_in_bytes
        self._settlement = settlement

    def prepare(self, batch: Batch, version: RemoteWriteVersion) -> list[PreparedRequest]:
        """Return the requests that a batch takes, to be sent one after the other."""
        ordered, duplicates, conflicting = batch.in_order(self._policy)
        self._settlement.reject(duplicates, Reason.DUPLICATE, _DUPLICATE)
        self._settlement.reject(conflicting, Reason.CONFLICTING, _CONFLICT)
        prepared: list[PreparedRequest] = []
        for each in ordered.requests():
            self._encode_within_bounds(each, version, prepared)
        return prepared

    def _encode_within_bounds(self, batch: Batch, version: RemoteWriteVersion, prepared: list[PreparedRequest]) -> None:
        """Encode a batch as one request, or as several where it has too many bytes for one."""
        if not len(batch):
            return
        encoded = encode(batch, version)
        if encoded.size_in_bytes <= self._max_bytes or len(batch) == 1:
            prepared.append(PreparedRequest(batch, encoded))
            return
        parts = min(len(batch), -(-encoded.size_in_bytes // self._max_bytes))
        size = -(-len(batch) // parts)
        for start in range(0, len(batch), size):
            self._encode_within_bounds(batch.part(start, start + size), version, prepared)


class SealedBatch:
    """
    A batch that takes no more samples, and its requests as soon as a thread has prepared them.

    :ivar size: in samples.
    """

    def __init__(self, batch: Batch) -> None:
        self.size = len(batch)
        self._batch = batch
        self._requests: list[PreparedRequest] | None = None
        self._lock = threading.Lock()

    def requests(self, prepare: Callable[[Batch], list[PreparedRequest]]) -> list[PreparedRequest]:
        """Return the requests that it takes; the first thread that asks prepares them, a second one waits for that."""
        with self._lock:
            if self._requests is None:
                self._requests = prepare(self._batch)
                self._batch = Batch()  # not needed any more
            return self._requests
