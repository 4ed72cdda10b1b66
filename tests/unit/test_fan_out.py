"""A writer to several endpoints: each gets every sample, in order, and one that fails costs the others nothing."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import contextmanager

import cloudpickle
import numpy as np
import pytest
from rejections import Rejections

from pyflink_prometheus import (
    BestEffortConfiguration,
    PrometheusSink,
    PrometheusSinkError,
    RejectionReason,
    RemoteWriteFatalError,
    RemoteWriteVersion,
    RetriesExhaustedError,
    RetryConfiguration,
)
from pyflink_prometheus.config import SinkConfig
from pyflink_prometheus.flink.subtask import SubtaskWriter
from pyflink_prometheus.http.outcome import Kind, Outcome
from pyflink_prometheus.testing import FakeClock, Receiver, ScriptedTransport
from pyflink_prometheus.wire import request as wire
from pyflink_prometheus.writer import prepared
from pyflink_prometheus.writer.best_effort import REQUEST_OVERHEAD
from pyflink_prometheus.writer.family import RowFamily
from pyflink_prometheus.writer.fan_out import FanOut

T = 1_700_000_000_000
V1, V2 = RemoteWriteVersion.V1, RemoteWriteVersion.V2
DOWN = Outcome(Kind.RETRYABLE, "no connection")


def endpoint(name, **settings):
    return SinkConfig(prometheus_remote_write_url=f"http://{name}.invalid/api/v1/write", **settings)


@pytest.fixture
def start():
    """Return a function that starts a writer to endpoints "first", "second" … with these transports and settings."""
    writers = []

    def start_one(transports, *settings, clock=None):
        names = ["first", "second", "third"][: len(transports)]
        configs = {
            name: endpoint(name, **each) for name, each in zip(names, [*settings, *[{}] * (len(names) - len(settings))])
        }
        by_url = {configs[name].prometheus_remote_write_url: each for name, each in zip(names, transports)}
        first = configs.pop("first")
        writer = FanOut(
            SinkConfig(**{**first.__dict__, "further_endpoints": configs}),
            new_transport=lambda config: by_url[config.prometheus_remote_write_url],
            clock=FakeClock() if clock is None else clock,
            draw=lambda: 1.0,
        )
        writers.append(writer)
        return writer

    yield start_one
    for writer in writers:
        writer.close()


def add(writer, numbers, series=3):
    for number in numbers:
        writer.add(("m", {"series": str(number % series)}, ((float(number), T + number),)))


def stored(transport):
    return sorted(value for _, value, _ in transport.stored)


def assert_balanced(writer):
    for each in writer.destinations:
        ledger = each.ledger
        assert ledger.samples_in == ledger.samples_accepted + sum(ledger.samples_rejected.values())


def assert_in_order(transport):
    newest: dict[str, int] = {}
    for key, _, timestamp in transport.stored:
        assert timestamp > newest.get(key, 0)
        newest[key] = timestamp


def eventually(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "did not happen within a minute"
        time.sleep(0.001)


@contextmanager
def passing(clock, seconds=1.0):
    """Advance the clock on another thread."""
    ended = threading.Event()

    def pass_time():
        while not ended.wait(0.001):
            clock.advance(seconds)

    thread = threading.Thread(target=pass_time, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@pytest.mark.parametrize("shards", [(1, 1), (4, 4), (4, 1), (1, 3)])
def test_each_endpoint_gets_every_sample_in_order(start, shards):
    transports = ScriptedTransport([503, 429, None, 500]), ScriptedTransport()
    writer = start(transports, *[{"max_in_flight_requests": each, "max_batch_size_in_samples": 25} for each in shards])
    add(writer, range(1000), series=40)
    writer.flush()
    for transport in transports:
        assert stored(transport) == list(range(1000))
        assert_in_order(transport)
    assert [each.ledger.samples_accepted for each in writer.destinations] == [1000, 1000]
    assert_balanced(writer)


def test_a_batch_that_grows_old_goes_to_all(start):
    transports, clock = (ScriptedTransport(), ScriptedTransport()), FakeClock()
    writer = start(transports, {"max_time_in_buffer_ms": 9000}, {"max_time_in_buffer_ms": 2000}, clock=clock)
    add(writer, range(2))
    clock.advance(2.1)  # the shortest time of all
    eventually(lambda: all(transport.accepted for transport in transports))


@pytest.fixture
def encoded(monkeypatch):
    """Return the versions of all encoded requests."""
    versions = []

    def counting(columns, version):
        versions.append(version)
        return wire.encode(columns, version)

    monkeypatch.setattr(prepared, "encode", counting)
    return versions


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ([{}, {}], [V2]),
        ([{"remote_write_version": V1}, {"remote_write_version": V1}, {}], [V1, V2]),
        ([{}, {"max_batch_size_in_samples": 4}], [V2, V2, V2, V2]),
        ([{}, {"max_batch_size_in_bytes": 5_000_000}], [V2, V2]),
    ],
    ids=["alike", "two versions", "a smaller limit of samples", "another limit of bytes"],
)
def test_requests_are_encoded_once_for_all_endpoints_that_need_the_same(start, encoded, settings, expected):
    transports = [ScriptedTransport() for _ in settings]
    writer = start(transports, *settings)
    add(writer, range(10))
    writer.flush()
    assert encoded == expected
    assert [stored(transport) for transport in transports] == [list(range(10))] * len(settings)
    largest = [max(len(request.samples) for request in transport.requests) for transport in transports]
    assert largest == [each.get("max_batch_size_in_samples", 10) for each in settings]


def test_one_endpoint_may_support_another_version_than_the_other(start):
    transports = ScriptedTransport(versions=[V1]), ScriptedTransport(versions=[V2])
    writer = start(transports)
    for numbers in (range(10), range(10, 20)):
        add(writer, numbers)
        writer.flush()
    assert [{request.version for request in transport.accepted} for transport in transports] == [{V1}, {V2}]
    assert [stored(transport) for transport in transports] == [list(range(20))] * 2


def test_what_one_endpoint_refuses_the_other_stores(start):
    def refuse_3(request):
        return 400 if any(value == 3 for _, value, _ in request.samples) else 204

    rejections = Rejections(), Rejections()
    transports = ScriptedTransport(), ScriptedTransport(decide=refuse_3)
    writer = start(transports, *[{"remote_write_version": V1, "rejected_samples_handler": each} for each in rejections])
    add(writer, range(10))
    writer.flush()
    assert stored(transports[0]) == list(range(10))
    assert stored(transports[1]) == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    assert [[(each.reason, each.count) for each in told] for told in rejections] == [[], [(RejectionReason.REFUSED, 1)]]
    assert_balanced(writer)


def test_what_cannot_be_sent_is_counted_at_the_first_and_duplicates_at_each(start):
    rejections = Rejections(), Rejections()
    transports = ScriptedTransport(), ScriptedTransport()
    writer = start(transports, *[{"rejected_samples_handler": each} for each in rejections])
    add(writer, [1, 1, 2])
    writer.add(("", {}, ((1.0, T),)))
    writer.flush()
    reasons = [[each.reason for each in told] for told in rejections]
    assert reasons == [[RejectionReason.INVALID, RejectionReason.DUPLICATE], [RejectionReason.DUPLICATE]]
    assert [each.ledger.samples_in for each in writer.destinations] == [4, 3]
    assert_balanced(writer)


def test_a_smaller_limit_of_one_receiver_is_no_limit_for_the_other(start):
    transports = ScriptedTransport(), ScriptedTransport(decide=lambda request: 413 if len(request.samples) > 4 else 204)
    writer = start(transports)
    for numbers in (range(16), range(16, 32)):
        add(writer, numbers)
        writer.flush()
    assert [len(request.samples) for request in transports[0].requests] == [16, 16]
    assert [stored(transport) for transport in transports] == [list(range(32))] * 2
    assert all(len(request.samples) <= 4 for request in transports[1].requests[-4:])


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize(("outcome", "error"), [(401, RemoteWriteFatalError), (DOWN, RetriesExhaustedError)])
def test_a_required_endpoint_that_cannot_be_written_fails_the_job(start, which, outcome, error):
    transports = [ScriptedTransport(), ScriptedTransport()]
    transports[which] = ScriptedTransport(decide=lambda request: outcome)
    writer = start(transports)
    add(writer, range(3))
    for call in (writer.flush, lambda: add(writer, [3]), writer.flush):
        with pytest.raises(error, match=["first", "second"][which]):
            call()


def test_a_required_endpoint_that_is_slow_makes_the_caller_wait(start):
    let_go, added = threading.Event(), []
    transports = ScriptedTransport(), ScriptedTransport(decide=lambda request: 204 if let_go.wait(60) else 500)
    limits = {"max_batch_size_in_samples": 10, "max_buffered_samples": 30}
    writer = start(transports, limits, limits)

    def produce():
        for number in range(1000):
            add(writer, [number])
            added.append(number)

    producer = threading.Thread(target=produce, daemon=True)
    producer.start()
    eventually(lambda: len(transports[0].stored) >= 40)
    time.sleep(0.05)
    assert len(added) < 100
    let_go.set()
    producer.join(60)
    writer.flush()
    assert [stored(transport) for transport in transports] == [list(range(1000))] * 2


def test_a_best_effort_endpoint_that_is_down_delays_one_flush_and_catches_up(start, caplog):
    caplog.set_level(logging.INFO, "pyflink_prometheus")
    let_go, clock = threading.Event(), FakeClock()
    transports = ScriptedTransport(), ScriptedTransport(decide=lambda request: 204 if let_go.wait(60) else 500)
    writer = start(transports, {}, {"best_effort": BestEffortConfiguration(max_wait_ms=3000)}, clock=clock)
    add(writer, range(10))
    with passing(clock):
        writer.flush()
    assert clock.monotonic() >= 3
    for start_of in range(10, 100, 10):
        add(writer, range(start_of, start_of + 10))
        writer.flush()  # would wait forever: time stands still
    assert stored(transports[0]) == list(range(100))
    assert writer.destinations[1].ledger.samples_pending == 100
    let_go.set()
    eventually(lambda: "has caught up" in caplog.text)
    assert stored(transports[1]) == list(range(100))
    assert_in_order(transports[1])
    assert_balanced(writer)
    assert caplog.text.count("does not keep up") == 1
    add(writer, [100])
    writer.flush()  # waits again
    assert len(transports[1].stored) == 101


@pytest.mark.parametrize(
    "bounds", [{"max_buffered_samples": 50}, {"max_buffered_bytes": 5 * REQUEST_OVERHEAD + 2000}], ids=str
)
def test_of_what_a_best_effort_endpoint_does_not_take_the_oldest_overflows(start, bounds):
    let_go, rejections, clock = threading.Event(), Rejections(), FakeClock()
    transports = ScriptedTransport(), ScriptedTransport(decide=lambda request: 204 if let_go.wait(60) else 500)
    best_effort = BestEffortConfiguration(max_wait_ms=0, **bounds)
    writer = start(transports, {}, {"best_effort": best_effort, "rejected_samples_handler": rejections}, clock=clock)
    for start_of in range(0, 100, 10):
        add(writer, range(start_of, start_of + 10))
        writer.flush()
        eventually(lambda: transports[1].requests)  # so that the first request is certain to be in flight
    second = writer.destinations[1].ledger
    assert second.samples_pending == 50
    assert second.samples_rejected[RejectionReason.OVERFLOW] == 50
    assert {each.reason for each in rejections} == {RejectionReason.OVERFLOW}
    dropped = sorted(value for each in rejections for series in each.series for value, _ in series.samples)
    assert dropped == list(range(10, 60))  # the first request is in flight
    assert "max_buffered_samples" in rejections[0].message
    let_go.set()
    eventually(lambda: not second.samples_pending)
    assert stored(transports[1]) == [*range(10), *range(60, 100)]
    assert_balanced(writer)


def test_the_oldest_overflows_whichever_shard_has_it(start):
    let_go, in_flight, rejections = threading.Event(), [], Rejections()

    class Blocked(ScriptedTransport):
        def post(self, body, headers):
            in_flight.append(threading.current_thread())
            let_go.wait(60)
            return super().post(body, headers)

    best_effort = BestEffortConfiguration(max_wait_ms=0, max_buffered_samples=10)
    settings = {"best_effort": best_effort, "rejected_samples_handler": rejections, "max_in_flight_requests": 2}
    writer = start((ScriptedTransport(), Blocked()), {"max_in_flight_requests": 2}, settings)
    for number in range(40):
        add(writer, [number], series=8)
        writer.flush()
        if number == 7:
            eventually(lambda: len(in_flight) == 2)
    dropped = [value for each in rejections for series in each.series for value, _ in series.samples]
    assert len(dropped) == 30
    assert dropped == sorted(dropped)
    assert dropped[-1] == 31  # the newest eight are kept, and two are in flight
    let_go.set()


def test_a_healthy_best_effort_endpoint_makes_the_caller_wait_rather_than_drop(start):
    transports = ScriptedTransport(), ScriptedTransport()
    best_effort = BestEffortConfiguration(max_buffered_samples=20)
    writer = start(transports, {"max_batch_size_in_samples": 10}, {"best_effort": best_effort})
    add(writer, range(1000))
    writer.flush()
    assert [stored(transport) for transport in transports] == [list(range(1000))] * 2


@pytest.mark.parametrize("status", [401, 404])
def test_a_best_effort_endpoint_that_cannot_work_is_tried_again_from_time_to_time(start, caplog, status):
    transports = ScriptedTransport(), ScriptedTransport([status] * 5)
    writer = start(transports, {}, {"best_effort": BestEffortConfiguration()})
    add(writer, range(10))
    writer.flush()
    eventually(lambda: not writer.destinations[1].ledger.samples_pending)
    assert [stored(transport) for transport in transports] == [list(range(10))] * 2
    assert "fix this best-effort endpoint" in caplog.text
    assert f"HTTP {status}" in caplog.text


def test_what_fails_midway_for_good_is_counted_as_unsent(start):
    rejections = Rejections()
    script = [400, None, 401]  # the request is refused, its first half is accepted, its second one is not
    transports = ScriptedTransport(), ScriptedTransport([204, *script])
    settings = {"best_effort": BestEffortConfiguration(), "remote_write_version": V1}
    writer = start(transports, {}, {**settings, "rejected_samples_handler": rejections})
    add(writer, [0])
    writer.flush()
    add(writer, range(1, 11))
    writer.flush()
    eventually(lambda: not writer.destinations[1].ledger.samples_pending)
    assert len(transports[1].stored) == 6
    assert [(each.reason, each.count, each.record) for each in rejections] == [(RejectionReason.UNSENT, 5, None)]
    assert_balanced(writer)


def test_both_may_be_best_effort(start):
    transports = ScriptedTransport(), ScriptedTransport()
    writer = start(transports, *[{"best_effort": BestEffortConfiguration()}] * 2)
    add(writer, range(10))
    writer.flush()
    assert [stored(transport) for transport in transports] == [list(range(10))] * 2


def test_a_best_effort_endpoint_drops_what_is_retried_too_long(start):
    transports = ScriptedTransport(), ScriptedTransport([503] * 3)
    settings = {"best_effort": BestEffortConfiguration(), "retry": RetryConfiguration(max_retry_count=2)}
    writer = start(transports, {}, settings)
    add(writer, range(10))
    writer.flush()
    eventually(lambda: not writer.destinations[1].ledger.samples_pending)
    assert writer.destinations[1].ledger.samples_rejected[RejectionReason.RETRIES_EXHAUSTED] == 10
    assert_balanced(writer)


def test_a_handler_that_fails_fails_the_job_whatever_its_endpoint(start):
    def fail(rejected):
        raise OSError("disk full")

    transports = ScriptedTransport(), ScriptedTransport(decide=lambda request: 400 if request.samples else 204)
    settings = {"best_effort": BestEffortConfiguration(), "rejected_samples_handler": fail, "remote_write_version": V1}
    writer = start(transports, {}, settings)
    add(writer, range(10))
    with pytest.raises(PrometheusSinkError, match="disk full"):
        writer.flush()


def test_what_a_best_effort_endpoint_has_not_got_at_the_end_is_counted_and_passed_on(start):
    let_go, rejections = threading.Event(), Rejections()
    transports = ScriptedTransport(), ScriptedTransport(decide=lambda request: 204 if let_go.wait(60) else 500)
    best_effort = BestEffortConfiguration(max_wait_ms=0)
    writer = start(transports, {}, {"best_effort": best_effort, "rejected_samples_handler": rejections})
    for start_of in (0, 10, 20):
        add(writer, range(start_of, start_of + 10))
        writer.flush()
    writer.close()
    let_go.set()
    assert {each.reason for each in rejections} == {RejectionReason.UNSENT}
    assert sum(each.count for each in rejections) == 30
    eventually(lambda: all(transport.closed for transport in transports))  # a response has arrived, too late
    assert_balanced(writer)


URL, OTHER = "http://first.invalid/api/v1/write", "http://second.invalid/api/v1/write"


def config_of(builder):
    return cloudpickle.loads(cloudpickle.dumps(builder.build()._config))


def builder(url=URL):
    return PrometheusSink.builder().set_prometheus_remote_write_url(url)


def test_an_added_endpoint_has_its_own_settings_and_shares_those_that_decide_what_is_sent():
    other = builder(OTHER).set_http_headers({"X-Scope-OrgID": "two"}).set_max_batch_size_in_bytes(1000)
    first = builder().set_write_relabel_configs([{"action": "labeldrop", "regex": "pod"}]).set_max_sample_age_ms(5000)
    config = config_of(first.set_max_batch_size_in_samples(10).add_endpoint("backup", other))
    backup = config.further_endpoints["backup"]
    assert backup.prometheus_remote_write_url == OTHER
    assert (backup.http_headers, config.http_headers) == ({"X-Scope-OrgID": "two"}, {})
    assert (backup.max_batch_size_in_bytes, backup.max_batch_size_in_samples) == (1000, None)
    assert (backup.max_sample_age_ms, backup.relabelling) == (5000, config.relabelling)
    assert (config.best_effort, backup.best_effort) == (None, BestEffortConfiguration())
    assert "best_effort" not in other._settings  # the user may use it elsewhere


def test_an_endpoint_may_be_required_and_the_first_best_effort():
    first = builder().set_best_effort_configuration(max_buffered_samples=7)
    config = config_of(first.add_endpoint("backup", builder(OTHER), required=True))
    assert config.best_effort == BestEffortConfiguration(max_buffered_samples=7)
    assert config.further_endpoints["backup"].best_effort is None


def test_two_entries_of_prometheus_configuration_make_one_sink():
    rules = [{"source_labels": ["pod"], "regex": "", "action": "drop"}]
    stanza = {
        "global": {"external_labels": {"cluster": "a"}},
        "remote_write": [
            {"name": "one", "url": URL, "write_relabel_configs": rules},
            {"name": "two", "url": OTHER, "write_relabel_configs": rules},
        ],
    }
    one, two = (PrometheusSink.from_remote_write_config(stanza, name) for name in ("one", "two"))
    config = config_of(one.add_endpoint("two", two))
    assert config.further_endpoints["two"].relabelling == config.relabelling
    assert len(config.relabelling) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda first, other: other.set_max_sample_age_ms(1), "^endpoint 'backup': max_sample_age_ms: remove it"),
        (
            lambda first, other: other.set_write_relabel_configs([{"action": "labeldrop", "regex": "x"}]),
            "^endpoint 'backup': write_relabel_configs, external_labels: remove it, set it as for the first",
        ),
        (lambda first, other: other.set_element_converter(print), "^endpoint 'backup': set the converter"),
        (lambda first, other: other.set_parallelism(3), "^endpoint 'backup': set the converter"),
        (lambda first, other: other.add_endpoint("more", builder()), "^endpoint 'backup': add all endpoints"),
        (lambda first, other: other.set_request_signer(lambda: None), "^endpoint 'backup': request_signer"),
        (lambda first, other: other._settings.clear(), "^endpoint 'backup': prometheus_remote_write_url is required"),
        (lambda first, other: first.add_endpoint("backup", other), "^name: choose another"),
        (
            lambda first, other: [each.set_rejected_samples_handler(print) for each in (first, other)],
            "^rejected_samples_handler: give endpoint 'backup' its own handler",
        ),
        (
            lambda first, other: first.add_endpoint("c", other.set_best_effort_configuration(), required=True),
            "^endpoint 'c': add it with required=False",
        ),
    ],
)
def test_settings_that_endpoints_cannot_have_are_refused(change, message):
    first, other = builder(), builder(OTHER)
    first.add_endpoint("backup", other)
    with pytest.raises((ValueError, TypeError), match=message):
        change(first, other)
        first.build()


@pytest.mark.parametrize("name", ["max_buffered_samples", "max_buffered_bytes", "max_wait_ms"])
def test_bounds_of_best_effort_are_checked(name):
    with pytest.raises(ValueError, match=name):
        builder().set_best_effort_configuration(**{name: -1})


class Group:
    """A metric group that keeps counters and gauges by their full name."""

    def __init__(self, path=(), numbers=None):
        self.path, self.numbers = path, {} if numbers is None else numbers

    def add_group(self, *names):
        return Group((*self.path, *names), self.numbers)

    def counter(self, name):
        counter = Counter()
        self.numbers[".".join((*self.path, name))] = counter
        return counter

    def gauge(self, name, read):
        self.numbers[".".join((*self.path, name))] = read


class Counter:
    count = 0

    def inc(self, by):
        self.count += by


@pytest.mark.enable_socket
def test_each_endpoint_has_counters_and_a_line_of_its_own(caplog, capsys):
    with Receiver() as first, Receiver(decide=lambda request: 400 if request.samples else 204) as second:
        config = builder(first.url).set_remote_write_version(V1)
        other = builder(second.url).set_remote_write_version(V1)
        subtask, group = SubtaskWriter(config_of(config.add_endpoint("backup", other, required=True))), Group()
        writer = subtask.open(group)
        add(writer, range(10))
        subtask.flush()
        numbers = {name: each.count for name, each in group.numbers.items() if isinstance(each, Counter)}
        subtask.close()
    assert numbers["Prometheus.numSamplesOut"] == numbers["Prometheus.endpoint.backup.numSamplesIn"] == 10
    assert numbers["Prometheus.numSamplesDropped"] == 0
    assert numbers["Prometheus.endpoint.backup.numSamplesNonRetryableDropped"] == 10
    assert "Prometheus.lastFlushDurationMs" in group.numbers
    assert "Prometheus.endpoint.backup.lastFlushDurationMs" not in group.numbers
    assert group.numbers["Prometheus.endpoint.backup.samplesPending"]() == 0
    line = "10 of 10 samples were not written to endpoint backup (refused 10)"
    assert line in capsys.readouterr().err
    assert "sample(s) not written, reason refused, endpoint backup, the latest" in caplog.text


def test_the_first_endpoint_may_be_down_as_well(start):
    let_go, clock = threading.Event(), FakeClock()
    transports = ScriptedTransport(decide=lambda request: 204 if let_go.wait(60) else 500), ScriptedTransport()
    writer = start(transports, {"best_effort": BestEffortConfiguration(max_wait_ms=0)}, clock=clock)
    for start_of in range(0, 50, 10):
        add(writer, range(start_of, start_of + 10))
        writer.flush()
    assert stored(transports[1]) == list(range(50))
    assert writer.ledger.samples_pending == 50
    let_go.set()
    eventually(lambda: not writer.ledger.samples_pending)
    assert stored(transports[0]) == list(range(50))


def test_rows_go_to_all_endpoints(start):
    transports = ScriptedTransport(), ScriptedTransport()
    writer = start(transports, {"max_in_flight_requests": 2, "max_batch_size_in_samples": 7})
    devices = [f"d{number % 3}" for number in range(30)]
    times, values = np.arange(30, dtype=np.int64) + T, np.arange(30, dtype=np.float64)
    writer.add_rows(RowFamily("m", ("device",), None), [devices], times, values)
    writer.flush()
    assert [stored(transport) for transport in transports] == [list(range(30))] * 2
    assert_balanced(writer)
