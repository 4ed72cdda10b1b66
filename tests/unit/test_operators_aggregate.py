"""Aggregate emits each window once, with all events that are on time; CumulativeAggregate counts forever."""

from __future__ import annotations

import math
import random
import statistics

import pytest
from operator_harness import Harness
from pyflink.common import Types
from pyflink.datastream import OutputTag

from pyflink_prometheus import (
    Aggregate,
    CumulativeAggregate,
    Metadata,
    NativeHistogram,
    SessionWindows,
    SlidingWindows,
    TumblingWindows,
)
from pyflink_prometheus.model.buckets import upper_bound
from pyflink_prometheus.transforms.distribution import (
    MAX_VALUES,
    add_value,
    histogram,
    new_distribution,
    quantile,
)

LATE = OutputTag("late", Types.PICKLED_BYTE_ARRAY())


def itself(event):
    return event


def at(*times):
    """Return (value, time) of events whose value is their time."""
    return [(float(time), time) for time in times]


def send(harness, events, key="k"):
    for value, timestamp in events:
        harness.send(value, timestamp, key)
    return harness


def written(harness):
    """Return (series, value, timestamp) of all samples."""
    return [(series.key(), value, when) for series in harness.results for value, when, *_ in series.samples]


def sums(windows, events, **options):
    harness = send(Harness(Aggregate("m", itself, windows, "sum", **options)), events).advance()
    return [(value, when) for _, value, when in written(harness)]


def test_all_aggregates_with_their_names_and_labels():
    of = ("count", "sum", "min", "max", "mean", "last", "histogram", 0.5, 0.95)
    harness = Harness(Aggregate("altitude_feet", itself, TumblingWindows(1000), of, labels="operator"))
    send(harness, [(4.0, 100), (1.0, 900), (10.0, 200)], "AFR").advance()
    labels = '{operator="AFR"}'
    assert written(harness) == [
        ("altitude_feet_count_in_window" + labels, 3, 1000),
        ("altitude_feet_sum_in_window" + labels, 15.0, 1000),
        ("altitude_feet_min" + labels, 1.0, 1000),
        ("altitude_feet_max" + labels, 10.0, 1000),
        ("altitude_feet_mean" + labels, 5.0, 1000),
        ("altitude_feet_last" + labels, 1.0, 1000),
        (
            "altitude_feet_histogram_in_window" + labels,
            NativeHistogram.from_observations([4.0, 1.0, 10.0], schema=3).as_gauge(),
            1000,
        ),
        ('altitude_feet_quantile{operator="AFR",quantile="0.5"}', 4.0, 1000),
        ('altitude_feet_quantile{operator="AFR",quantile="0.95"}', pytest.approx(9.4), 1000),
    ]
    types = {series.metric_name: series.metadata for series in harness.results}
    assert types["altitude_feet_mean"] == Metadata("gauge")
    assert types["altitude_feet_histogram_in_window"] == Metadata("gaugehistogram")
    assert all(series.check() for series in harness.results)


@pytest.mark.parametrize(
    ("labels", "key", "expected"),
    [
        ("operator", "AFR", 'm_mean{operator="AFR"}'),
        (("operator", "level"), ("AFR", 3), 'm_mean{level="3",operator="AFR"}'),
        (lambda key: {"first": key[0]}, "AFR", 'm_mean{first="A"}'),
        ((), "anything", "m_mean{}"),
    ],
)
def test_labels_are_made_of_the_key(labels, key, expected):
    harness = Harness(Aggregate("m", itself, TumblingWindows(10), labels=labels)).send(1.0, 5, key).advance()
    assert [series.key() for series in harness.results] == [expected]


def test_a_key_with_other_parts_than_labels_is_refused():
    harness = Harness(Aggregate("m", itself, TumblingWindows(10), labels=("a", "b")))
    with pytest.raises(ValueError, match=r"labels: expected a key with 2 parts.*\(1, 2, 3\)"):
        harness.send(1.0, 5, (1, 2, 3)).advance()


def test_tumbling_windows_begin_at_1970_and_before():
    assert sums(TumblingWindows(10), at(-1, 0, 9, 10, 25)) == [(-1.0, 0), (9.0, 10), (10.0, 20), (25.0, 30)]


def test_sliding_windows_hold_each_event_several_times():
    assert sums(SlidingWindows(10, 5), at(7)) == [(7.0, 10), (7.0, 15)]
    assert sums(SlidingWindows(10, 4), at(9)) == [(9.0, 10), (9.0, 14), (9.0, 18)]
    assert sums(SlidingWindows(5, 5), at(4, 5)) == [(4.0, 5), (5.0, 10)]


def test_sessions_end_when_nothing_comes_for_the_gap():
    assert sums(SessionWindows(10), at(0, 9, 18, 40)) == [(27.0, 28), (40.0, 50)]


@pytest.mark.parametrize("order", [(0, 8, 16), (16, 0, 8), (8, 16, 0), (0, 16, 8)])
def test_a_session_is_the_same_whatever_order_its_events_come_in(order):
    harness = send(Harness(Aggregate("m", itself, SessionWindows(10), ("count", "last"))), at(*order)).advance()
    assert written(harness) == [("m_count_in_window{}", 3, 26), ("m_last{}", 16.0, 26)]
    assert harness.outputs[0][0] == 25
    assert harness.keys_with_state == set()


def test_a_window_is_written_when_the_watermark_reaches_its_last_moment():
    harness = send(Harness(Aggregate("m", itself, TumblingWindows(10))), at(5))
    assert harness.advance(8).results == []
    assert [timestamp for timestamp, _ in harness.advance(9).outputs] == [9]
    assert harness.keys_with_state == set()


def test_late_events_go_to_the_side_output_and_no_window_is_written_twice():
    harness = Harness(Aggregate("m", itself, TumblingWindows(10), late_output_tag=LATE))
    send(send(harness, at(5)).advance(9), at(6, 11)).advance()
    assert [value for _, value, _ in written(harness)] == [5.0, 11.0]
    assert harness.side["late"] == [6.0]
    assert harness.counts == {"numLateEvents": 1}


def test_with_allowed_lateness_a_window_waits_and_is_still_written_once():
    harness = Harness(Aggregate("m", itself, TumblingWindows(10), "sum", allowed_lateness_ms=20, late_output_tag=LATE))
    send(send(harness, at(5)).advance(28), at(6))
    assert harness.results == []
    send(harness.advance(29), at(7)).advance()
    assert written(harness) == [("m_sum_in_window{}", 11.0, 10)]
    assert harness.side["late"] == [7.0]


def test_an_event_late_for_some_of_its_windows_is_in_the_others():
    harness = Harness(Aggregate("m", itself, SlidingWindows(10, 5), "sum", late_output_tag=LATE))
    send(harness.advance(9), at(7)).advance()
    assert (written(harness), harness.side["late"]) == ([("m_sum_in_window{}", 7.0, 15)], [])


def test_a_late_event_that_joins_an_open_session_is_not_late():
    harness = send(Harness(Aggregate("m", itself, SessionWindows(10), "count", late_output_tag=LATE)), at(10))
    send(harness.advance(15), at(5, 4)).advance()
    assert written(harness) == [("m_count_in_window{}", 3, 20)]
    assert harness.side["late"] == []


def test_events_without_a_value_are_not_counted_and_a_window_of_them_is_not_written():
    harness = Harness(Aggregate("m", itself, TumblingWindows(10), "count"))
    for value, timestamp in [(None, 1), (math.nan, 2), (3.0, 3), (None, 11)]:
        harness.send(value, timestamp)
    assert written(harness.advance()) == [("m_count_in_window{}", 1, 10)]


def test_a_value_that_is_no_number_fails_with_a_word_on_where_to_put_it_right():
    with pytest.raises(TypeError, match="expected a number as an event's value, got '5'; convert it in the value"):
        Harness(Aggregate("m", itself, TumblingWindows(10))).send("5", 1)


def test_open_windows_come_back_from_a_savepoint():
    of = ("sum", "histogram", 0.5, "last")
    aggregate = Aggregate("m", itself, TumblingWindows(10), of)
    whole = send(Harness(aggregate), at(1, 2, 3, 4)).advance()
    half = send(Harness(aggregate), at(1, 2))
    assert written(send(Harness(aggregate, half.savepoint()), at(3, 4)).advance()) == written(whole)


@pytest.mark.parametrize("count", [1, 2, 10, MAX_VALUES])
@pytest.mark.parametrize("q", [0.0, 0.01, 0.25, 0.5, 0.95, 1.0])
def test_quantiles_of_few_values_are_those_of_numpy(count, q):
    numpy = pytest.importorskip("numpy")
    rng = random.Random(count)
    values = [rng.lognormvariate(0, 3) - 2 for _ in range(count)]
    distribution = new_distribution()
    for value in values:
        add_value(distribution, value)
    assert quantile(distribution, q) == pytest.approx(float(numpy.quantile(values, q)), rel=1e-12)


@pytest.mark.parametrize("q", [0.0, 0.01, 0.25, 0.5, 0.95, 1.0])
def test_quantiles_of_many_values_are_within_a_bucket(q):
    rng = random.Random(2)
    values = sorted([rng.gauss(0, 1000) for _ in range(5000)] + [0.0] * 50)
    distribution = new_distribution()
    for value in values:
        add_value(distribution, value)
    assert len(distribution["values"]) <= MAX_VALUES
    assert quantile(distribution, q) == pytest.approx(values[math.floor(q * (len(values) - 1))], rel=0.0014)
    exact = NativeHistogram.from_observations(values, schema=3)
    assert histogram(distribution, exact.sum, 3) == exact


def test_half_a_bucket_is_at_most_what_the_documents_say():
    low, high = upper_bound(100, 8), upper_bound(101, 8)
    assert (high - low) / 2 / low < 0.0014


def counters(**options):
    return Harness(CumulativeAggregate("m", itself, ("count", "sum", "histogram"), interval_ms=10, **options))


def test_counters_count_on_and_begin_with_zero():
    harness = send(Harness(CumulativeAggregate("m", labels="a", interval_ms=10)), at(11, 12, 25, 47), "x").advance()
    assert [(series.key(), series.samples) for series in harness.results] == [
        ('m_count{a="x"}', ((0.0, 10), (2, 20, 10))),
        ('m_count{a="x"}', ((3, 30, 10),)),
        ('m_count{a="x"}', ((4, 50, 10),)),
    ]
    assert all(series.check().metadata == Metadata("summary") for series in harness.results)


def test_sums_and_histograms_are_those_of_all_values_so_far():
    harness = send(counters(), [(1.0, 1), (2.0, 2), (4.0, 12)]).advance()
    second = {series.metric_name: series.samples for series in harness.results[3:]}
    assert second["m_sum"] == ((7.0, 20, 0),)
    assert second["m_histogram"] == ((NativeHistogram.from_observations([1.0, 2.0, 4.0], schema=3), 20, 0),)
    empty = harness.results[2].samples[0][0]
    assert (empty.count, empty.schema, empty.is_gauge) == (0, 3, False)


def test_disorder_across_intervals_counts_each_event_where_it_belongs():
    events = at(25, 3, 14, 7, 21)
    expected = [series for _, series in send(counters(), sorted(events)).advance().outputs]
    assert [series for _, series in send(counters(), events).advance().outputs] == expected


def test_late_events_are_not_counted():
    harness = send(counters(late_output_tag=LATE), at(5)).advance(9)
    send(harness, at(9, 10)).advance()
    assert harness.side["late"] == [9.0]
    assert harness.results[-3].samples == ((2, 20, 0),)
    assert harness.counts["numLateEvents"] == 1


def test_counters_go_on_from_a_savepoint_with_the_same_start():
    first = send(counters(), at(5, 15)).advance(9)
    second = send(Harness(CumulativeAggregate("m", itself, interval_ms=10), first.savepoint()), at(16)).advance()
    assert [series.samples for series in second.results] == [((3, 20, 0),)]


def test_events_without_a_value_do_not_count_and_an_interval_of_them_is_not_written():
    harness = counters()
    for value, timestamp in [(None, 1), (3.0, 11)]:
        harness.send(value, timestamp)
    assert harness.advance().results[0].samples == ((0.0, 0), (1, 20, 0))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Aggregate("", itself, TumblingWindows(1)), "metric_name"),
        (lambda: Aggregate("m", 5, TumblingWindows(1)), "value: expected a function"),  # type: ignore[arg-type]
        (lambda: Aggregate("m", itself, 60), "windows: expected TumblingWindows"),  # type: ignore[arg-type]
        (lambda: Aggregate("m", itself, TumblingWindows(1), ("median",)), "of: expected 'count'"),
        (lambda: Aggregate("m", itself, TumblingWindows(1), (1.5,)), "of: .*1.5"),
        (lambda: Aggregate("m", itself, TumblingWindows(1), ()), "of: expected one or more"),
        (lambda: Aggregate("m", itself, TumblingWindows(1), ("sum", "sum")), "of: .*each once"),
        (lambda: Aggregate("m", itself, TumblingWindows(1), labels=5), "labels: "),  # type: ignore[arg-type]
        (lambda: Aggregate("m", itself, TumblingWindows(1), schema=9), "schema: "),
        (lambda: Aggregate("m", itself, TumblingWindows(1), allowed_lateness_ms=-1), "allowed_lateness_ms: "),
        (lambda: TumblingWindows(0), "size_ms: "),
        (lambda: SlidingWindows(5, 6), "slide_ms: "),
        (lambda: SessionWindows(1.5), "gap_ms: "),  # type: ignore[arg-type]
        (lambda: CumulativeAggregate("m", of=("sum",)), "value: .*needs a function"),
        (lambda: CumulativeAggregate("m", itself, of=("mean",)), "of: expected some of 'count'"),
        (lambda: CumulativeAggregate("m", interval_ms=0), "interval_ms: "),
    ],
)
def test_wrong_arguments_are_refused_by_name(make, message):
    with pytest.raises((TypeError, ValueError), match=message):
        make()


def test_the_mean_is_that_of_the_values():
    values = [float(value) for value in range(1, 50)]
    harness = send(Harness(Aggregate("m", itself, TumblingWindows(100))), at(*map(int, values))).advance()
    assert written(harness) == [("m_mean{}", statistics.fmean(values), 100)]
