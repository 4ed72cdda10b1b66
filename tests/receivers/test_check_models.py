"""The preflight check on the models of receivers: each passes, and its peculiarities are found."""

from __future__ import annotations

import time

import pytest
from workload import V1, V2

from pyflink_prometheus import Severity
from pyflink_prometheus.config import SinkConfig
from pyflink_prometheus.preflight.endpoints import check
from pyflink_prometheus.testing import (
    AllOrNothingModel,
    ByteLimitModel,
    CortexModel,
    HaReplicaModel,
    InfluxDbModel,
    MimirModel,
    OverloadedModel,
    PrometheusModel,
    Receiver,
    ThanosModel,
    VictoriaMetricsModel,
    WithoutCountsModel,
)


def now():
    return int(time.time() * 1000)


def findings_of(model, **more):
    with Receiver(model) as receiver:
        report = check(SinkConfig(prometheus_remote_write_url=receiver.url), **more)
    return report, {each.check: each for each in report.endpoints[0].findings}


# The versions that each receiver supports, and whether it accepts late samples.
MODELS = {
    "prometheus": (lambda: PrometheusModel(now()), "2.0 and 1.0", False),
    "prometheus 2": (lambda: PrometheusModel(now(), versions=[V1], max_lead_ms=None), "1.0", False),
    "mimir": (lambda: MimirModel(now()), "2.0 and 1.0", False),
    "cortex": (lambda: CortexModel(now()), "2.0 and 1.0", False),
    "thanos": (ThanosModel, "2.0 and 1.0", False),
    "victoria metrics": (lambda: VictoriaMetricsModel(now()), "1.0", True),
    "influxdb": (InfluxDbModel, "1.0", True),
    "all or nothing": (lambda: AllOrNothingModel(now()), "2.0 and 1.0", False),
    "a gateway": (lambda: WithoutCountsModel(PrometheusModel(now())), "1.0", False),
    "an ha replica": (lambda: HaReplicaModel(MimirModel(now()), elected=False), "2.0 and 1.0", True),
}


@pytest.mark.parametrize(("new_model", "versions", "_"), MODELS.values(), ids=MODELS)
def test_a_receiver_passes_and_stores_nothing(new_model, versions, _):
    model = new_model()
    report, findings = findings_of(model)
    assert report.is_ok, str(report)
    assert f"supports Remote-Write {versions};" in findings["versions"].message
    assert {name for name, each in findings.items() if each.severity is Severity.ADVICE} <= {"round trip"}
    assert model.stored == []


@pytest.mark.parametrize(("new_model", "_", "accepts_late"), MODELS.values(), ids=MODELS)
def test_what_a_test_series_shows(new_model, _, accepts_late):
    model = new_model()
    report, findings = findings_of(model, write_test_series="check_me")
    assert report.is_ok, str(report)
    assert (findings["late samples"].severity is Severity.OK) is accepts_late, findings["late samples"]
    assert {key.partition("{")[0] for key, *_ in model.stored} <= {"check_me"}


def test_a_limit_of_bytes():
    _, findings = findings_of(ByteLimitModel(PrometheusModel(now()), max_bytes=500_000, status=413))
    assert findings["body size"].severity is Severity.ADVICE


def test_a_receiver_that_is_overloaded():
    report, findings = findings_of(OverloadedModel(PrometheusModel(now()), requests=1))
    assert not report.is_ok
    assert "not ready" in findings["receiver"].message


def test_a_receiver_of_2_0_only():
    with Receiver(lambda request: 415 if request.version is V1 else None) as receiver:
        report = check(SinkConfig(prometheus_remote_write_url=receiver.url, remote_write_version=V2))
    assert report.is_ok
