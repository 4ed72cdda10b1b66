"""The ledger as Flink counters, under the names of the Java connector."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from pyflink_prometheus.writer.ledger import Ledger, RejectionReason
from pyflink_prometheus.writer.pace import Pace

_COUNTERS: dict[str, Callable[[Ledger], int]] = {
    # The Java connector's.
    "numSamplesOut": lambda ledger: ledger.samples_accepted,
    "numWriteRequestsOut": lambda ledger: ledger.requests_accepted,
    "numWriteRequestsRetries": lambda ledger: ledger.requests_retried,
    "numSamplesDropped": lambda ledger: ledger.samples_lost,
    "numSamplesNonRetryableDropped": lambda ledger: ledger.samples_rejected[RejectionReason.REFUSED],
    "numSamplesRetryLimitDropped": lambda ledger: ledger.samples_rejected[RejectionReason.RETRIES_EXHAUSTED],
    "numWriteRequestsPermanentlyFailed": lambda ledger: ledger.requests_failed,
    # Ours.
    "numSamplesIn": lambda ledger: ledger.samples_in,
    "numSamplesExcluded": lambda ledger: ledger.samples_rejected[RejectionReason.EXCLUDED],
    "numSamplesInvalidDropped": lambda ledger: ledger.samples_rejected[RejectionReason.INVALID],
    "numSamplesDuplicateDropped": lambda ledger: ledger.samples_rejected[RejectionReason.DUPLICATE],
    "numSamplesConflictingDropped": lambda ledger: ledger.samples_rejected[RejectionReason.CONFLICTING],
    "numSamplesUnconfirmedDropped": lambda ledger: ledger.samples_rejected[RejectionReason.UNCONFIRMED],
    "numSamplesTooOldDropped": lambda ledger: ledger.samples_rejected[RejectionReason.TOO_OLD],
    "numSamplesTooNewDropped": lambda ledger: ledger.samples_rejected[RejectionReason.TOO_NEW],
    "numSamplesOverflowDropped": lambda ledger: ledger.samples_rejected[RejectionReason.OVERFLOW],
    "numSamplesUnsentDropped": lambda ledger: ledger.samples_rejected[RejectionReason.UNSENT],
    "numSamplesOutOfOrderDropped": lambda ledger: ledger.samples_rejected[RejectionReason.OUT_OF_ORDER],
    "numNullValuesSkipped": lambda ledger: ledger.null_values_skipped,
    "numExemplarsOut": lambda ledger: ledger.exemplars_accepted,
    "numExemplarsDropped": lambda ledger: ledger.exemplars_rejected,
    "numBytesOut": lambda ledger: ledger.bytes_sent,
    "timeInFlightMs": lambda ledger: int(ledger.time_in_flight_s * 1000),
}

_GAUGES: dict[str, Callable[[Ledger], int]] = {
    "samplesPending": lambda ledger: ledger.samples_pending,
    "lastBatchSizeInSamples": lambda ledger: ledger.last_batch_size,
    "lastTimeInFlightMs": lambda ledger: int(ledger.last_time_in_flight_s * 1000),
    "newestSampleTimestampMs": lambda ledger: ledger.newest_timestamp,
}


class Accountable(Protocol):
    """A writer, or one of its endpoints."""

    ledger: Ledger

    @property
    def pace(self) -> Pace:
        """The current number of requests in flight and their size."""


class LedgerMetrics:
    """
    The numbers of a writer's ledger as Flink counters and gauges.

    Flink collects Python metrics only at the end of a bundle and only from the bundle's own thread, and an increment
    costs half a microsecond. So the writer counts in plain numbers, and the differences are added at the bundle's end.

    :param group: the metric group in which to register them.
    :param writer: the writer, or one of its endpoints.
    :param flush: called at the end of each bundle; returns its duration in milliseconds. ``None`` for an endpoint that
        is flushed with others.
    :param number: of the writer within the group, from 1. All functions of an operator share one group, in which a
        gauge replaces an earlier one of the same name. Counters of the same name add up.
    """

    def __init__(self, group: Any, writer: Accountable, flush: Callable[[], int] | None, number: int = 1) -> None:
        self._ledger = ledger = writer.ledger
        self._counters = {name: group.counter(name) for name in _COUNTERS}
        # None rather than 0: Flink shows a counter only after its first increment, which may be by 0.
        self._published: dict[str, int | None] = dict.fromkeys(_COUNTERS)
        gauges: dict[str, Callable[[], int]] = {
            **({} if flush is None else {"lastFlushDurationMs": flush}),  # first: the others are read after the flush
            **{name: partial(read, ledger) for name, read in _GAUGES.items()},
            "maxInFlightRequests": lambda: writer.pace.shards,
            "maxBatchSizeInSamples": lambda: writer.pace.batch_size,
        }
        for name, read_gauge in gauges.items():
            group.gauge(name if number == 1 else f"{name}{number}", read_gauge)

    def publish(self) -> None:
        """Add the changes since the last call to the counters."""
        for name, read in _COUNTERS.items():
            now, before = read(self._ledger), self._published[name]
            if now != before:
                self._counters[name].inc(now - (before or 0))
                self._published[name] = now
