"""How long to wait before the next attempt, as a value."""

from __future__ import annotations

from dataclasses import dataclass

from pyflink_prometheus.config import RetryConfiguration

#: A receiver may ask for more in Retry-After; a flush that waited longer would time the checkpoint out. Mimir asks for
#: up to 96 seconds, half as much again with its jitter.
RETRY_AFTER_CAP_S = 150.0

#: A delay is drawn from this part of its bound up to all of it: senders come back apart from each other, and yet none
#: waits much less than it did before, which the public compliance suite for senders asks for.
LEAST_OF_BOUND = 0.8


@dataclass(frozen=True)
class RetryState:
    """
    Count the attempts at one request.

    :param config: delays and their number.
    :param retries: how often the request has been sent again so far.
    """

    config: RetryConfiguration
    retries: int = 0

    def next(self) -> RetryState | None:
        """Return the state after one more retry, ``None`` if there may be none."""
        if self.retries >= self.config.max_retry_count:
            return None
        return RetryState(self.config, self.retries + 1)

    def delay_s(self, draw: float, retry_after_s: float | None = None) -> float:
        """
        Return the seconds to wait before this retry.

        :param draw: a random number from 0 to 1, the jitter.
        :param retry_after_s: what the receiver asked for; the delay is never shorter, up to a cap of 150 seconds.
        """
        # 2**32 times the smallest delay is beyond any bound; the exponent stays small at any number of retries.
        bound_ms = min(self.config.max_retry_delay_ms, self.config.initial_retry_delay_ms << min(self.retries - 1, 32))
        backoff_s = (LEAST_OF_BOUND + (1 - LEAST_OF_BOUND) * draw) * bound_ms / 1000
        return backoff_s if retry_after_s is None else max(backoff_s, min(retry_after_s, RETRY_AFTER_CAP_S))
