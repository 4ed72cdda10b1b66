"""The parts of the functions that make tables: intervals, names, and checks of many rows at once."""

from __future__ import annotations

import math
import random

import numpy as np
import pandas as pd
import pytest

from pyflink_prometheus import CumulativeWindows, Hampel, SpeedGate, Threshold
from pyflink_prometheus.flink.tables.filter_table import _Judge, _reached, _within
from pyflink_prometheus.flink.tables.sql import column_names, interval, text
from pyflink_prometheus.transforms.speed_gate import distance


@pytest.mark.parametrize(
    ("millis", "expected"),
    [
        (1, "INTERVAL '0 00:00:00.001' DAY(2) TO SECOND(3)"),
        (90_061_001, "INTERVAL '1 01:01:01.001' DAY(2) TO SECOND(3)"),
        (400 * 86_400_000, "INTERVAL '400 00:00:00.000' DAY(3) TO SECOND(3)"),
    ],
)
def test_an_interval_of_any_length(millis, expected):
    assert interval(millis) == expected


def test_texts_and_names():
    assert text("it's") == "'it''s'"
    assert column_names("key", "a") == ("a",)
    assert column_names("key", ["a", "b", "a"]) == ("a", "b")
    with pytest.raises(TypeError, match="^key: expected names of columns, got 1$"):
        column_names("key", 1)


def test_cumulative_windows_grow_to_their_size():
    windows = CumulativeWindows(60, 20)
    assert windows.of(0) == [(0, 20), (0, 40), (0, 60)]
    assert windows.of(39) == [(0, 40), (0, 60)]
    assert windows.of(119) == [(60, 120)]
    with pytest.raises(ValueError, match="^step_ms: expected a divisor of size_ms, 60, got 7$"):
        CumulativeWindows(60, 7)


def judged_one_by_one(check, events):
    reasons, state = [], None
    for event in events:
        reason, state = check.judge(event, int(event["ms"]), state)
        reasons.append(None if reason is None else f"{check.name}: {reason}")
    return reasons


def judged_at_once(check, events, history):
    """Return the function's result for the arrays that Java makes."""

    def kept(event):
        return [event["lat"], event["lon"], event["ms"]] if isinstance(check, SpeedGate) else event[check.columns[0]]

    windows = [events[max(0, last - history) : last + 1] for last in range(len(events))]
    kinds = [1 if all(np.isfinite(event[name]) for name in check.columns) else 2 for event in events]
    return _Judge(check)(pd.Series(kinds), [np.array(list(map(kept, window))) for window in windows]).tolist()


@pytest.mark.parametrize("seed", range(5))
def test_hampel_at_once_is_hampel_one_by_one(seed):
    chosen = random.Random(seed)
    events = [{"v": chosen.choice([1.0, 2.0, 3.0, 100.0, 5.0]), "ms": 0} for _ in range(300)]
    check = Hampel("v", min_deviation=0.5, window=7)
    expected = judged_one_by_one(check, events)
    assert sum(reason is not None for reason in expected) > 10
    assert judged_at_once(check, events, 7) == expected


@pytest.mark.parametrize("seed", range(5))
def test_a_speed_gate_at_once_is_one_that_remembers_everything(seed):
    chosen = random.Random(seed)
    events = [
        {
            "lat": 48 + 0.001 * n + (1.0 if n >= 150 else 0.0),
            "lon": 9.0 if chosen.random() < 0.03 else 2.0,
            "ms": 1_000.0 * n,
        }
        for n in range(300)
    ]
    check = SpeedGate(("lat", "lon"), max_speed=300)
    expected = judged_one_by_one(check, events)
    assert sum(reason is not None for reason in expected) > 5
    assert judged_at_once(check, events, 15) == expected


class FromOne(list):
    """An array as in SQL, where the first index is 1."""

    def __getitem__(self, place):
        return super().__getitem__(place - 1)


def in_sql(condition, values):
    """Return a condition's result for an array of values, the last of which is checked."""
    for word, ours in ((" OR ", " or "), (" AND ", " and "), ("TRUE", "True")):
        condition = condition.replace(word, ours)
    names = {"ABS": abs, "CARDINALITY": len, "COS": math.cos, "POWER": pow, "RADIANS": math.radians}
    past = FromOne(FromOne(each) if isinstance(each, tuple) else each for each in values)
    return eval(condition.replace("`past values`", "past"), {**names, "past": past, "v": values[-1]})


@pytest.mark.parametrize("seed", range(5))
def test_what_java_passes_can_be_reached(seed):
    chosen = random.Random(seed)
    gate = SpeedGate(("lat", "lon"), max_speed=300, tolerance=500, confirmations=2)
    passed = 0
    for _ in range(3_000):
        latitude, longitude = chosen.uniform(-90, 90), chosen.uniform(-180, 180)
        near = [each + chosen.uniform(-0.01, 0.01) for each in (latitude, longitude)]
        points = [(latitude, longitude, 0), (near[0], near[1], chosen.randrange(-3_000, 3_000))]
        if in_sql(_reached(gate), points):
            passed += 1
            allowed = gate.max_speed * abs(points[1][2]) / 1_000 + gate.tolerance
            assert distance(*points) <= allowed
    assert 300 < passed < 2_700


@pytest.mark.parametrize("confirmations", [1, 2, 3, 5])
def test_what_java_passes_is_accepted_by_a_gate_that_remembers_everything(confirmations):
    chosen = random.Random(confirmations)
    gate = SpeedGate(("lat", "lon"), max_speed=300, confirmations=confirmations)
    points, state, judged = [], None, []
    place = 0.0
    for n in range(2_000):
        place = chosen.choice([0.0, 1.0, 2.0]) if chosen.random() < 0.15 else place
        points.append((48 + 0.001 * chosen.random() + place, 2.0, 1_000 * n))
        reason, state = gate.judge(dict(zip(("lat", "lon"), points[-1])), points[-1][2], state)
        judged.append((in_sql(_reached(gate), points[-16:]), reason is None))
    assert (True, False) not in judged
    assert confirmations == 1 or {(False, True), (False, False)} <= set(judged)
    assert sum(is_clear for is_clear, _ in judged) > 500


@pytest.mark.parametrize("window", [3, 4, 7, 15])
def test_what_java_passes_is_accepted_by_hampel(window):
    chosen = random.Random(window)
    check = Hampel("v", min_deviation=1.5, window=window, threshold=0.1)
    values, state, judged = [], None, []
    for _ in range(3_000):
        values.append(chosen.choice([1.0, 2.0, 9.0]) if chosen.random() < 0.2 else chosen.uniform(4, 5))
        reason, state = check.judge({"v": values[-1]}, 0, state)
        judged.append((in_sql(_within(check, "v"), values[-window - 1 :]), reason is None))
    assert {(True, True), (False, True), (False, False)} == set(judged)


def test_what_is_no_position_is_told_as_by_the_gate():
    events = [{"lat": float("inf"), "lon": 2.0, "ms": 0.0}]
    assert judged_at_once(SpeedGate(("lat", "lon"), max_speed=1), events, 15) == ["speed: (inf, 2.0) is not a position"]


def test_checks_name_fields_or_are_functions():
    assert Threshold("v", max=1).judge({"v": 2})[0] == "2 is above 1"
    assert Threshold(lambda event: event, max=1).columns == ()
    with pytest.raises(TypeError, match="^value: expected a function, or the name of a field, got 1$"):
        Threshold(1)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="^position: expected a function, or the names of two fields, got"):
        SpeedGate(("a",), max_speed=1)  # type: ignore[arg-type]
