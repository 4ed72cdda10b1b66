"""The ledger as Flink counters, under the names of the Java connector."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Protocol

from pyflink_prometheus.guards.guard import Guard
from pyflink_prometheus.guards.guards import Guards
from pyflink_prometheus.writer.ledger import TIME_IN_FLIGHT_BOUNDS_MS, Ledger, RejectionReason
from pyflink_prometheus.writer.pace import Pace
from pyflink_prometheus.writer.tenants import TenantLedgers

_COUNTERS: dict[str, Callable[[Ledger], int]] = {
    # The counters of the Java connector.
    "numSamplesOut": lambda ledger: ledger.samples_accepted,
    "numWriteRequestsOut": lambda ledger: ledger.requests_accepted,
    "numWriteRequestsRetries": lambda ledger: ledger.requests_retried,
    "numSamplesDropped": lambda ledger: ledger.samples_lost,
    "numSamplesNonRetryableDropped": lambda ledger: ledger.samples_rejected[RejectionReason.REFUSED],
    "numSamplesRetryLimitDropped": lambda ledger: ledger.samples_rejected[RejectionReason.RETRIES_EXHAUSTED],
    "numWriteRequestsPermanentlyFailed": lambda ledger: ledger.requests_failed,
    # This sink's additional counters.
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
    "numSamplesOverLimitDropped": lambda ledger: ledger.samples_rejected[RejectionReason.OVER_LIMIT],
    "numNullValuesSkipped": lambda ledger: ledger.null_values_skipped,
    "numExemplarsOut": lambda ledger: ledger.exemplars_accepted,
    "numExemplarsDropped": lambda ledger: ledger.exemplars_rejected,
    "numBytesOut": lambda ledger: ledger.bytes_sent,
    "timeInFlightMs": lambda ledger: int(ledger.time_in_flight_s * 1000),
    "timeWaitedMs": lambda ledger: int(ledger.time_waited_s * 1000),
}

# The counters of Flink's own sinks (FLIP-33), outside of our group. Sent samples include those that were not written.
_STANDARD_COUNTERS: dict[str, Callable[[Ledger], int]] = {
    "numRecordsSend": lambda ledger: ledger.samples_accepted + ledger.samples_lost,
    "numRecordsSendErrors": lambda ledger: ledger.samples_lost,
    "numBytesSend": lambda ledger: ledger.bytes_sent,
}
_STANDARD_GAUGES: dict[str, Callable[[Ledger], int]] = {
    "currentSendTime": lambda ledger: int(ledger.last_time_in_flight_s * 1000),
}

# The buckets of a histogram, with the label that Prometheus calculates quantiles from. Flink's reporter would replace a
# dot or a plus in its values, so bounds are whole milliseconds, and the last one, which Go reads as infinite, is "Inf".
_BUCKET_LABEL, _BUCKET_COUNTER = "le", "timeInFlightMs_bucket"
_BUCKETS = (*map(str, TIME_IN_FLIGHT_BOUNDS_MS), "Inf")

#: The counters that each tenant also has.
_OF_TENANTS = (
    "numSamplesOut",
    "numSamplesDropped",
    "numWriteRequestsOut",
    "numWriteRequestsRetries",
    "numWriteRequestsPermanentlyFailed",
    "numBytesOut",
)

_RATES = frozenset({Guard.SAMPLES_PER_SECOND, Guard.BYTES_PER_SECOND})
_GUARDS = {"numSeriesOverLimit": frozenset(Guard) - _RATES, "numRequestsOverLimit": _RATES}

_GAUGES: dict[str, Callable[[Ledger], int]] = {
    "samplesPending": lambda ledger: ledger.samples_pending,
    "lastBatchSizeInSamples": lambda ledger: ledger.last_batch_size,
    "lastTimeInFlightMs": lambda ledger: int(ledger.last_time_in_flight_s * 1000),
    "newestSampleTimestampMs": lambda ledger: ledger.newest_timestamp,
}


class Accountable(Protocol):
    """A writer, or one of its endpoints."""

    ledger: Ledger
    guards: Guards
    tenants: TenantLedgers | None

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
    :param flush: called at the end of each bundle; returns the duration of the flush in milliseconds. ``None`` for an
        endpoint that is flushed with others.
    :param number: the writer's number within the group, from 1. All functions of an operator share one group, in which
        a gauge replaces an earlier gauge of the same name. Counters of the same name add up.
    :param operator_group: where to register Flink's standard metrics of a sink; ``None`` for an additional endpoint.
    """

    def __init__(
        self,
        group: Any,
        writer: Accountable,
        flush: Callable[[], int] | None,
        number: int = 1,
        operator_group: Any = None,
    ) -> None:
        ledger = writer.ledger
        self._group = group
        self._guards = writer.guards
        self._tenants = writer.tenants
        self._published_of: dict[str, dict[str, int]] = {}
        self._counters_of: dict[str, dict[str, Any]] = {}
        self._readers: dict[str, Callable[[], int]] = {
            **{name: partial(read, ledger) for name, read in _COUNTERS.items()},
            **{name: partial(self._found, guards) for name, guards in _GUARDS.items()},
        }
        self._counters = {name: group.counter(name) for name in self._readers}
        for place, bound in enumerate(_BUCKETS):
            self._readers[bound] = partial(self._within, ledger, place)
            self._counters[bound] = group.add_group(_BUCKET_LABEL, bound).counter(_BUCKET_COUNTER)
        if operator_group is not None:
            for name, read in _STANDARD_COUNTERS.items():
                self._readers[name] = partial(read, ledger)
                self._counters[name] = operator_group.counter(name)
        # None rather than 0: Flink shows a counter only after its first increment, which may be by 0.
        self._published: dict[str, int | None] = dict.fromkeys(self._readers)
        gauges: dict[str, Callable[[], int]] = {
            **({} if flush is None else {"lastFlushDurationMs": flush}),  # first: the others are read after the flush
            **{name: partial(read, ledger) for name, read in _GAUGES.items()},
            "maxInFlightRequests": lambda: writer.pace.shards,
            "maxBatchSizeInSamples": lambda: writer.pace.batch_size,
        }
        for name, read_gauge in gauges.items():
            group.gauge(_numbered(name, number), read_gauge)
        if operator_group is not None:
            for name, read in _STANDARD_GAUGES.items():
                operator_group.gauge(_numbered(name, number), partial(read, ledger))

    def publish(self) -> None:
        """Add the changes since the last call to the counters."""
        for name, read in self._readers.items():
            now, before = read(), self._published[name]
            if now != before:
                self._counters[name].inc(now - (before or 0))
                self._published[name] = now

        if self._tenants is not None:
            for tenant, ledger in self._tenants.all().items():
                self._publish_tenant(tenant, ledger)

    def _publish_tenant(self, tenant: str, ledger: Ledger) -> None:
        """Add the changes of a tenant's numbers to its counters, which are registered when it first appears."""
        counters = self._counters_of.get(tenant)
        if counters is None:
            group = self._group.add_group("tenant", tenant)
            counters = self._counters_of[tenant] = {name: group.counter(name) for name in _OF_TENANTS}
            self._published_of[tenant] = dict.fromkeys(_OF_TENANTS, 0)
        published = self._published_of[tenant]
        for name, counter in counters.items():
            now = _COUNTERS[name](ledger)
            counter.inc(now - published[name])
            published[name] = now

    @staticmethod
    def _within(ledger: Ledger, place: int) -> int:
        return ledger.attempts_within[place]

    def _found(self, guards: Iterable[Guard]) -> int:
        counts = self._guards.counts
        return sum(counts[guard] for guard in guards)


def _numbered(name: str, number: int) -> str:
    """Return the name of a gauge for the writer with this number in its group."""
    return name if number == 1 else f"{name}{number}"
