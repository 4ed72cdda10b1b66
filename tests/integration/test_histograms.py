"""Native histograms in a real Prometheus: its results agree with the observations themselves."""

from __future__ import annotations

import itertools
import math
import random
import time
from bisect import bisect_right
from typing import TYPE_CHECKING

import pytest

from pyflink_prometheus import NativeHistogram, RemoteWriteVersion
from pyflink_prometheus.config import SinkConfig
from pyflink_prometheus.testing.prometheus_server import PrometheusServer
from pyflink_prometheus.writer.writer import RemoteWriter

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

QUANTILES = [0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999]


@pytest.fixture(scope="module")
def server(prometheus_kind: str) -> Iterator[PrometheusServer]:
    with PrometheusServer.start(prometheus_kind, extra_args=["--enable-feature=native-histograms"]) as started:
        yield started


@pytest.fixture(scope="module")
def million() -> list[float]:
    """Return a million observations with a long tail, like latencies: one in a hundred exceeds ten medians."""
    random_numbers = random.Random(20_260_801)
    return [random_numbers.lognormvariate(-2.0, 1.0) for _ in range(1_000_000)]


def write(
    server: PrometheusServer,
    labels: Mapping[str, str],
    histogram: NativeHistogram,
    timestamp: int,
    version: RemoteWriteVersion = RemoteWriteVersion.V2,
) -> None:
    others = dict(labels)
    writer = RemoteWriter(SinkConfig(prometheus_remote_write_url=server.remote_write_url, remote_write_version=version))
    writer.add((others.pop("__name__"), others, ((histogram, timestamp),)))
    writer.flush()
    writer.close()
    assert writer.ledger.samples_accepted == 1


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def value(server: PrometheusServer, promql: str, timestamp: int) -> float:
    (result,) = server.query(promql, timestamp / 1000)
    return float(result["value"][1])


def stored_buckets(server: PrometheusServer, metric_name: str, timestamp: int) -> list[tuple[float, float, float]]:
    """Return (lower bound, upper bound, count) of each bucket that Prometheus has, in ascending order."""
    (result,) = server.query(metric_name, timestamp / 1000)
    histogram = result["histogram"][1]
    return [(float(lower), float(upper), float(count)) for _, lower, upper, count in histogram.get("buckets", [])]


def quantile(ordered: list[float], q: float) -> float:
    """Return the q-quantile: the smallest observation that at least a share q of all observations do not exceed."""
    return ordered[max(0, math.ceil(q * len(ordered)) - 1)]


@pytest.mark.parametrize(
    ("schema", "growth", "version"),
    [
        (None, 2**0.125, RemoteWriteVersion.V1),
        (None, 2**0.125, RemoteWriteVersion.V2),
        (0, 2.0, RemoteWriteVersion.V2),
        (3, 2**0.125, RemoteWriteVersion.V2),
        (8, 2 ** (1 / 256), RemoteWriteVersion.V2),
    ],
)
def test_quantiles_of_a_million_observations_are_as_near_as_the_schema_promises(
    server: PrometheusServer,
    metric_name: str,
    million: list[float],
    schema: int | None,
    growth: float,
    version: RemoteWriteVersion,
) -> None:
    histogram = NativeHistogram.from_observations(million, schema=schema)
    assert growth == 2 ** (2.0**-histogram.schema)
    now = now_ms()
    write(server, {"__name__": metric_name}, histogram, now, version)

    ordered = sorted(million)
    for q in QUANTILES:
        estimate, true = value(server, f"histogram_quantile({q}, {metric_name})", now), quantile(ordered, q)
        lower, upper = next((low, high) for low, high, _ in histogram.buckets() if low < true <= high)
        assert lower <= estimate <= upper, q
        assert true / growth < estimate < true * growth, q
    assert value(server, f"histogram_count({metric_name})", now) == 1_000_000
    assert value(server, f"histogram_sum({metric_name})", now) == math.fsum(million)
    assert value(server, f"histogram_avg({metric_name})", now) == pytest.approx(math.fsum(million) / 1e6, rel=1e-12)
    for low, high in ((0.1, 1.0), (0.0, 0.05), (1.0, math.inf)):
        share = (bisect_right(ordered, high) - bisect_right(ordered, low)) / len(ordered)
        found = value(server, f"histogram_fraction({low}, {'+Inf' if high == math.inf else high}, {metric_name})", now)
        cut = sum(count for lower, upper, count in histogram.buckets() if lower < low < upper or lower < high < upper)
        assert abs(found - share) <= cut / 1_000_000 + 1e-12


@pytest.mark.parametrize("schema", [-4, -1, 0, 1, 3, 8])
def test_the_buckets_are_those_that_we_mean(server: PrometheusServer, metric_name: str, schema: int) -> None:
    largest = 1.7976931348623157e308
    magnitudes = [1e-30, 0.001, 0.5, 0.7, 1.0, 1.0000000000000002, 1.5, 2.0, 3.0, 1e9, largest, math.inf]
    histogram = NativeHistogram.from_observations(
        [*magnitudes, *(-each for each in magnitudes[1:-1]), 0.0], schema=schema
    )
    now = now_ms()
    write(server, {"__name__": metric_name}, histogram, now)

    found, meant = stored_buckets(server, metric_name, now), histogram.buckets()
    assert [count for *_, count in found] == [count for *_, count in meant]
    # Prometheus's own table of bounds is off by up to four units in the last place.
    for (lower, upper, _), (our_lower, our_upper, _) in zip(found, meant):
        assert lower == pytest.approx(our_lower, rel=1e-15, abs=0)
        assert upper == pytest.approx(our_upper, rel=1e-15, abs=0)


def test_a_float_histogram_keeps_its_weights(server: PrometheusServer, metric_name: str) -> None:
    histogram = NativeHistogram(
        schema=1,
        sum=12.25,
        zero_threshold=0.5,
        zero_count=0.125,
        positive={1: 0.5, 2: 2.25, 9: 1e-3},
        negative={4: 7.5},
    )
    assert histogram.is_float
    now = now_ms()
    write(server, {"__name__": metric_name}, histogram, now)

    assert [count for *_, count in stored_buckets(server, metric_name, now)] == [7.5, 0.125, 0.5, 2.25, 1e-3]
    assert value(server, f"histogram_count({metric_name})", now) == histogram.count == 10.376
    assert value(server, f"histogram_sum({metric_name})", now) == 12.25
    assert -4 <= value(server, f"histogram_quantile(0.5, {metric_name})", now) <= -(2**1.5)


def test_negative_observations_and_the_zero_bucket_are_in_their_places(
    server: PrometheusServer, metric_name: str
) -> None:
    random_numbers = random.Random(7)
    numbers = [random_numbers.gauss(1.0, 5.0) for _ in range(20_000)]
    histogram = NativeHistogram.from_observations(numbers, schema=4, zero_threshold=0.25)
    now = now_ms()
    write(server, {"__name__": metric_name}, histogram, now)

    ordered = sorted(numbers)
    for q in QUANTILES:
        estimate, true = value(server, f"histogram_quantile({q}, {metric_name})", now), quantile(ordered, q)
        if abs(true) <= 0.25:
            assert abs(estimate) <= 0.25
        else:
            assert true / estimate == pytest.approx(1.0, rel=2**0.0625 - 1), q
    assert sum(quantile(ordered, q) < -0.25 for q in QUANTILES) >= 3
    (zero,) = [count for low, high, count in stored_buckets(server, metric_name, now) if (low, high) == (-0.25, 0.25)]
    assert zero == histogram.zero_count == sum(abs(number) <= 0.25 for number in numbers) > 0
    below = value(server, f"histogram_fraction(-Inf, -0.25, {metric_name})", now)
    assert below == pytest.approx(sum(number < -0.25 for number in numbers) / 20_000, abs=0.002)


@pytest.mark.parametrize("weight", [1, 0.25])
def test_custom_buckets_give_the_classic_quantiles(
    server: PrometheusServer, metric_name: str, million: list[float], weight: float
) -> None:
    bounds = [0.0, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0]
    ordered = sorted(million[:50_000])
    cumulative = {str(bound): bisect_right(ordered, bound) * weight for bound in bounds}
    cumulative["+Inf"] = len(ordered) * weight
    histogram = NativeHistogram.from_classic_buckets(cumulative, sum=math.fsum(ordered) * weight)
    assert histogram.is_float is (weight != 1)
    now = now_ms()
    write(server, {"__name__": metric_name}, histogram, now)

    for q in QUANTILES:
        rank, (lower, upper) = q * len(ordered), (0.0, 0.0)
        lower, upper = next(
            (low, high) for low, high in itertools.pairwise(bounds) if bisect_right(ordered, high) >= rank
        )
        before, up_to = bisect_right(ordered, lower), bisect_right(ordered, upper)
        classic = lower + (upper - lower) * (rank - before) / (up_to - before)
        assert value(server, f"histogram_quantile({q}, {metric_name})", now) == pytest.approx(classic, rel=1e-9), q
    assert value(server, f"histogram_count({metric_name})", now) == 50_000 * weight


def test_halves_that_were_merged_are_stored_like_the_whole(
    server: PrometheusServer, metric_name: str, million: list[float]
) -> None:
    whole = NativeHistogram.from_observations(million, schema=3)
    halves = [NativeHistogram.from_observations(million[start::2], schema=schema) for start, schema in ((0, 3), (1, 8))]
    now = now_ms()
    write(server, {"__name__": metric_name, "which": "whole"}, whole, now)
    write(server, {"__name__": metric_name, "which": "merged"}, halves[0] + halves[1], now)

    selected = [f'{metric_name}{{which="{which}"}}' for which in ("whole", "merged")]
    one, other = (stored_buckets(server, selector, now) for selector in selected)
    assert one == other
    assert len(one) > 100
    for function in ("histogram_count", "histogram_sum"):
        first, second = (value(server, f"{function}({selector})", now) for selector in selected)
        assert first == pytest.approx(second, rel=1e-12)


@pytest.mark.parametrize(("cut", "threshold"), [(0.7, 0.85), (0.9, 1.0)])
def test_prometheus_adds_histograms_up_as_merging_does(
    server: PrometheusServer, metric_name: str, cut: float, threshold: float
) -> None:
    parts = [
        NativeHistogram.from_observations([-9.0, -0.3, 0.1, 0.2, cut, 3.0, 5.0], schema=2, zero_threshold=0.25),
        NativeHistogram.from_observations([-1.2, 0.1, 0.8, 0.9, 1.1, 3.1, 80.0], schema=5, zero_threshold=0.85),
        NativeHistogram.from_observations([1e-9, -2e-9, 0.05, 4.0], schema=8),
    ]
    now = now_ms()
    for number, part in enumerate(parts):
        write(server, {"__name__": metric_name, "part": str(number)}, part, now)
    merged = parts[0] + parts[1] + parts[2]

    found, meant = stored_buckets(server, f"sum({metric_name})", now), merged.buckets()
    assert [count for *_, count in found] == [count for *_, count in meant]
    for (lower, upper, _), (our_lower, our_upper, _) in zip(found, meant):
        assert (lower, upper) == pytest.approx((our_lower, our_upper), rel=1e-15, abs=0)
    assert merged.zero_threshold == threshold


def test_a_counter_that_accumulates_has_a_rate_and_its_reset_is_seen(
    server: PrometheusServer, metric_name: str
) -> None:
    window = NativeHistogram.from_observations([0.1, 0.2, 0.2, 3.0], schema=3)
    start = now_ms() - 60_000
    total = window
    for second in range(5):
        write(server, {"__name__": metric_name}, total, start + second * 1000)
        total = total + window
    write(server, {"__name__": metric_name}, window, start + 5000)

    end = start + 5000
    assert value(server, f"resets({metric_name}[5001ms])", end) == 1
    increase = value(server, f"histogram_count(increase({metric_name}[5001ms]))", end)
    assert increase == pytest.approx(4 * 4 + 4, rel=0.001)


def test_gauges_may_fall_and_no_reset_is_seen(server: PrometheusServer, metric_name: str) -> None:
    start = now_ms() - 60_000
    for second, count in enumerate([5, 3, 4, 1]):
        gauge = NativeHistogram.from_observations([1.0] * count, schema=3).as_gauge()
        write(server, {"__name__": metric_name}, gauge, start + second * 1000)

    end = start + 3000
    assert value(server, f"histogram_count(delta({metric_name}[3001ms]))", end) == pytest.approx(-4, rel=0.01)
    (result,) = server.query(f"{metric_name}[10s]", end / 1000)
    assert [int(float(histogram["count"])) for _, histogram in result["histograms"]] == [5, 3, 4, 1]


@pytest.mark.parametrize(
    "histogram",
    [
        NativeHistogram.from_observations([]),
        NativeHistogram.from_observations([1.0, math.nan, math.inf, -math.inf]),
        NativeHistogram.from_observations([math.inf, 1.0]),
        NativeHistogram.from_observations([5e-324, 1e-323, -5e-324], zero_threshold=0),
        NativeHistogram(schema=0, sum=0.0, positive={index: 2**40 * (index % 7) for index in range(-1074, 1025, 2)}),
        NativeHistogram(schema=-53, sum=1.0, positive={0: 1}),
        NativeHistogram.from_classic_buckets({-2.5: 1, 0.0: 3, 9.0: 3}, sum=-4.0, count=3),
        NativeHistogram(schema=8, sum=0.0, count=2.0**70, positive={0: 2.0**70}),
        NativeHistogram(schema=8, sum=0.0, positive={0: 2**63 - 2, 1: 1}),
    ],
    ids=["empty", "nan", "infinity", "subnormal", "wide", "no-bounds", "negative-bounds", "huge-float", "huge-integer"],
)
def test_the_extremes_are_taken(server: PrometheusServer, metric_name: str, histogram: NativeHistogram) -> None:
    now = now_ms()
    write(server, {"__name__": metric_name}, histogram, now)

    assert value(server, f"histogram_count({metric_name})", now) == float(histogram.count)
    assert value(server, f"histogram_sum({metric_name})", now) == pytest.approx(histogram.sum, rel=0, nan_ok=True)
    found = [count for *_, count in stored_buckets(server, metric_name, now)]
    assert found == [float(count) for *_, count in histogram.buckets()]
