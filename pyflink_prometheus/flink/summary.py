"""What a subtask says of all the samples that it has not written, for those who read no metrics."""

from __future__ import annotations

import logging
import secrets
import sys

from pyflink_prometheus.writer.ledger import Ledger

_log = logging.getLogger(__name__)

#: Tells this process from all others, on this machine or not.
THIS_PROCESS = secrets.token_hex(8)


class RejectedSummary:
    """
    Say in one line how many samples were not written, and for which reasons.

    The log has that line when there are twice as many as when it last did. What a worker logs when it is closed does
    not reach the TaskManager any more, so this is as near to the sum as it gets there. A local job's functions run in
    the process that has built the job, and PyFlink lets no log reach its console: that gets the sum at the end.

    :param ledger: counts them.
    :param has_handler: whether a handler of the user's is given the samples.
    :param built_in: the process in which the job was built.
    :param log_file: what that process's Java logs to; ``None`` if it is not known.
    """

    def __init__(self, ledger: Ledger, *, has_handler: bool, built_in: str, log_file: str | None) -> None:
        self._ledger = ledger
        self._advice = "" if has_handler else ", and set_rejected_samples_handler keeps the samples"
        self._is_local = built_in == THIS_PROCESS
        self._where = "Flink's log" if log_file is None else log_file
        self._next = 1

    def flushed(self) -> None:
        """Look at the sum after a flush, and log it if it is due."""
        rejected = sum(self._ledger.samples_rejected.values())
        if rejected >= self._next:
            self._next = 2 * rejected
            _log.warning("%s so far; the lines before this one say why%s", self._summary(), self._advice)

    def closed(self) -> None:
        """Print the sum in a local job, at the end of a subtask."""
        if self._is_local and any(self._ledger.samples_rejected.values()):
            sys.stderr.write(f"{self._summary()}; {self._where} says why{self._advice}\n")
            sys.stderr.flush()

    def _summary(self) -> str:
        """Return the line, without a total while samples are on their way: then the job has failed or was cancelled."""
        rejected = {reason.value.replace("_", " "): count for reason, count in self._ledger.samples_rejected.items()}
        reasons = ", ".join(f"{reason} {count}" for reason, count in rejected.items() if count)
        total = "" if self._ledger.samples_pending else f" of {self._ledger.samples_in}"
        return f"Prometheus writer: {sum(rejected.values())}{total} samples were not written ({reasons})"
