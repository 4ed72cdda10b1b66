"""Several endpoints and several tenants: each endpoint has its own lanes, counters and limits."""

from __future__ import annotations

import threading
import time

import pytest
from rejections import Rejections

from pyflink_prometheus import (
    BestEffortConfiguration,
    PrometheusSink,
    RejectionReason,
    RemoteWriteVersion,
    RetryConfiguration,
    SendingLimits,
    TenantConfiguration,
)
from pyflink_prometheus.config import SinkConfig
from pyflink_prometheus.flink.metrics import LedgerMetrics
from pyflink_prometheus.flink.subtask import SubtaskWriter
from pyflink_prometheus.http.outcome import Kind, Outcome
from pyflink_prometheus.testing import FakeClock, ScriptedTransport
from pyflink_prometheus.writer.fan_out import FanOut

T = 1_700_000_000_000
V1 = RemoteWriteVersion.V1
HEADER = "X-Scope-OrgID"
LATER = Outcome(Kind.RETRYABLE, "HTTP 429", 429, retry_after_s=60)
BEST_EFFORT = BestEffortConfiguration(max_wait_ms=0, max_buffered_samples=50)


@pytest.fixture
def start():
    """Return a function that starts a writer to two endpoints with the same settings, except those of the second."""
    writers = []

    def start_one(transports, shared=None, of_second=None, clock=None):
        urls = [f"http://{name}.invalid/api/v1/write" for name in ("first", "second")]
        settings = {"remote_write_version": V1, "tenant": TenantConfiguration({HEADER: "tenant"}), **(shared or {})}
        second = SinkConfig(urls[1], **{**settings, **(of_second or {})})
        by_url = dict(zip(urls, transports))
        writer = FanOut(
            SinkConfig(urls[0], **settings, further_endpoints={"second": second}),
            new_transport=lambda config: by_url[config.prometheus_remote_write_url],
            clock=FakeClock() if clock is None else clock,
            draw=lambda: 1.0,
        )
        writers.append(writer)
        return writer

    yield start_one
    for writer in writers:
        writer.close()


def add(writer, numbers, tenant):
    for number in numbers:
        labels = {} if tenant is None else {"tenant": tenant}
        writer.add(("m", labels, ((float(number), T + number),)))


def stored(transport, tenant):
    return [
        value
        for request in transport.accepted
        if request.headers.get(HEADER.lower()) == tenant
        for _, value, _ in request.samples
    ]


def dropped(rejections, tenant):
    return [
        value
        for each in rejections
        if each.tenant == {HEADER: tenant}
        for series in each.series
        for value, _ in series.samples
    ]


def responding(responses):
    """Return a transport with a response for each tenant; 204 for others. The responses may change later."""
    return ScriptedTransport(decide=lambda request: responses.get(request.headers.get(HEADER.lower()), 204))


def eventually(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "did not happen within a minute"
        time.sleep(0.001)


def test_each_endpoint_gets_and_counts_the_samples_of_each_tenant(start):
    transports = ScriptedTransport(), responding({"b": 400})
    writer = start(transports)
    for number, tenant in enumerate(("a", "b", None, "a", "b", "a")):
        add(writer, [number], tenant)
    writer.flush()
    assert [stored(transports[0], tenant) for tenant in ("a", "b", None)] == [[0, 3, 5], [1, 4], [2]]
    assert [stored(transports[1], tenant) for tenant in ("a", "b", None)] == [[0, 3, 5], [], [2]]
    accepted = [
        {tenant: ledger.samples_accepted for tenant, ledger in each.tenants.all().items()}
        for each in writer.destinations
    ]
    assert accepted == [{"a": 3, "b": 2, "(none)": 1}, {"a": 3, "b": 0, "(none)": 1}]
    assert writer.destinations[1].tenants.all()["b"].samples_lost == 2


def test_duplicates_are_those_of_one_tenant_and_are_counted_at_each_endpoint(start):
    rejections = Rejections(), Rejections()
    shared, of_second = ({"rejected_samples_handler": each} for each in rejections)
    writer = start((ScriptedTransport(), ScriptedTransport()), shared, of_second)
    for tenant in ("a", "b", "b", "c", "c"):
        add(writer, [1], tenant)
    writer.flush()
    for told, each in zip(rejections, writer.destinations):
        assert [(one.reason, one.tenant) for one in told] == [
            (RejectionReason.DUPLICATE, {HEADER: tenant}) for tenant in ("b", "c")
        ]
        assert each.ledger.samples_accepted == 3


def test_a_tenant_that_must_wait_at_a_best_effort_endpoint_holds_up_no_other_one(start):
    responses, clock = {"a": LATER}, FakeClock()
    transports = ScriptedTransport(), responding(responses)
    writer = start(transports, of_second={"best_effort": BEST_EFFORT}, clock=clock)
    for number in range(3):
        for tenant in ("a", "b"):
            add(writer, [number], tenant)
        writer.flush()  # time stands still
    eventually(lambda: stored(transports[1], "b") == [0, 1, 2])
    assert stored(transports[0], "a") == [0, 1, 2]
    responses.clear()
    clock.advance(61)
    eventually(lambda: stored(transports[1], "a") == [0, 1, 2])


@pytest.mark.parametrize("b_is_in_flight", [False, True])
def test_the_oldest_overflows_also_where_it_waits_behind_others_of_its_tenant(start, b_is_in_flight):
    responses, rejections, clock = {"a": LATER, "b": LATER}, Rejections(), FakeClock()
    responds = threading.Event()
    if not b_is_in_flight:
        responds.set()

    def decide(request):
        tenant = request.headers[HEADER.lower()]
        response = responses.get(tenant, 204)
        if tenant == "b":
            responds.wait(60)
        return response

    transports = ScriptedTransport(), ScriptedTransport(decide=decide)
    patient = RetryConfiguration(max_retry_duration_ms=10**12)  # the clock may run far ahead of the shard
    of_second = {"best_effort": BEST_EFFORT, "rejected_samples_handler": rejections, "retry": patient}
    writer = start(transports, of_second=of_second, clock=clock)
    second = writer.destinations[1]
    for start_of in range(0, 100, 10):
        tenant = "a" if start_of % 20 == 0 else "b"
        add(writer, range(start_of, start_of + 10), tenant)
        writer.flush()
        if start_of <= 10:  # the first sample of each is sent once
            eventually(lambda: len(transports[1].requests) == start_of / 10 + 1)  # noqa: B023
    assert second.ledger.samples_pending == 50
    assert {each.reason for each in rejections} == {RejectionReason.OVERFLOW}
    assert sorted(dropped(rejections, "a") + dropped(rejections, "b")) == list(range(20, 70))
    responses.clear()
    responds.set()

    def is_settled():
        clock.advance(61)
        return not second.ledger.samples_pending

    eventually(is_settled)
    assert stored(transports[1], "a") == [*range(10), *range(80, 90)]
    assert stored(transports[1], "b") == [*range(10, 20), *range(70, 80), *range(90, 100)]


def test_the_bound_holds_if_every_tenant_has_one_request_that_waits(start):
    responses, rejections = {str(number): LATER for number in range(30)}, Rejections()
    transports = ScriptedTransport(), responding(responses)
    of_second = {"best_effort": BEST_EFFORT, "rejected_samples_handler": rejections}
    writer = start(transports, of_second=of_second)
    for number in range(30):
        add(writer, range(10 * number, 10 * number + 10), str(number))
        writer.flush()
        eventually(lambda: len(transports[1].requests) == number + 1)  # noqa: B023
    assert writer.destinations[1].ledger.samples_pending == 50
    assert [value for number in range(30) for value in dropped(rejections, str(number))] == list(range(250))


def test_what_fails_midway_for_good_is_counted_and_other_tenants_go_on(start):
    def decide(request):
        values = [value for _, value, _ in request.samples]
        if request.headers.get(HEADER.lower()) != "a" or not values:
            return 204
        return 400 if 0 in values else 401 if 1 in values else 204

    rejections, clock = Rejections(), FakeClock()
    transports = ScriptedTransport(), ScriptedTransport(decide=decide)
    of_second = {"best_effort": BEST_EFFORT, "rejected_samples_handler": rejections}
    writer = start(transports, of_second=of_second, clock=clock)
    add(writer, range(4), "a")
    add(writer, range(2), "b")
    writer.flush()
    second = writer.destinations[1]

    def has_settled():
        clock.advance(1)
        return second.ledger.samples_pending == 0

    eventually(has_settled)
    assert sum(each.count for each in rejections) == second.ledger.samples_lost
    assert second.ledger.samples_accepted + second.ledger.samples_lost == 6
    assert stored(transports[1], "b") == [0, 1]


def test_a_best_effort_endpoint_that_refuses_all_tenants_is_tried_again(start):
    responses, clock = {"a": 401, "b": 401}, FakeClock()
    transports = ScriptedTransport(), responding(responses)
    writer = start(transports, of_second={"best_effort": BEST_EFFORT}, clock=clock)
    for tenant in ("a", "b"):
        add(writer, range(3), tenant)
    writer.flush()

    def advanced(condition):
        clock.advance(1)
        return condition()

    eventually(lambda: advanced(lambda: len(transports[1].requests) > 30))  # more than the retries of one delivery
    assert not writer.destinations[1].ledger.samples_lost
    responses.clear()
    eventually(lambda: advanced(lambda: stored(transports[1], "a") == stored(transports[1], "b") == [0, 1, 2]))


def test_at_the_end_what_waits_in_all_lanes_is_passed_on(start):
    rejections, let_go = Rejections(), threading.Event()

    def decide(request):
        if request.headers.get(HEADER.lower()) == "c":
            let_go.wait(60)
        return LATER

    transports = ScriptedTransport(), ScriptedTransport(decide=decide)
    best_effort = BestEffortConfiguration(max_wait_ms=0)
    of_second = {"best_effort": best_effort, "rejected_samples_handler": rejections}
    writer = start(transports, of_second=of_second)
    for number, tenant in enumerate(("a", "a", "b", "c", "c", "a")):  # c's first request is in flight from then on
        add(writer, [number], tenant)
        writer.flush()
    writer.close()
    let_go.set()
    assert {each.reason for each in rejections} == {RejectionReason.UNSENT}
    assert [sorted(dropped(rejections, tenant)) for tenant in "abc"] == [[0, 1, 5], [2], [3, 4]]
    ledger = writer.destinations[1].ledger
    eventually(lambda: transports[1].closed)  # a response has arrived, too late
    assert (ledger.samples_in, ledger.samples_lost) == (6, 6)


def test_each_endpoint_has_the_limits_on_rates_for_itself_and_the_sink_those_on_series(start):
    limits = SendingLimits(max_samples_per_second=10, max_new_series_per_day=2)
    writer = start((ScriptedTransport(), ScriptedTransport()), {"sending_limits": limits})
    add(writer, range(20), "a")
    writer.flush()  # neither waits for the other: time stands still
    for tenant in ("b", "c"):
        add(writer, [20], tenant)
    assert [each.ledger.samples_rejected[RejectionReason.OVER_LIMIT] for each in writer.destinations] == [1, 0]
    assert writer.destinations[0].guards is writer.guards


@pytest.mark.parametrize("subtasks", [1, 4])
def test_a_subtask_has_its_share_of_the_limits_at_each_endpoint(subtasks):
    def builder(name):
        return PrometheusSink.builder().set_prometheus_remote_write_url(f"http://{name}.invalid/api/v1/write")

    sink = builder("first").set_sending_limits(max_samples_per_second=10).add_endpoint("backup", builder("backup"))
    subtask = SubtaskWriter(sink.build()._config)
    writer = subtask.open(Group(), subtasks)
    assert isinstance(writer, FanOut)
    assert [each.guards.limits.max_samples_per_second for each in writer.destinations] == [10 / subtasks] * 2
    subtask.close()


def test_another_tenant_or_limit_of_an_endpoint_is_refused():
    first = PrometheusSink.builder().set_prometheus_remote_write_url("http://first.invalid/api/v1/write")
    for name in ("tenant", "sending_limits"):
        other = PrometheusSink.builder().set_prometheus_remote_write_url("http://other.invalid/api/v1/write")
        other = other.set_tenant({HEADER: "x"}) if name == "tenant" else other.set_sending_limits(max_labels=3)
        first.add_endpoint(name, other)
        with pytest.raises(ValueError, match=f"^endpoint '{name}': {name}: remove it, set it as for the first"):
            first.build()
        del first._endpoints[name]


class Group:
    """A metric group that adds up counters, by the names of its groups and of the counter."""

    def __init__(self, path=(), counts=None):
        self.path, self.counts = path, {} if counts is None else counts

    def add_group(self, *names):
        return Group((*self.path, *names), self.counts)

    def counter(self, name):
        path, counts = ".".join((*self.path, name)), self.counts

        class Counting:
            def inc(self, number):
                counts[path] = counts.get(path, 0) + number

        return Counting()

    def gauge(self, name, read):
        pass


def test_each_endpoint_has_counters_of_each_tenant(start):
    writer, group = start((ScriptedTransport(), responding({"b": 400}))), Group()
    first, second = writer.destinations
    metrics = [
        LedgerMetrics(group, writer, lambda: 0),
        LedgerMetrics(group.add_group("endpoint", "second"), second, None),
    ]
    for tenant in ("a", "b"):
        add(writer, range(3), tenant)
    writer.flush()
    for each in metrics:
        each.publish()
    assert first.tenants is writer.tenants
    assert group.counts["tenant.b.numSamplesOut"] == group.counts["endpoint.second.tenant.a.numSamplesOut"] == 3
    assert group.counts["endpoint.second.tenant.b.numSamplesDropped"] == 3
