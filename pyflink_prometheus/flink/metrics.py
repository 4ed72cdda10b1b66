"""The ledger as Flink counters, under the names of the Java connector."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pyflink_prometheus.writer.ledger import Ledger, Reason

# name: (what it counts). Those up to numWriteRequestsPermanentlyFailed are the Java connector's.
_COUNTERS: dict[str, Callable[[Ledger], int]] = {
    "numSamplesOut": lambda ledger: ledger.samples_accepted,
    "numWriteRequestsOut": lambda ledger: ledger.requests_accepted,
    "numWriteRequestsRetries": lambda ledger: ledger.requests_retried,
    "numSamplesDropped": lambda ledger: sum(ledger.samples_rejected.values()),
    "numSamplesNonRetryableDropped": lambda ledger: ledger.samples_rejected[Reason.REFUSED],
    "numSamplesRetryLimitDropped": lambda ledger: ledger.samples_rejected[Reason.RETRIES_EXHAUSTED],
    "numWriteRequestsPermanentlyFailed": lambda ledger: ledger.requests_failed,
    "numSamplesIn": lambda ledger: ledger.samples_in,
    "numSamplesInvalidDropped": lambda ledger: ledger.samples_rejected[Reason.INVALID],
    "numSamplesDuplicateDropped": lambda ledger: ledger.samples_rejected[Reason.DUPLICATE],
    "numBytesOut": lambda ledger: ledger.bytes_sent,
}


class LedgerCounters:
    """
    Publish a ledger's numbers as Flink counters.

    Flink collects a Python counter only at the end of a bundle and only from the bundle's own thread, and an
    increment costs half a microsecond; so the writer counts plain numbers and this adds the differences there.

    :param group: the metric group to register them in.
    :param ledger: whose numbers.
    """

    def __init__(self, group: Any, ledger: Ledger) -> None:
        self._ledger = ledger
        self._counters = {name: group.counter(name) for name in _COUNTERS}
        self._published = dict.fromkeys(_COUNTERS, 0)

    def publish(self) -> None:
        """Add what has happened since the last call."""
        for name, read in _COUNTERS.items():
            now = read(self._ledger)
            if now != self._published[name]:
                self._counters[name].inc(now - self._published[name])
                self._published[name] = now
