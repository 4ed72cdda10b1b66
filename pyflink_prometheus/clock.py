"""Time, as the rest of the package sees it: given to constructors, so that tests bring their own."""

from __future__ import annotations

import threading
import time
from typing import Protocol


class Clock(Protocol):
    """Tell the time and wait for it to pass."""

    def time(self) -> float:
        """Return the seconds since 1970, as a calendar has them."""

    def monotonic(self) -> float:
        """Return seconds that never go back, from an arbitrary start."""

    def sleep(self, seconds: float, wake: threading.Event) -> None:
        """Wait that many seconds, or less if the event is set meanwhile."""

    def wait(self, condition: threading.Condition, seconds: float | None) -> None:
        """Wait on a condition that the caller holds; ``None`` waits until it is notified."""


class SystemClock:
    """Be the machine's own clock."""

    def time(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float, wake: threading.Event) -> None:
        wake.wait(seconds)

    def wait(self, condition: threading.Condition, seconds: float | None) -> None:
        condition.wait(seconds)
