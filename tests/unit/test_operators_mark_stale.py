"""A series without samples for a while is marked stale once, after its last sample, whatever the watermarks."""

from __future__ import annotations

import pytest
from operator_harness import Harness

from pyflink_prometheus import MarkStale, PrometheusTimeSeries
from pyflink_prometheus.model.samples import is_stale_marker


def series(timestamp, name="m", value=1.0, **labels):
    return PrometheusTimeSeries(name, labels, ((value, timestamp),))


def shown(harness):
    """Return (series, timestamp) of all results, with ``ended`` for a stale marker."""
    found = []
    for result in harness.results:
        for value, timestamp in result.samples:
            found.append((result.key(), timestamp, *(["ended"] if is_stale_marker(value) else [])))
    return found


def test_series_pass_at_once_and_are_ended_when_the_watermark_says_that_nothing_came():
    harness = Harness(MarkStale(100))
    harness.send(series(10, a="1"), 10).send(series(50, a="1"), 50)
    assert shown(harness.advance(149)) == [('m{a="1"}', 10), ('m{a="1"}', 50)]
    assert shown(harness.advance(150))[2:] == [('m{a="1"}', 150, "ended")]
    assert harness.keys_with_state == set()
    assert harness.counts == {"numSeriesEnded": 1}


def test_each_series_of_a_key_is_ended_at_its_own_time():
    harness = Harness(MarkStale(100))
    harness.send(series(10, a="1"), 10).send(series(20, "n", a="1"), 20).send(series(90, a="1"), 90)
    assert shown(harness.advance(130))[3:] == [('n{a="1"}', 120, "ended")]
    assert shown(harness.advance())[4:] == [('m{a="1"}', 190, "ended")]


def test_a_device_that_comes_back_continues_and_is_ended_again():
    harness = Harness(MarkStale(100)).send(series(10), 10).advance(500).send(series(600), 600).advance()
    assert shown(harness) == [("m{}", 10), ("m{}", 110, "ended"), ("m{}", 600), ("m{}", 700, "ended")]


@pytest.mark.parametrize("watermarks", [(), (110,), (300,), (109, 111), (10, 20, 200)])
def test_a_gap_is_ended_the_same_whatever_watermarks_there_are(watermarks):
    harness = Harness(MarkStale(100)).send(series(10), 10)
    for watermark in watermarks:
        harness.advance(watermark)
    harness.send(series(400), 400).advance()
    assert shown(harness) == [("m{}", 10), ("m{}", 110, "ended"), ("m{}", 400), ("m{}", 500, "ended")]


def test_a_sample_just_at_the_timeout_is_no_gap():
    harness = Harness(MarkStale(100)).send(series(10), 10).advance(109).send(series(110), 110).advance()
    assert shown(harness) == [("m{}", 10), ("m{}", 110), ("m{}", 210, "ended")]


def test_disorder_within_the_timeout_ends_nothing_and_the_end_is_behind_the_newest():
    harness = Harness(MarkStale(100))
    for timestamp in (50, 10, 70, 60):
        harness.send(series(timestamp), timestamp)
    assert shown(harness.advance())[4:] == [("m{}", 170, "ended")]


def test_a_sample_that_is_later_than_the_timeout_passes_and_is_not_ended_twice():
    harness = Harness(MarkStale(100)).send(series(10), 10).advance(500).send(series(20), 20).advance()
    assert shown(harness) == [("m{}", 10), ("m{}", 110, "ended"), ("m{}", 20)]
    assert harness.keys_with_state == set()


def test_a_series_that_was_ended_by_others_is_not_ended_again():
    ended = series(110, value=Harness(MarkStale(100)).send(series(10), 10).advance().results[1].samples[0][0])
    harness = Harness(MarkStale(200)).send(series(10), 10).send(ended, 110).advance()
    assert shown(harness) == [("m{}", 10), ("m{}", 110, "ended")]
    assert harness.keys_with_state == set()


def test_a_converter_gives_one_series_or_several_or_none():
    def convert(number):
        return [series(number), [series(number, "n"), series(number, "o")], None][number % 3]

    harness = Harness(MarkStale(100, convert))
    for number in range(3):
        harness.send(number, number)
    assert shown(harness.advance(100)) == [("m{}", 0), ("n{}", 1), ("o{}", 1), ("m{}", 100, "ended")]


def test_plain_tuples_are_series_too():
    harness = Harness(MarkStale(100)).send(("m", {"a": "1"}, ((1.0, 5),)), 5).advance()
    assert shown(harness)[1:] == [('m{a="1"}', 105, "ended")]


@pytest.mark.parametrize(
    "record", [("", {}, ((1.0, 5),)), ("m", {}, ()), ("m", {}, ((1.0,),)), ("m", {}, ((1.0, "x"),))]
)
def test_what_cannot_be_written_passes_for_the_sink_to_refuse(record):
    harness = Harness(MarkStale(100)).send(record, 5).advance()
    assert [tuple(result)[:3] for result in harness.results] == [record]
    assert harness.keys_with_state == set()


def test_the_timeout_goes_on_from_a_savepoint():
    first = Harness(MarkStale(100)).send(series(10), 10)
    assert shown(Harness(MarkStale(100), first.savepoint()).advance()) == [("m{}", 110, "ended")]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0,), "timeout_ms: expected an integer of at least 1"),
        ((1.5,), "timeout_ms: expected an integer of at least 1"),
        ((True,), "timeout_ms: expected an integer of at least 1"),
        ((1, "x"), "element_converter: expected a function"),
    ],
)
def test_wrong_arguments_are_refused_by_name(arguments, message):
    with pytest.raises((TypeError, ValueError), match=message):
        MarkStale(*arguments)
