"""The account of every sample. At every moment, samples in = accepted + rejected by reason + pending."""

from __future__ import annotations

import threading
from bisect import bisect_left
from enum import Enum
from itertools import accumulate


class RejectionReason(Enum):
    """Why a sample was not written. The values appear in counters and logs."""

    #: A name, label, value or timestamp is not valid; found before sending.
    INVALID = "invalid"
    #: The configuration excludes it: a rule of ``write_relabel_configs`` drops its series, or it is a native histogram
    #: and these are not sent. It is only counted, and not passed to the handler.
    EXCLUDED = "excluded"
    #: Older than the window of a guard that the user has set.
    TOO_OLD = "too_old"
    #: Newer than the window of a guard that the user has set.
    TOO_NEW = "too_new"
    #: Older than a previous sample of its series, with a guard that the user has set.
    OUT_OF_ORDER = "out_of_order"
    #: Its series exceeds a limit that the user has set: too many labels, a text that is too long, or one new series
    #: too many. See ``SendingLimits``.
    OVER_LIMIT = "over_limit"
    #: The same request holds the same sample twice; Prometheus would drop the second silently.
    DUPLICATE = "duplicate"
    #: The same request holds another value of the series with the same timestamp: see ``ConflictPolicy``.
    CONFLICTING = "conflicting"
    #: The receiver refused it for good.
    REFUSED = "refused"
    #: It may be stored: the receiver accepted the request but wrote less than it holds, or refused the request without
    #: saying what it kept.
    UNCONFIRMED = "unconfirmed"
    #: The request kept failing for as long as the retry configuration allows.
    RETRIES_EXHAUSTED = "retries_exhausted"
    #: A best-effort endpoint had more samples waiting than are kept for it; the oldest are dropped.
    OVERFLOW = "overflow"
    #: A best-effort endpoint had not settled it when the writer was closed, or failed after a part of its request.
    UNSENT = "unsent"


#: Upper bounds in milliseconds of the buckets in which attempts are counted by the time until their response.
TIME_IN_FLIGHT_BOUNDS_MS = (5, 10, 25, 50, 100, 250, 1000, 5000, 30_000)


class Ledger:
    """
    Counters of samples and requests. A histogram counts as one sample.

    Only the caller's thread increases ``null_values_skipped`` and ``time_waited_s``, the time for which it was blocked
    because responses were missing, and ``samples_in`` unless there are several endpoints. Any thread increases the
    other counters, under a lock. A NULL of a column mapping is not a sample, so it is counted separately.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.samples_in = 0
        self.null_values_skipped = 0
        self.samples_accepted = 0
        self.samples_rejected: dict[RejectionReason, int] = dict.fromkeys(RejectionReason, 0)
        self.exemplars_accepted = 0
        self.exemplars_rejected = 0
        self.requests_attempted = 0
        self.requests_accepted = 0
        self.requests_retried = 0
        self.requests_failed = 0
        self.bytes_sent = 0
        self.time_in_flight_s = 0.0
        self.last_time_in_flight_s = 0.0
        self.time_waited_s = 0.0
        self._attempts_by_time = [0] * (len(TIME_IN_FLIGHT_BOUNDS_MS) + 1)
        self.last_batch_size = 0
        self.newest_timestamp = 0

    @property
    def samples_pending(self) -> int:
        """The number of samples that are neither accepted nor rejected yet."""
        with self._lock:
            return self.samples_in - self.samples_accepted - sum(self.samples_rejected.values())

    def accept(self, samples: int, newest_timestamp: int) -> None:
        """Count samples that the receiver has written, with the timestamp of the newest."""
        with self._lock:
            self.samples_accepted += samples
            self.newest_timestamp = max(self.newest_timestamp, newest_timestamp)

    def exclude(self, samples: int) -> None:
        """Count incoming samples that the configuration excludes, on the caller's thread."""
        self.samples_in += samples
        self.reject(RejectionReason.EXCLUDED, samples)

    @property
    def samples_lost(self) -> int:
        """The number of samples that were not written although they should have been."""
        return sum(count for reason, count in self.samples_rejected.items() if reason is not RejectionReason.EXCLUDED)

    def reject(self, reason: RejectionReason, samples: int) -> None:
        """Count rejected samples."""
        with self._lock:
            self.samples_rejected[reason] += samples

    def settle_exemplars(self, accepted: int, rejected: int) -> None:
        """Count exemplars that were written, and exemplars that were not."""
        with self._lock:
            self.exemplars_accepted += accepted
            self.exemplars_rejected += rejected

    def take_request(self, samples: int) -> None:
        """Count a request of this many samples that was accepted in full."""
        with self._lock:
            self.requests_accepted += 1
            self.last_batch_size = samples

    def fail_request(self) -> None:
        """Count a request that was refused for good, in full or in part, or whose retries are exhausted."""
        with self._lock:
            self.requests_failed += 1

    def attempt(self, size_in_bytes: int, time_in_flight_s: float, *, retry: bool) -> None:
        """Count one POST, whatever its outcome, and the time until its response."""
        with self._lock:
            self.requests_attempted += 1
            self.bytes_sent += size_in_bytes
            self.requests_retried += retry
            self.time_in_flight_s += time_in_flight_s
            self.last_time_in_flight_s = time_in_flight_s
            self._attempts_by_time[bisect_left(TIME_IN_FLIGHT_BOUNDS_MS, time_in_flight_s * 1000)] += 1

    @property
    def attempts_within(self) -> list[int]:
        """
        The number of attempts that took no longer than each of :data:`TIME_IN_FLIGHT_BOUNDS_MS`, and of all attempts.

        The numbers are cumulative, as in a Prometheus histogram.
        """
        return list(accumulate(self._attempts_by_time))
