"""The speed gate on recorded flights: it detects injected jumps and accepts the recorded positions."""

from __future__ import annotations

import json
import math
import random
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from pyflink_prometheus import SpeedGate

RECORDING = Path(__file__).resolve().parents[2] / ".cache" / "recording" / "flights.jsonl"
EARTH_RADIUS_KM = 6371.0
# Faster than any airliner in any wind.
GATE = SpeedGate(lambda row: (row["latitude"], row["longitude"]), max_speed=350)

Row = dict[str, Any]


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    if not RECORDING.exists():
        pytest.fail(f"there is no {RECORDING}: run `make recording`")
    return [json.loads(line) for line in RECORDING.read_text().splitlines()]


def moved(row: Row, kilometers: float, bearing: float) -> Row:
    """Return a row with its position moved by this many kilometers."""
    latitude, longitude, arc = (
        math.radians(row["latitude"]),
        math.radians(row["longitude"]),
        kilometers / EARTH_RADIUS_KM,
    )
    there = math.asin(math.sin(latitude) * math.cos(arc) + math.cos(latitude) * math.sin(arc) * math.cos(bearing))
    turned = math.atan2(
        math.sin(bearing) * math.sin(arc) * math.cos(latitude), math.cos(arc) - math.sin(latitude) * math.sin(there)
    )
    return {**row, "latitude": math.degrees(there), "longitude": math.degrees(longitude + turned)}


def with_jumps(rows: list[Row], seed: int, longest: int) -> tuple[list[Row], set[int]]:
    """Inject jumps of 10 to 1000 km at 1 % of the rows, for one or several rows of an aircraft; return those rows."""
    rng = random.Random(seed)
    by_aircraft = defaultdict(list)
    for number, row in enumerate(rows):
        by_aircraft[row["icao24"]].append(number)
    result, jumped = list(rows), set()
    for numbers in by_aircraft.values():
        place = 0
        while place < len(numbers):
            if rng.random() >= 0.01:
                place += 1
                continue
            kilometers, bearing = math.exp(rng.uniform(math.log(10), math.log(1000))), rng.uniform(0, 2 * math.pi)
            for number in numbers[place : place + rng.randint(1, longest)]:
                result[number] = moved(rows[number], kilometers, bearing)
                jumped.add(number)
                place += 1
            place += 1  # and back
    return result, jumped


def dropped(rows: list[Row]) -> set[int]:
    """Return the numbers of the rows that the gate rejects, with separate state for each aircraft, as in a job."""
    states: dict[str, Any] = {}
    found = set()
    for number, row in enumerate(rows):
        key = row["icao24"]
        reason, states[key] = GATE.judge(row, row["timestamp"], states.get(key))
        if reason is not None:
            found.add(number)
    return found


@pytest.mark.once
@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("longest", [1, 3])
def test_nearly_all_jumps_are_caught_and_hardly_a_good_point_is_dropped(rows, seed, longest):
    jumping, jumped = with_jumps(rows, seed, longest)
    found = dropped(jumping)
    caught, good_dropped = len(found & jumped) / len(jumped), len(found - jumped) / (len(rows) - len(jumped))
    print(f"{len(jumped)} jumps, caught {caught:.3%}, good points dropped {good_dropped:.4%} ({len(found - jumped)})")
    assert len(jumped) > 2_000
    assert caught >= 0.99
    assert good_dropped < 0.001


@pytest.mark.once
def test_the_recording_as_it_is_loses_next_to_nothing(rows):
    assert len(dropped(rows)) < 0.0002 * len(rows)
