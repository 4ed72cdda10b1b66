"""The head of Prometheus's storage, also used by Mimir, Cortex and Thanos: its bounds, and order within a series."""

from __future__ import annotations

import struct
from typing import Any

from pyflink_prometheus.testing.models.model import StoredSample

_INT64_MIN = -(2**63)
_WINDOW_MS = 3_600_000


class TsdbHead:
    """
    The head of a TSDB without an out-of-order window.

    Modelled after Prometheus 3.5.3 and 2.42, as measured: a sample is out of bounds if it is more than an hour, half of
    a block, older than the newest sample of all series when its request arrived. The very first timestamp sets these
    bounds, even if its request is rolled back. The bounds are int64 and overflow: a first timestamp within an hour of
    -2**63 puts everything out of bounds until a restart.
    """

    def __init__(self) -> None:
        self.stored: list[StoredSample] = []
        self.newest_ms = _INT64_MIN
        self.is_empty = True
        self._latest: dict[str, tuple[int, Any]] = {}

    @property
    def least_ms(self) -> int:
        """The earliest timestamp within the bounds."""
        return (self.newest_ms - _WINDOW_MS + 2**63) % 2**64 - 2**63

    def begin(self, timestamp: int) -> None:
        """Set the bounds from the first timestamp."""
        self.is_empty = False
        self.newest_ms = timestamp

    def problem(self, key: str, value: Any, timestamp: int) -> str | None:
        """Return what is wrong with a sample's place in its series, or ``None``."""
        latest = self._latest.get(key)
        if latest is None or timestamp > latest[0]:
            return None
        if timestamp < latest[0]:
            return "out of order sample"
        if _is_same(value, latest[1]):
            return None
        return f"duplicate sample for timestamp {timestamp}; overrides not allowed"

    def store(self, sample: StoredSample) -> None:
        """Store a sample unless its series has one that is as new: such samples of one request are silently dropped."""
        key, value, timestamp = sample
        latest = self._latest.get(key)
        if latest is not None and timestamp <= latest[0]:
            return
        self._latest[key] = (timestamp, value)
        self.stored.append(sample)
        self.newest_ms = max(self.newest_ms, timestamp)


class Appender:
    """
    The samples of one request to a head; only :meth:`commit` stores them.

    Each sample is checked against those in the head, not against the others in its request.
    """

    def __init__(self, head: TsdbHead) -> None:
        self._head = head
        self._samples: list[StoredSample] = []
        self._least_ms = None if head.is_empty else head.least_ms

    def open(self) -> None:
        """Fix the bounds of this request; on an empty head without a first sample, no sample is within them."""
        if self._least_ms is None:
            self._least_ms = self._head.least_ms

    def append(self, key: str, value: Any, timestamp: int) -> str | None:
        """Take a sample, or return why it is refused."""
        if self._least_ms is None:
            if self._head.is_empty:
                self._head.begin(timestamp)
            self.open()
        if self._least_ms is not None and timestamp < self._least_ms:
            return "out of bounds"
        problem = self._head.problem(key, value, timestamp)
        if problem is None:
            self._samples.append((key, value, timestamp))
        return problem

    def commit(self) -> None:
        """Store the samples taken."""
        for sample in self._samples:
            self._head.store(sample)


def _is_same(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return struct.pack("<d", one) == struct.pack("<d", other)  # so that NaN equals itself
    return bool(one == other)
