"""The numbers of written and lost samples of a subtask, for users who read no metrics."""

from __future__ import annotations

import atexit
import logging
import secrets
import sys
import threading
from collections import Counter
from collections.abc import Mapping

from pyflink_prometheus.writer.ledger import Ledger, RejectionReason

_log = logging.getLogger(__name__)

#: An id of this process, unique across machines.
THIS_PROCESS = secrets.token_hex(8)


class RejectedSummary:
    """
    A log line with the number of samples that were not written, by reason, each time the number has doubled.

    Lines that a worker logs while it closes do not reach the TaskManager, so the log never has the final sum.

    :param ledger: counts the samples.
    :param endpoint: the name of the endpoint, if it is not the writer's only or first one.
    :param has_handler: whether the user has set a handler of rejected samples.
    """

    def __init__(self, ledger: Ledger, *, endpoint: str = "", has_handler: bool) -> None:
        self._ledger = ledger
        self._endpoint = endpoint
        self._advice = _advice(has_handler)
        self._next = 1

    def flushed(self) -> None:
        """Log the sum after a flush, if it has doubled."""
        rejected = self._ledger.samples_lost
        if rejected >= self._next:
            self._next = 2 * rejected
            total = None if self._ledger.samples_pending else self._ledger.samples_in
            lost = _lost(self._ledger.samples_rejected, total, self._endpoint)
            _log.warning("Prometheus writer: %s so far; earlier log lines give the reasons%s", lost, self._advice)


class ConsoleSummary:
    """
    One line on the console of a local job at its end, with the sums of all subtasks that wrote to an endpoint.

    A local job's functions run in the process that built the job, and its console shows no PyFlink logs. Subtasks that
    run one after the other print a line each. PyFlink closes them while the process continues; subtasks that are still
    open when the process ends print their line then. Any thread may call the methods.

    :param url: the endpoint's URL, without credentials.
    :param endpoint: the endpoint's name, if it is not the writer's only or first one.
    :param has_handler: whether the user has set a handler of rejected samples.
    :param log_file: the log file of the process's JVM; ``None`` if it is not known.
    """

    def __init__(self, url: str, *, endpoint: str, has_handler: bool, log_file: str | None) -> None:
        self._lock = threading.Lock()
        self._url = url
        self._endpoint = endpoint
        self._reasons = f"the reasons are in {'the Flink log' if log_file is None else log_file}"
        self._advice = _advice(has_handler)
        self._open: list[Ledger] = []
        self._closed: list[Ledger] = []

    def opened(self, ledger: Ledger) -> None:
        """Add a subtask that starts."""
        with self._lock:
            self._open.append(ledger)

    def closed(self, ledger: Ledger) -> None:
        """Take the numbers of a subtask that ends, and print the sums if it is the last one."""
        with self._lock:
            if ledger not in self._open:  # already printed, at the end of the process
                return
            self._open.remove(ledger)
            self._closed.append(ledger)
            if self._open:
                return
        self.finish()

    def finish(self) -> None:
        """Print the sums of all subtasks so far, including those that have not ended."""
        with self._lock:
            ledgers, self._open, self._closed = [*self._closed, *self._open], [], []
        if line := self._line(ledgers):
            sys.stderr.write(f"{line}\n")
            sys.stderr.flush()

    def _line(self, ledgers: list[Ledger]) -> str:
        """Return the line; "" if the subtasks got no samples."""
        total = sum(each.samples_in for each in ledgers)
        if not total:
            return ""
        rejected: Counter[RejectionReason] = Counter()
        for each in ledgers:
            rejected.update(each.samples_rejected)
        parts = [
            f"Prometheus writer: {sum(each.samples_accepted for each in ledgers)} samples were written to {self._url} "
            f"(requests: {sum(each.requests_attempted for each in ledgers)}, retries: "
            f"{sum(each.requests_retried for each in ledgers)}, waited for responses: "
            f"{sum(each.time_waited_s for each in ledgers):.1f} s)"
        ]
        if rejected[RejectionReason.EXCLUDED]:
            parts.append(f"{rejected[RejectionReason.EXCLUDED]} were excluded")
        pending = sum(each.samples_pending for each in ledgers)
        if pending:
            parts.append(f"{pending} were pending when the job failed or was cancelled")
        if any(each.samples_lost for each in ledgers):
            lost = _lost(rejected, None if pending else total, self._endpoint)
            parts.append(f"{lost}; {self._reasons}{self._advice}")
        return "; ".join(parts)


_of_this_process: dict[tuple[str, str], ConsoleSummary] = {}
_lock = threading.Lock()


def console_summary(
    sink: str, url: str, *, endpoint: str = "", has_handler: bool, log_file: str | None
) -> ConsoleSummary:
    """
    Return the summary that all subtasks of a sink in this process share for an endpoint.

    :param sink: the sink's id.
    """
    with _lock:
        found = _of_this_process.get((sink, endpoint))
        if found is None:
            found = ConsoleSummary(url, endpoint=endpoint, has_handler=has_handler, log_file=log_file)
            _of_this_process[sink, endpoint] = found
            atexit.register(found.finish)
        return found


def _advice(has_handler: bool) -> str:
    return "" if has_handler else "; call set_rejected_samples_handler to keep the samples"


def _lost(rejected: Mapping[RejectionReason, int], total: int | None, endpoint: str) -> str:
    """Return how many samples were not written, without a total if samples are pending."""
    lost = {reason.value.replace("_", " "): rejected[reason] for reason in RejectionReason if rejected[reason]}
    lost.pop(RejectionReason.EXCLUDED.value, None)
    reasons = ", ".join(f"{reason} {count}" for reason, count in lost.items())
    if rejected[RejectionReason.UNCONFIRMED]:
        reasons += "; unconfirmed samples may have been stored"
    of_all, to = "" if total is None else f" of {total}", f" to endpoint {endpoint}" if endpoint else ""
    return f"{sum(lost.values())}{of_all} samples were not written{to} ({reasons})"
