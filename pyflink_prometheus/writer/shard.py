"""One queue of batches and the thread that posts them, one request in flight."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from pyflink_prometheus.writer.batch import Batch


class SealedBatch:
    """Hold a batch that takes no more samples, and its body as soon as someone has made it."""

    def __init__(self, batch: Batch) -> None:
        self.size = len(batch)
        self.batch = batch
        self._body: bytes | None = None
        self._lock = threading.Lock()

    def body(self, prepare: Callable[[Batch], tuple[Batch, bytes]]) -> bytes:
        """Return the body; the first thread that asks prepares it, a second one waits for that."""
        with self._lock:
            if self._body is None:
                self.batch, self._body = prepare(self.batch)
            return self._body


class Shard:
    """
    Hold what one shard has to send. All access is under the writer's condition.

    :ivar filling: the batch that samples are added to.
    :ivar filling_since: when its first sample came, in seconds of the monotonic clock.
    :ivar queue: sealed batches, the oldest first; the one in flight has been taken out.
    """

    def __init__(self) -> None:
        self.filling = Batch()
        self.filling_since = 0.0
        self.queue: deque[SealedBatch] = deque()

    def seal(self) -> SealedBatch:
        """Move the filling batch to the queue and begin a new one."""
        sealed = SealedBatch(self.filling)
        self.queue.append(sealed)
        self.filling = Batch()
        return sealed
