"""The account of every sample: in = accepted + rejected by reason + pending, at every moment."""

from __future__ import annotations

import threading
from enum import Enum


class Reason(Enum):
    """Say why a sample was not written; the values are what counters and logs call it."""

    #: A check before sending found a name, label, value or timestamp that cannot be written.
    INVALID = "invalid"
    #: A guard that the user set: older than its window.
    TOO_OLD = "too_old"
    #: A guard that the user set: newer than its window.
    TOO_NEW = "too_new"
    #: A guard that the user set: older than a sample of the same series that came before it.
    OUT_OF_ORDER = "out_of_order"
    #: The same request held the same sample twice; Prometheus would drop the second without a word.
    DUPLICATE = "duplicate"
    #: The same request held another value of the series at the same time: see ``ConflictPolicy``.
    CONFLICTING = "conflicting"
    #: The receiver refused it for good.
    REFUSED = "refused"
    #: The receiver took the request but said that it wrote less than was in it, or refused a request that held it and
    #: did not say what it kept: the sample may be stored.
    UNCONFIRMED = "unconfirmed"
    #: The receiver could not take it for as long as the retry configuration allows.
    RETRIES_EXHAUSTED = "retries_exhausted"


class Ledger:
    """
    Count what happens to samples and requests. A histogram is one sample.

    ``samples_in`` grows on the writer's calling thread only; the other numbers on any, under a lock.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.samples_in = 0
        self.samples_accepted = 0
        self.samples_rejected: dict[Reason, int] = dict.fromkeys(Reason, 0)
        self.exemplars_accepted = 0
        self.exemplars_rejected = 0
        self.requests_attempted = 0
        self.requests_accepted = 0
        self.requests_retried = 0
        self.requests_failed = 0
        self.bytes_sent = 0
        self.time_in_flight_s = 0.0
        self.last_time_in_flight_s = 0.0
        self.last_batch_size = 0
        self.newest_timestamp = 0

    @property
    def samples_pending(self) -> int:
        """How many samples are neither accepted nor rejected yet."""
        with self._lock:
            return self.samples_in - self.samples_accepted - sum(self.samples_rejected.values())

    def accept(self, samples: int, newest_timestamp: int) -> None:
        """Count samples that the receiver has written, and the time of the newest."""
        with self._lock:
            self.samples_accepted += samples
            self.newest_timestamp = max(self.newest_timestamp, newest_timestamp)

    def reject(self, reason: Reason, samples: int) -> None:
        """Count samples that will never be written."""
        with self._lock:
            self.samples_rejected[reason] += samples

    def settle_exemplars(self, accepted: int, rejected: int) -> None:
        """Count exemplars that were written, and others that never will be."""
        with self._lock:
            self.exemplars_accepted += accepted
            self.exemplars_rejected += rejected

    def take_request(self, samples: int) -> None:
        """Count a request of so many samples that the receiver took whole."""
        with self._lock:
            self.requests_accepted += 1
            self.last_batch_size = samples

    def fail_request(self) -> None:
        """Count a request that was refused for good, in whole or in part, or not delivered in all its retries."""
        with self._lock:
            self.requests_failed += 1

    def attempt(self, size_in_bytes: int, time_in_flight_s: float, *, retry: bool) -> None:
        """Count one POST, whatever came of it, and the time until its answer."""
        with self._lock:
            self.requests_attempted += 1
            self.bytes_sent += size_in_bytes
            self.requests_retried += retry
            self.time_in_flight_s += time_in_flight_s
            self.last_time_in_flight_s = time_in_flight_s
