"""The source of the example jobs delivers the recording step by step, once or in a loop, from any step."""

from __future__ import annotations

import argparse
import json

import pytest
from recorded_flights import Delivery

START = 1_633_608_000_000
ROWS = [
    {"icao24": f"a{number % 7}", "callsign": "X", "timestamp": START + 1_000 * number, "altitude": number}
    for number in range(600)
]
LENGTH = 600_000


@pytest.fixture
def delivery(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))

    def opened(speed=0.0, repeat=1, end_at=0, seed=1):
        options = argparse.Namespace(
            recording=path, speed=speed, repeat=repeat, end_at=end_at, seed=seed, max_delay=120
        )
        made = Delivery(options)
        made.open(None)
        return made

    return opened


def all_of(delivery, steps=None):
    return [row for number in range(delivery.steps if steps is None else steps) for row in delivery.flat_map(number)]


def test_times_are_shifted_so_that_the_recording_ends_when_it_should(delivery):
    rows = all_of(delivery(end_at=5_000_000))
    assert all(row["timestamp"] == 5_000_000 - 1_000 * (599 - row["altitude"]) for row in rows)
    assert {row["icao24"] for row in rows} == {f"a{number}" for number in range(7)}


def test_speed_changes_when_rows_are_delivered_and_nothing_else(delivery):
    fast, slow = delivery(), delivery(speed=30)
    assert all_of(fast) == all_of(slow)
    assert (fast.steps_per_second, slow.steps_per_second) == (None, 1.0)
    assert slow.steps == (600 + 120) / 30
    assert all(len(list(slow.flat_map(number))) > 10 for number in range(20))


def test_it_can_begin_at_any_step(delivery):
    whole = delivery(speed=10, repeat=3)
    later = delivery(speed=10, repeat=3)
    expected = [list(whole.flat_map(number)) for number in range(whole.steps)]
    assert [list(later.flat_map(number)) for number in range(100, later.steps)] == expected[100:]


def test_repeated_it_goes_on_where_it_ended_and_ends_when_it_should(delivery):
    twice = {row["timestamp"] for row in all_of(delivery(repeat=2, end_at=2 * LENGTH))}
    first, second = {each for each in twice if each < LENGTH + 500}, {each for each in twice if each > LENGTH + 500}
    assert 500 < len(first) <= 600
    assert 500 < len(second) <= 600
    assert max(twice) == 2 * LENGTH


def test_endless_it_begins_within_what_prometheus_takes_catches_up_with_the_clock_and_then_keeps_to_it(delivery):
    hour = 3_600_000
    live = delivery(speed=60, repeat=0, end_at=hour)
    times = [[row["timestamp"] for row in live.flat_map(number)] for number in range(1_500)]
    now = [hour + 1_000 * (number + 1) for number in range(1_500)]
    assert hour > hour - min(map(min, filter(None, times))) > 0.8 * hour
    newest = [max(each, default=0) for each in times]
    assert all(seen <= at for seen, at in zip(newest, now))
    behind = [at - seen for seen, at in zip(newest, now) if seen]
    assert behind[20] > 0.4 * hour
    assert sorted(behind[60:])[len(behind) // 2] < 5_000
    assert live.steps > 600_000
