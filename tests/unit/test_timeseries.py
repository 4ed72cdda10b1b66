"""The record: validation with its messages, the key and the builder."""

from __future__ import annotations

import datetime
import pickle

import numpy as np
import pytest

from pyflink_prometheus import InvalidTimeSeriesError, PrometheusTimeSeries
from pyflink_prometheus.model.samples import likely_unit
from pyflink_prometheus.model.timeseries import as_time_series

NOW_MS = 1_700_000_000_000


def record(metric_name="m", labels=None, samples=((1.0, NOW_MS),)):
    return PrometheusTimeSeries(metric_name, {} if labels is None else labels, samples)


def test_builder_makes_the_same_record_as_the_constructor():
    built = (
        PrometheusTimeSeries.builder()
        .with_metric_name("altitude_feet")
        .add_label("icao24", "0101de")
        .add_label("callsign", "MSR799")
        .add_sample(13650.0, NOW_MS)
        .add_sample(13625.0, NOW_MS + 1000)
        .build()
    )
    labels = (("icao24", "0101de"), ("callsign", "MSR799"))
    assert built == PrometheusTimeSeries("altitude_feet", labels, ((13650.0, NOW_MS), (13625.0, NOW_MS + 1000)))


def test_builder_without_a_metric_name_says_so():
    with pytest.raises(InvalidTimeSeriesError, match="metric_name: expected a non-empty string"):
        PrometheusTimeSeries.builder().add_sample(1.0, NOW_MS).build()


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (record(metric_name=None), "metric_name: expected a non-empty string, got None"),
        (record(metric_name=""), "metric_name: expected a non-empty string, got ''"),
        (record(metric_name="\ud800"), "metric_name: .* cannot be written as UTF-8"),
        (record(labels={"": "v"}), "labels: expected non-empty strings as label names, got ''"),
        (record(labels={7: "v"}), "labels: expected non-empty strings as label names, got 7"),
        (record(labels={"port": 8080}), "labels: expected a string as the value of label 'port', got 8080"),
        (record(labels={"__name__": "n"}), "labels: put the metric's name in metric_name, not in label '__name__'"),
        (record(labels=(("a", "1"), ("a", "2"))), "labels: duplicate label 'a'"),
        (record(labels={"a": "\udfff"}), "labels: .* cannot be written as UTF-8"),
        (record(labels="ab"), "labels: expected a mapping or .* pairs, got 'ab'"),
        (record(labels=7), "labels: expected a mapping or .* pairs, got 7"),
        (record(samples=()), r"samples: expected one or more \(value, timestamp in ms\) pairs, got \(\)"),
        (record(samples=(1.0, NOW_MS)), r"samples: expected \(value, timestamp in ms\) pairs, got 1.0"),
        (record(samples=("12",)), r"samples: expected \(value, timestamp in ms\) pairs, got '12'"),
        (record(samples="12"), r"samples: expected one or more \(value, timestamp in ms\) pairs, got '12'"),
        (record(samples=7), r"samples: expected one or more \(value, timestamp in ms\) pairs, got 7"),
        (record(samples=(("1.0", NOW_MS),)), "samples: expected a number as the value, got '1.0'"),
        (record(samples=((None, NOW_MS),)), "samples: expected a number as the value, got None"),
        (record(samples=((10**400, NOW_MS),)), "samples: expected a number as the value"),
        (record(samples=((1.0, 1.7e9),)), "expected an int of milliseconds .* got 1700000000.0; use round"),
        (record(samples=((1.0, "now"),)), "expected an int of milliseconds .* got 'now'"),
        (record(samples=((1.0, None),)), "expected an int of milliseconds .* got None"),
        (record(samples=((1.0, datetime.datetime(2024, 1, 1)),)), "attach its zone first"),
        (record(samples=((1.0, 2**63),)), "samples: the timestamp 9223372036854775808 is not a time in milliseconds"),
        (record(samples=((1.0, 10**5000),)), "samples: the timestamp "),
        (record(samples=((1.0, 2**62),)), "samples: the timestamp 4611686018427387904 is not a time in milliseconds"),
        (record(samples=((1.0, -(2**62)),)), "samples: the timestamp -4611686018427387904 is not a time"),
        (record(samples=((1.0, -(2**63)),)), "the timestamp -9223372036854775808 .* assign_timestamps_and_watermarks"),
        (record(samples=((1.0, 2**63 - 1),)), "the timestamp 9223372036854775807 .* assign_timestamps_and_watermarks"),
        (record(samples=((1.0, NOW_MS, -(2**63)),)), "the start timestamp -9223372036854775808 .* timestamp assigner"),
    ],
)
def test_a_bad_record_is_refused_with_a_message_that_names_the_field(bad, message):
    with pytest.raises(InvalidTimeSeriesError, match=message) as caught:
        bad.check()
    assert caught.value.field == message.split(":")[0] or message.startswith(("expected", "attach", "the "))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [1, True, np.float32(1), np.float64(1), np.int64(1)])
def test_any_number_is_a_value(value):
    record(samples=((value, NOW_MS),)).check()


@pytest.mark.parametrize("timestamp", [0, -1, 1 - 2**62, 2**62 - 1, np.int64(NOW_MS)])
def test_any_int_that_may_be_a_time_is_a_timestamp(timestamp):
    """A number beyond these is not a time in any unit; an empty Prometheus that stores one refuses all others."""
    record(samples=((1.0, timestamp, timestamp),)).check()


@pytest.mark.parametrize("name", ["__replica__", "__x", "__"])
def test_names_with_two_leading_underscores_are_labels(name):
    """Mimir's and Cortex's deduplication reads ``__replica__``."""
    record(labels={name: "1"}).check()


def test_the_key_is_the_same_for_any_order_of_labels_and_without_empty_values():
    key = record(labels={"b": "2", "a": "1", "empty": ""}).key()
    assert key == record(labels=(("a", "1"), ("b", "2"))).key() == 'm{a="1",b="2"}'


def test_the_key_quotes_what_would_be_ambiguous():
    assert record(labels={"a": 'x"y\\\n'}).key() == 'm{a="x\\"y\\\\\\n"}'
    assert record(labels={"a.b": "1"}).key() == 'm{"a.b"="1"}'
    assert record(metric_name="my metric").key() == '{"my metric"}'
    assert record(labels={"a": '1",b="2'}).key() != record(labels={"a": "1", "b": "2"}).key()


def test_a_plain_tuple_of_the_same_shape_is_a_record_too():
    assert as_time_series(("m", {}, ((1.0, 1),))) == record(samples=((1.0, 1),))
    assert as_time_series(pickle.loads(pickle.dumps(record()))) == record()


@pytest.mark.parametrize("stranger", [{"m": 1}, "m", None, ("m", {}), 7])
def test_what_is_no_record_is_refused_with_advice(stranger):
    with pytest.raises(TypeError, match=r"the sink expected a Prom.*, got .*set_element_converter"):
        as_time_series(stranger)


@pytest.mark.parametrize(
    ("factor", "unit"), [(1 / 1000, "seconds"), (1000, "microseconds"), (1_000_000, "nanoseconds")]
)
def test_timestamps_in_another_unit_are_recognised(factor, unit):
    found = likely_unit(int(NOW_MS * factor))
    assert found is not None
    name, advice = found
    assert name == unit
    assert ("multiply" if factor < 1 else "divide") in advice


def test_milliseconds_are_no_other_unit():
    assert likely_unit(NOW_MS) is likely_unit(0) is likely_unit(-NOW_MS) is None
