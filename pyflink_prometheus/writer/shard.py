"""One queue of batches and the thread that posts them, one request in flight."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from pyflink_prometheus.config import RemoteWriteVersion
from pyflink_prometheus.writer.batch import Batch


class PreparedBatch(NamedTuple):
    """
    A batch as a request may hold it, with the request's body.

    :param batch: in order, without duplicates.
    :param version: which the body is of.
    :param body: as it is posted.
    :param size_in_bytes: before compression.
    """

    batch: Batch
    version: RemoteWriteVersion
    body: bytes
    size_in_bytes: int


class SealedBatch:
    """
    A batch that takes no more samples, and the requests for it as soon as a thread has prepared them.

    :ivar size: in samples.
    :ivar size_in_bytes: of all its requests before compression; 0 until they are prepared.
    """

    def __init__(self, batch: Batch) -> None:
        self.size = len(batch)
        self.size_in_bytes = 0
        self._batch = batch
        self._prepared: list[PreparedBatch] | None = None
        self._lock = threading.Lock()

    def prepared(self, prepare: Callable[[Batch], list[PreparedBatch]]) -> list[PreparedBatch]:
        """Return the requests that it takes; the first thread that asks prepares them, a second one waits for that."""
        with self._lock:
            if self._prepared is None:
                self._prepared = prepare(self._batch)
                self.size_in_bytes = sum(request.size_in_bytes for request in self._prepared)
                self._batch = Batch()  # not needed any more
            return self._prepared


class Shard:
    """
    Hold what one shard has to send. All access is under the writer's lock, but for adding samples.

    :param lock: the writer's.
    :ivar changed: notified when a batch is begun or sealed: for this shard's thread, and no other.
    :ivar filling: the batch that samples are added to, by the caller's thread alone.
    :ivar filling_since: when its first sample came, in seconds of the monotonic clock; ``None`` where it has none.
    :ivar queue: sealed batches, the oldest first; the one in flight has been taken out.
    """

    def __init__(self, lock: threading.Lock) -> None:
        self.changed = threading.Condition(lock)
        self.filling = Batch()
        self.filling_since: float | None = None
        self.queue: deque[SealedBatch] = deque()

    def watch_age(self, now: float) -> None:
        """Let the thread know, after the first sample of a batch, that there is something to become too old."""
        if len(self.filling):  # else the thread has taken it just now, with others that came before
            self.filling_since = now
            self.changed.notify()

    def seal(self) -> SealedBatch:
        """Move the filling batch to the queue and tell the thread; on the caller's thread, which begins a new one."""
        sealed, self.filling = self.filling, Batch()
        self.filling_since = None
        return self._enqueue(sealed)

    def seal_what_is_there(self) -> SealedBatch:
        """
        Move what the filling batch holds to the queue, on any thread.

        The caller may be adding to it at the same time: it does without the lock, which it would have to take for each
        sample. A list's ``append`` is atomic, and so is taking the front of a list away; and where a sample has its
        value, which comes last, the other columns have theirs.
        """
        sealed = self.filling.take_front(len(self.filling))
        if not len(self.filling):  # else what was added meanwhile counts as just as old
            self.filling_since = None
        return self._enqueue(sealed)

    def _enqueue(self, batch: Batch) -> SealedBatch:
        sealed = SealedBatch(batch)
        self.queue.append(sealed)
        self.changed.notify()
        return sealed
