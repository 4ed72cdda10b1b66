"""The state of retries, as a value: how many there were, and how long to wait before the next."""

from __future__ import annotations

from dataclasses import dataclass

from pyflink_prometheus.config import RetryConfiguration

#: The longest Retry-After that is respected: with longer waits a flush would make the checkpoint time out. Mimir asks
#: for up to 96 seconds, plus half of that as jitter.
RETRY_AFTER_CAP_S = 150.0

#: A delay is drawn from this share of its bound up to the whole bound. So senders do not retry all at once, and yet no
#: delay is much shorter than the one before it, as the public compliance suite for senders requires.
LEAST_OF_BOUND = 0.8


@dataclass(frozen=True)
class RetryState:
    """
    The state of retries of one request.

    :param config: the delays and their limits.
    :param retries: how often the request has been retried so far.
    """

    config: RetryConfiguration
    retries: int = 0

    def next(self) -> RetryState | None:
        """Return the state after one more retry, ``None`` if the retries are exhausted."""
        if self.retries >= self.config.max_retry_count:
            return None
        return RetryState(self.config, self.retries + 1)

    def delay_s(self, draw: float, retry_after_s: float | None = None) -> float:
        """
        Return the seconds to wait before this retry.

        :param draw: a random number from 0 to 1, the jitter.
        :param retry_after_s: the receiver's Retry-After; the delay is never shorter than it, up to 150 seconds.
        """
        # 2**32 times the smallest delay is beyond any bound; the exponent stays small at any number of retries.
        bound_ms = min(self.config.max_retry_delay_ms, self.config.initial_retry_delay_ms << min(self.retries - 1, 32))
        backoff_s = (LEAST_OF_BOUND + (1 - LEAST_OF_BOUND) * draw) * bound_ms / 1000
        return backoff_s if retry_after_s is None else max(backoff_s, min(retry_after_s, RETRY_AFTER_CAP_S))
