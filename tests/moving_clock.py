"""A clock that moves by itself while a thread waits for a time, also on a condition."""

from __future__ import annotations

from pyflink_prometheus.testing import FakeClock


class SelfMovingClock(FakeClock):
    """A clock on which a wait with an end takes no time, as a sleep does on any fake clock."""

    def wait(self, condition, seconds):
        """Move the clock by that many seconds and return at once; without an end, wait until notified."""
        if seconds is None:
            super().wait(condition, None)
            return
        with self._lock:
            self._elapsed_s += max(seconds, 1e-6)  # a tiny fraction might be rounded away, and nothing would move
