"""Guards before sending: labels, new series, rates, presets, and the mode that only tracks."""

from __future__ import annotations

import dataclasses
import logging
import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyflink_prometheus.guards.guard import Findings, Guard, SeriesRefused
from pyflink_prometheus.guards.guards import Guards
from pyflink_prometheus.guards.limits import RECEIVER_LIMITS, SendingLimits, TooLong
from pyflink_prometheus.guards.new_series import NewSeriesGuard
from pyflink_prometheus.testing.fake_clock import FakeClock

HOUR = 3600


def guards(clock=None, **settings):
    return Guards(SendingLimits(**settings), (clock or FakeClock()).monotonic)


def series(name="m", **labels):
    return {"__name__": name, **labels}


def refused(admitting, labels):
    """Return the guard that refuses a series, and its message."""
    with pytest.raises(SeriesRefused) as refusal:
        admitting.admit(labels)
    return refusal.value.guard, str(refusal.value)


def is_admitted(admitting, labels):
    try:
        return admitting.admit(labels) == labels
    except SeriesRefused:
        return False


def test_nothing_is_limited_by_default():
    admitting = guards()
    labels = series("m" * 10_000, **{f"a{number}": "x" * 10_000 for number in range(100)})
    assert admitting.admit(labels) == labels
    assert [admitting.reserve(10**9, 10**9) for _ in range(3)] == [0, 0, 0]
    assert not SendingLimits().limit_series
    assert not SendingLimits().limit_rates
    assert not any(admitting.counts.values())


def test_the_name_counts_among_the_labels():
    admitting = guards(max_labels=2)
    assert is_admitted(admitting, series(a="1"))
    guard, message = refused(admitting, series(a="1", b="2"))
    assert guard is Guard.LABELS
    assert message == "labels: 'm' has 3 labels, over max_labels=2"
    assert admitting.counts[Guard.LABELS] == 1


@pytest.mark.parametrize(
    ("setting", "at_the_edge", "beyond", "guard"),
    [
        ("max_metric_name_bytes", series("é" * 5), series("é" * 5 + "x"), Guard.METRIC_NAME),
        ("max_label_name_bytes", series(**{"é" * 5: "v"}), series(**{"é" * 5 + "x": "v"}), Guard.LABEL_NAME),
        ("max_label_value_bytes", series("m" * 50, a="é" * 5), series(a="é" * 5 + "x"), Guard.LABEL_VALUE),
    ],
)
def test_lengths_are_bytes(setting, at_the_edge, beyond, guard):
    admitting = guards(**{setting: 10})
    assert is_admitted(admitting, at_the_edge)
    found, message = refused(admitting, beyond)
    assert found is guard
    assert message.endswith(f"is 11 bytes long, over {setting}=10")


def test_a_label_that_is_too_long_can_be_dropped_and_then_does_not_count():
    policies = {"on_long_label_name": TooLong.DROP_LABEL, "on_long_label_value": TooLong.DROP_LABEL}
    admitting = guards(max_labels=2, max_label_name_bytes=3, max_label_value_bytes=5, **policies)
    labels = series(a="1", long_name="2", b="long value")
    assert admitting.admit(labels) == series(a="1")
    assert len(labels) == 4
    assert admitting.counts[Guard.LABEL_NAME] == admitting.counts[Guard.LABEL_VALUE] == 1


def test_a_value_that_is_cut_keeps_series_apart():
    admitting = guards(max_label_value_bytes=40, on_long_label_value=TooLong.CUT)
    cut = [admitting.admit(series(a="é" * 40 + end))["a"] for end in "abab"]
    assert cut[0] == cut[2] != cut[1] == cut[3]
    assert all(value.startswith("é" * 11 + "-") and len(value.encode()) <= 40 for value in cut)
    assert admitting.admit(series(a="x" * 40)) == series(a="x" * 40)


@given(st.text(max_size=80), st.integers(32, 60))
def test_a_cut_value_is_within_the_limit(value, most):
    admitting = guards(max_label_value_bytes=most, on_long_label_value=TooLong.CUT)
    found = admitting.admit(series(a=value))["a"]
    assert len(found.encode()) <= most
    assert found == value or len(value.encode()) > most


def test_new_series_are_let_in_up_to_the_limit_and_again_in_the_next_hour():
    clock = FakeClock()
    admitting = guards(clock, max_new_series_per_hour=2)
    assert [is_admitted(admitting, series(a=value)) for value in "xyz"] == [True, True, False]
    assert refused(admitting, series(a="z")) == (
        Guard.NEW_SERIES_PER_HOUR,
        "labels: more than max_new_series_per_hour=2 new series, the latest of metric 'm'",
    )
    assert is_admitted(admitting, series(a="x"))
    clock.advance(HOUR - 1)
    assert not is_admitted(admitting, series(a="z"))
    clock.advance(1)
    assert [is_admitted(admitting, series(a=value)) for value in "xzqr"] == [True, True, True, False]


def test_an_hour_begins_with_its_first_new_series():
    clock = FakeClock()
    admitting = guards(clock, max_new_series_per_hour=1)
    assert is_admitted(admitting, series(a="1"))
    clock.advance(10 * HOUR)
    assert is_admitted(admitting, series(a="2"))
    clock.advance(HOUR - 1)
    assert not is_admitted(admitting, series(a="3"))


def test_a_day_has_a_limit_of_its_own():
    clock = FakeClock()
    admitting = guards(clock, max_new_series_per_hour=2, max_new_series_per_day=3)
    assert [is_admitted(admitting, series(a=value)) for value in "ab"] == [True, True]
    clock.advance(HOUR)
    assert [is_admitted(admitting, series(a=value)) for value in "cd"] == [True, False]
    assert refused(admitting, series(a="d"))[0] is Guard.NEW_SERIES_PER_DAY
    clock.advance(23 * HOUR)
    assert is_admitted(admitting, series(a="d"))


def test_one_metric_can_be_limited_without_the_others():
    admitting = guards(max_new_series_per_metric_per_hour=1, max_new_series_per_hour=3)
    assert is_admitted(admitting, series("m", a="1"))
    assert refused(admitting, series("m", a="2"))[0] is Guard.NEW_SERIES_PER_METRIC_PER_HOUR
    # Series refused by the metric's limit have not used up the sink's.
    assert [is_admitted(admitting, series(name)) for name in "nop"] == [True, True, False]


def test_a_series_that_the_labels_guard_refuses_is_not_counted_as_new():
    admitting = guards(max_new_series_per_hour=1, max_labels=1)
    assert not is_admitted(admitting, series(a="1"))
    assert is_admitted(admitting, series())


def test_series_are_told_apart_by_where_names_and_values_end():
    admitting = guards(max_new_series_per_hour=3)
    assert [is_admitted(admitting, labels) for labels in ({"a": "bc"}, {"ab": "c"}, {"a": "b\xffc"})] == [True] * 3
    assert not is_admitted(admitting, {"a": "b", "c": "d"})


def test_only_so_many_series_are_remembered_the_last_ones_that_were_asked_for():
    clock = FakeClock()
    limits = SendingLimits(max_new_series_per_hour=4)
    guard = NewSeriesGuard(limits, Findings(clock.monotonic), clock.monotonic, most_remembered=4)
    for value in ("kept", "1", "kept", "2", "kept", "3", "kept"):
        guard.check(series(a=value))
    with pytest.raises(SeriesRefused):
        guard.check(series(a="1"))


@pytest.mark.parametrize(
    ("setting", "amounts"), [("max_samples_per_second", (500, 0)), ("max_bytes_per_second", (0, 500))]
)
def test_requests_are_spread_to_the_rate(setting, amounts):
    clock = FakeClock()
    admitting = guards(clock, **{setting: 1000})
    # A second's worth at once, then half a second for each; a waiting thread keeps its place.
    assert [admitting.reserve(*amounts) for _ in range(5)] == [0, 0, 0, 0.5, 1.0]
    clock.advance(1.5)
    assert admitting.reserve(*amounts) == 0
    assert admitting.reserve(*amounts) == 0.5


def test_a_burst_is_what_may_be_sent_after_a_pause():
    clock = FakeClock()
    admitting = guards(clock, max_samples_per_second=10, samples_burst=100)
    assert [admitting.reserve(50, 0) for _ in range(4)] == [0, 0, 0, 5]
    clock.advance(1000)
    assert [admitting.reserve(50, 0) for _ in range(4)] == [0, 0, 0, 5]


def test_of_two_rates_the_scarcer_decides():
    admitting = guards(max_samples_per_second=1000, max_bytes_per_second=100)
    assert admitting.reserve(1, 1000) == 0
    assert admitting.reserve(1, 1000) == 9
    assert admitting.counts[Guard.BYTES_PER_SECOND] == 1
    assert admitting.counts[Guard.SAMPLES_PER_SECOND] == 0


@given(
    st.lists(st.tuples(st.integers(1, 300), st.integers(1, 300), st.floats(0, 3)), max_size=40),
    st.sampled_from([1.0, 100.0, 400.0]),
    st.sampled_from([1.0, 100.0, 400.0]),
)
def test_no_time_sees_more_than_rate_and_burst_allow(requests, samples_burst, bytes_burst):
    clock = FakeClock()
    rates = {"max_samples_per_second": 100, "max_bytes_per_second": 100}
    admitting = guards(clock, **rates, samples_burst=samples_burst, bytes_burst=bytes_burst)
    sent = []
    for samples, size, pause in requests:
        clock.advance(pause)
        sent.append((clock.monotonic() + admitting.reserve(samples, size), samples, size))
    for first, (start, *_) in enumerate(sent):
        for last in range(first, len(sent)):
            seconds = sent[last][0] - start
            before_the_last = sent[first:last]
            assert sum(samples for _, samples, _ in before_the_last) <= 100 * seconds + samples_burst + 1e-6
            assert sum(size for _, _, size in before_the_last) <= 100 * seconds + bytes_burst + 1e-6


def test_track_only_changes_nothing_and_counts_all(caplog):
    limits = {"max_labels": 1, "max_label_value_bytes": 3, "on_long_label_value": TooLong.DROP_LABEL}
    rates = {"max_new_series_per_hour": 1, "max_samples_per_second": 1}
    admitting = guards(**limits, **rates, track_only=True)
    with caplog.at_level(logging.WARNING):
        assert [is_admitted(admitting, series(a=f"value {n}")) for n in range(3)] == [True] * 3
        assert [admitting.reserve(10, 10) for _ in range(3)] == [0, 0, 0]
    counts = admitting.counts
    assert (counts[Guard.LABELS], counts[Guard.LABEL_VALUE]) == (3, 3)
    assert counts[Guard.NEW_SERIES_PER_HOUR] == 2
    assert counts[Guard.SAMPLES_PER_SECOND] == 2
    assert all("track_only is set" in record.getMessage() for record in caplog.records)
    assert len(caplog.records) == 4


def test_a_guard_warns_at_most_every_ten_minutes_and_says_how_often(caplog):
    clock = FakeClock()
    admitting = guards(clock, max_labels=1)
    with caplog.at_level(logging.WARNING):
        for pause in (0, 1, 1, 600):
            clock.advance(pause)
            refused(admitting, series(a="1"))
    assert [record.getMessage() for record in caplog.records] == [
        "shorten it, or raise max_labels=1: 'm' has 2 labels; the series is refused "
        f"({count} since the last such warning)"
        for count in (1, 3)
    ]


def test_subtasks_share_what_is_counted_and_not_what_is_measured():
    limits = SendingLimits(max_labels=7, max_new_series_per_hour=10, max_samples_per_second=10, samples_burst=20)
    share = limits.share_of(4)
    assert (share.max_labels, share.max_new_series_per_hour) == (7, 3)
    assert (share.max_samples_per_second, share.samples_burst) == (2.5, 5)
    assert limits.share_of(1) == limits


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_labels": 0}, "max_labels: expected an integer of at least 1, got 0"),
        ({"max_samples_per_second": 0}, "max_samples_per_second: expected a number above 0, got 0"),
        ({"samples_burst": 5}, "samples_burst: set max_samples_per_second as well, or leave both out"),
        (
            {"on_long_label_name": TooLong.CUT},
            "on_long_label_name: choose REFUSE or DROP_LABEL, because names cannot be cut",
        ),
        (
            {"on_long_label_value": TooLong.CUT, "max_label_value_bytes": 31},
            "max_label_value_bytes: set at least 32 where values are cut",
        ),
    ],
)
def test_impossible_limits_are_refused(settings, message):
    with pytest.raises(ValueError) as refusal:
        SendingLimits(**settings)
    assert str(refusal.value) == message


@pytest.mark.parametrize(
    "settings", [{"max_labels": "3"}, {"track_only": 1}, {"on_long_label_value": "cut"}, {"max_bytes_per_second": "1"}]
)
def test_limits_of_the_wrong_type_are_refused(settings):
    with pytest.raises(TypeError, match=next(iter(settings))):
        SendingLimits(**settings)


def test_the_limits_of_receivers_are_those_in_the_docs():
    document = (Path(__file__).parents[2] / "docs" / "receiver-limits.md").read_text(encoding="utf-8")
    table = document.partition("\n## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("| `")]
    assert {row.split("`")[1] for row in rows} == set(RECEIVER_LIMITS)
    for row in rows:
        limits = RECEIVER_LIMITS[row.split("`")[1]]
        numbers = [
            value
            for name, value in dataclasses.asdict(limits).items()
            if isinstance(value, (int, float)) and not isinstance(value, bool)
        ]
        for number in numbers:
            assert f"{number:,.0f}" in row, (row, number)


def test_limits_travel():
    limits = dataclasses.replace(RECEIVER_LIMITS["mimir"], track_only=True)
    assert pickle.loads(pickle.dumps(limits)) == limits
