"""Limits on series and rates in the writer."""

from __future__ import annotations

import threading
from functools import partial

import numpy as np
import pytest
from doors import BOTH_DOORS
from rejections import Rejections

from pyflink_prometheus import (
    PrometheusSink,
    PrometheusSinkError,
    PrometheusTimeSeries,
    RejectionReason,
    RemoteWriteVersion,
    RetryConfiguration,
    SendingLimits,
    TooLong,
)
from pyflink_prometheus.flink.subtask import SubtaskWriter
from pyflink_prometheus.guards.guard import Guard
from pyflink_prometheus.guards.guards import Guards
from pyflink_prometheus.guards.limits import RECEIVER_LIMITS
from pyflink_prometheus.relabelling.relabelling import Relabelling
from pyflink_prometheus.testing import FakeClock, ScriptedTransport
from pyflink_prometheus.writer.admission import Admission
from pyflink_prometheus.writer.family import RowFamily
from pyflink_prometheus.writer.row_series import INVALID_NUMBER, RowSeries
from pyflink_prometheus.writer.series_cache import SeriesCache

T = 1_700_000_000_000
HOUR = 3600

pytestmark = BOTH_DOORS


class Setup:
    """A writer with limits, and the samples that it sends and rejects."""

    def __init__(self, open_writer, transport=None, relabelling=None, retry=None, max_cached_series=100, **limits):
        self.transport, self.rejections, self.clock = transport or ScriptedTransport(), Rejections(), FakeClock()
        self.writer = open_writer(
            new_transport=lambda config: self.transport,
            clock=self.clock,
            rejected_samples_handler=self.rejections,
            remote_write_version=RemoteWriteVersion.V2,
            sending_limits=SendingLimits(**limits),
            relabelling=relabelling or Relabelling(),
            max_cached_series=max_cached_series,
            retry=retry or RetryConfiguration(),
            max_in_flight_requests=1,
        )

    def write(self, *series, values=(1.0,)):
        for labels in series:
            name = labels.get("__name__", "m")
            pairs = {key: text for key, text in labels.items() if key != "__name__"}
            samples = tuple((value, T + number) for number, value in enumerate(values))
            self.writer.add(PrometheusTimeSeries(name, pairs, samples))
        self.writer.flush()
        ledger = self.writer.ledger
        assert ledger.samples_in == ledger.samples_accepted + sum(ledger.samples_rejected.values())

    @property
    def sent(self):
        return [dict(each.labels) for request in self.transport.requests for each in request.series]

    @property
    def over_limit(self):
        return self.writer.ledger.samples_rejected[RejectionReason.OVER_LIMIT]


@pytest.fixture
def setup(open_writer):
    """Return a function that opens a writer with limits."""
    return lambda **settings: Setup(open_writer, **settings)


def test_all_samples_of_a_series_with_too_many_labels_are_rejected_and_handed_on(setup):
    limited = setup(max_labels=2)
    limited.write({"a": "1"}, {"a": "1", "b": "2"}, values=(1.0, 2.0))
    assert limited.sent == [{"a": "1"}]
    assert limited.over_limit == 2
    assert limited.writer.ledger.samples_lost == 2
    assert sum(each.count for each in limited.rejections) == 2
    for each in limited.rejections:
        assert each.reason is RejectionReason.OVER_LIMIT
        assert each.record.labels == {"a": "1", "b": "2"}
        assert each.message == "labels: 'm' has 3 labels, over max_labels=2"


def test_limits_hold_for_the_labels_that_rules_leave(setup):
    relabelling = Relabelling([{"regex": "b", "action": "labeldrop"}])
    limited = setup(relabelling=relabelling, max_labels=2)
    limited.write({"a": "1", "b": "2"})
    assert limited.sent == [{"a": "1"}]


def test_series_that_become_one_without_a_long_label_are_sent_in_order_of_time(setup):
    limited = setup(max_label_value_bytes=5, on_long_label_value=TooLong.DROP_LABEL)
    for number, text in enumerate(("too long 1", "too long 2", "too long 1")):
        limited.writer.add(PrometheusTimeSeries("m", {"a": text, "b": "1"}, ((1.0, T - number),)))
    limited.writer.flush()
    ((only,),) = [request.series for request in limited.transport.requests]
    assert dict(only.labels) == {"b": "1"}
    assert [timestamp for _, timestamp in only.samples] == [T - 2, T - 1, T]


def test_values_are_cut(setup):
    limited = setup(max_label_value_bytes=40, on_long_label_value=TooLong.CUT)
    limited.write({"a": "x" * 100}, {"a": "x" * 101})
    assert len({each["a"] for each in limited.sent}) == 2
    assert {len(each["a"]) for each in limited.sent} == {40}


def test_new_series_are_refused_until_the_hour_ends_and_known_ones_go_on(setup):
    limited = setup(max_new_series_per_hour=2)
    limited.write({"a": "1"}, {"a": "2"}, {"a": "3"})
    limited.write({"a": "3"}, {"a": "1"})
    assert limited.over_limit == 2
    limited.clock.advance(HOUR)
    limited.write({"a": "3"})
    assert limited.over_limit == 2
    assert [each["a"] for each in limited.sent] == ["1", "2", "1", "3"]


def test_a_series_that_the_cache_has_dropped_is_not_new(setup):
    limited = setup(max_new_series_per_hour=10, max_cached_series=4)
    for _ in range(3):
        for number in range(10):
            limited.write({"a": str(number)})
    assert limited.over_limit == 0
    assert len(limited.sent) == 30


def test_where_limits_are_only_tracked_all_is_sent_and_counted(setup):
    limited = setup(max_labels=2, max_new_series_per_hour=1, max_samples_per_second=1, track_only=True)
    limited.write({"a": "1"}, {"a": "1", "b": "2"}, values=(1.0,) * 10)
    limited.write({"a": "1"})
    assert len(limited.sent) == 3
    assert limited.clock.sleeps == []
    counts = limited.writer.guards.counts
    assert (counts[Guard.LABELS], counts[Guard.NEW_SERIES_PER_HOUR], counts[Guard.SAMPLES_PER_SECOND]) == (1, 1, 1)


def test_requests_wait_for_the_rate_of_samples(setup):
    limited = setup(max_samples_per_second=10)
    for _ in range(4):
        limited.write({"a": "1"}, values=(1.0,) * 20)
    assert sum(limited.clock.sleeps) == pytest.approx(5, abs=1)
    assert limited.over_limit == 0


def test_retries_count_as_well_and_waiting_for_the_rate_takes_nothing_from_their_time(setup):
    transport = ScriptedTransport([503, 503, 503])
    retry = RetryConfiguration(max_retry_duration_ms=5000)
    limited = setup(transport=transport, max_samples_per_second=0.1, samples_burst=1, retry=retry)
    limited.write({"a": "1"}, values=(1.0, 2.0))
    assert limited.writer.ledger.samples_accepted == 2
    assert sum(limited.clock.sleeps) > 30


def test_closing_ends_the_wait_for_a_rate(open_writer):
    waiting = threading.Event()

    class WaitingClock(FakeClock):
        def sleep(self, seconds, wake):
            waiting.set()
            wake.wait()

    writer = open_writer(
        new_transport=lambda config: ScriptedTransport(),
        clock=WaitingClock(),
        sending_limits=SendingLimits(max_samples_per_second=1),
        max_batch_size_in_samples=1,
        max_in_flight_requests=1,
    )
    for number in range(3):
        writer.add(PrometheusTimeSeries("m", {}, ((1.0, T + number),)))
    assert waiting.wait(60)
    writer.close()
    with pytest.raises(PrometheusSinkError, match="closed"):
        writer.flush()


def test_subtasks_share_the_limits(door):
    config = builder().set_sending_limits(max_new_series_per_day=9, max_labels=3).build()._config
    subtask = SubtaskWriter(config)
    subtask.subtasks = 2
    for known, expected in ((None, 5), (0, 5), (3, 3)):
        limits = subtask.open(FakeGroup(), known).guards.limits
        subtask.close()
        assert (limits.max_new_series_per_day, limits.max_labels) == (expected, 3)


def test_limits_are_set_as_a_whole_or_by_keywords_or_by_a_receivers_name(door):
    limits = SendingLimits(max_labels=3)
    assert builder().set_sending_limits(limits).build()._config.sending_limits == limits
    assert builder().set_sending_limits(max_labels=3).build()._config.sending_limits == limits
    assert builder().set_sending_limits("mimir").build()._config.sending_limits == RECEIVER_LIMITS["mimir"]
    changed = builder().set_sending_limits("mimir", max_labels=40, track_only=True).build()._config.sending_limits
    assert (changed.max_labels, changed.track_only, changed.max_label_name_bytes) == (40, True, 1024)
    with pytest.raises(ValueError, match="sending_limits: choose one of amazon, .*, got 'mimri'"):
        builder().set_sending_limits("mimri")
    with pytest.raises(TypeError, match="either a SendingLimits or its settings"):
        builder().set_sending_limits(limits, max_labels=4)


def builder():
    return PrometheusSink.builder().set_prometheus_remote_write_url("http://receiver.invalid/api/v1/write")


class FakeGroup:
    """A metric group without metrics."""

    def add_group(self, *names):
        return self

    def counter(self, name):
        return self

    def gauge(self, name, read):
        pass

    def inc(self, number):
        pass


def test_a_series_that_moves_to_the_next_generation_of_the_cache_stays_known(setup):
    """The guard checks it again; its findings show that the series is looked up."""
    limited = setup(max_labels=1, track_only=True, max_cached_series=4)
    limited.write({"a": "1"}, {"a": "2"}, {"a": "3"}, {"a": "1"})
    assert limited.writer.guards.counts[Guard.LABELS] == 4


def test_rows_of_a_series_that_is_let_in_again_have_a_number_of_their_own(door):
    clock = FakeClock()
    guards = Guards(SendingLimits(max_new_series_per_hour=1), clock.monotonic)
    rows = RowSeries(SeriesCache(100, Admission(Relabelling(), guards)))
    family = RowFamily("m", ("a",))
    numbers = partial(rows.numbers, family, [["1", "2", "2"]], 3)
    assert np.asarray(numbers()).tolist() == [0, INVALID_NUMBER, INVALID_NUMBER]
    clock.advance(HOUR)
    assert np.asarray(numbers()).tolist() == [0, 1, 1]


def test_a_series_refused_while_the_cache_begins_a_generation_is_let_in_later(door):
    clock = FakeClock()
    guards = Guards(SendingLimits(max_new_series_per_hour=5), clock.monotonic)
    rows = RowSeries(SeriesCache(8, Admission(Relabelling(), guards)))
    family = RowFamily("m", ("a",))
    rows.numbers(family, [["1", "2", "3"]], 3)
    numbers = partial(rows.numbers, family, [["4", "5", "6"]], 3)  # the second one begins a generation
    assert np.asarray(numbers()).tolist() == [1, 0, INVALID_NUMBER]
    clock.advance(HOUR)
    assert np.asarray(numbers()).tolist() == [1, 0, 2]
