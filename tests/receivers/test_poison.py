"""One percent of the samples is rejected: every receiver stores the rest, and each rejected sample is reported."""

from __future__ import annotations

import math

import pytest
from workload import (
    ALL_KINDS,
    AUTO,
    BATCH,
    BY_TIME,
    INFINITE,
    LABELS,
    LATE,
    LONG_VALUE,
    NOW,
    V1,
    V2,
    seed,
    stored_alone,
    workload,
)

from pyflink_prometheus.testing import (
    AllOrNothingModel,
    CortexModel,
    InfluxDbModel,
    MimirModel,
    PrometheusModel,
    ThanosModel,
    VictoriaMetricsModel,
)

# A receiver without a bound in the future accepts a sample far ahead, which shuts out all others: not tested there.
UNBOUNDED = (*BY_TIME, LABELS, LONG_VALUE)
RECEIVERS = {
    "prometheus": (lambda: PrometheusModel(NOW), [V1, V2, AUTO], ALL_KINDS),
    "prometheus 2": (lambda: PrometheusModel(NOW, versions=[V1], max_lead_ms=None), [V1, AUTO], UNBOUNDED),
    "mimir": (lambda: MimirModel(NOW), [V1, V2, AUTO], ALL_KINDS),
    "cortex": (lambda: CortexModel(NOW), [V1, V2, AUTO], ALL_KINDS),
    "thanos": (lambda: ThanosModel(), [V1, V2, AUTO], UNBOUNDED),
    "all or nothing": (lambda: AllOrNothingModel(NOW), [V1, V2, AUTO], ALL_KINDS),
    "victoria metrics": (lambda: VictoriaMetricsModel(NOW), [V1, AUTO], ALL_KINDS),
    # A second value at one time silently replaces the first, so it does not refuse CONFLICT.
    "influxdb": (lambda: InfluxDbModel(), [V1, AUTO], (INFINITE, LATE)),
}
CASES = [
    pytest.param(make, version, kinds, id=f"{name}-{version.value}")
    for name, (make, versions, kinds) in RECEIVERS.items()
    for version in versions
]
# Receivers whose responses do not mention everything that they drop, and what they drop: it cannot be reported.
SILENT = {VictoriaMetricsModel: {LABELS, LONG_VALUE}}


def most_misnamed(samples_a_series):
    """
    Return the number of stored samples that may be reported as rejected.

    A receiver that silently keeps the good part of a refused request refuses the older samples of a series when they
    come again. It takes a run of refusals to notice that, and up to seven checks of each moment, once.
    """
    return 40 + 7 * samples_a_series


def most_requests(offenders_by_batch, batch=BATCH):
    """
    Return the maximum number of requests that the samples may take.

    Each batch takes one. A refused batch is sent again in parts: a refused part is halved, log2(batch) times until an
    offender is alone; after it, parts double, log2(batch) times until they are as large as the rest. So an offender
    costs 2 log2(batch) requests, including its own. A receiver that silently keeps the good part refuses the older
    samples of a series when they come again; noticing this may cost as much as two more offenders.
    """
    each = 2 * math.ceil(math.log2(batch)) + 2
    return sum(1 + (offenders + 2 if offenders else 0) * each for offenders in offenders_by_batch)


def offenders_by_batch(sent, acceptable, batch=BATCH):
    return [
        sum(each.sample not in acceptable for each in sent[begin : begin + batch])
        for begin in range(0, len(sent), batch)
    ]


@pytest.mark.parametrize("samples_a_series", [1, 20])
@pytest.mark.parametrize(("make", "version", "kinds"), CASES)
def test_what_is_acceptable_is_stored_and_the_rest_is_told(start, rejections, make, version, kinds, samples_a_series):
    model = make()
    sent = workload(samples_a_series, kinds=kinds)
    seed(model, V1)
    others = set(model.stored)
    acceptable = stored_alone(model, sent, V1)
    dropped_unsaid = {each.sample for each in sent if each.poison in SILENT.get(type(model), ())}
    assert not acceptable & dropped_unsaid

    writer, _ = start(model, version)
    for each in sent:
        writer.add(each.record)
    writer.flush()

    stored, everything = set(model.stored) - others, {each.sample for each in sent}
    assert acceptable - others <= stored <= everything
    ledger = writer.ledger
    rejected = sum(ledger.samples_rejected.values())
    assert (ledger.samples_in, ledger.samples_pending) == (len(sent), 0)
    assert ledger.samples_accepted + rejected == ledger.samples_in
    # Rejected samples never count as accepted, unless the receiver itself says that it accepted them.
    assert ledger.samples_accepted <= len(stored) + len(dropped_unsaid)
    assert rejections.count == rejected
    assert set(rejections.named.values()) <= {1}
    told = set(rejections.named) | rejections.candidates
    assert everything - stored - dropped_unsaid <= told
    assert len(set(rejections.named) & (stored - rejections.unconfirmed)) <= most_misnamed(samples_a_series)
    assert ledger.requests_attempted <= most_requests(offenders_by_batch(sent, acceptable))


@pytest.mark.parametrize("samples_a_series", [1, 20])
@pytest.mark.parametrize("version", [V2, AUTO], ids=lambda version: version.value)
def test_counts_that_are_exact_cost_no_request(start, rejections, version, samples_a_series):
    """Prometheus keeps the good part of a 2.0 request and says how large it is: nothing is sent again."""
    model = PrometheusModel(NOW)
    seed(model, V1)
    writer, _ = start(model, version)
    for each in workload(samples_a_series):
        writer.add(each.record)
    writer.flush()
    assert writer.ledger.requests_attempted == 3
    assert writer.ledger.samples_accepted == len(model.stored) - 1


@pytest.mark.parametrize("version", [V1, AUTO], ids=lambda version: version.value)
def test_what_victoria_metrics_drops_without_a_word_counts_as_written(start, rejections, version):
    """docs/receivers.md says so: only vm_rows_ignored_total shows it."""
    model = VictoriaMetricsModel(NOW)
    sent = workload(20, kinds=[LABELS, LONG_VALUE])
    writer, _ = start(model, version)
    for each in sent:
        writer.add(each.record)
    writer.flush()
    assert rejections == []
    assert writer.ledger.samples_accepted == len(sent)
    assert len(model.stored) == len(sent) - sum(each.poison is not None for each in sent)
