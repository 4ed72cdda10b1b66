"""Encode and compress requests of 2000 samples: both versions, ours against protobuf's generated classes."""

from __future__ import annotations

import random
from functools import partial
from itertools import groupby
from typing import NamedTuple

from measure import report, side_by_side

from pyflink_prometheus.wire import encoder_v1, encoder_v2
from pyflink_prometheus.wire._pb.remote_write_v1_pb2 import WriteRequest
from pyflink_prometheus.wire._pb.remote_write_v2_pb2 import Request
from pyflink_prometheus.wire.compression import compress
from pyflink_prometheus.wire.series import Series, SeriesCache

SAMPLES = 2000
METRICS = ["flight_altitude_feet", "flight_groundspeed_knots", "flight_track_degrees", "flight_vertical_rate_ftmin"]
CASES = [(metrics, per_series) for metrics in (1, 4) for per_series in (1, 4, 20)]


class Columns(NamedTuple):
    """Hold what an encoder takes, and the records that it was made from."""

    records: list[tuple[str, dict[str, str]]]
    series: list[Series]
    timestamps: list[int]
    values: list[float]


def columns(metrics: int, per_series: int) -> Columns:
    """Make aircraft with one or four metrics each, all series known, so many samples of each series."""
    rng = random.Random(1)
    cache = SeriesCache(2 * SAMPLES)
    made = Columns([], [], [], [])
    for number in range(SAMPLES // per_series):
        if number % metrics == 0:
            aircraft = {
                "icao24": f"{rng.randrange(16**6):06x}",
                "callsign": f"MSR{rng.randrange(10_000)}",
                "operator": rng.choice(["MSR", "AFR", "DLH"]),
                "source": "adsb",
            }
        name = METRICS[number % metrics]
        known, value = cache.get(name, aircraft), 25.0 * rng.randrange(1_600)
        for place in range(per_series):
            made.records.append((name, aircraft))
            made.series.append(known)
            made.timestamps.append(1_700_000_000_000 + place * 1_000 + rng.randrange(1_000))
            made.values.append(value + 25.0 * rng.randrange(3))
    return made


def ours(encoder: object, made: Columns) -> bytes:
    """Encode with ours."""
    return compress(encoder.encode_request(made.series, made.timestamps, made.values, plain=True))


def rows(made: Columns):
    """Yield the labels, sorted, and the samples of each series."""
    samples = zip(made.records, made.timestamps, made.values)
    for (name, labels), run in groupby(samples, key=lambda row: row[0]):
        yield sorted({"__name__": name, **labels}.items()), [(timestamp, value) for _, timestamp, value in run]


def generated_v1(made: Columns) -> bytes:
    """Encode as 1.0 with the generated classes."""
    request = WriteRequest()
    for labels, samples in rows(made):
        series = request.timeseries.add()
        for name, value in labels:
            series.labels.add(name=name, value=value)
        for timestamp, value in samples:
            series.samples.add(value=value, timestamp=timestamp)
    return compress(request.SerializeToString())


def generated_v2(made: Columns) -> bytes:
    """Encode as 2.0 with the generated classes."""
    request = Request()
    symbols = {"": 0}
    for labels, samples in rows(made):
        series = request.timeseries.add()
        series.labels_refs.extend([symbols.setdefault(text, len(symbols)) for label in labels for text in label])
        for timestamp, value in samples:
            series.samples.add(value=value, timestamp=timestamp)
    request.symbols.extend(symbols)
    return compress(request.SerializeToString())


def main() -> None:
    """Compare, after checking that each version's two ways make the same bytes."""
    for metrics, per_series in CASES:
        made = columns(metrics, per_series)
        ways = {
            "1.0 generated classes": partial(generated_v1, made),
            "1.0 ours": partial(ours, encoder_v1, made),
            "2.0 generated classes": partial(generated_v2, made),
            "2.0 ours": partial(ours, encoder_v2, made),
        }
        bodies = {name: encode() for name, encode in ways.items()}
        for version in ("1.0", "2.0"):
            if bodies[f"{version} generated classes"] != bodies[f"{version} ours"]:
                raise SystemExit("the encoders disagree; run the property tests")
        medians = side_by_side(ways, per_round=SAMPLES)
        report(
            f"encode {per_series} samples a series, {metrics} metrics an aircraft: with Snappy, a sample",
            medians,
            baseline="1.0 generated classes",
            sizes={name: len(body) / SAMPLES for name, body in bodies.items()},
        )


if __name__ == "__main__":
    main()
