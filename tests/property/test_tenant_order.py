"""Whatever a receiver responds to each tenant: order per series holds, and every sample is accounted for."""

from __future__ import annotations

from collections import Counter

from doors import RowWriter
from hypothesis import given, settings
from hypothesis import strategies as st
from moving_clock import SelfMovingClock

from pyflink_prometheus import (
    OnErrorBehavior,
    RejectedSamples,
    RejectionReason,
    RemoteWriteVersion,
    RetryConfiguration,
    SinkWriterErrorHandlingBehaviorConfiguration,
    TenantConfiguration,
)
from pyflink_prometheus.config import SinkConfig
from pyflink_prometheus.http.outcome import Kind, Outcome
from pyflink_prometheus.testing import ScriptedTransport
from pyflink_prometheus.writer.writer import RemoteWriter

T = 1_700_000_000_000

tenants = st.sampled_from(["a", "b", "c", None])
samples = st.lists(st.tuples(tenants, st.integers(0, 3)), min_size=1, max_size=60)
responses = st.lists(st.sampled_from([204, 204, 429, 503, 401, "later"]), max_size=12)


@settings(max_examples=150)
@given(
    st.sampled_from([RemoteWriter, RowWriter]),
    st.sampled_from([RemoteWriteVersion.V1, RemoteWriteVersion.V2]),
    st.lists(samples, min_size=1, max_size=3),
    st.dictionaries(tenants, responses),
    st.sampled_from([1, 3]),
    st.sampled_from([1, 7, 1000]),
    st.sampled_from([3, 200_000]),
    st.booleans(),
)
def test_order_holds_and_every_sample_is_accounted_for(
    kind, version, bundles, scripts, shards, batch, cached, keep_labels
):
    scripts = {tenant: list(script) for tenant, script in scripts.items()}

    def decide(request):
        script = scripts.get(request.headers.get("x-scope-orgid"))
        response = script.pop(0) if script else 204
        if response == 401 and request.headers.get("x-scope-orgid") is None:
            response = 503
        return Outcome(Kind.RETRYABLE, "HTTP 429", 429, retry_after_s=30) if response == "later" else response

    transport = ScriptedTransport(decide=decide)
    rejected: list[RejectedSamples] = []
    config = SinkConfig(
        "http://receiver.invalid/api/v1/write",
        remote_write_version=version,
        rejected_samples_handler=rejected.extend,
        tenant=TenantConfiguration({"X-Scope-OrgID": "tenant"}, keep_labels=keep_labels),
        max_in_flight_requests=shards,
        max_batch_size_in_samples=batch,
        max_cached_series=cached,
        retry=RetryConfiguration(max_retry_count=12),
        error_handling=SinkWriterErrorHandlingBehaviorConfiguration(
            on_max_retry_exceeded=OnErrorBehavior.DISCARD_AND_CONTINUE
        ),
    )
    writer = kind(config, new_transport=lambda config: transport, clock=SelfMovingClock(), draw=lambda: 1.0)
    given_samples: list[tuple[str | None, str, float, int]] = []
    try:
        for bundle in bundles:
            for tenant, room in bundle:
                number = len(given_samples)
                labels = {"room": str(room), **({} if tenant is None else {"tenant": tenant})}
                writer.add(("m", labels, ((float(number), T + number),)))
                given_samples.append((tenant, str(room), float(number), T + number))
            writer.flush()
    finally:
        writer.close()

    stored = [
        (request.headers.get("x-scope-orgid"), dict(series.labels), value, timestamp)
        for request in transport.accepted
        for series in request.series
        for value, timestamp, *_ in series.samples
    ]
    for tenant, labels, _, _ in stored:
        assert labels.get("tenant") == (tenant if keep_labels else None)
    refused = [
        (each.tenant.get("X-Scope-OrgID"), dict(each.record.labels)["room"], value, timestamp)
        for each in rejected
        for value, timestamp, *_ in each.record.samples
    ]
    arrived = [(tenant, labels["room"], value, timestamp) for tenant, labels, value, timestamp in stored]
    assert Counter(arrived) + Counter(refused) == Counter(given_samples)
    ledger = writer.ledger
    assert (ledger.samples_accepted, ledger.samples_lost) == (len(arrived), len(refused))
    assert ledger.samples_rejected[RejectionReason.REFUSED] == len(refused)
    for series in {each[:2] for each in arrived}:
        times = [timestamp for *key, _, timestamp in arrived if tuple(key) == series]
        assert times == sorted(times)
    counted = writer.tenants.all().values()
    assert sum(each.samples_accepted for each in counted) == len(arrived)
    assert sum(each.samples_lost for each in counted) == len(refused)
