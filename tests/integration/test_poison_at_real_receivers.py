"""Real receivers reject one percent of the samples, as models do in tests/receivers/test_poison.py."""

from __future__ import annotations

import math
import time

import pytest
from raw_requests import encode, post
from told import Rejections
from workload import (
    AUTO,
    BATCH,
    BY_TIME,
    CONFLICT,
    INFINITE,
    LABELS,
    LATE,
    LONG_VALUE,
    TOO_NEW,
    TOO_OLD,
    V1,
    V2,
    seed,
    stored_alone,
    workload,
)

from pyflink_prometheus import PrometheusTimeSeries
from pyflink_prometheus.config import SinkConfig
from pyflink_prometheus.testing import (
    InfluxDbModel,
    PrometheusModel,
    Receiver,
    VictoriaMetricsModel,
)
from pyflink_prometheus.writer.writer import RemoteWriter

METRICS = ["m", "old", "new", "labels", "long"]
PROBE = "probe"
MOST_REQUESTS_AN_OFFENDER = 2 * math.ceil(math.log2(BATCH)) + 2


@pytest.fixture
def now():
    return int(time.time() * 1000)


@pytest.fixture
def write():
    """Return a function that writes everything, and returns the ledger and the reported samples."""

    def write_all(url, version, sent):
        rejections = Rejections()
        config = SinkConfig(
            prometheus_remote_write_url=url,
            remote_write_version=version,
            max_batch_size_in_samples=BATCH,
            max_in_flight_requests=1,
            rejected_samples_handler=rejections,
        )
        writer = RemoteWriter(config)
        try:
            for each in sent:
                writer.add(each.record)
            writer.flush()
        finally:
            writer.close()
        return writer.ledger, rejections

    return write_all


def poisoned(samples_a_series, kinds, now):
    return workload(samples_a_series, kinds=kinds, began=now - 15 * 60_000, now=now)


def samples_in(receiver, metrics=METRICS):
    """Return a receiver's samples, named as models do."""
    return {
        (_key(labels), value, timestamp)
        for metric in metrics
        for labels, samples in receiver.samples(metric).items()
        for value, timestamp in samples
    }


def _key(labels):
    pairs = dict(labels)
    name = pairs.pop("__name__")
    return PrometheusTimeSeries(name, tuple(sorted(pairs.items())), ()).key()


def assert_told(sent, stored, ledger, rejections, unsaid=frozenset()):
    everything = {each.sample for each in sent}
    rejected = sum(ledger.samples_rejected.values())
    assert (ledger.samples_in, ledger.samples_pending) == (len(sent), 0)
    assert ledger.samples_accepted + rejected == len(sent)
    assert ledger.samples_accepted == len(stored) + len(unsaid)
    assert rejections.count == rejected
    assert everything - stored - unsaid <= set(rejections.named) | rejections.candidates
    assert not set(rejections.named) & stored


CASES = {
    "prometheus_empty": ((LATE, TOO_OLD, CONFLICT, TOO_NEW), PrometheusModel, [V1, V2, AUTO]),
    "old_prometheus_empty": (BY_TIME, lambda now: PrometheusModel(now, versions=[V1], max_lead_ms=None), [V1, AUTO]),
    "influxdb_empty": ((INFINITE, LATE, TOO_OLD), lambda now: InfluxDbModel(), [V1, AUTO]),
}


@pytest.mark.parametrize("samples_a_series", [1, 20])
@pytest.mark.parametrize(
    ("receiver", "version"),
    [pytest.param(name, each, id=f"{name}-{each.value}") for name, case in CASES.items() for each in case[2]],
)
def test_what_is_acceptable_is_stored_and_the_rest_is_told(request, write, now, receiver, version, samples_a_series):
    kinds, new_model, _ = CASES[receiver]
    real, model = request.getfixturevalue(receiver), new_model(now)
    sent = poisoned(samples_a_series, kinds, now)
    post(real.remote_write_url, V1, encode(V1, ([("__name__", "up")], [(1.0, now)])))
    seed(model, V1, now)
    acceptable = stored_alone(model, sent, V1) - set(model.stored)

    ledger, rejections = write(real.remote_write_url, version, sent)

    stored = samples_in(real)
    assert stored == acceptable
    assert_told(sent, stored, ledger, rejections)
    offenders = len(sent) - len(acceptable)
    exact = receiver == "prometheus_empty" and version is not V1
    assert ledger.requests_attempted <= (3 if exact else 4 + (offenders + 4) * MOST_REQUESTS_AN_OFFENDER)


@pytest.mark.parametrize("samples_a_series", [1, 20])
@pytest.mark.parametrize("version", [V1, AUTO], ids=lambda version: version.value)
def test_victoria_metrics(victoria_metrics_empty, write, now, version, samples_a_series):
    """It accepts any time, and silently drops samples over its limits: those count as written."""
    sent = poisoned(samples_a_series, (LATE, TOO_OLD, TOO_NEW, LABELS, LONG_VALUE), now)
    unsaid = {each.sample for each in sent if each.poison in (LABELS, LONG_VALUE)}
    acceptable = stored_alone(VictoriaMetricsModel(now), sent, V1)
    assert acceptable | unsaid == {each.sample for each in sent}

    ledger, rejections = write(victoria_metrics_empty.remote_write_url, version, sent)

    stored = samples_in(victoria_metrics_empty)
    assert stored == acceptable
    assert_told(sent, stored, ledger, rejections, unsaid)
    assert rejections == []
    assert ledger.requests_attempted <= 4


@pytest.mark.parametrize("samples_a_series", [1, 20])
@pytest.mark.parametrize("version", [V1, AUTO], ids=lambda version: version.value)
def test_an_agent_hands_on_what_it_accepts(start_agent, write, version, samples_a_series):
    """It has no bounds in the past, only the order within a series."""
    with Receiver() as receiver:
        agent = start_agent(receiver.url)
        wait_until_it_hands_on(agent, receiver)
        # It accepts samples from before its start, and never forwards them: see the next test.
        sent = workload(samples_a_series, kinds=(LATE, CONFLICT), began=int(time.time() * 1000))
        ledger, rejections = write(agent.remote_write_url, version, sent)
        arrived = wait_for(receiver, ledger.samples_accepted)
    assert {each.sample for each in sent if each.poison is None} <= arrived
    assert_told(sent, arrived, ledger, rejections)


def test_an_agent_keeps_to_itself_what_lies_before_its_start(start_agent, write):
    """It accepts and counts such samples, so they are not reported; docs/receivers.md warns of this."""
    with Receiver() as receiver:
        agent = start_agent(receiver.url)
        wait_until_it_hands_on(agent, receiver)
        now = int(time.time() * 1000)
        old = workload(1, poison=0.0, batches=1, batch=10, began=now - 60_000)
        new = workload(1, poison=0.0, batches=1, batch=10, began=now)
        ledger, rejections = write(agent.remote_write_url, AUTO, [*old, *new])
        arrived = wait_for(receiver, 10)
    assert (ledger.samples_accepted, rejections) == (20, [])
    assert arrived == {each.sample for each in new}


def wait_until_it_hands_on(agent, receiver):
    """Send an agent samples until one arrives: it never forwards those that it accepts in its first moments."""
    deadline = time.monotonic() + 30
    while not receiver.requests:
        assert time.monotonic() < deadline, "the agent forwards nothing"
        post(agent.remote_write_url, V1, encode(V1, ([("__name__", PROBE)], [(1.0, int(time.time() * 1000))])))
        time.sleep(0.2)


def wait_for(receiver, count):
    """Return a receiver's samples except probes, once there are this many, or half a minute has passed."""
    deadline = time.monotonic() + 30
    while True:
        samples = (sample for request in receiver.requests for sample in request.samples)
        arrived = {sample for sample in samples if not sample[0].startswith(PROBE)}
        if len(arrived) >= count or time.monotonic() >= deadline:
            return arrived
        time.sleep(0.05)
