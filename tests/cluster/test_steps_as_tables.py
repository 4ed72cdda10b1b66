"""The functions that make tables return what the operators do for the same readings out of order, across a crash."""

from __future__ import annotations

import math
import os
import signal
import sys
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import pytest
from local_job import JOBS, run_job_file
from operator_harness import Harness

from pyflink_prometheus import (
    Aggregate,
    CumulativeAggregate,
    CumulativeWindows,
    Enrich,
    Filter,
    Hampel,
    MarkStale,
    NativeHistogram,
    PrometheusTimeSeries,
    Reorder,
    SameTimestamp,
    SessionWindows,
    SlidingWindows,
    SpeedGate,
    Threshold,
    TumblingWindows,
)
from pyflink_prometheus.model.samples import is_stale_marker
from pyflink_prometheus.testing import Receiver
from pyflink_prometheus.transforms.windows import Windows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pyflink_prometheus.testing import ReceivedRequest

sys.path.append(str(JOBS))

from readings import COUNT, OUT_OF_ORDERNESS_MS, TARDY, Reading, reading

PER_SECOND = 900
EVERY = [reading(n) for n in range(COUNT)]
READINGS = [each for each in EVERY if each.device != TARDY]
# As in steps_as_tables.py.
WINDOWS: dict[str, Windows] = {
    "tumbling": TumblingWindows(60_000),
    "sliding": SlidingWindows(60_000, 20_000),
    "cumulative": CumulativeWindows(60_000, 20_000),
    "sessions": SessionWindows(30_000),
}
OF = ("count", "sum", "min", "max", "mean", "last", "histogram", 0.5, 0.95)

Found = dict[str, list[tuple[Any, int]]]


class Store:
    """A receiver that kills the worker, once, when each kind of result has something to restore."""

    def __init__(self) -> None:
        self.requests: list[ReceivedRequest] = []
        self.is_killed = False
        self._names: set[str] = set()

    def __call__(self, request: ReceivedRequest) -> int:
        self.requests.append(request)
        if self.is_killed:
            return 204
        self._names |= {series.partition("{")[0] for series, *_ in request.samples}
        if {"tumbling_mean", "counted_sum", "rejected"} <= self._names:
            self.is_killed = True
            os.kill(int(request.headers["x-worker"]), signal.SIGKILL)
        return 204


@pytest.fixture(scope="module")
def found() -> Found:
    """Run the job, and return its samples by series, in the order of their first arrival."""
    store = Store()
    with Receiver(store) as receiver:
        run_job_file("steps_as_tables.py", receiver.url, str(PER_SECOND))
    assert store.is_killed
    everything: dict[str, dict[Any, None]] = defaultdict(dict)
    for request in store.requests:
        for series, value, timestamp in request.samples:
            everything[series][shown(value), timestamp] = None
    return {series: list(samples) for series, samples in everything.items()}


def shown(value: Any) -> Any:
    if isinstance(value, NativeHistogram):
        return (value.schema, value.count, round(value.sum, 6), value.positive, value.negative, value.is_gauge)
    return "stale" if is_stale_marker(value) else "NaN" if math.isnan(value) else round(value, 6)


def of(found: Found, metric_name: str) -> Found:
    """Return the series of a metric."""
    return {series: samples for series, samples in found.items() if series.partition("{")[0] == metric_name}


def made(results: Iterable[PrometheusTimeSeries]) -> Found:
    """Return the samples that an operator has produced."""
    samples: Found = defaultdict(list)
    for series in results:
        samples[series.key()] += [(shown(value), timestamp) for value, timestamp, *_ in series.samples]
    return samples


def through(function: Any, key: Callable[[Any], Any], events: Iterable[Reading]) -> Harness:
    """Send all readings through an operator, none of them late."""
    harness = Harness(function)
    newest = 0
    for number, event in enumerate(events):
        harness.send(event, event.ms, key(event))
        newest = max(newest, event.ms)
        if number % 20 == 0:
            harness.advance(newest - OUT_OF_ORDERNESS_MS)
    return harness.advance()


def by_device(event: Reading) -> str:
    return event.device


def numbers_of(events: Iterable[Reading], metric_name: str, **labels: str) -> Found:
    """Return the series of readings whose values are their numbers."""
    return made(
        PrometheusTimeSeries(metric_name, {"device": each.device, **labels}, ((float(each.n), each.ms),))
        for each in events
    )


def in_order(events: Iterable[Reading]) -> list[Reading]:
    return sorted(events, key=lambda each: each.ms)


DISTINCT = through(Reorder(), by_device, READINGS).results


@pytest.mark.parametrize("policy", [each for each in SameTimestamp if each is not SameTimestamp.ALL])
def test_reorder(found, policy):
    reorder = Reorder(policy, value=lambda each: each.value, with_value=lambda each, value: each._replace(value=value))
    expected = made(
        PrometheusTimeSeries(f"reorder_{policy.value}", {"device": each.device}, ((each.value, each.ms),))
        for each in through(reorder, by_device, READINGS).results
        if each.value is not None
    )
    assert of(found, f"reorder_{policy.value}") == expected


def test_reorder_keeps_all_in_order_of_arrival(found):
    expected = numbers_of(through(Reorder(SameTimestamp.ALL), by_device, READINGS).results, "reorder_all")
    assert of(found, "reorder_all") == expected


def test_each_row_is_either_late_or_in_time(found):
    late = {number for samples in of(found, "late").values() for number, _ in samples}
    in_time = {number for samples in of(found, "in_time").values() for number, _ in samples}
    assert late | in_time == set(range(COUNT))
    # A row that is read again after a crash may meet another watermark.
    assert {each.n for each in READINGS} <= in_time
    assert {series for series in found if series.startswith("late")} == {f'late{{device="{TARDY}"}}'}


@pytest.mark.parametrize("name", WINDOWS)
def test_aggregates(found, name):
    aggregate = Aggregate(name, lambda each: each.value, WINDOWS[name], OF, labels="device")
    expected = made(through(aggregate, by_device, READINGS).results)
    assert len({series.partition("{")[0] for series in expected}) == 8
    for series, samples in expected.items():
        assert found[series] == samples
    names = {series.partition("{")[0] for series in expected}
    assert {series for metric_name in names for series in of(found, metric_name)} == set(expected)


def test_several_dimensions_at_once(found):
    expected: Found = {}

    def labels(key: tuple[str, ...]) -> dict[str, str]:
        return {name: value for name, value in zip(("device", "room"), key) if value}

    for key in (
        lambda each: (each.device,),
        lambda each: (each.device, each.room or ""),
        lambda each: (),
    ):
        aggregate = Aggregate("several", lambda each: each.value, WINDOWS["tumbling"], labels=labels)
        for series, samples in made(through(aggregate, key, READINGS).results).items():
            # A NULL room is not a label, so the list with it has the same labels as the list without it.
            expected[series] = sorted({*expected.get(series, ()), *samples}, key=lambda each: (each[1], each[0]))
    several = of(found, "several_mean")
    assert {series: sorted(each, key=lambda one: (one[1], one[0])) for series, each in several.items()} == expected


def test_counters(found):
    aggregate = CumulativeAggregate("counted", lambda each: each.value, ("count", "sum"), labels="device")
    expected = made(through(aggregate, by_device, READINGS).results)
    assert {**of(found, "counted_count"), **of(found, "counted_sum")} == expected


def test_a_static_table(found):
    sites = {"d0": {"site": "roof", "floor": "9"}, "d1": {"site": "cellar"}}
    enrich = Enrich(sites, lambda row: row["device"], default={"site": "?"})
    for name, events in (("static", READINGS), ("many", [each for each in READINGS if each.device != "d2"])):
        rows = [each._asdict() for each in events]
        harness = Harness(enrich)
        for row in rows:
            harness.send(row)
        expected: Found = defaultdict(list)
        for row in harness.results:
            labels = {label: row[label] for label in ("device", "site", "floor") if label in row}
            series = PrometheusTimeSeries(name, labels, ((float(row["n"]), row["ms"]),))
            expected[series.key()].append((row["n"], row["ms"]))
        assert sorted_samples(of(found, name)) == sorted_samples(expected)
    unmatched = numbers_of((each for each in READINGS if each.device == "d2"), "unmatched")
    assert sorted_samples(of(found, "unmatched")) == sorted_samples(unmatched)


def test_a_table_that_changes_is_that_of_the_time_of_the_row(found):
    updates = [each for each in READINGS if each.device != "d1" and each.n % 100 < 3]
    expected: Found = defaultdict(list)
    for each in READINGS:
        known = [update for update in updates if update.device == each.device and update.ms <= each.ms]
        labels = {"device": each.device}
        if known:
            labels["site"] = f"site{max(known, key=lambda update: (update.ms, update.n)).n}"
        expected[PrometheusTimeSeries("changing", labels, ((1.0, 1),)).key()].append((each.n, each.ms))
    assert sorted_samples(of(found, "changing")) == sorted_samples(expected)


def test_the_filter_and_its_reasons(found):
    checks = (
        Threshold(lambda each: each.value, min=-1_000),
        Hampel(lambda each: each.value, min_deviation=20),
        SpeedGate(lambda each: (each.latitude, each.longitude), max_speed=300),
    )
    judge = Filter(*checks)._checks
    states: dict[str, Any] = {}
    accepted: list[tuple[Reading, str]] = []
    rejected: list[tuple[Reading, str]] = []
    for each in DISTINCT:
        judgement = judge.judge(each, each.ms, states.get(each.device))
        states[each.device] = judgement.state
        (accepted if judgement.rejected_by is None else rejected).append((each, judgement.reason))
    assert {reason.partition(":")[0] for _, reason in rejected} == {"threshold", "hampel", "speed"}
    assert sorted_samples(of(found, "accepted")) == sorted_samples(
        numbers_of((each for each, _ in accepted), "accepted")
    )
    reasons: dict[tuple[float, int], str] = {}
    for series, samples in of(found, "rejected").items():
        reasons.update({sample: series.partition('reason="')[2].rpartition('"')[0] for sample in samples})
    expected = {(float(each.n), each.ms): reason for each, reason in rejected}
    assert reasons.keys() == expected.keys()
    for sample, reason in expected.items():
        # SQL formats a number differently.
        assert reasons[sample] == reason or reason.startswith("threshold")


def test_the_end_of_series(found):
    def to_series(each: Reading) -> list[PrometheusTimeSeries]:
        fields = {"value": each.value, "latitude": each.latitude}
        return [
            PrometheusTimeSeries(f"ended_{name}", {"device": each.device}, ((value, each.ms),))
            for name, value in fields.items()
            if value is not None
        ]

    expected = made(through(MarkStale(30_000, to_series), by_device, DISTINCT).results)
    assert sum(value == "stale" for samples in expected.values() for value, _ in samples) > 2
    assert {**of(found, "ended_value"), **of(found, "ended_latitude")} == expected


def sorted_samples(found: Found) -> Found:
    """Return samples in order of time, for results that are not ordered."""
    return {series: sorted(samples, key=lambda each: (each[1], each[0])) for series, samples in found.items()}
