"""Encode one sample of a known series with four labels: our encoder against protobuf's generated classes."""

from __future__ import annotations

from measure import report, side_by_side

from pyflink_prometheus.wire._pb.remote_write_v1_pb2 import WriteRequest
from pyflink_prometheus.wire.encoder_v1 import compress, encode_request
from pyflink_prometheus.wire.series import SeriesCache

SAMPLES = 2000
METRIC = "flight_altitude_feet"
LABELS = [
    {"icao24": f"{number:06x}", "callsign": f"MSR{number}", "operator": "MSR", "source": "adsb"}
    for number in range(SAMPLES)
]
TIMESTAMPS = [1_700_000_000_000 + number for number in range(SAMPLES)]
VALUES = [13650.0 + number for number in range(SAMPLES)]

cache = SeriesCache(2 * SAMPLES)
known = [cache.get(METRIC, labels) for labels in LABELS]


def ours() -> bytes:
    return encode_request(known, TIMESTAMPS, VALUES)


def ours_with_lookup() -> bytes:
    get = cache.get
    return encode_request([get(METRIC, labels) for labels in LABELS], TIMESTAMPS, VALUES)


def generated() -> bytes:
    request = WriteRequest()
    for labels, timestamp, value in zip(LABELS, TIMESTAMPS, VALUES):
        series = request.timeseries.add()
        for name, label in sorted({"__name__": METRIC, **labels}.items()):
            series.labels.add(name=name, value=label)
        series.samples.add(value=value, timestamp=timestamp)
    return request.SerializeToString()


def main() -> None:
    """Compare, after checking that all of them make the same bytes."""
    if not ours() == ours_with_lookup() == generated():
        raise SystemExit("the encoders disagree; run the property tests")
    medians = side_by_side(
        {
            "generated classes": generated,
            "generated classes + Snappy": lambda: compress(generated()),
            "ours": ours,
            "ours + looking the series up": ours_with_lookup,
            "ours + looking the series up + Snappy": lambda: compress(ours_with_lookup()),
        },
        per_round=SAMPLES,
    )
    report("encode 1.0: one sample, four labels, known series", medians, baseline="generated classes")


if __name__ == "__main__":
    main()
