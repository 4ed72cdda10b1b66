"""A checkpoint has the state of its last bundle, but not its timers: the next event of a key restores them."""

from __future__ import annotations

import pytest
from operator_harness import Harness

from pyflink_prometheus import (
    Aggregate,
    CumulativeAggregate,
    MarkStale,
    PrometheusTimeSeries,
    Reorder,
    SessionWindows,
    TumblingWindows,
)


def time_of(event):
    return event


def to_series(event):
    return PrometheusTimeSeries("m", {}, ((1.0, event),))


OPERATORS = {
    "reorder": Reorder(timestamp=time_of),
    "windows": Aggregate("m", float, TumblingWindows(10), ("sum", 0.5), timestamp=time_of),
    "sessions": Aggregate("m", float, SessionWindows(3), "count", timestamp=time_of),
    "counters": CumulativeAggregate("m", float, ("count", "sum"), interval_ms=10, timestamp=time_of),
    "mark_stale": MarkStale(7, to_series),
}


@pytest.mark.parametrize("operator", OPERATORS.values(), ids=OPERATORS)
def test_timers_that_were_lost_come_back_with_the_next_event_of_the_key(operator):
    before, after = (1, 2, 13, 14, 25), (26, 38)
    whole, first = Harness(operator), Harness(operator)
    for event in before:
        whole.send(event)
        first.send(event)
    second = Harness(operator, first.savepoint(timers=False))
    for event in after:
        whole.send(event)
        second.send(event)

    assert second.advance().outputs == whole.advance().outputs[len(first.outputs) :]
    assert second.keys_with_state == whole.keys_with_state


@pytest.mark.parametrize("operator", OPERATORS.values(), ids=OPERATORS)
def test_a_timer_that_was_not_lost_brings_the_others_back(operator):
    first = Harness(operator).send(1)
    early = first.savepoint()
    state, _ = first.send(2).send(30).savepoint()

    whole, second = first, Harness(operator, (state, early[1]))
    assert second.advance().outputs == whole.advance().outputs[len(whole.outputs) - len(second.outputs) :]
    assert second.outputs


def test_events_whose_timers_were_lost_leave_in_order_and_with_their_own_timestamps():
    first = Harness(Reorder(timestamp=time_of)).send(30).send(31)
    timers = first.savepoint()[1]
    state, _ = first.send(1).send(2).send(40).savepoint()

    restored = Harness(Reorder(timestamp=time_of), (state, timers)).advance(35)
    assert restored.outputs == [(1, 1), (2, 2), (30, 30), (31, 31)]
    assert restored.advance().outputs[4:] == [(40, 40)]


def test_timers_are_registered_once_more_and_not_with_each_event(monkeypatch):
    first = Harness(Reorder(timestamp=time_of)).send(1).send(2)
    second = Harness(Reorder(timestamp=time_of), first.savepoint())
    registered: list[int] = []
    monkeypatch.setattr(second, "register_event_time_timer", registered.append)
    second.send(3).send(4)
    assert registered == [1, 2, 3, 4]
