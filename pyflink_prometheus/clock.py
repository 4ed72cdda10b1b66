"""Time, passed to constructors so that tests can replace it."""

from __future__ import annotations

import threading
import time
from typing import Protocol


class Clock(Protocol):
    """A source of time that can also wait."""

    def time(self) -> float:
        """Return the wall-clock time in seconds since 1970."""

    def monotonic(self) -> float:
        """Return seconds from an arbitrary start that never go backwards."""

    def sleep(self, seconds: float, wake: threading.Event) -> None:
        """Wait that many seconds, or until the event is set."""

    def wait(self, condition: threading.Condition, seconds: float | None) -> None:
        """Wait on a condition that the caller holds, for at most that many seconds; ``None`` waits until notified."""


class SystemClock:
    """The machine's own clock."""

    def time(self) -> float:
        """Return the seconds since 1970."""
        return time.time()

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        return time.monotonic()

    def sleep(self, seconds: float, wake: threading.Event) -> None:
        """Wait that long, or until the event is set."""
        wake.wait(seconds)

    def wait(self, condition: threading.Condition, seconds: float | None) -> None:
        """Wait that long, or until the condition is notified."""
        condition.wait(seconds)
