"""What is told of samples that were not written, and to whom."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Callable, Union

from pyflink_prometheus._validation import shown
from pyflink_prometheus.model.timeseries import PrometheusTimeSeries
from pyflink_prometheus.writer.ledger import Reason

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RejectedSamples:
    """
    Hold samples that were not written, all for the same reason.

    :param record: the series with those samples; what the user gave, where it could not even be read; ``None`` where
        only their number is known.
    :param count: how many samples.
    :param reason: why.
    :param message: the receiver's words, or what the check expected.
    :param status: the HTTP status, ``None`` where no receiver was asked.
    :param candidates: where ``record`` is ``None``: all that the request held, of which ``count`` samples were not
        written. A receiver of Remote-Write 2.0 keeps the rest and says only how many.
    """

    record: Union[PrometheusTimeSeries, Any]
    count: int
    reason: Reason
    message: str
    status: int | None = None
    candidates: tuple[PrometheusTimeSeries, ...] = ()

    @property
    def series(self) -> tuple[PrometheusTimeSeries, ...]:
        """
        The series to send again: with the rejected samples, or with all candidates where nobody knows which they are.

        Empty where the record could not be read as a series.
        """
        if self.record is None:
            return self.candidates
        return (self.record,) if isinstance(self.record, PrometheusTimeSeries) else ()


#: Takes samples that were not written. It is pickled into the job and runs in each writer's process, on its threads,
#: one call at a time; what it raises fails the job. Where it has a method ``flush``, that is called before each
#: checkpoint completes, and ``close`` when the writer stops.
RejectedSamplesHandler = Callable[[Sequence[RejectedSamples]], None]


_LONGEST_RECORD = 500  # in characters, of a record in a log line


class LogRejectedSamples:
    """
    Log rejected samples, at most once in a while for each reason, with how many there were since the last line.

    :param interval_s: the least time in seconds between two lines of the same reason. Default 10.
    :param monotonic: tells seconds that never go back.
    """

    def __init__(self, interval_s: float = 10.0, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._interval_s = interval_s
        self._next_line_at: dict[Reason, float] = {}
        self._unlogged: dict[Reason, tuple[int, RejectedSamples]] = {}

    def __call__(self, rejected: Sequence[RejectedSamples]) -> None:
        """Count them, and log what is due."""
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

    def _write(self, reason: Reason) -> None:
        count, latest = self._unlogged.pop(reason)
        if latest.record is None:
            samples = sum(len(series.samples) for series in latest.candidates)
            what = f"the latest: {latest.count} of the {samples} in one request"
        else:
            what = f"the latest: {shown(latest.record, _LONGEST_RECORD)}"
        _log.warning("%d sample(s) not written, reason %s, %s: %s", count, reason.value, what, latest.message)
