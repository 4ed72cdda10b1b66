"""Operators with any events in any order: sorted output, nothing lost, and results that do not depend on order."""

from __future__ import annotations

import copy
import itertools
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyflink_prometheus import (
    SessionWindows,
    SlidingWindows,
    SpeedGate,
    TumblingWindows,
)
from pyflink_prometheus.model.samples import is_stale_marker
from pyflink_prometheus.model.timeseries import PrometheusTimeSeries
from pyflink_prometheus.transforms.aggregation import Aggregation
from pyflink_prometheus.transforms.counting import Counting
from pyflink_prometheus.transforms.hampel import Hampel
from pyflink_prometheus.transforms.reordering import Reordering, SameTimestamp
from pyflink_prometheus.transforms.staleness import StalenessTracker
from pyflink_prometheus.transforms.windows import Windowing

LOWEST, HIGHEST = -(2**63), 2**63 - 1

times = st.integers(-50, 200)
# Events, with watermarks among them that never go back.
steps = st.lists(st.one_of(times.map(lambda t: ("event", t)), times.map(lambda t: ("watermark", t))), max_size=60)
numbers = st.floats(-1e6, 1e6)
windows = st.one_of(
    st.integers(1, 60).map(TumblingWindows),
    st.tuples(st.integers(1, 30), st.integers(1, 30)).map(lambda pair: SlidingWindows(max(pair), min(pair))),
    st.integers(1, 40).map(SessionWindows),
)


def itself(event):
    return event


@given(steps, st.integers(1, 8), st.sampled_from([SameTimestamp.ALL, SameTimestamp.FIRST]))
def test_reorder_loses_nothing_and_what_it_releases_is_sorted(steps, max_held, policy):
    reordering = Reordering(policy, max_held)
    held, watermark, released, late, replaced = None, LOWEST, [], [], 0
    for number, (kind, time) in enumerate([*steps, ("watermark", HIGHEST)]):
        if kind == "watermark":
            watermark = max(watermark, time)
            held, due = reordering.release(held, watermark)
            released += due
            assert all(event[0] > watermark for events in (held or (None, {}))[1].values() for event in events)
        elif reordering.is_late(held, time, watermark):
            late.append(time)
            assert time <= max([watermark, *(event[0] for event in released)])
        else:
            added = reordering.add(held, (time, number), time)
            held, early = added.held, added.early
            released += early
            replaced += added.replaced
            assert sum(map(len, held[1].values())) <= max_held
    assert held is None
    ordered = [time for time, _ in released]
    assert ordered == sorted(ordered)
    if policy is SameTimestamp.FIRST:
        assert len(set(ordered)) == len(ordered)
    events = sum(kind == "event" for kind, _ in steps)
    assert len(released) + len(late) + replaced == events


@given(st.lists(times, max_size=40), st.integers(1, 20), st.integers(1, 20))
def test_whatever_the_interval_each_event_has_a_timer_that_releases_it_in_order(stamps, interval, other):
    reordering = Reordering(SameTimestamp.ALL, release_interval_ms=interval)
    held, timers = None, set()
    for number, time in enumerate(stamps):
        added = reordering.add(held, (time, number), time)
        held = added.held
        if added.timer is not None:
            assert added.timer not in timers, "the timer is already registered"
            timers.add(added.timer)
    assert sorted(timers) == sorted(reordering.timers(held) if held else ())
    assert all(time <= min(timer for timer in timers if timer >= time) < time + interval for time in stamps)
    # As in a savepoint of a job with another interval.
    for each in (reordering, Reordering(SameTimestamp.ALL, release_interval_ms=other)):
        left, released = copy.deepcopy(held), []
        for timer in sorted(each.timers(held)) if held else ():
            assert each.overdue(left, timer) == []
            left, due = each.release(left, timer)
            assert due
            released += due
        assert left is None
        assert [time for time, _ in released] == sorted(stamps)


@given(st.lists(times), windows, st.randoms())
def test_windows_do_not_depend_on_the_order_of_events(stamps, windows, rng):
    aggregation = Aggregation("m", itself, ("count", "sum", "min", "max", "last", "histogram", 0.5))

    def written(order):
        windowing, open = Windowing(aggregation, windows), None
        timers = []
        for time in order:
            placed = windowing.place(open, float(time), time, LOWEST)
            assert not placed.is_late
            open = placed.open
            timers += placed.timers
        found = []
        for timer in sorted(set(timers)):
            open, series = windowing.close(open, "k", timer)
            found += series
        assert open is None  # every window has a timer that closes it
        return found

    shuffled = rng.sample(stamps, len(stamps))
    assert written(shuffled) == written(sorted(stamps))


@given(st.lists(times, min_size=1), st.integers(1, 40))
def test_sessions_are_what_lies_between_gaps(stamps, gap):
    windowing, open = Windowing(Aggregation("m", itself, "count"), SessionWindows(gap)), None
    for time in stamps:
        open = windowing.place(open, 1.0, time, LOWEST).open
    ordered = sorted(stamps)
    sessions = [[ordered[0]]]
    for before, time in itertools.pairwise(ordered):
        if time - before > gap:
            sessions.append([])
        sessions[-1].append(time)
    _, series = windowing.close(open, "k", HIGHEST)
    assert [each.samples for each in series] == [((len(each), each[-1] + gap),) for each in sessions]


@given(st.lists(times), windows, times)
def test_a_window_is_never_written_again_and_each_event_is_in_some_or_late(stamps, windows, watermark):
    windowing, open, late = Windowing(Aggregation("m", itself, "count"), windows), None, 0
    half = len(stamps) // 2
    for time in stamps[:half]:
        open = windowing.place(open, 1.0, time, LOWEST).open
    open, first = windowing.close(open, "k", watermark)
    for time in stamps[half:]:
        placed = windowing.place(open, 1.0, time, watermark)
        open, late = placed.open, late + placed.is_late
    _, second = windowing.close(open, "k", HIGHEST)
    ends = [series.samples[0][1] for series in (*first, *second)]
    assert len(set(ends)) == len(ends)
    if not isinstance(windows, SlidingWindows):
        counts: list[Any] = [series.samples[0][0] for series in (*first, *second)]
        assert sum(counts) + late == len(stamps)


@given(st.lists(st.tuples(numbers, times), max_size=40), st.integers(0, 40), st.integers(0, 40))
def test_merging_aggregates_is_aggregating_all(events, one, two):
    aggregation = Aggregation("m", itself, ("count", "sum", "min", "max", "last", "histogram", 0.25))
    cuts = sorted([min(one, len(events)), min(two, len(events))])
    parts = []
    for part in (events[: cuts[0]], events[cuts[0] : cuts[1]], events[cuts[1] :], events):
        partial = aggregation.new()
        for value, time in part:
            aggregation.add(partial, value, time)
        parts.append(partial)
    a, b, c, whole = parts
    left = aggregation.merge(aggregation.merge(a, b), c)
    right = aggregation.merge(a, aggregation.merge(b, c))
    for merged in (left, right):
        assert merged["sum"] == pytest.approx(whole["sum"], abs=1e-3)
        assert {**merged, "sum": 0} == {**whole, "sum": 0}


@given(st.lists(times), st.integers(1, 50), st.randoms())
def test_counters_never_fall_and_end_at_the_count(stamps, interval, rng):
    counting = Counting("m", interval_ms=interval)
    counted = None
    for time in rng.sample(stamps, len(stamps)):
        counted, _ = counting.add(counted, time, time)
    _, series = counting.close(counted, "k", HIGHEST)
    samples = [sample for each in series for sample in each.samples]
    assert [sample[0] for sample in samples] == sorted(sample[0] for sample in samples)
    assert [sample[1] for sample in samples] == sorted({sample[1] for sample in samples})
    assert not stamps or samples[-1][0] == len(stamps)


@given(st.lists(times, unique=True, min_size=1), st.lists(times), st.integers(1, 60))
def test_a_stale_marker_ends_each_gap_once_whatever_the_watermarks(stamps, watermarks, timeout):
    """Samples in order, each after any watermark that is not beyond it."""
    tracker, last_seen, out = StalenessTracker(timeout), None, []
    stamps = sorted(stamps)
    pending = sorted(watermarks)
    for time in stamps:
        while pending and pending[0] < time:
            last_seen, _, markers = tracker.expire(last_seen, pending.pop(0))
            out += markers
        series = PrometheusTimeSeries("m", {}, ((1.0, time),))
        last_seen, _, markers = tracker.observe(last_seen, series, LOWEST)
        out += [*markers, series]
    last_seen, timer, markers = tracker.expire(last_seen, HIGHEST)
    assert (last_seen, timer) == (None, None)
    found = [(is_stale_marker(value), time) for each in (*out, *markers) for value, time, *_ in each.samples]
    expected = []
    for time, after in zip(stamps, [*stamps[1:], math.inf]):
        expected += [(False, time)] + ([(True, time + timeout)] if after > time + timeout else [])
    assert found == expected


places = st.one_of(st.none(), st.tuples(st.floats(-90, 90), st.floats(-180, 180)))


@given(st.lists(st.tuples(places, times), max_size=30), st.integers(1, 6))
def test_a_gate_accepts_any_device_that_stays_where_it_is(track, confirmations):
    gate = SpeedGate(itself, max_speed=10, confirmations=confirmations)
    state = None
    for place, time in track:
        _, state = gate.judge(place, time * 1000, state)
    reasons = []
    for step in range(confirmations):
        reason, state = gate.judge((10.0, 10.0), 300_000 + step, state)
        reasons.append(reason)
    assert reasons[-1] is None


@given(st.lists(numbers, min_size=1, max_size=60), st.integers(3, 20))
def test_hampel_accepts_any_level_that_lasts(values, window):
    hampel, state = Hampel(itself, min_deviation=0, window=window), None
    for value in values:
        _, state = hampel.judge(value, 0, state)
        assert len(state) <= window
    reasons = []
    for _ in range(window // 2 + 2):
        reason, state = hampel.judge(5.0, 0, state)
        reasons.append(reason)
    assert reasons[-1] is None
