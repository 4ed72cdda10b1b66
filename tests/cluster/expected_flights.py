"""The expected results of the example jobs, computed from the recording with pandas instead of the operators."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from recorded_flights import METRICS, Delivery
from reference import CELLS, OPERATORS

if TYPE_CHECKING:
    from pyflink_prometheus.testing.prometheus_server import LabelSet, Samples

EARTH_RADIUS_M = 6_371_008.8
MINUTE_MS = 60_000


def delivered(recording: Path, end_at: int, seed: int = 1, max_delay: int = 120) -> pd.DataFrame:
    """Return the rows that the network delivers, each once, in order of aircraft and time."""
    options = argparse.Namespace(recording=recording, end_at=end_at, seed=seed, max_delay=max_delay, speed=0, repeat=1)
    delivery = Delivery(options)
    delivery.open(None)
    rows = pd.DataFrame([row for step in range(delivery.steps) for row in delivery.flat_map(step)])
    assert rows.duplicated(["icao24", "timestamp"]).any(), "nothing is delivered twice"
    assert (rows.timestamp.cummax() > rows.timestamp).mean() > 0.2, "nothing is out of order"
    rows = rows.drop_duplicates(["icao24", "timestamp"]).sort_values(["icao24", "timestamp"], ignore_index=True)
    codes = rows.callsign.str[:3]
    rows["operator"] = [OPERATORS.get(code, {"operator": "other"})["operator"] for code in codes]
    rows["country"] = [OPERATORS.get(code, {"country": "unknown"})["country"] for code in codes]
    south, west = np.floor(rows.latitude).astype(int), np.floor(rows.longitude).astype(int)
    rows["cell"] = [f"N{s:02d}E{w:03d}" for s, w in zip(south, west)]  # all of it is north of 0 and east of 0
    rows["place"] = [CELLS.get(cell, {}).get("place") for cell in rows.cell]
    return rows


def possible(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that the filter accepts."""
    rows = rows[~((rows.altitude < -1_500) | (rows.altitude > 60_000))]
    known = rows[rows.altitude.notna()].groupby("icao24").altitude

    def of_the_last(window: Any) -> pd.Series:
        return known.transform(lambda altitudes: window(altitudes.rolling(15, min_periods=8)).shift(1))

    median = of_the_last(lambda window: window.median())
    spread = of_the_last(lambda window: window.apply(lambda last: np.median(abs(last - np.median(last))), raw=True))
    far = abs(rows.altitude[median.index] - median) > np.maximum(3 * 1.4826 * spread, 3_000)
    near = rows.drop(far.index[far])
    return pd.concat([track[_reachable(track)] for _, track in near.groupby("icao24")])


def _reachable(track: pd.DataFrame) -> np.ndarray:
    """Return which positions an aircraft can have reached from the last one, or from four other positions in a row."""
    places = list(zip(np.radians(track.latitude), np.radians(track.longitude), track.timestamp / 1000))

    def reaches(one: int, two: int) -> bool:
        (north_1, east_1, time_1), (north_2, east_2, time_2) = places[one], places[two]
        half = np.sin((north_2 - north_1) / 2) ** 2
        half += np.cos(north_1) * np.cos(north_2) * np.sin((east_2 - east_1) / 2) ** 2
        return 2 * EARTH_RADIUS_M * np.arcsin(np.sqrt(half)) <= 350 * abs(time_2 - time_1) + 1_000

    passes = np.zeros(len(places), dtype=bool)
    last = 0
    elsewhere: list[int] = []
    for now in range(len(places)):
        if reaches(last, now):
            elsewhere = []
        else:
            elsewhere = [*elsewhere, now] if elsewhere and reaches(elsewhere[-1], now) else [now]
            if len(elsewhere) < 5:
                continue
            elsewhere = []
        last, passes[now] = now, True
    return passes


def of_aircraft(
    rows: pd.DataFrame, fields: tuple[str, ...] = tuple(METRICS), by: tuple[str, ...] = (), **labels: str
) -> Samples:
    """Return the series of each aircraft's flights."""
    found: Samples = {}
    names = ("icao24", "callsign", *by)
    for field in fields:
        known = rows[rows[field].notna()]
        for values, samples in known.groupby(list(names)):
            key = _labels(METRICS[field], dict(zip(names, values)), labels)
            found[key] = list(zip(samples[field].astype(float), samples.timestamp))
    return found


def of_windows(
    rows: pd.DataFrame,
    field: str,
    of: dict[str, str],
    by: tuple[str, ...],
    size_ms: int = MINUTE_MS,
) -> Samples:
    """
    Return the series of aggregates in windows that start every minute.

    :param of: pandas' names of the aggregates, or numbers for quantiles, by the suffix of the metric's name.
    """
    known = rows[rows[field].notna()]
    found: Samples = {}
    first = known.timestamp // MINUTE_MS * MINUTE_MS
    shifted = [known.assign(end=first - back + size_ms) for back in range(0, size_ms, MINUTE_MS)]
    windows = pd.concat(shifted).groupby([*by, "end"])[field]
    for suffix, name in of.items():
        series = windows.quantile(float(name)) if name[0].isdigit() else windows.agg(name)
        more = {"quantile": name} if name[0].isdigit() else {}
        for (*values, end), value in series.items():
            key = _labels(f"{METRICS[field]}_{suffix.partition(' ')[0]}", dict(zip(by, values)), more)
            found.setdefault(key, []).append((float(value), end))
    return found


def of_counters(rows: pd.DataFrame, metric_name: str, by: tuple[str, ...], interval_ms: int) -> Samples:
    """Return the series of counters, each of which starts at 0."""
    found: Samples = {}
    ends = rows.timestamp // interval_ms * interval_ms + interval_ms
    for values, counts in rows.assign(end=ends).groupby([*by]):
        key = _labels(metric_name, dict(zip(by, values)), {})
        totals = counts.groupby("end").size().cumsum()
        found[key] = [(0.0, totals.index[0] - interval_ms), *zip(totals.astype(float), totals.index)]
    return found


def differences(stored: Samples, expected: Samples) -> list[str]:
    """Return up to twenty differences, ignoring the last digits, which depend on the order of sums."""
    found = [f"missing: {labels}" for labels in expected.keys() - stored.keys()]
    found += [f"not expected: {labels}" for labels in stored.keys() - expected.keys()]
    for labels in stored.keys() & expected.keys():
        ours, theirs = ({time: value for value, time in each[labels]} for each in (stored, expected))
        wrong = [
            f"{labels} at {time}: {ours.get(time)} instead of {theirs.get(time)}"
            for time in sorted(ours.keys() | theirs.keys())
            if time not in ours or time not in theirs or abs(ours[time] - theirs[time]) > 1e-9 * abs(theirs[time])
        ]
        found += wrong[:3]
    return found[:20]


def _labels(metric_name: str, *several: dict[str, Any]) -> LabelSet:
    labels = {"__name__": metric_name}
    for each in several:
        labels.update(each)
    return tuple(sorted(labels.items()))
