"""Tenants: what names them, what a request holds, and that none delays another one."""

from __future__ import annotations

import threading
from collections import Counter

import pytest
from doors import BOTH_DOORS
from moving_clock import SelfMovingClock
from rejections import Rejections

from pyflink_prometheus import (
    ConflictPolicy,
    OnErrorBehavior,
    PrometheusTimeSeries,
    RejectionReason,
    RemoteWriteFatalError,
    RemoteWriteVersion,
    RetryConfiguration,
    SendingLimits,
    SinkWriterErrorHandlingBehaviorConfiguration,
    TenantConfiguration,
)
from pyflink_prometheus.http.outcome import Kind, Outcome
from pyflink_prometheus.relabelling.relabelling import Relabelling
from pyflink_prometheus.testing import FakeClock, ScriptedTransport

T = 1_700_000_000_000
ORG = {"X-Scope-OrgID": "tenant"}

pytestmark = BOTH_DOORS


class Setup:
    """A writer with tenants, and its requests."""

    def __init__(self, open_writer, headers=None, decide=None, clock=None, keep_labels=False, most=20, **settings):
        self.transport = ScriptedTransport(decide=decide or (lambda request: None))
        self.rejections = Rejections()
        self.clock = clock or FakeClock()
        settings = {"max_in_flight_requests": 1, "remote_write_version": RemoteWriteVersion.V2, **settings}
        self.writer = open_writer(
            new_transport=lambda config: self.transport,
            clock=self.clock,
            rejected_samples_handler=self.rejections,
            tenant=TenantConfiguration(headers or ORG, keep_labels, most),
            **settings,
        )

    def add(self, labels, *values, at=T):
        samples = tuple((value, at + number) for number, value in enumerate(values or (1.0,)))
        self.writer.add(PrometheusTimeSeries("m", labels, samples))

    def flush(self):
        self.writer.flush()
        ledger = self.writer.ledger
        assert ledger.samples_pending == 0

    def sent(self, header="x-scope-orgid"):
        """Return the labels of each accepted request's series, with its tenant."""
        return [
            (request.headers.get(header), [dict(each.labels) for each in request.series])
            for request in self.transport.accepted
        ]

    def rejected(self, reason):
        return self.writer.ledger.samples_rejected[reason]


@pytest.fixture
def setup(open_writer):
    """Return a function that opens a writer with tenants."""
    return lambda **settings: Setup(open_writer, **settings)


def tenant_of(request):
    return request.headers.get("x-scope-orgid")


def test_a_request_holds_one_tenant_and_not_its_label(setup):
    tenants = setup()
    for number in range(3):
        for tenant in ("a", "b"):
            tenants.add({"tenant": tenant, "room": "1"}, at=T + number)
    tenants.add({"room": "2"})
    tenants.flush()
    sent = tenants.sent()
    assert sorted(sent, key=str) == [("a", [{"room": "1"}]), ("b", [{"room": "1"}]), (None, [{"room": "2"}])]
    assert [len(request.samples) for request in tenants.transport.accepted if tenant_of(request)] == [3, 3]


def test_the_label_may_be_kept(setup):
    tenants = setup(keep_labels=True)
    tenants.add({"tenant": "a"})
    tenants.flush()
    assert tenants.sent() == [("a", [{"tenant": "a"}])]


def test_several_headers_have_a_label_each(setup):
    tenants = setup(headers={"AccountID": "account", "ProjectID": "project"})
    tenants.add({"account": "7", "project": "3", "room": "1"})
    tenants.add({"account": "8", "room": "1"})
    tenants.flush()
    headers = [(each.headers.get("accountid"), each.headers.get("projectid")) for each in tenants.transport.accepted]
    assert sorted(headers, key=str) == [("7", "3"), ("8", None)]


def test_a_function_gets_all_labels_after_relabelling_once_for_each_series(setup):
    calls = []

    def tenant(labels):
        calls.append(labels)
        return labels["host"].split(".")[-1]

    relabelling = Relabelling([{"regex": "h", "replacement": "host", "action": "labelmap"}])
    tenants = setup(headers={"THANOS-TENANT": tenant}, relabelling=relabelling)
    for number in range(5):
        tenants.add({"h": "db.eu"}, at=T + number)
    tenants.flush()
    assert tenants.sent("thanos-tenant") == [("eu", [{"h": "db.eu", "host": "db.eu"}])]
    assert calls == [{"__name__": "m", "h": "db.eu", "host": "db.eu"}]


@pytest.mark.parametrize(("value", "problem"), [("a\nb", "line break"), ("\u20ac", "Latin-1"), (" a", "white space")])
def test_a_tenant_that_no_header_can_carry_is_rejected_alone(setup, value, problem):
    tenants = setup()
    tenants.add({"tenant": value})
    tenants.add({"tenant": "good"})
    tenants.flush()
    assert [tenant for tenant, _ in tenants.sent()] == ["good"]
    assert tenants.rejected(RejectionReason.INVALID) == 1
    assert problem in tenants.rejections[0].message


def test_the_same_labels_of_two_tenants_are_two_series(setup):
    tenants = setup(
        conflict_policy=ConflictPolicy.KEEP_FIRST,
        drop_out_of_order_samples=True,
        sending_limits=SendingLimits(max_new_series_per_hour=2),
    )
    for tenant, value, at in (("a", 1.0, T), ("b", 2.0, T - 5), ("a", 3.0, T + 1), ("c", 1.0, T)):
        tenants.add({"tenant": tenant}, value, at=at)
    tenants.flush()
    assert sorted(tenant for tenant, _ in tenants.sent()) == ["a", "b"]
    assert tenants.writer.ledger.samples_accepted == 3
    assert tenants.rejected(RejectionReason.OVER_LIMIT) == 1


@pytest.mark.parametrize("shards", [1, 3])
def test_a_tenant_that_is_throttled_does_not_stop_the_others_and_a_flush_waits_for_it(setup, shards):
    """The receiver asks for a minute, which passes only after all samples of the other tenants have arrived."""
    others = threading.Event()
    seen: Counter[str] = Counter()
    arrived: Counter[str] = Counter()

    def decide(request):
        seen[tenant_of(request)] += 1
        if tenant_of(request) == "slow" and clock.monotonic() < 60:
            return Outcome(Kind.RETRYABLE, "HTTP 429", 429, retry_after_s=60)
        if tenant_of(request) == "fast":
            arrived["fast"] += len(request.samples)
            if arrived["fast"] == 100:
                others.set()
        return None

    clock = FakeClock()
    limits = {"max_in_flight_requests": shards, "max_batch_size_in_samples": 2, "max_buffered_samples": 1000}
    tenants = setup(decide=decide, clock=clock, **limits)
    for number in range(100):
        for tenant in ("slow", "fast"):
            tenants.add({"tenant": tenant, "room": str(number % 7)}, at=T + number)
    flushed = threading.Thread(target=tenants.flush)
    flushed.start()
    assert others.wait(120)
    assert flushed.is_alive()
    assert not [request for request in tenants.transport.accepted if not is_fast(request)]
    assert seen["slow"] <= shards  # each may have had a request in flight when the receiver asked for the pause
    while flushed.is_alive():
        clock.advance(61)
        flushed.join(0.05)
    assert tenants.writer.ledger.samples_accepted == 200
    stored = [(tenant_of(each), *sample) for each in tenants.transport.accepted for sample in each.samples]
    for key in {each[:2] for each in stored}:
        times = [each[3] for each in stored if each[:2] == key]
        assert times == sorted(times)


def is_fast(request):
    return tenant_of(request) == "fast"


def test_a_tenant_that_the_receiver_does_not_know_is_rejected_and_the_others_go_on(setup, caplog):
    tenants = setup(decide=lambda request: 401 if tenant_of(request) == "bad" else None, clock=SelfMovingClock())
    for number in range(3):
        tenants.add({"tenant": "bad"}, at=T + number)
        tenants.add({"tenant": "good"}, at=T + number)
        tenants.flush()
    tenants.add({"tenant": "bad"}, at=T + 5)
    tenants.flush()
    assert [tenant for tenant, _ in tenants.sent()] == ["good"] * 3
    assert tenants.rejected(RejectionReason.REFUSED) == 4
    assert {tuple(each.tenant.items()) for each in tenants.rejections} == {(("X-Scope-OrgID", "bad"),)}
    assert [record.message for record in caplog.records if "check tenant" in record.message] == [
        "check tenant X-Scope-OrgID: bad: the receiver refuses all of its requests but accepts those of other tenants; "
        "its samples are rejected"
    ]


def test_credentials_that_are_refused_for_all_tenants_fail_the_job(setup):
    tenants = setup(decide=lambda request: 401, clock=SelfMovingClock())
    tenants.add({"tenant": "a"})
    tenants.add({"tenant": "b"})
    with pytest.raises(RemoteWriteFatalError, match="401"):
        tenants.writer.flush()
    assert tenants.writer.ledger.samples_pending == 2


def test_credentials_that_are_refused_for_all_tenants_from_now_on_fail_the_job(setup):
    refused = threading.Event()
    tenants = setup(decide=lambda request: 403 if refused.is_set() else None, clock=SelfMovingClock())
    for step in range(2):
        if step:
            refused.set()
        tenants.add({"tenant": "a"}, at=T + step)
        tenants.add({"tenant": "b"}, at=T + step)
        if not step:
            tenants.flush()
    with pytest.raises(RemoteWriteFatalError, match="403"):
        tenants.writer.flush()
    assert tenants.writer.ledger.samples_rejected[RejectionReason.REFUSED] == 0


def test_a_tenant_whose_retries_are_exhausted_may_be_dropped_alone(setup):
    tenants = setup(
        decide=lambda request: 429 if tenant_of(request) == "slow" else None,
        clock=SelfMovingClock(),
        retry=RetryConfiguration(max_retry_count=3),
        error_handling=SinkWriterErrorHandlingBehaviorConfiguration(
            on_max_retry_exceeded=OnErrorBehavior.DISCARD_AND_CONTINUE
        ),
    )
    for tenant in ("slow", "fast"):
        tenants.add({"tenant": tenant}, 1.0, 2.0)
    tenants.flush()
    assert tenants.rejected(RejectionReason.RETRIES_EXHAUSTED) == 2
    assert tenants.writer.ledger.samples_accepted == 2


def test_tenants_are_counted_apart_up_to_a_bound(setup):
    tenants = setup(decide=lambda request: 400 if tenant_of(request) == "b" else None, most=2)
    for number, tenant in enumerate(("a", "b", "c", "d", "a")):
        tenants.add({"tenant": tenant}, 1.0, 2.0, at=T + 10 * number)
        tenants.flush()
    counted = {
        name: (ledger.samples_accepted, ledger.samples_lost) for name, ledger in tenants.writer.tenants.all().items()
    }
    assert counted == {"a": (4, 0), "b": (0, 2), "(others)": (4, 0)}


def test_requests_of_others_are_sent_while_the_offenders_of_a_tenant_are_found(setup):
    tenants = setup(decide=lambda request: 400 if tenant_of(request) == "bad" else None)
    for tenant in ("bad", "good"):
        tenants.add({"tenant": tenant}, *[float(number) for number in range(8)])
    tenants.flush()
    assert [tenant_of(request) for request in tenants.transport.requests][:3] == ["bad", "good", "bad"]
    assert tenants.rejected(RejectionReason.REFUSED) == 8
