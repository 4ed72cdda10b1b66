"""Settlement of samples: they are counted in the ledger, and passed to the user's handler if not written."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import numpy as np

from pyflink_prometheus.errors import PrometheusSinkError
from pyflink_prometheus.wire.series import Tenant
from pyflink_prometheus.writer.batch import Batch
from pyflink_prometheus.writer.delivery import (
    Accepted,
    PartlyWritten,
    Rejected,
    Settled,
)
from pyflink_prometheus.writer.ledger import Ledger, RejectionReason
from pyflink_prometheus.writer.rejected import RejectedSamples, RejectedSamplesHandler
from pyflink_prometheus.writer.tenants import TenantLedgers
from pyflink_prometheus.writer.written_digests import WrittenDigests

_log = logging.getLogger(__name__)


class Settlement:
    """
    Counts settled samples, and passes the rejected ones to the handler.

    Methods may be called on any thread. The handler is called by one thread at a time.

    :param ledger: counts the samples.
    :param handler: the user's handler.
    :param tenants: count the samples by tenant; ``None`` if there are no tenants.
    :param digests: keep digests of the written samples; ``None`` if they are not wanted.
    """

    def __init__(
        self,
        ledger: Ledger,
        handler: RejectedSamplesHandler,
        tenants: TenantLedgers | None = None,
        digests: WrittenDigests | None = None,
    ) -> None:
        self.ledger = ledger
        self.tenants = tenants
        self._digests = digests
        self._handler = handler
        self._one_at_a_time = threading.Lock()

    def ledgers_of(self, tenant: Tenant) -> tuple[Ledger, ...]:
        """Return all ledgers that count what is sent to a tenant."""
        return (self.ledger,) if self.tenants is None else (self.ledger, self.tenants.of(tenant))

    def reject_before_sending(self, rejected: list[RejectedSamples]) -> None:
        """
        Reject samples before they become part of a batch, on the caller's thread.

        :raises PrometheusSinkError: if the handler fails.
        """
        for each in rejected:
            self.ledger.samples_in += each.count
            self.ledger.reject(each.reason, each.count)
        self._call(lambda: self._handler(rejected))

    def reject(self, batch: Batch, reason: RejectionReason, message: str, status: int | None = None) -> None:
        """
        Reject samples and their exemplars.

        :raises PrometheusSinkError: if the handler fails.
        """
        if len(batch):
            self.ledger.settle_exemplars(0, batch.exemplars)
            self._hand_over(batch, reason, message, status)

    def reject_some(
        self, batch: Batch, count: int, reason: RejectionReason, message: str, status: int | None = None
    ) -> None:
        """
        Reject ``count`` samples of a batch; it is not known which.

        :raises PrometheusSinkError: if the handler fails.
        """
        tenant = batch.tenant
        for ledger in self.ledgers_of(tenant):
            ledger.reject(reason, count)
        rejected = RejectedSamples(None, count, reason, message, status, tuple(batch.records()), dict(tenant))
        self._call(lambda: self._handler([rejected]))

    def settle(self, step: Settled) -> None:
        """
        Settle the samples of one request, or of a part of it, by its outcome.

        :raises PrometheusSinkError: if the handler fails.
        """
        if self._digests is not None:
            (self._digests.add if isinstance(step, Accepted) else self._digests.add_unsure)(step.batch)
        if isinstance(step, Accepted):
            self._accept(step)
            return
        for ledger in self.ledgers_of(step.batch.tenant):
            ledger.fail_request()
        if isinstance(step, Rejected):
            self.reject(step.batch, step.reason, step.outcome.message, step.outcome.status)
        else:
            self._settle_partly(step)

    def flush(self) -> None:
        """
        Flush the digests, and the handler if it has a method ``flush``.

        :raises PrometheusSinkError: if one of them fails.
        """
        if self._digests is not None:
            self._digests.flush()
        self._call(getattr(self._handler, "flush", _nothing))

    def close(self) -> None:
        """Close the digests, and the handler if it has a method ``close``; only log failures: it is too late to act."""
        try:
            if self._digests is not None:
                self._digests.close()
        except PrometheusSinkError as error:
            _log.warning("%s", error)
        try:
            self._call(getattr(self._handler, "close", _nothing))
        except PrometheusSinkError as error:
            _log.warning("%s", error)

    def _accept(self, step: Accepted) -> None:
        batch = step.batch
        for ledger in self.ledgers_of(batch.tenant):
            ledger.take_request(len(batch))
            ledger.accept(len(batch), int(batch.timestamps.max()))
        self.ledger.settle_exemplars(step.exemplars, batch.exemplars - step.exemplars)

    def _settle_partly(self, step: PartlyWritten) -> None:
        batch, written = step.batch, step.written
        accepted = written.samples + written.histograms
        if accepted:
            # A lower bound of the newest timestamp written: the refused samples may be the newest ones.
            newest = np.sort(batch.timestamps)[accepted - 1]
            for ledger in self.ledgers_of(batch.tenant):
                ledger.accept(accepted, int(newest))
        self.ledger.settle_exemplars(written.exemplars, batch.exemplars - written.exemplars)
        for are_histograms, count in ((False, written.samples), (True, written.histograms)):
            part = batch.of_kind(histograms=are_histograms)
            if count == 0 and len(part):
                self._hand_over(part, step.reason, step.outcome.message, step.outcome.status)
            elif count < len(part):
                outcome = step.outcome
                self.reject_some(part, len(part) - count, step.reason, outcome.message, outcome.status)

    def _hand_over(self, batch: Batch, reason: RejectionReason, message: str, status: int | None) -> None:
        tenant = batch.tenant
        for ledger in self.ledgers_of(tenant):
            ledger.reject(reason, len(batch))
        rejected = [
            RejectedSamples(record, len(record.samples), reason, message, status, tenant=dict(tenant))
            for record in batch.records()
        ]
        self._call(lambda: self._handler(rejected))

    def _call(self, call: Callable[[], object]) -> None:
        try:
            with self._one_at_a_time:
                call()
        except Exception as error:
            raise PrometheusSinkError(f"the handler of rejected samples failed: {error!r}") from error


def _nothing() -> None:
    pass
