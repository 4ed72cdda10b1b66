"""What a subtask says at its end of the samples that it has not written."""

from __future__ import annotations

import logging
import secrets
import sys

from pyflink_prometheus.writer.ledger import Ledger

_log = logging.getLogger(__name__)

#: Tells this process from all others, on this machine or not.
THIS_PROCESS = secrets.token_hex(8)


def rejected_summary(ledger: Ledger) -> str | None:
    """
    Return one line on how many samples were not written, and why; ``None`` if there are none.

    It names no total while samples are on their way: then the job has failed or been cancelled.
    """
    rejected = {reason.value.replace("_", " "): count for reason, count in ledger.samples_rejected.items() if count}
    if not rejected:
        return None
    reasons = ", ".join(f"{reason} {count}" for reason, count in rejected.items())
    total = "" if ledger.samples_pending else f" of {ledger.samples_in}"
    return f"Prometheus writer: {sum(rejected.values())}{total} samples were not written ({reasons})"


def tell_of_rejected(ledger: Ledger, *, has_handler: bool, built_in: str, log_file: str | None) -> None:
    """
    Log how many samples were not written, and in a local job say so on the console, too.

    There PyFlink runs functions in the process that has built the job, and lets no log reach its console.

    :param has_handler: whether the user's handler was given the samples.
    :param built_in: the process in which the job was built.
    :param log_file: where that process's Java logs to.
    """
    summary = rejected_summary(ledger)
    if summary is None:
        return
    advice = "" if has_handler else ", and set_rejected_samples_handler keeps the samples"
    _log.warning("%s; the lines before say why%s", summary, advice)
    if built_in == THIS_PROCESS:
        where = "Flink's log" if log_file is None else log_file
        sys.stderr.write(f"{summary}; {where} says why{advice}\n")
        sys.stderr.flush()
