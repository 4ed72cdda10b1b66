"""Whatever several endpoints respond, each one's counts are complete, its order holds, and none affects another."""

from __future__ import annotations

import threading
import time
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st
from moving_clock import SelfMovingClock
from rejections import Rejections

from pyflink_prometheus import BestEffortConfiguration, RejectionReason, RemoteWriteVersion, TenantConfiguration
from pyflink_prometheus.config import SinkConfig
from pyflink_prometheus.http.outcome import Kind, Outcome
from pyflink_prometheus.testing import FakeClock, ScriptedTransport
from pyflink_prometheus.writer.fan_out import FanOut

T = 1_700_000_000_000
SAMPLES = 60

#: The properties of an endpoint: whether it is required, its version, its limits, the values that it refuses, and the
#: failures of its first requests.
ENDPOINTS = st.fixed_dictionaries(
    {
        "required": st.booleans(),
        "version": st.sampled_from(RemoteWriteVersion),
        "supports": st.sampled_from([[RemoteWriteVersion.V1], [RemoteWriteVersion.V1, RemoteWriteVersion.V2]]),
        "most": st.integers(1, 20),
        "shards": st.integers(1, 3),
        "kept": st.integers(1, 40),
        "refused": st.sets(st.integers(0, SAMPLES - 1), max_size=3),
        "trouble": st.lists(st.sampled_from([None, 503, 429, 413, "down"]), max_size=30),
    }
)


class Scenario:
    """An endpoint, and the fates of the samples that were meant for it."""

    def __init__(self, name, about, tenant):
        self.rejections = Rejections()
        down = Outcome(Kind.RETRYABLE, "no connection")
        self.refused = about["refused"]
        self.trouble = [None, *(down if each == "down" else each for each in about["trouble"])]
        # 413 for a single sample means that this one is too large.
        self.may_lose_any = 413 in self.trouble
        self.transport = ScriptedTransport(decide=self.decide, versions=about["supports"])
        version = about["version"]
        if version is RemoteWriteVersion.V2 and version not in about["supports"]:
            version = RemoteWriteVersion.AUTO
        self.config = SinkConfig(
            prometheus_remote_write_url=f"http://{name}.invalid/api/v1/write",
            remote_write_version=version,
            max_batch_size_in_samples=about["most"],
            max_in_flight_requests=about["shards"],
            best_effort=None
            if about["required"]
            else BestEffortConfiguration(max_buffered_samples=about["kept"], max_wait_ms=1),
            rejected_samples_handler=self.rejections,
            tenant=tenant,
        )

    def decide(self, request):
        if request.samples and self.trouble and (trouble := self.trouble.pop(0)) is not None:
            return trouble
        return 400 if any(value in self.refused for _, value, _ in request.samples) else 204


@settings(max_examples=60, deadline=None)
@given(
    st.lists(ENDPOINTS, min_size=2, max_size=3),
    st.sets(st.integers(0, SAMPLES - 1), max_size=4),
    st.booleans(),
    st.sampled_from([None, TenantConfiguration({"X-Scope-OrgID": "tenant"}, keep_labels=True)]),
)
def test_every_sample_is_accounted_for_at_each_endpoint(endpoints, flush_after, is_drained, tenant):
    scenarios = [Scenario(f"e{number}", each, tenant) for number, each in enumerate(endpoints)]
    by_url = {each.config.prometheus_remote_write_url: each.transport for each in scenarios}
    first, *others = scenarios
    further = {f"e{number}": each.config for number, each in enumerate(others, 1)}
    clock = FakeClock() if tenant is None else SelfMovingClock()
    writer = FanOut(
        SinkConfig(**{**first.config.__dict__, "further_endpoints": further}),
        new_transport=lambda config: by_url[config.prometheus_remote_write_url],
        clock=clock,
        draw=lambda: 1.0,
    )
    ledgers = [each.ledger for each in writer.destinations]
    try:
        for number in range(SAMPLES):
            labels = {"series": str(number % 5), "tenant": str(number % 3)}
            writer.add(("m", labels, ((float(number), T + number),)))
            if number in flush_after or number == SAMPLES - 1:
                passing(clock, writer.flush)
                for scenario, ledger in zip(scenarios, ledgers):
                    assert ledger.samples_in == number + 1
                    assert scenario.config.best_effort is not None or not ledger.samples_pending
        deadline = time.monotonic() + 60
        while is_drained and any(ledger.samples_pending for ledger in ledgers):
            assert time.monotonic() < deadline
            time.sleep(0.0005)
    finally:
        writer.close()
    for scenario, ledger in zip(scenarios, ledgers):
        rejected: Counter[RejectionReason] = Counter()
        for each in scenario.rejections:
            rejected[each.reason] += each.count
        assert ledger.samples_in == SAMPLES == ledger.samples_accepted + sum(rejected.values())
        assert rejected == Counter({reason: count for reason, count in ledger.samples_rejected.items() if count})
        assert not (is_drained and rejected[RejectionReason.UNSENT])
        if scenario.config.best_effort is None:
            assert set(rejected) <= {RejectionReason.REFUSED, RejectionReason.UNCONFIRMED}
            lost = sum(rejected.values())
            assert scenario.may_lose_any or lost == len(scenario.refused)
        if tenant is not None:
            for request in scenario.transport.accepted:
                of = {dict(series.labels)["tenant"] for series in request.series}
                assert of in ({request.headers["x-scope-orgid"]}, set())
        newest: dict[str, int] = {}
        for key, _, timestamp in scenario.transport.stored:
            assert timestamp >= newest.get(key, 0)
            newest[key] = timestamp


def passing(clock, call):
    """Make a call on another thread, and advance the clock meanwhile."""
    failures = []

    def run():
        try:
            call()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    while thread.is_alive():
        clock.advance(0.0001)
        thread.join(0.001)
    assert not failures, failures
