"""The quota of samples and bytes per second."""

from __future__ import annotations

import threading
from collections.abc import Callable

from pyflink_prometheus.guards.guard import Findings, Guard
from pyflink_prometheus.guards.limits import SendingLimits


class Quota:
    """
    The time at which each request may be sent. For any number of threads, which share it.

    In any period of t seconds at most rate * t + burst samples are sent, plus its last request.

    :param limits: the limits to keep.
    :param findings: counts the requests that must wait.
    :param monotonic: returns seconds that never go back.
    """

    def __init__(self, limits: SendingLimits, findings: Findings, monotonic: Callable[[], float]) -> None:
        self._track_only = limits.track_only
        self._findings = findings
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._buckets = {
            guard: _Bucket(rate, rate if burst is None else burst)
            for guard, rate, burst in (
                (Guard.SAMPLES_PER_SECOND, limits.max_samples_per_second, limits.samples_burst),
                (Guard.BYTES_PER_SECOND, limits.max_bytes_per_second, limits.bytes_burst),
            )
            if rate is not None
        }

    def reserve(self, samples: int, size_in_bytes: int) -> float:
        """
        Return how many seconds to wait before a request is sent, which is then counted as sent; 0 if it need not wait.

        Each attempt counts as a request: receivers count them all.

        :param samples: how many are in the request.
        :param size_in_bytes: its size as it is sent.
        """
        if not self._buckets:
            return 0.0
        amounts = {Guard.SAMPLES_PER_SECOND: samples, Guard.BYTES_PER_SECOND: size_in_bytes}
        with self._lock:
            now = self._monotonic()
            early, guard = max(
                ((bucket.wait(now), guard) for guard, bucket in self._buckets.items()), key=lambda each: each[0]
            )
            wait = 0.0 if self._track_only else early
            for each, bucket in self._buckets.items():
                bucket.take(amounts[each], now + wait)
        if early > 0:
            consequence = "it is sent at once, because track_only is set" if self._track_only else "it waits"
            self._findings.add(
                guard, f"send less, or raise {guard.value}: a request is {early:.2f} s early; {consequence}"
            )
        return wait


class _Bucket:
    """What may be sent at a rate, with a burst: the generic cell rate algorithm."""

    def __init__(self, per_second: float, burst: float) -> None:
        self._per_second = per_second
        self._burst_s = burst / per_second
        self._due = float("-inf")

    def wait(self, now: float) -> float:
        """Return the seconds until something may be sent."""
        return max(0.0, self._due - self._burst_s - now)

    def take(self, amount: float, at: float) -> None:
        """Count something as sent at that time."""
        self._due = max(self._due, at) + amount / self._per_second
