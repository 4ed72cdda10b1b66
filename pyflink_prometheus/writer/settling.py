"""Account for a batch of which nothing will be sent again."""

from __future__ import annotations

import heapq
from typing import Union

from pyflink_prometheus.writer.delivery import Accepted, PartlyWritten, Rejected
from pyflink_prometheus.writer.ledger import Ledger
from pyflink_prometheus.writer.rejected import Rejections


def settle(step: Union[Accepted, Rejected, PartlyWritten], ledger: Ledger, rejections: Rejections) -> None:
    """Count what has become of a batch's samples and exemplars, and hand on those that were refused."""
    batch = step.batch
    if isinstance(step, Accepted):
        ledger.take_request(len(batch))
        ledger.accept(len(batch), max(batch.timestamps))
        ledger.settle_exemplars(step.exemplars, batch.exemplars - step.exemplars)
        return
    ledger.fail_request()
    if isinstance(step, Rejected):
        ledger.settle_exemplars(0, batch.exemplars)
        rejections.of_batch(batch, step.reason, step.outcome.message, step.outcome.status)
        return
    written = step.written
    refused = len(batch) - written.samples - written.histograms
    if refused < len(batch):
        # Were the newest ones those that were refused, this would be the newest that was written.
        ledger.accept(len(batch) - refused, heapq.nlargest(refused + 1, batch.timestamps)[-1])
    ledger.settle_exemplars(written.exemplars, batch.exemplars - written.exemplars)
    for kind, count in ((False, written.samples), (True, written.histograms)):
        part = batch.of_kind(histograms=kind)
        if count < len(part):
            rejections.among_batch(part, len(part) - count, step.reason, step.outcome.message, step.outcome.status)
