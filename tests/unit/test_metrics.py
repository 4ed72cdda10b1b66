"""A ledger's numbers in Flink's metrics: the metrics of any Flink sink, and the histogram of response times."""

from __future__ import annotations

import threading

import pytest

from pyflink_prometheus.config import SinkConfig
from pyflink_prometheus.flink.metrics import LedgerMetrics
from pyflink_prometheus.testing import FakeClock, ScriptedTransport
from pyflink_prometheus.writer.fan_out import FanOut
from pyflink_prometheus.writer.ledger import RejectionReason
from pyflink_prometheus.writer.writer import RemoteWriter

URL = "http://receiver.invalid/api/v1/write"


class Group:
    """A metric group that adds up counters and keeps gauges, by the names of its groups and its own."""

    def __init__(self, path=(), numbers=None):
        self.path, self.numbers = path, {} if numbers is None else numbers

    def add_group(self, *names):
        return Group((*self.path, *names), self.numbers)

    def counter(self, name):
        path, numbers = ".".join((*self.path, name)), self.numbers

        class Counting:
            def inc(self, number):
                numbers[path] = numbers.get(path, 0) + number

        return Counting()

    def gauge(self, name, read):
        self.numbers[".".join((*self.path, name))] = read


@pytest.fixture
def writer():
    """Yield a writer that sends nothing."""
    config = SinkConfig(prometheus_remote_write_url=URL)
    made = RemoteWriter(config, new_transport=lambda config: ScriptedTransport(), clock=FakeClock())
    yield made
    made.close()


def test_flinks_standard_metrics_of_a_sink_are_in_the_operators_own_group(writer):
    group = Group()
    metrics = LedgerMetrics(group.add_group("Prometheus"), writer, lambda: 0, operator_group=group)
    writer.ledger.accept(95, 0)
    writer.ledger.reject(RejectionReason.REFUSED, 3)
    writer.ledger.reject(RejectionReason.EXCLUDED, 7)
    writer.ledger.attempt(1000, 0.25, retry=False)
    metrics.publish()
    assert {name: number for name, number in group.numbers.items() if name.startswith("num")} == {
        "numRecordsSend": 98,
        "numRecordsSendErrors": 3,
        "numBytesSend": 1000,
    }
    assert group.numbers["currentSendTime"]() == 250


def test_a_further_endpoint_has_none_of_them(writer):
    group = Group()
    LedgerMetrics(group.add_group("Prometheus", "endpoint", "backup"), writer, None).publish()
    assert all(name.startswith("Prometheus.endpoint.backup.") for name in group.numbers)


def test_attempts_are_counted_in_buckets_by_the_time_until_their_response(writer):
    group = Group()
    metrics = LedgerMetrics(group, writer, lambda: 0)
    for time_in_flight_s in (0.005, 0.0051, 0.3, 100):
        writer.ledger.attempt(1, time_in_flight_s, retry=False)
    metrics.publish()
    metrics.publish()
    assert {name: number for name, number in group.numbers.items() if name.startswith("le.")} == {
        "le.5.timeInFlightMs_bucket": 1,
        "le.10.timeInFlightMs_bucket": 2,
        "le.25.timeInFlightMs_bucket": 2,
        "le.50.timeInFlightMs_bucket": 2,
        "le.100.timeInFlightMs_bucket": 2,
        "le.250.timeInFlightMs_bucket": 2,
        "le.1000.timeInFlightMs_bucket": 3,
        "le.5000.timeInFlightMs_bucket": 3,
        "le.30000.timeInFlightMs_bucket": 3,
        "le.Inf.timeInFlightMs_bucket": 4,
    }


class WaitingClock(FakeClock):
    """A clock that advances by two seconds whenever the test's own thread waits."""

    waits = 0

    def __init__(self):
        super().__init__()
        self.is_waiting = threading.Event()

    def wait(self, condition, seconds):
        if threading.current_thread() is threading.main_thread():
            self.waits += 1
            self._elapsed_s += 2
            self.is_waiting.set()
        condition.wait()


@pytest.mark.parametrize("has_backup", [False, True])
def test_the_time_for_which_the_job_waits_is_counted(has_backup):
    clock = WaitingClock()

    def respond(request):
        clock.is_waiting.wait()

    backup = {"backup": SinkConfig(prometheus_remote_write_url=URL)} if has_backup else {}
    kind = FanOut if has_backup else RemoteWriter
    writer = kind(
        SinkConfig(prometheus_remote_write_url=URL, further_endpoints=backup),
        new_transport=lambda config: ScriptedTransport(decide=respond),
        clock=clock,
    )
    writer.add(("m", {}, ((1.0, 1_700_000_000_000),), None, ()))
    writer.flush()
    writer.close()
    ledgers = [each.ledger for each in writer.destinations] if isinstance(writer, FanOut) else [writer.ledger]
    assert sum(each.time_waited_s for each in ledgers) == 2 * clock.waits > 0
