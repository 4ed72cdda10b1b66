"""The number of samples that a subtask has not written, logged for users who read no metrics."""

from __future__ import annotations

import logging
import secrets
import sys

from pyflink_prometheus.writer.ledger import Ledger, RejectionReason

_log = logging.getLogger(__name__)

#: An id of this process, unique across machines.
THIS_PROCESS = secrets.token_hex(8)


class RejectedSummary:
    """
    One line with the number of samples that were not written, by reason.

    It is logged each time the number has doubled. What a worker logs while it closes no longer reaches the TaskManager,
    so the log never has the final sum. A local job's functions run in the process that built the job, whose console
    shows no logs of PyFlink: there the sum is printed at the end.

    :param ledger: counts the samples.
    :param endpoint: the name of the endpoint, if it is not the writer's only or first one.
    :param has_handler: whether the user has set a handler of rejected samples.
    :param built_in: the id of the process in which the job was built.
    :param log_file: the log file of that process's JVM; ``None`` if it is not known.
    """

    def __init__(
        self, ledger: Ledger, *, endpoint: str = "", has_handler: bool, built_in: str, log_file: str | None
    ) -> None:
        self._ledger = ledger
        self._to = f" to endpoint {endpoint}" if endpoint else ""
        self._advice = "" if has_handler else "; call set_rejected_samples_handler to keep the samples"
        self._is_local = built_in == THIS_PROCESS
        self._where = "Flink's log" if log_file is None else log_file
        self._next = 1

    def flushed(self) -> None:
        """Log the sum after a flush, if it has doubled."""
        rejected = self._ledger.samples_lost
        if rejected >= self._next:
            self._next = 2 * rejected
            _log.warning("%s so far; earlier log lines give the reasons%s", self._summary(), self._advice)

    def closed(self) -> None:
        """Print the sum in a local job, at the end of a subtask."""
        if self._is_local and self._ledger.samples_lost:
            sys.stderr.write(f"{self._summary()}; the reasons are in {self._where}{self._advice}\n")
            sys.stderr.flush()

    def _summary(self) -> str:
        """Return the line, without a total if samples are pending: then the job has failed or was cancelled."""
        rejected = {
            reason.value.replace("_", " "): count
            for reason, count in self._ledger.samples_rejected.items()
            if reason is not RejectionReason.EXCLUDED
        }
        reasons = ", ".join(f"{reason} {count}" for reason, count in rejected.items() if count)
        if self._ledger.samples_rejected[RejectionReason.UNCONFIRMED]:
            reasons += "; unconfirmed ones may be stored"
        total = "" if self._ledger.samples_pending else f" of {self._ledger.samples_in}"
        return f"Prometheus writer: {sum(rejected.values())}{total} samples were not written{self._to} ({reasons})"
