"""Tenants in Flink: a metric group for each, and the builder's settings."""

from __future__ import annotations

from collections import Counter, defaultdict

import pytest

from pyflink_prometheus import PrometheusSink, PrometheusTimeSeries, TenantConfiguration
from pyflink_prometheus.flink.metrics import LedgerMetrics
from pyflink_prometheus.testing import FakeClock, ScriptedTransport

T = 1_700_000_000_000


class Group:
    """A metric group that adds up its counters."""

    def __init__(self):
        self.groups = defaultdict(Group)
        self.counts: Counter[str] = Counter()

    def add_group(self, key, value):
        return self.groups[key, value]

    def counter(self, name):
        counts = self.counts

        class Counting:
            def inc(self, number):
                counts[name] += number

        return Counting()

    def gauge(self, name, read):
        pass


@pytest.fixture
def door():
    """Return the entry point of all tests here."""
    return "records"


def test_each_tenant_has_a_metric_group_from_its_first_sample_on(open_writer):
    writer = open_writer(
        new_transport=lambda config: ScriptedTransport(),
        clock=FakeClock(),
        tenant=TenantConfiguration({"X-Scope-OrgID": "tenant"}, max_counted_tenants=2),
    )
    group = Group()
    metrics = LedgerMetrics(group, writer, lambda: 0)
    for number, tenant in enumerate(("a", "b", "c", "d", "a", None)):
        writer.add(PrometheusTimeSeries("m", {"tenant": tenant} if tenant else {}, ((1.0, T + number),)))
        writer.flush()
        metrics.publish()
    assert group.counts["numSamplesOut"] == 6
    assert {key: each.counts["numSamplesOut"] for key, each in group.groups.items() if key[0] == "tenant"} == {
        ("tenant", "a"): 2,
        ("tenant", "b"): 1,
        ("tenant", "(others)"): 2,
        ("tenant", "(none)"): 1,
    }
    assert group.groups["tenant", "a"].counts["numWriteRequestsOut"] == 2


def builder():
    return PrometheusSink.builder().set_prometheus_remote_write_url("http://receiver.invalid/api/v1/write")


def test_a_tenant_is_set_as_a_whole_or_by_its_settings():
    whole = TenantConfiguration({"AccountID": "account"}, keep_labels=True)
    assert builder().set_tenant(whole).build()._config.tenant == whole
    assert builder().set_tenant({"AccountID": "account"}, keep_labels=True).build()._config.tenant == whole
    with pytest.raises(TypeError, match="either a TenantConfiguration or its settings"):
        builder().set_tenant(whole, keep_labels=True)


@pytest.mark.parametrize(
    ("headers", "error", "message"),
    [
        ({}, TypeError, "tenant: expected a mapping from headers to labels"),
        ("tenant", TypeError, "tenant: expected a mapping from headers to labels"),
        ({"X-Scope-OrgID": 7}, TypeError, "tenant: expected .*, got 7"),
        ({"X-Scope-OrgID": ""}, ValueError, "tenant"),
        ({"Authorization": "tenant"}, ValueError, "tenant: 'Authorization' is set by the sink"),
        ({"no header": "tenant"}, ValueError, "tenant: expected names of letters"),
    ],
)
def test_headers_that_cannot_be_are_refused_when_the_sink_is_built(headers, error, message):
    with pytest.raises(error, match=message):
        builder().set_tenant(headers)


def test_a_function_that_returns_no_text_fails_the_job(open_writer):
    writer = open_writer(
        new_transport=lambda config: ScriptedTransport(),
        tenant=TenantConfiguration({"X-Scope-OrgID": lambda labels: 7}),  # type: ignore[dict-item, return-value]
    )
    with pytest.raises(TypeError, match="tenant: return a str or None for the header X-Scope-OrgID, got 7"):
        writer.add(PrometheusTimeSeries("m", {}, ((1.0, T),)))


def test_a_function_that_cannot_travel_is_refused_when_the_sink_is_built():
    lock = __import__("threading").Lock()
    with pytest.raises(TypeError, match="^tenant: "):
        builder().set_tenant({"X-Scope-OrgID": lambda labels: str(lock)}).build()
