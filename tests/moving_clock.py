"""A clock that advances on its own while a thread waits for a time, also on a condition."""

from __future__ import annotations

from pyflink_prometheus.testing import FakeClock


class SelfMovingClock(FakeClock):
    """A clock on which a wait with a timeout takes no time, like a sleep on any fake clock."""

    def wait(self, condition, seconds):
        """Advance the clock by this many seconds and return at once; without a timeout, wait until notified."""
        if seconds is None:
            super().wait(condition, None)
            return
        with self._lock:
            self._elapsed_s += max(seconds, 1e-6)  # a tiny fraction might be rounded away, and the clock would not move
