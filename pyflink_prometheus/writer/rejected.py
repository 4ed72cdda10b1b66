"""What is told of samples that were not written."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pyflink_prometheus.timeseries import PrometheusTimeSeries
from pyflink_prometheus.writer.ledger import Reason

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RejectedSample:
    """
    Hold one sample that was not written.

    :param record: the series with that sample alone; what the user gave, where it could not even be read.
    :param reason: why.
    :param message: the receiver's words, or what the check expected.
    :param status: the HTTP status, ``None`` where no receiver was asked.
    """

    record: PrometheusTimeSeries | Any
    reason: Reason
    message: str
    status: int | None = None


class RejectedSamplesHandler(Protocol):
    """Take the samples that were not written; called on the writer's threads, one call at a time."""

    def __call__(self, rejected: Sequence[RejectedSample]) -> None:
        """Take some of them."""


class LogRejectedSamples:
    """
    Log rejected samples, at most once in a while for each reason, with how many there were since.

    :param monotonic: tells seconds that never go back.
    :param interval_s: the least time between two lines of the same reason. Default 10 seconds.
    """

    def __init__(self, monotonic: Callable[[], float], interval_s: float = 10.0) -> None:
        self._monotonic = monotonic
        self._interval_s = interval_s
        self._next_line_at: dict[Reason, float] = {}
        self._unlogged: dict[Reason, int] = {}

    def __call__(self, rejected: Sequence[RejectedSample]) -> None:
        """Log the first of each reason, count the others."""
        for each in rejected:
            count = self._unlogged.get(each.reason, 0) + 1
            now = self._monotonic()
            if now < self._next_line_at.get(each.reason, now):
                self._unlogged[each.reason] = count
                continue
            self._unlogged[each.reason] = 0
            self._next_line_at[each.reason] = now + self._interval_s
            _log.warning(
                "%d sample(s) not written, reason %s, the latest: %s: %s",
                count,
                each.reason.value,
                each.record,
                each.message,
            )
