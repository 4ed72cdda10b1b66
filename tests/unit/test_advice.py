"""The sink logs advice about what makes a job slow: once, and only if that is the cause."""

from __future__ import annotations

import logging

import pytest

from pyflink_prometheus import PrometheusTimeSeries
from pyflink_prometheus.flink.advice import BundleAdvice, Exchange, log_exchange_cost
from pyflink_prometheus.testing import FakeClock
from pyflink_prometheus.writer.ledger import Ledger


def advice_on(flushes, samples, *, waiting_s, other_s, repeated=0, batch_size=2000):
    """Simulate flushes of this many samples, each in one request, with time for the request and for other work."""
    ledger, clock = Ledger(), FakeClock()
    advice = BundleAdvice(ledger, clock.monotonic)
    for _ in range(flushes):
        clock.advance(other_s)
        ledger.samples_in += samples
        for attempt in range(1 + repeated):
            ledger.attempt(1000, waiting_s / (1 + repeated), retry=attempt > 0)
        clock.advance(waiting_s)
        advice.flushed(waiting_s, batch_size)


@pytest.fixture
def said(caplog):
    """Return a function that returns all messages logged so far."""
    caplog.set_level(logging.INFO)
    return lambda: [record.getMessage() for record in caplog.records]


def test_small_bundles_for_a_far_receiver_are_told_once(said):
    advice_on(1000, 1000, waiting_s=0.15, other_s=0.05)
    (advice,) = said()
    assert "75 % of its time" in advice
    assert "1000 samples" in advice
    assert "python.fn-execution.bundle.size" in advice
    assert "python.fn-execution.bundle.time" in advice


@pytest.mark.parametrize(
    "flushes",
    [
        pytest.param({"samples": 1000, "waiting_s": 0.15, "other_s": 1.0}, id="the job waits for its records"),
        pytest.param({"samples": 2000, "waiting_s": 0.15, "other_s": 0.05}, id="requests are full"),
        pytest.param({"samples": 0, "waiting_s": 0.15, "other_s": 0.05}, id="nothing is sent"),
        pytest.param(
            {"samples": 1000, "waiting_s": 0.15, "other_s": 0.05, "repeated": 1}, id="the receiver is in trouble"
        ),
        pytest.param({"samples": 1000, "waiting_s": 0.15, "other_s": 0.05, "batch_size": 1000}, id="as it was set"),
    ],
)
def test_nothing_is_said_where_bundles_are_not_what_costs_the_time(said, flushes):
    advice_on(1000, **flushes)
    assert said() == []


def test_a_slow_beginning_is_no_reason(said):
    advice_on(49, 1000, waiting_s=1.0, other_s=0.1)
    advice_on(1000, 1000, waiting_s=0.0005, other_s=0.0005)
    assert said() == []


RECORD = PrometheusTimeSeries("m", {}, ((1.0, 1),))


def test_a_key_for_a_single_subtask_is_told(said):
    log_exchange_cost(Exchange(is_needless=True, pickles=False), RECORD)
    (advice,) = said()
    assert "key_by" in advice


def test_an_instance_that_is_pickled_is_told_by_its_class(said):
    log_exchange_cost(Exchange(is_needless=False, pickles=True), RECORD)
    (advice,) = said()
    assert "PrometheusTimeSeries and is pickled on its way; a plain tuple costs less than half of that" in advice


def test_a_class_of_the_jobs_own_file_is_worse(said):
    own = type("Reading", (), {"__module__": "__main__"})
    log_exchange_cost(Exchange(is_needless=False, pickles=True), own())
    (advice,) = said()
    assert "Reading" in advice
    assert "the job's own file" in advice


@pytest.mark.parametrize(
    ("hop", "record"),
    [
        pytest.param(Exchange(is_needless=False, pickles=True), tuple(RECORD), id="a plain tuple"),
        pytest.param(Exchange(is_needless=False, pickles=False), RECORD, id="not pickled"),
    ],
)
def test_nothing_is_said_of_a_hop_that_costs_no_more_than_it_must(said, hop, record):
    log_exchange_cost(hop, record)
    assert said() == []
