"""The writer with a real Prometheus: it stores exactly what was sent, whatever fails in between."""

from __future__ import annotations

import math
import random
import time
from itertools import cycle
from typing import Any

import pytest
from faulty_proxy import FAULTS, FaultyProxy
from rejections import Rejections

from pyflink_prometheus import (
    PrometheusTimeSeries,
    RejectionReason,
    RemoteWriteVersion,
    RetryConfiguration,
)


@pytest.fixture(params=[RemoteWriteVersion.V1, RemoteWriteVersion.V2], ids=lambda version: version.name)
def version(request):
    return request.param


@pytest.fixture
def start(version, open_writer):
    """Return a function that starts a writer."""

    def start_one(url, **settings):
        return open_writer(url, **{"remote_write_version": version, **settings})

    return start_one


def now_ms():
    return int(time.time() * 1000)


def labels_of(record):
    return tuple(
        sorted({"__name__": record.metric_name, **{k: v for k, v in dict(record.labels).items() if v}}.items())
    )


def collected(records):
    """Return the samples of records, in the shape in which Prometheus returns them."""
    expected: dict[Any, list[Any]] = {}
    for record in records:
        expected.setdefault(labels_of(record), []).extend(record.samples)
    return {labels: sorted(samples, key=lambda sample: sample[1]) for labels, samples in expected.items()}


def test_every_sample_is_stored_as_it_was_sent(start, prometheus, metric_name):
    rng, began = random.Random(1), now_ms() - 600_000
    records = [
        PrometheusTimeSeries(
            metric_name,
            {"device": f"d{number % 50}", "ünïcode": 'värde "quoted"\n\\', "empty": ""},
            ((rng.uniform(-1e6, 1e6), began + number * 7), (float(number), began + number * 7 + 3)),
        )
        for number in range(20_000)
    ]
    writer = start(prometheus.remote_write_url, max_in_flight_requests=4)
    for record in records:
        writer.add(record)
    writer.flush()
    assert writer.ledger.samples_accepted == 40_000
    assert prometheus.samples(metric_name) == collected(records)


def test_every_kind_of_float_is_stored(start, prometheus, metric_name):
    values = [0.0, -0.0, math.inf, -math.inf, 5e-324, 1.7976931348623157e308, 0.1, math.nan]
    began = now_ms()
    writer = start(prometheus.remote_write_url)
    writer.add((metric_name, {}, tuple((value, began + number) for number, value in enumerate(values))))
    writer.flush()
    (samples,) = prometheus.samples(metric_name).values()
    assert [repr(value) for value, _ in samples] == [repr(value) for value in values]


def poison(kind, metric, number, now):
    """Return a record all of whose samples Prometheus would refuse or silently drop."""
    good = {"series": f"poison {kind} {number}"}
    records: dict[str, tuple[Any, ...]] = {
        "metric name missing": ("", good, ((1.0, now),)),
        "metric name no text": (None, good, ((1.0, now),)),
        "label name empty": (metric, {"": "x", **good}, ((1.0, now),)),
        "label name reserved": (metric, {"__name__": "x", **good}, ((1.0, now),)),
        "label twice": (metric, (("a", "1"), ("a", "2")), ((1.0, now),)),
        "label value no text": (metric, {"a": 1, **good}, ((1.0, now),)),
        "label value no UTF-8": (metric, {"a": "\ud800", **good}, ((1.0, now),)),
        "value no number": (metric, good, (("1.0", now),)),
        "timestamp a float": (metric, good, ((1.0, now + 0.5),)),
        "no samples": (metric, good, ()),
        "out of order": (metric, {"series": "0"}, ((1.0, now - 500_000 - number),)),
        "another value at a known time": (metric, {"series": "0"}, ((-1.0 - number, now - 400_000),)),
        "too old": (metric, good, ((1.0, now - 86_400_000),)),
        "in seconds": (metric, good, ((1.0, now // 1000),)),
        "too new": (metric, good, ((1.0, now + 3_600_000),)),
    }
    return records[kind]


BEFORE_SENDING = [
    "metric name missing",
    "metric name no text",
    "label name empty",
    "label name reserved",
    "label twice",
    "label value no text",
    "label value no UTF-8",
    "value no number",
    "timestamp a float",
    "no samples",
]
BY_PROMETHEUS = ["out of order", "another value at a known time", "too old", "in seconds", "too new"]


@pytest.mark.parametrize("shards", [1, 3])
def test_exactly_the_poison_is_refused(start, version, prometheus_empty, metric_name, shards):
    """Of 10,000 records, 1 % of them bad in all known ways, 9,900 are stored."""
    rng, now, rejections = random.Random(2), now_ms(), Rejections()
    kinds = (BEFORE_SENDING + BY_PROMETHEUS) * 7
    bad = [poison(kind, metric_name, number, now) for number, kind in enumerate(kinds[:100])]
    good = [
        PrometheusTimeSeries(metric_name, {"series": str(number % 30)}, ((float(number), now - 400_000 + number * 30),))
        for number in range(9_900)
    ]
    # The first hundred are good, so that Prometheus can tell old from new.
    places = set(rng.sample(range(100, 10_000), 100))
    goods, bads = iter(good), iter(bad)
    writer = start(
        prometheus_empty.remote_write_url, rejected_samples_handler=rejections, max_in_flight_requests=shards
    )
    for place in range(10_000):
        writer.add(next(bads) if place in places else next(goods))
        if place == 99:
            writer.flush()
    writer.flush()

    assert prometheus_empty.samples(metric_name) == collected(good)
    ledger = writer.ledger
    by_prometheus = sum(kind in BY_PROMETHEUS for kind in kinds[:100])
    assert (ledger.samples_in, ledger.samples_accepted, ledger.samples_pending) == (10_000, 9_900, 0)
    # Another value at a known time may be in the same request as the known one.
    refused_or_conflicting = (
        ledger.samples_rejected[RejectionReason.REFUSED] + ledger.samples_rejected[RejectionReason.CONFLICTING]
    )
    assert refused_or_conflicting == by_prometheus
    assert ledger.samples_rejected[RejectionReason.CONFLICTING] <= kinds[:100].count("another value at a known time")
    assert ledger.samples_rejected[RejectionReason.INVALID] == 100 - by_prometheus
    assert sum(each.count for each in rejections) == 100
    refused = [each for each in rejections if each.reason is RejectionReason.REFUSED]
    assert all(each.status == 400 and "HTTP 400: " in each.message for each in refused)
    # In 1.0 each is named; in 2.0 they are among the request's samples, unless it had no others.
    told = {
        sample for each in rejections if each.reason is RejectionReason.CONFLICTING for sample in each.record.samples
    }
    told |= {sample for each in refused for series in (each.candidates or (each.record,)) for sample in series.samples}
    poisonous = {sample for kind, record in zip(kinds, bad) if kind in BY_PROMETHEUS for sample in record[2]}
    assert told == poisonous if version is RemoteWriteVersion.V1 else told >= poisonous


@pytest.mark.parametrize("shards", [1, 3])
def test_no_fault_on_the_way_loses_a_sample_or_breaks_order(start, version, prometheus, metric_name, shards):
    rng, began, rejections = random.Random(shards), now_ms() - 600_000, Rejections()
    records = [
        PrometheusTimeSeries(metric_name, {"series": str(rng.randrange(40))}, ((float(number), began + number * 10),))
        for number in range(1_500)
    ]
    faults = [*FAULTS, *[None] * 12]
    rng.shuffle(faults)
    with FaultyProxy(prometheus.remote_write_url, cycle(faults).__next__, late_s=0.8) as proxy:
        writer = start(
            proxy.url,
            max_batch_size_in_samples=50,
            max_in_flight_requests=shards,
            socket_timeout_ms=400,
            retry=RetryConfiguration(initial_retry_delay_ms=1, max_retry_delay_ms=4, max_retry_count=10_000),
            rejected_samples_handler=rejections,
        )
        for number, record in enumerate(records):
            writer.add(record)
            if number % 300 == 299:
                writer.flush()
        assert {fault for fault in FAULTS if proxy.seen[fault]} == set(FAULTS)

    assert prometheus.samples(metric_name) == collected(records)
    ledger = writer.ledger
    assert (
        ledger.samples_in == ledger.samples_accepted + ledger.samples_rejected[RejectionReason.REFUSED] == len(records)
    )
    assert ledger.requests_retried > 0
    # The rejected samples had already been stored, by an attempt whose response was lost.
    assert sum(each.count for each in rejections) == ledger.samples_rejected[RejectionReason.REFUSED]
    taken = (204,) if version is RemoteWriteVersion.V1 else (204, 400)
    stored = {value for samples, status in proxy.forwarded if status in taken for _, value, _ in samples}
    assert {value for each in rejections if each.record for value, _ in each.record.samples} <= stored
    # No sample reached Prometheus for the first time after a newer one of its series.
    seen: dict[str, set[int]] = {}
    for samples, _ in proxy.forwarded:
        for key, _, timestamp in samples:
            times = seen.setdefault(key, {0})
            assert timestamp in times or timestamp > max(times)
            times.add(timestamp)


def test_a_prometheus_that_is_killed_and_comes_back_misses_nothing(start, prometheus_empty, metric_name):
    began = now_ms() - 600_000
    records = [
        PrometheusTimeSeries(metric_name, {"series": str(number % 40)}, ((float(number), began + number * 10),))
        for number in range(4_000)
    ]
    writer = start(prometheus_empty.remote_write_url, max_batch_size_in_samples=100, max_in_flight_requests=2)
    for number, record in enumerate(records):
        writer.add(record)
        if number == 1_000:
            prometheus_empty.kill()
        if number == 2_000:
            prometheus_empty.restart()
    writer.flush()
    assert prometheus_empty.samples(metric_name) == collected(records)
    assert writer.ledger.requests_retried > 0
