"""Samples that were not written, the type of their handler, and the default handler, which logs them."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pyflink_prometheus._validation import shown
from pyflink_prometheus.model.timeseries import PrometheusTimeSeries
from pyflink_prometheus.writer.ledger import RejectionReason

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RejectedSamples:
    """
    Samples that were not written, all for the same reason.

    :param record: the series with these samples; the user's record if it could not be read as a series; ``None`` if
        only the number of samples is known.
    :param count: the number of samples.
    :param reason: why they were not written.
    :param message: the receiver's response, or what a check expected.
    :param status: the HTTP status; ``None`` if they were not sent.
    :param candidates: if ``record`` is ``None``: all series of the request, ``count`` samples of which were not
        written. A receiver of Remote-Write 2.0 keeps the others and says only how many.
    :param tenant: the headers that name the tenant for which they were sent, which may not be among the labels.
    """

    record: PrometheusTimeSeries | Any
    count: int
    reason: RejectionReason
    message: str
    status: int | None = None
    candidates: tuple[PrometheusTimeSeries, ...] = ()
    tenant: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def series(self) -> tuple[PrometheusTimeSeries, ...]:
        """
        The series to replay: with the rejected samples, or with all candidates if it is not known which they are.

        Empty if the record could not be read as a series.
        """
        if self.record is None:
            return self.candidates
        return (self.record,) if isinstance(self.record, PrometheusTimeSeries) else ()


#: A function that gets samples that were not written. It is pickled into the job and runs in each writer's process, on
#: the writer's threads, one call at a time; an exception fails the job. If it has a method ``flush``, that is called
#: before each checkpoint completes; if it has ``close``, that is called when the writer stops.
RejectedSamplesHandler = Callable[[Sequence[RejectedSamples]], None]


_LONGEST_RECORD = 500  # in characters, of a record in a log line


class LogRejectedSamples:
    """
    A handler that logs rejected samples, throttled by reason, with their number since the last line.

    :param interval_s: the shortest time in seconds between two lines with the same reason. Default 10.
    :param monotonic: returns the time of a monotonic clock in seconds.
    :param endpoint: the name of the endpoint, if a sink has several.
    """

    def __init__(
        self, interval_s: float = 10.0, monotonic: Callable[[], float] = time.monotonic, endpoint: str = ""
    ) -> None:
        self._endpoint = f", endpoint {endpoint}" if endpoint else ""
        self._monotonic = monotonic
        self._interval_s = interval_s
        self._next_line_at: dict[RejectionReason, float] = {}
        self._unlogged: dict[RejectionReason, tuple[int, RejectedSamples]] = {}

    def __call__(self, rejected: Sequence[RejectedSamples]) -> None:
        """Count rejected samples, and log those that are due."""
        for each in rejected:
            self._unlogged[each.reason] = (self._unlogged.get(each.reason, (0, each))[0] + each.count, each)
        now = self._monotonic()
        for reason in [reason for reason in self._unlogged if now >= self._next_line_at.get(reason, now)]:
            self._next_line_at[reason] = now + self._interval_s
            self._write(reason)

    def close(self) -> None:
        """Log what has not been logged yet."""
        for reason in list(self._unlogged):
            self._write(reason)

    def _write(self, reason: RejectionReason) -> None:
        count, latest = self._unlogged.pop(reason)
        if latest.record is None:
            samples = sum(len(series.samples) for series in latest.candidates)
            what = f"the latest: {latest.count} of {samples} in one request"
        else:
            what = f"the latest: {shown(latest.record, _LONGEST_RECORD)}"
        _log.warning(
            "%d sample(s) not written, reason %s%s, %s: %s", count, reason.value, self._endpoint, what, latest.message
        )
