"""Records of aircraft with several metrics each, to compare encoders."""

from __future__ import annotations

import random

SAMPLES = 2000
METRICS = ["flight_altitude_feet", "flight_groundspeed_knots", "flight_track_degrees", "flight_vertical_rate_ftmin"]

Record = tuple[str, dict[str, str], list[tuple[float, int]]]


def flights(metrics: int, per_series: int) -> list[Record]:
    """Return 2000 samples as records, with this many metrics per aircraft and samples per series."""
    rng = random.Random(1)
    made: list[Record] = []
    for number in range(SAMPLES // per_series):
        if number % metrics == 0:
            aircraft = {
                "icao24": f"{rng.randrange(16**6):06x}",
                "callsign": f"MSR{rng.randrange(10_000)}",
                "operator": rng.choice(["MSR", "AFR", "DLH"]),
                "source": "adsb",
            }
        value = 25.0 * rng.randrange(1_600)
        samples = [
            (value + 25.0 * rng.randrange(3), 1_700_000_000_000 + place * 1_000 + rng.randrange(1_000))
            for place in range(per_series)
        ]
        made.append((METRICS[number % metrics], aircraft, samples))
    return made


def some_series(count: int, first: int, step: int, of: int) -> list[tuple[str, dict[str, str]]]:
    """Return names and labels of some of many series, with new strings, as in records from Java."""
    return [
        (
            METRICS[0],
            {"icao24": f"{n % of:06x}", "callsign": f"MSR{n % of % 10_000}", "operator": "MSR", "source": "adsb"},
        )
        for n in range(first, first + count * step, step)
    ]
