"""Samples. 1.0: "Protocol", "Stale Markers". 2.0: "Protobuf Message", "Samples and Histogram Samples"."""

from __future__ import annotations

import math
import struct

import snappy
from doors import BOTH_DOORS
from wire_receiver import T

from pyflink_prometheus import (
    STALE_MARKER,
    Exemplar,
    Metadata,
    NativeHistogram,
    RejectionReason,
)

pytestmark = BOTH_DOORS

STALE = 0x7FF0_0000_0000_0002
HISTOGRAM = NativeHistogram(schema=0, sum=3.0, positive={1: 2})


def bits(value):
    return struct.unpack("<Q", struct.pack("<d", value))[0]


def of_bits(number):
    return struct.unpack("<d", struct.pack("<Q", number))[0]


def wire_bytes(number):
    """Return the raw value field of a sample in the message, with its tag, without any decoder."""
    return b"\x09" + number.to_bytes(8, "little")


VALUES = [0.0, -0.0, 1.5, -15.5, 0.1 + 0.2, 2**53 - 1.0, 1.7976931348623157e308, 5e-324, math.inf, -math.inf]


def test_values_must_be_float64(version, sent):
    """Every bit is preserved, in plain samples and in others."""
    plain = sent(version, *[(f"m{number}", {}, ((value, T),)) for number, value in enumerate(VALUES)])
    with_start = sent(version, *[(f"m{number}", {}, ((value, T, T - 1),)) for number, value in enumerate(VALUES)])
    for request in (plain, with_start):
        assert [bits(series.samples[0].value) for series in request.series] == [bits(value) for value in VALUES]


def test_integers_are_sent_as_float64(version, sent):
    request = sent(version, *[(f"m{value}", {}, ((value, T),)) for value in (42, 2**60, -1, 0, True)])
    assert [series.samples[0].value for series in request.series] == [42.0, 2.0**60, -1.0, 0.0, 1.0]


def test_stale_markers_must_be_the_special_nan(version, sent):
    request = sent(version, ("m", {}, ((STALE_MARKER, T),)))
    assert bits(request.series[0].samples[0].value) == STALE
    assert wire_bytes(STALE) in snappy.uncompress(request.body)


def test_stale_markers_must_be_sent_on_every_way_through_the_encoders(version, sent):
    """For a series of histograms, with an exemplar, with a start timestamp, and with an unusual timestamp."""
    request = sent(
        version,
        ("h", {}, ((HISTOGRAM, T), (STALE_MARKER, T + 1))),
        ("e", {}, ((STALE_MARKER, T),), None, (Exemplar({}, 1.0, T),)),
        ("s", {}, ((STALE_MARKER, T, T - 1),)),
        ("t", {}, ((STALE_MARKER, 1),)),
    )
    values = [bits(sample.value) for series in request.series for sample in series.samples]
    assert values == [STALE] * 4
    assert snappy.uncompress(request.body).count(wire_bytes(STALE)) == 4


def test_a_stale_marker_survives_retries(version, write, receiver):
    receiver.script += [500, 429]
    write(version, ("m", {}, ((STALE_MARKER, T),)))
    assert [bits(request.series[0].samples[0].value) for request in receiver.requests] == [STALE] * 3


NANS = {
    "Python's": float("nan"),
    "negative": -float("nan"),
    "calculated": math.inf - math.inf,
    "calculated from the marker": STALE_MARKER + 0.0,
    "quiet, the marker's payload": of_bits(0x7FF8_0000_0000_0002),
    "signalling": of_bits(0x7FF0_0000_0000_0001),
    "signalling, too": of_bits(0x7FF0_0000_0000_0003),
    "the marker's negative": of_bits(0xFFF0_0000_0000_0002),
}


def test_the_value_of_the_stale_marker_must_not_be_used_otherwise(version, sent):
    given = {name: bits(value) for name, value in NANS.items()}
    assert STALE not in given.values()
    plain = sent(version, *[(name, {}, ((value, T),)) for name, value in NANS.items()])
    with_start = sent(version, *[(name, {}, ((value, T, T - 1),)) for name, value in NANS.items()])
    for request in (plain, with_start):
        assert {request.name(series): bits(series.samples[0].value) for series in request.series} == given


def test_an_ordinary_nan_is_the_ordinary_one_on_the_wire(version, sent):
    request = sent(version, ("m", {}, ((float("nan"), T),)))
    assert bits(request.series[0].samples[0].value) == 0x7FF8_0000_0000_0000


def test_histograms_and_exemplars_of_nan_are_no_stale_markers(version, sent):
    histogram = NativeHistogram.from_observations([1.0, float("nan")])
    request = sent(version, ("m", {}, ((histogram, T),), None, (Exemplar({}, float("nan"), T),)))
    assert math.isnan(request.series[0].histograms[0].sum)
    assert wire_bytes(STALE)[1:] not in snappy.uncompress(request.body)


def test_a_series_must_have_at_least_one_sample_or_histogram(version, write, receiver):
    """Metadata and exemplars alone are never sent; the series that have samples are."""
    writer = write(
        version,
        ("m", {}, ()),
        ("m", {"a": "1"}, (), Metadata("gauge"), (Exemplar({"b": "2"}, 1.0, T),)),
        ("m", {"a": "2"}, (("no number", T),), Metadata("gauge"), (Exemplar({"b": "2"}, 1.0, T),)),
        ("good", {}, ((1.0, T), (HISTOGRAM, T + 1))),
    )
    [request] = receiver.requests
    assert {request.name(series) for series in request.series} == {"good"}
    assert all(series.samples or series.histograms for series in request.series)
    assert writer.ledger.samples_rejected[RejectionReason.INVALID] == 3


def test_a_series_must_not_mix_samples_and_histograms(version, write, receiver):
    """Mixed samples of a series are in several TimeSeries messages with the same labels; none is lost."""
    samples = [(1.0 if number % 3 else HISTOGRAM, T + number) for number in range(30)]
    write(version, ("m", {"a": "1"}, samples), ("other", {}, ((1.0, T),)))
    contents = [request.content[:2] for request in receiver.requests]
    assert [sum(counts) for counts in zip(*contents)] == [21, 10]
    for request in receiver.requests:
        assert all(bool(series.samples) != bool(series.histograms) for series in request.series)
        mixed = [series for series in request.series if request.name(series) == "m"]
        assert all(request.labels(series) == [("__name__", "m"), ("a", "1")] for series in mixed)


BAD = [("1.5", T), (None, T), (1.0, 1.5), (1.0, 2**63), (1.0, -(2**63) - 1), (1.0, None), (1.0,)]


def test_what_is_no_float64_at_an_int64_is_never_sent(version, write, receiver):
    writer = write(version, *[("bad", {}, (sample,)) for sample in BAD], ("good", {}, ((1.0, T),)))
    assert [request.samples for request in receiver.requests] == [[("good", T)]]
    assert writer.ledger.samples_rejected[RejectionReason.INVALID] == len(BAD)
