"""Reorder releases events in order of time, each with its own timestamp, and keeps no unnecessary state."""

from __future__ import annotations

import pytest
from operator_harness import Harness
from pyflink.common import Types
from pyflink.datastream import OutputTag

from pyflink_prometheus import PrometheusSinkError, Reorder, SameTimestamp

LATE = OutputTag("late", Types.PICKLED_BYTE_ARRAY())


def events(*times):
    return [{"time": time} for time in times]


def send(harness, *times, key="k"):
    for event in events(*times):
        harness.send(event, event["time"], key)
    return harness


def test_events_come_out_in_order_as_the_watermark_passes_them():
    harness = send(Harness(Reorder()), 5, 3, 9, 4)
    assert harness.results == []
    assert harness.advance(4).outputs == [(3, {"time": 3}), (4, {"time": 4})]
    assert harness.advance(8).results == events(3, 4, 5)
    assert harness.advance(9).results == events(3, 4, 5, 9)


def test_all_keys_of_a_subtask_come_out_in_one_order():
    harness = Harness(Reorder())
    send(harness, 5, 1, key="a")
    send(harness, 4, 2, key="b")
    assert [timestamp for timestamp, _ in harness.advance().outputs] == [1, 2, 4, 5]


def test_events_of_an_interval_are_released_together_when_the_watermark_reaches_its_end():
    harness = send(Harness(Reorder(release_interval_ms=10)), 5, 3, 12, 4)
    assert harness.advance(8).outputs == []
    assert harness.advance(9).outputs == [(9, {"time": 3}), (9, {"time": 4}), (9, {"time": 5})]
    assert send(harness, 11, 20).advance(19).outputs[3:] == [(19, {"time": 11}), (19, {"time": 12})]
    assert harness.advance().results[5:] == events(20)
    assert not harness.keys_with_state


@pytest.mark.parametrize(("before", "after"), [(1, 10), (10, 1), (10, 7)])
def test_the_interval_may_change_between_two_runs(before, after):
    first = send(Harness(Reorder(release_interval_ms=before)), 5, 3, 12)
    second = Harness(Reorder(release_interval_ms=after), first.savepoint())
    assert send(second, 14, 4).advance(29).results == events(3, 4, 5, 12, 14)
    assert not second.keys_with_state


def test_an_event_at_or_behind_the_watermark_is_late():
    harness = Harness(Reorder(late_output_tag=LATE)).advance(10)
    send(harness, 9, 10, 11).advance()
    assert harness.side["late"] == events(9, 10)
    assert harness.results == events(11)
    assert harness.counts == {"numLateEvents": 2, "numEventsReplaced": 0, "numEventsReleasedEarly": 0}


def test_late_events_without_a_tag_are_dropped_and_counted():
    harness = send(Harness(Reorder()).advance(10), 9, 11).advance()
    assert (harness.results, harness.counts["numLateEvents"]) == (events(11), 1)


def test_a_key_whose_events_are_all_released_leaves_no_state():
    harness = send(Harness(Reorder(max_held=2)), 1, 2, 3, 4)
    assert harness.keys_with_state == {"k"}
    assert harness.advance(4).keys_with_state == set()


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (SameTimestamp.FIRST, [{"v": 2, "n": 0}]),
        (SameTimestamp.LAST, [{"v": 3, "n": 4}]),
        (SameTimestamp.MAX, [{"v": 9, "n": 1}]),
        (SameTimestamp.MEAN, [{"v": 5.75, "n": 0}]),
        (SameTimestamp.ALL, [{"v": v, "n": n} for n, v in enumerate([2, 9, None, 9, 3])]),
    ],
)
def test_events_of_one_timestamp(policy, expected):
    reorder = Reorder(policy, value=lambda e: e["v"], with_value=lambda e, v: {**e, "v": v})
    harness = Harness(reorder)
    for number, value in enumerate([2, 9, None, 9, 3]):
        harness.send({"v": value, "n": number}, 7)
    assert harness.advance().results == expected
    assert harness.counts["numEventsReplaced"] == (0 if policy is SameTimestamp.ALL else 4)


@pytest.mark.parametrize("policy", [SameTimestamp.MAX, SameTimestamp.MEAN])
def test_missing_values_lose_against_numbers_and_alone_stay_missing(policy):
    reorder = Reorder(policy, value=lambda e: e[0], with_value=lambda e, v: (v, e[1]))
    harness = Harness(reorder)
    for value in (float("nan"), 4.0):
        harness.send((value, 1), 1)
        harness.send((None, 2), 2)
    assert [result[0] for result in harness.advance().results] == [4.0, None]


def test_a_single_event_is_not_touched_by_the_mean():
    harness = Harness(Reorder(SameTimestamp.MEAN, value=lambda e: e, with_value=lambda e, v: "changed"))
    assert harness.send(1, 5).advance().results == [1]


@pytest.mark.parametrize("policy", [SameTimestamp.FIRST, SameTimestamp.ALL])
def test_beyond_the_limit_the_oldest_are_released_early_and_older_ones_are_late_then(policy):
    harness = Harness(Reorder(policy, max_held=2, late_output_tag=LATE))
    send(harness, 5, 7, 6)  # 5 leaves, pushed out by 6
    assert harness.outputs == [(6, {"time": 5})]
    send(harness, 5, 4, 8)
    assert harness.side["late"] == events(5, 4)
    assert harness.results == events(5, 6)
    assert harness.counts["numEventsReleasedEarly"] == 2
    assert harness.advance(8).results == events(5, 6, 7, 8)
    assert harness.keys_with_state == set()


def test_an_event_that_is_itself_the_oldest_of_too_many_goes_straight_through():
    assert send(Harness(Reorder(max_held=1)), 9, 5).results == events(5)


def test_what_is_held_comes_back_from_a_savepoint():
    first = send(Harness(Reorder()), 5, 3).advance(3)
    second = Harness(Reorder(), first.savepoint())
    assert send(second, 4).advance().results == events(4, 5)


def test_the_time_may_be_the_users():
    harness = Harness(Reorder(timestamp=lambda e: e["time"]))
    for event in events(5, 3):
        harness.send(event)
    assert harness.advance().outputs == [(3, {"time": 3}), (5, {"time": 5})]


def test_a_stream_without_timestamps_is_told_what_to_do():
    with pytest.raises(PrometheusSinkError, match=r"WatermarkStrategy.*timestamp=\.\.\."):
        Harness(Reorder()).send({})
    with pytest.raises(PrometheusSinkError, match=r"expected an int of milliseconds.*1\.5"):
        Harness(Reorder(timestamp=lambda e: 1.5)).send({})  # type: ignore[arg-type,return-value]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"release_interval_ms": 0}, "release_interval_ms: expected an integer of at least 1"),
        ({"max_held": 0}, "max_held: expected an integer of at least 1"),
        ({"same_timestamp": SameTimestamp.MAX}, "value, which SameTimestamp.MAX needs"),
        ({"same_timestamp": SameTimestamp.MEAN, "value": len}, "with_value, which SameTimestamp.MEAN needs"),
        ({"timestamp": 5}, "timestamp: expected a function"),
        ({"late_output_tag": "late"}, "late_output_tag: expected an OutputTag"),
    ],
)
def test_wrong_arguments_are_refused_by_name(arguments, message):
    with pytest.raises((TypeError, ValueError), match=message):
        Reorder(**arguments)
