"""What is told of samples that were not written, and to whom."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Callable, Union

from pyflink_prometheus.checks import shown
from pyflink_prometheus.errors import PrometheusSinkError
from pyflink_prometheus.timeseries import PrometheusTimeSeries
from pyflink_prometheus.writer.batch import Batch
from pyflink_prometheus.writer.ledger import Ledger, Reason

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


#: Takes samples that were not written. It is pickled into the job and runs in each writer's process, on its threads,
#: one call at a time; what it raises fails the job. Where it has a method ``flush``, that is called before each
#: checkpoint completes, and ``close`` when the writer stops.
RejectedSamplesHandler = Callable[[Sequence[RejectedSamples]], None]


class Rejections:
    """
    Count what is not written, and hand it to the handler: one call at a time, whichever threads they come from.

    :param handler: whose.
    :param ledger: where it is counted.
    """

    def __init__(self, handler: RejectedSamplesHandler, ledger: Ledger) -> None:
        self._handler = handler
        self._ledger = ledger
        self._one_at_a_time = threading.Lock()

    def of_batch(self, batch: Batch, reason: Reason, message: str, status: int | None = None) -> None:
        """
        Reject samples that were counted as in already.

        :raises PrometheusSinkError: if the handler fails.
        """
        self._ledger.reject(reason, len(batch))
        rejected = [RejectedSamples(record, len(record.samples), reason, message, status) for record in batch.records()]
        self._call(lambda: self._handler(rejected))

    def among_batch(self, batch: Batch, count: int, reason: Reason, message: str, status: int | None) -> None:
        """
        Reject so many samples of a batch, whichever they are, that were counted as in already.

        :raises PrometheusSinkError: if the handler fails.
        """
        if count == len(batch):
            self.of_batch(batch, reason, message, status)
            return
        self._ledger.reject(reason, count)
        candidates = tuple(batch.records())
        self._call(lambda: self._handler([RejectedSamples(None, count, reason, message, status, candidates)]))

    def before_sending(self, rejected: list[RejectedSamples]) -> None:
        """
        Reject what never became part of a batch; only the writer's calling thread may.

        :raises PrometheusSinkError: if the handler fails.
        """
        for each in rejected:
            self._ledger.samples_in += each.count
            self._ledger.reject(each.reason, each.count)
        self._call(lambda: self._handler(rejected))

    def flush(self) -> None:
        """
        Let the handler put away what it has, if it can.

        :raises PrometheusSinkError: if it fails.
        """
        self._call(getattr(self._handler, "flush", _nothing))

    def close(self) -> None:
        """Let the handler go; a failure is only logged, because nobody could do anything about it any more."""
        try:
            self._call(getattr(self._handler, "close", _nothing))
        except PrometheusSinkError as error:
            _log.warning("%s", error)

    def _call(self, call: Callable[[], object]) -> None:
        try:
            with self._one_at_a_time:
                call()
        except Exception as error:
            raise PrometheusSinkError(f"the handler of rejected samples failed: {error!r}") from error


def _nothing() -> None:
    pass


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
