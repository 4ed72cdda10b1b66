"""A clock that moves only when a test moves it."""

from __future__ import annotations

import threading


class FakeClock:
    """
    A clock that stands still until a test moves it. A sleep returns at once, moves the clock and is recorded.

    :param now_s: the initial time in seconds since 1970; the monotonic clock starts at 0.
    """

    def __init__(self, now_s: float = 1_700_000_000.0) -> None:
        self._start_s = now_s
        self._elapsed_s = 0.0
        self._lock = threading.Lock()
        self._waiting: list[threading.Condition] = []
        #: The seconds of each sleep so far, in order.
        self.sleeps: list[float] = []

    def time(self) -> float:
        """Return the seconds since 1970."""
        return self._start_s + self._elapsed_s

    def monotonic(self) -> float:
        """Return the seconds since the clock was created."""
        return self._elapsed_s

    def sleep(self, seconds: float, wake: threading.Event) -> None:
        """Move the clock by that many seconds and return at once."""
        with self._lock:
            self.sleeps.append(seconds)
        self.advance(seconds)

    def wait(self, condition: threading.Condition, seconds: float | None) -> None:
        """Wait until the condition is notified; each move of the clock notifies it too."""
        with self._lock:
            self._waiting.append(condition)
        condition.wait()

    def advance(self, seconds: float) -> None:
        """Move the clock and wake all threads that wait on it."""
        with self._lock:
            self._elapsed_s += seconds
            waiting, self._waiting = self._waiting, []
        for condition in waiting:
            with condition:
                condition.notify_all()
