"""A record that is not a series, of any shape, fails the job; only a record with bad data is itself rejected."""

from __future__ import annotations

from unittest.mock import MagicMock

import pytest
from pyflink.common import Row

from pyflink_prometheus import PrometheusTimeSeries, RejectedSamples
from pyflink_prometheus.config import SinkConfig
from pyflink_prometheus.flink.function import WriterFunction
from pyflink_prometheus.flink.subtask import SubtaskWriter

T = 1_700_000_000_000
SAMPLES = ((1.0, T),)

NO_SERIES = {
    "reading": ("kitchen", 21.5, T),
    "reading as a list": ["kitchen", 21.5, T],
    "reading as a dict": {"room": "kitchen", "value": 21.5},
    "reading as a Row": Row("kitchen", 21.5, T),
    "number first": (7, 21.5, T),
    "text alone": "kitchen",
    "text in all fields": ("kitchen", "temperature", "21.5"),
    "four fields": ("kitchen", "temperature", 21.5, T),
    "five fields": ("kitchen", "temperature", 21.5, T, "C"),
    "two fields": ("kitchen", 21.5),
    "six fields": ("kitchen", 1, 2, 3, 4, 5),
    "name and labels in turn": ({"room": "kitchen"}, "m", SAMPLES),
    "list of names as labels": ("m", ["room", "floor"], SAMPLES),
    "text as samples": ("m", {}, "21.5"),
    "one sample without its parentheses": ("m", {}, (21.5, T)),
    "one number as samples": ("m", {}, 21.5),
    "mapping as samples": ("m", {}, {T: 21.5}),
    "a series that holds a reading": PrometheusTimeSeries("m", 21.5, T),  # type: ignore[arg-type]
}

BAD_DATA = {
    "empty name": ("", {}, SAMPLES),
    "name a number": (7, {}, SAMPLES),
    "missing name": (None, {}, SAMPLES),
    "missing labels": ("m", None, SAMPLES),
    "label's value a number": ("m", {"floor": 2}, SAMPLES),
    "label's value missing": ("m", {"floor": None}, SAMPLES),
    "one pair of labels without a value": ("m", (("room", "kitchen"), ("floor",)), SAMPLES),
    "text as a value": ("m", {}, (("21.5", T),)),
    "value missing": ("m", {}, ((None, T),)),
    "time missing": ("m", {}, ((1.0, None),)),
    "no samples": ("m", {}, ()),
    "samples missing": ("m", {}, None),
    "sample missing": ("m", {}, [None]),
    "all missing": (None, None, None),
}


class Sink:
    """An open function, and the samples that it rejects."""

    def __init__(self, converter=None):
        self.rejected = []
        config = SinkConfig(
            prometheus_remote_write_url="http://receiver.invalid/api/v1/write", rejected_samples_handler=self._take
        )
        self.function = WriterFunction(SubtaskWriter(config), converter)
        self.function.open(MagicMock())

    def _take(self, rejected: list[RejectedSamples]) -> None:
        self.rejected += rejected

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.function.close()


@pytest.mark.parametrize("record", NO_SERIES.values(), ids=NO_SERIES)
def test_what_is_no_series_fails_the_job(record):
    with Sink() as sink, pytest.raises(TypeError, match=r"^the sink expected a .*set_element_converter") as caught:
        sink.function.process_element(record, None)
    assert sink.rejected == []
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("record", NO_SERIES.values(), ids=NO_SERIES)
def test_what_a_converter_returns_instead_of_series_fails_the_job(record):
    with (
        Sink(lambda _: record) as sink,
        pytest.raises(TypeError, match=r"^the sink expected a .*set_element_converter"),
    ):
        sink.function.process_element(0, None)
    assert sink.rejected == []


@pytest.mark.parametrize("converter", [None, lambda record: [record]], ids=["no converter", "converter"])
@pytest.mark.parametrize("record", BAD_DATA.values(), ids=BAD_DATA)
def test_bad_data_is_rejected_alone(record, converter):
    with Sink(converter) as sink:
        sink.function.process_element(record, None)
        sink.function.process_element(("m", {}, SAMPLES), None)
    (rejected,) = sink.rejected
    assert rejected.reason.name == "INVALID"
