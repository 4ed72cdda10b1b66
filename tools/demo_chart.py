"""The chart of the demo: a few of the flights that Prometheus has stored."""

from __future__ import annotations

import itertools
import os
from datetime import datetime, timezone
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from pyflink_prometheus.testing.prometheus_server import Samples

FLIGHTS = 6
ALTITUDE = "flight_altitude_feet"
PANELS = (
    (ALTITUDE, "Altitude (feet)"),
    ("flight_ground_speed_knots", "Ground speed (knots)"),
    ("flight_vertical_rate_feet_per_minute", "Vertical rate (feet per minute)"),
)
GAP_MS = 30_000
# Trackers sometimes misread; no aircraft climbs this much in a second.
JUMP_FEET = 2_000


def draw(found: dict[str, Samples], target: Path) -> None:
    """
    Draw altitude, ground speed and vertical rate of a few flights, one colour each.

    :param found: the stored samples by metric name.
    :param target: the file of the picture.
    """
    os.environ.setdefault("MPLCONFIGDIR", str(target.parent.resolve() / "matplotlib"))
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import dates, pyplot

    flights = choose(found[ALTITUDE])
    figure, axes = pyplot.subplots(len(PANELS), 1, sharex=True, figsize=(11, 9), layout="constrained")
    for axis, (metric, title) in zip(axes, PANELS):
        by_flight = {flight_of(labels): samples for labels, samples in found[metric].items()}
        for flight in flights:
            times, values = with_gaps(by_flight.get(flight, []))
            axis.plot(times, values, linewidth=1.4, label=flight[0])
        axis.set_title(title, loc="left", fontsize=11)
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
        axis.yaxis.set_major_formatter("{x:,.0f}")
    axes[-1].xaxis.set_major_formatter(dates.DateFormatter("%H:%M", tz=datetime.now().astimezone().tzinfo))
    axes[-1].set_xlabel(
        f"Time of day ({datetime.now().astimezone().tzname()}), the recording shifted to end at the demo"
    )
    figure.suptitle("Recorded flights, as Prometheus stored them", fontsize=14, x=0.01, ha="left")
    figure.legend(*axes[0].get_legend_handles_labels(), title="Callsign", loc="outside right upper", frameon=False)
    figure.savefig(target, dpi=120)
    pyplot.close(figure)


def flight_of(labels: tuple[tuple[str, str], ...]) -> tuple[str, str]:
    """Return the callsign and the aircraft of a series."""
    named = dict(labels)
    return named["callsign"], named["icao24"]


def choose(altitudes: Samples) -> list[tuple[str, str]]:
    """Return the flights with the most samples among those without misread altitudes, in order of time."""
    clean = [labels for labels, samples in altitudes.items() if largest_step(samples) < JUMP_FEET]
    longest = sorted(clean, key=lambda labels: len(altitudes[labels]), reverse=True)[:FLIGHTS]
    return [flight_of(labels) for labels in sorted(longest, key=lambda labels: altitudes[labels][0][1])]


def largest_step(samples: list[tuple[float, int]]) -> float:
    """Return the largest difference between two consecutive values."""
    return max((abs(after[0] - before[0]) for before, after in itertools.pairwise(samples)), default=0.0)


def with_gaps(samples: list[tuple[float, int]]) -> tuple[list[datetime], list[float]]:
    """Return times and values, with a break in the line where nothing was received for a while."""
    times: list[datetime] = []
    values: list[float] = []
    last = None
    for value, stamp in samples:
        at = datetime.fromtimestamp(stamp / 1000, timezone.utc)
        if last is not None and stamp - last > GAP_MS:
            times.append(at)
            values.append(float("nan"))
        times.append(at)
        values.append(value)
        last = stamp
    return times, values
