"""The declarations of a column mapping, and its results for rows that come one by one."""

from __future__ import annotations

import logging
import pickle
from collections import namedtuple
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from pyflink.common import Row
from pyflink.common.time import Instant
from rejections import Rejections

from pyflink_prometheus import STALE_MARKER, ColumnMapping, Metadata, NativeHistogram, PrometheusSink, RejectionReason
from pyflink_prometheus.model.epoch import Epoch
from pyflink_prometheus.model.histogram_text import histogram_of, histogram_text
from pyflink_prometheus.model.samples import is_stale_marker
from pyflink_prometheus.testing import FakeClock, ScriptedTransport
from pyflink_prometheus.writer.mapped_columns import MappedColumns, NullValues
from pyflink_prometheus.writer.mapped_records import MappedRecords

T = 1_700_000_000_000
ROOMS = ColumnMapping(metric_name="m", labels=["room"], values="celsius", timestamp="at")


@pytest.fixture
def written(open_writer):
    """Return a function that writes rows by a mapping, and returns the stored, rejected and skipped samples."""

    def write(mapping, rows, fields=None):
        transport, rejected = ScriptedTransport(), Rejections()
        writer = open_writer(
            new_transport=lambda config: transport, rejected_samples_handler=rejected, clock=FakeClock()
        )
        records = MappedRecords(mapping, writer, fields)
        for row in rows:
            records.add(row)
        writer.flush()
        return SimpleNamespace(
            stored=transport.stored, rejected=rejected, skipped=writer.ledger.null_values_skipped, transport=transport
        )

    return write


def test_columns_come_in_the_order_of_the_arguments_and_each_once():
    mapping = ColumnMapping(
        metric_name_column="metric",
        labels={"place": "room", "floor": "floor"},
        labels_column="tags",
        values="value",
        timestamp="at",
    )
    assert mapping.columns == ("metric", "room", "floor", "tags", "value", "at")
    twice = ColumnMapping(labels=["a", "b"], values={"m": "a", "n": "b"}, timestamp="b")
    assert twice.columns == ("a", "b")


def test_a_mapping_travels():
    mapping = ColumnMapping(
        values={"m": "a"}, timestamp="t", labels="x", constant_labels={"c": "1"}, metadata={"m": Metadata("gauge")}
    )
    assert pickle.loads(pickle.dumps(mapping)) == mapping
    assert mapping.label_columns == {"x": "x"}


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"metric_name": None}, ValueError, "^metric_name: set it, or metric_name_column if a column has the names$"),
        ({"metric_name_column": "n"}, ValueError, "^metric_name: set it, or metric_name_column.*, but not both$"),
        ({"metric_name": ""}, ValueError, "^metric_name: expected a non-empty string, got ''$"),
        ({"metric_name": None, "metric_name_column": ""}, ValueError, "^metric_name_column: expected a non-empty line"),
        ({"values": {"n": "c"}}, ValueError, "^metric_name: leave it out where values maps metric names to columns"),
        ({"metric_name": None, "values": {}}, ValueError, "^values: expected a column, or a mapping .*, got none$"),
        ({"metric_name": None, "values": {"n": 3}}, TypeError, "^values: expected a non-empty text as the column of "),
        ({"values": ["c"]}, TypeError, r"^values: expected a column's name, or a mapping .*, got \['c'\]$"),
        ({"values": ""}, ValueError, "^values: expected a non-empty line of text, got ''$"),
        ({"labels": 3}, TypeError, "^labels: expected names of columns, or a mapping from labels to columns, got 3$"),
        ({"labels": ["a", "a"]}, ValueError, "^labels: duplicate label 'a'$"),
        ({"labels": [3]}, TypeError, "^labels: expected a non-empty line of text, got 3$"),
        ({"labels": {"__name__": "n"}}, ValueError, "^labels: put the metric's name in metric_name or "),
        ({"constant_labels": {"__name__": "n"}}, ValueError, "^labels: put the metric's name in metric_name or "),
        ({"constant_labels": {"a": 3}}, TypeError, "^constant_labels: expected a non-empty text as the value of 'a'"),
        ({"constant_labels": {"a": "\ud800"}}, ValueError, "^constant_labels: .* cannot be written as UTF-8"),
        ({"constant_labels": [("a", "b")]}, TypeError, "^constant_labels: expected a mapping from label to value"),
        ({"labels_column": ""}, ValueError, "^labels_column: expected a non-empty line of text"),
        ({"timestamp": None}, TypeError, "^timestamp: expected a non-empty line of text, got None$"),
        ({"time_zone": "Europe/Bärlin"}, ValueError, "^time_zone: expected a name such as Europe/Berlin, got 'Euro"),
        ({"time_zone": None}, ValueError, "^time_zone: expected a name such as Europe/Berlin, got None"),
        ({"metadata": {"x": Metadata("gauge")}}, ValueError, "^metadata: 'x' is not a metric name of this mapping$"),
        ({"metadata": Metadata("gage")}, ValueError, "^metadata: expected one of unknown, counter, .*, got 'gage'$"),
    ],
)
def test_a_wrong_declaration_is_refused_with_the_argument_and_what_was_expected(change, error, message):
    with pytest.raises(error, match=message):
        ColumnMapping(**{"metric_name": "m", "labels": ["room"], "values": "celsius", "timestamp": "at", **change})


Reading = namedtuple("Reading", ["celsius", "room", "at"])


@pytest.mark.parametrize(
    ("row", "fields"),
    [
        ({"room": "a", "celsius": 1.5, "at": T, "more": 3}, None),
        (Row(at=T, room="a", celsius=1.5), None),
        (Reading(1.5, "a", T), None),
        ((T, "a", 1.5), ["at", "room", "celsius"]),
        (Row(T, "a", 1.5), ["at", "room", "celsius"]),
        ([T, "a", 1.5], ["at", "room", "celsius"]),
    ],
    ids=["dict", "named Row", "named tuple", "tuple of a typed stream", "Row of a typed stream", "list"],
)
def test_rows_of_all_kinds_are_read(written, row, fields):
    assert written(ROOMS, [row, row], fields).stored == [('m{room="a"}', 1.5, T)] * 1


@pytest.mark.parametrize("row", [("a", 1.5, T), ["a", 1.5, T], Row("a", 1.5, T)])
def test_fields_without_names_have_those_that_flink_gives_them(written, row):
    mapping = ColumnMapping(metric_name="m", labels={"room": "f0"}, values="f1", timestamp="f2")
    assert written(mapping, [row]).stored == [('m{room="a"}', 1.5, T)]


def test_rows_may_have_their_fields_in_any_order(written):
    rows = [Row(at=T, room="a", celsius=1.5), Row(celsius=2.5, at=T + 1, room="a"), Reading(3.5, "a", T + 2)]
    assert [value for _, value, _ in written(ROOMS, rows).stored] == [1.5, 2.5, 3.5]


def test_labels_come_from_columns_a_map_and_constants(written):
    mapping = ColumnMapping(
        metric_name="m",
        labels={"place": "room", "id": "id", "on": "on", "gone": "gone", "empty": "empty"},
        labels_column="tags",
        constant_labels={"site": "x", "kind": "k"},
        values="v",
        timestamp="at",
    )
    tags = {"place": "from the map", "gone": "map", "site": "map", "n": 3, "nothing": None, "none": ""}
    row = {"room": "a", "id": 7, "on": True, "gone": None, "empty": "", "tags": tags, "v": 1, "at": T}
    expected = 'm{gone="map",id="7",kind="k",n="3",on="true",place="a",site="x"}'
    assert written(mapping, [row]).stored == [(expected, 1.0, T)]
    assert written(mapping, [{**row, "tags": None}]).stored[0][0] == 'm{id="7",kind="k",on="true",place="a",site="x"}'


def test_a_label_that_is_neither_text_nor_whole_number_costs_its_row(written):
    outcome = written(ROOMS, [{"room": 1.5, "celsius": 1.0, "at": T}, {"room": "a", "celsius": 1.0, "at": T}])
    assert len(outcome.stored) == 1
    assert [each.message for each in outcome.rejected] == [
        "labels: expected a string as the value of label 'room', got 1.5"
    ]


def test_a_number_of_too_many_digits_for_a_label_costs_its_row(written):
    outcome = written(ROOMS, [{"room": 10**5000, "celsius": 1.0, "at": T}, {"room": "a", "celsius": 1.0, "at": T}])
    assert len(outcome.stored) + len(outcome.rejected) == 2  # before Python 3.10.7 the number of digits is unlimited
    assert 'm{room="a"}' in {series for series, _, _ in outcome.stored}


def test_a_map_that_is_none_costs_its_row_alone(written):
    mapping = ColumnMapping(values={"m": "a", "n": "b"}, labels_column="tags", timestamp="at")
    rows = [{"a": 1, "b": 2, "at": T, "tags": tags} for tags in ("text", {"x": "y"}, {None: "y"})]
    outcome = written(mapping, rows)
    assert {series for series, _, _ in outcome.stored} == {'m{x="y"}', 'n{x="y"}'}
    assert sum(each.count for each in outcome.rejected) == 4
    assert outcome.rejected[0].message == "labels: expected a map of labels in column 'tags', got 'text'"


def test_each_metric_has_its_column_and_its_metadata(written):
    mapping = ColumnMapping(
        labels=["room"], values={"t": "t", "h": "h"}, timestamp="at", metadata={"t": Metadata("gauge", "warmth")}
    )
    outcome = written(mapping, [{"room": "a", "t": Decimal("1.5"), "h": None, "at": T}])
    assert outcome.stored == [('t{room="a"}', 1.5, T)]
    assert outcome.skipped == 1
    assert [each.metadata.help for each in outcome.transport.requests[0].series] == ["warmth"]


def test_the_metric_name_may_be_in_a_column(written):
    mapping = ColumnMapping(metric_name_column="n", values="v", timestamp="at", metadata={"a": Metadata("counter")})
    outcome = written(mapping, [{"n": name, "v": 1, "at": T} for name in ("a", None, "b", "")])
    assert [series for series, _, _ in outcome.stored] == ["a{}", "b{}"]
    assert [each.reason for each in outcome.rejected] == [RejectionReason.INVALID] * 2
    assert outcome.rejected[0].message == "metric_name: expected a non-empty string, got None"


def test_values_may_be_all_that_a_sample_takes(written):
    outcome = written(ROOMS, [{"room": "a", "celsius": STALE_MARKER, "at": T}, {"celsius": float("nan"), "at": T}])
    assert [series for series, _, _ in outcome.stored] == ['m{room="a"}', "m{}"]
    assert all(np.isnan(value) for _, value, _ in outcome.stored)


def test_a_row_without_a_timestamp_is_rejected_for_each_value_and_without_values_it_is_skipped(written):
    mapping = ColumnMapping(values={"m": "a", "n": "b"}, labels=["x"], timestamp="at")
    outcome = written(
        mapping, [{"a": 1.0, "b": 2.0, "x": "y", "at": None}, {"a": None, "b": None, "x": "y", "at": None}]
    )
    assert outcome.stored == []
    assert [(each.record.metric_name, each.count) for each in outcome.rejected] == [("m", 1), ("n", 1)]
    assert {each.reason for each in outcome.rejected} == {RejectionReason.INVALID}
    assert {each.message for each in outcome.rejected} == {"timestamp: expected a time in column 'at', got NULL"}
    assert outcome.skipped == 2


def test_a_key_that_is_missing_is_a_null_and_the_first_one_is_logged(written, caplog):
    with caplog.at_level(logging.WARNING):
        outcome = written(ROOMS, [{"celsius": 1.0, "at": T}, {"celsius": 2.0, "at": T + 1}, {"room": "a", "at": T}])
    assert outcome.stored == [("m{}", 1.0, T), ("m{}", 2.0, T + 1)]
    assert outcome.skipped == 1
    assert [each.args[0] for each in caplog.records if "is not a key" in each.msg] == ["room", "celsius"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (Row(room="a", at=T), "that do not exist: celsius; the columns are room, at; the row is Row"),
        (("a", T), "that do not exist: room, celsius, at; the columns are f0, f1; the row is "),
        ("abc", "expected a named row, a dict or a tuple, got str, 'abc'"),
        (None, "expected a named row, a dict or a tuple, got NoneType, None"),
        (7, "expected a named row, a dict or a tuple, got int, 7"),
    ],
)
def test_rows_that_are_not_of_the_declared_shape_fail_the_job(written, row, message):
    with pytest.raises(TypeError, match=message):
        written(ROOMS, [row])


def test_columns_that_a_typed_stream_does_not_have_are_refused_before_the_first_row(written):
    with pytest.raises(ValueError, match="has columns that do not exist: celsius, at; the columns are room, other$"):
        written(ROOMS, [], ["room", "other"])


BERLIN = timezone(timedelta(hours=2))


@pytest.mark.parametrize(
    ("time", "millis"),
    [
        (T, T),
        (np.int64(T), T),
        (datetime(2023, 11, 14, 22, 13, 20, 999, tzinfo=timezone.utc), T),
        (datetime(2023, 11, 15, 0, 13, 20, tzinfo=BERLIN), T),
        (datetime(2023, 11, 14, 22, 13, 20, 1999), T + 1),
        (pd.Timestamp(T, unit="ms"), T),
        (pd.NaT, None),
        (np.datetime64(T, "ms"), T),
        (np.datetime64("NaT"), None),
        (Instant(T // 1000, 1_999_999), T + 1),
        (Instant(-1, 999_000_000), -1),
        (None, None),
    ],
)
def test_times_of_all_kinds_become_milliseconds(time, millis):
    assert Epoch("UTC").millis(time) == millis


@pytest.mark.parametrize(
    ("local", "utc"),
    [
        ("2024-01-15 12:00", "2024-01-15 11:00"),
        ("2024-07-15 12:00", "2024-07-15 10:00"),
        ("2024-10-27 02:30", "2024-10-27 00:30"),  # twice: the first pass, in summer time
        ("2024-10-27 03:00", "2024-10-27 02:00"),
        ("2024-03-31 02:30", "2024-03-31 01:30"),  # never: as if the clocks had not gone forward yet
    ],
)
def test_times_without_a_zone_are_in_that_of_the_mapping(local, utc):
    at, expected = datetime.fromisoformat(local), np.datetime64(utc, "ms").astype("int64").item()
    epoch = Epoch("Europe/Berlin")
    assert epoch.millis(at) == expected
    assert epoch.millis(np.datetime64(local, "ms")) == expected
    as_utc = np.array([np.datetime64(local, "ms").astype("int64")] * 2)
    assert epoch.all_from_local(as_utc).tolist() == [expected] * 2
    assert epoch.all_from_local(as_utc[:0]).tolist() == []


@pytest.mark.parametrize("local", [-(2**62), 2**62])
def test_times_beyond_the_calendar_stay_as_they_are(local):
    assert Epoch("Europe/Berlin").all_from_local(np.array([local])).tolist() == [local]


@pytest.mark.parametrize("time", ["2024-01-01", 1.5, Decimal(1)])
def test_what_is_no_time_costs_its_row(written, time):
    outcome = written(ROOMS, [{"room": "a", "celsius": 1.0, "at": time}])
    assert [each.reason for each in outcome.rejected] == [RejectionReason.INVALID]
    assert "expected an int of milliseconds since 1970 as the timestamp" in outcome.rejected[0].message


def columns_of(open_writer, mapping, columns, nulls=None):
    transport = ScriptedTransport()
    writer = open_writer(new_transport=lambda config: transport, clock=FakeClock())
    MappedColumns(mapping, writer, nulls).add(columns)
    writer.flush()
    return transport.stored, writer.ledger


def test_a_constant_argument_holds_for_all_rows(open_writer):
    times = pd.Series([T, T + 1])
    stored, _ = columns_of(open_writer, ROOMS, ["a", Decimal("1.5"), times])
    assert stored == [('m{room="a"}', 1.5, T), ('m{room="a"}', 1.5, T + 1)]
    stored, ledger = columns_of(open_writer, ROOMS, [None, None, times])
    assert (stored, ledger.null_values_skipped) == ([], 2)
    stored, _ = columns_of(open_writer, ROOMS, [pd.Series(["a", None]), 1, datetime(2023, 11, 14, 22, 13, 20)])
    assert stored == [('m{room="a"}', 1.0, T), ("m{}", 1.0, T)]


def test_nulls_are_nan_or_flagged_or_none(open_writer):
    rooms, times, nan = pd.Series(["a", "b"]), pd.Series([T, T]), float("nan")
    values = pd.Series([nan, nan])
    for nulls, flags, stored, skipped in (
        (None, [], [], 2),
        ([NullValues.NEVER], [], ["a", "b"], 0),
        ([NullValues.FLAGGED], [pd.Series([False, True])], ["a"], 1),
        ([NullValues.FLAGGED], [False], ["a", "b"], 0),
    ):
        found, ledger = columns_of(open_writer, ROOMS, [rooms, values, times, *flags], nulls)
        assert [series for series, _, _ in found] == [f'm{{room="{room}"}}' for room in stored]
        assert ledger.null_values_skipped == skipped


def test_a_column_with_two_metrics_has_one_flag(open_writer):
    mapping = ColumnMapping(values={"m": "v", "n": "v"}, timestamp="at")
    columns = [pd.Series([1.0, float("nan")]), pd.Series([T, T + 1]), pd.Series([False, True])]
    stored, ledger = columns_of(open_writer, mapping, columns, [NullValues.FLAGGED] * 2)
    assert sorted(stored) == [("m{}", 1.0, T), ("n{}", 1.0, T)]
    assert ledger.null_values_skipped == 2


def test_a_wrong_number_of_arguments_is_reported_with_their_names(open_writer):
    with pytest.raises(TypeError, match="^pass the arguments room, celsius, at in this order: expected 3, got 2$"):
        columns_of(open_writer, ROOMS, [pd.Series(["a"]), pd.Series([1.0])])


def test_a_zone_that_pyflink_mistakes_is_refused_and_utc_is_not(open_writer):
    utc = pd.Series(pd.to_datetime([T, None], unit="ms", utc=True))
    stored, ledger = columns_of(open_writer, ROOMS, [pd.Series(["a", "a"]), pd.Series([1.0, 2.0]), utc])
    assert stored == [('m{room="a"}', 1.0, T)]
    assert ledger.samples_rejected[RejectionReason.INVALID] == 1
    with pytest.raises(TypeError, match="^set table.local-time-zone to UTC, or .* mistakes its UTC time for one in Eu"):
        columns_of(open_writer, ROOMS, [pd.Series(["a"] * 2), pd.Series([1.0] * 2), utc.dt.tz_convert("Europe/Berlin")])


def test_a_column_that_is_no_time_fails_the_job(open_writer):
    with pytest.raises(TypeError, match="^CAST the timestamp 'at' to BIGINT .* cannot read '2024' as a time$"):
        columns_of(open_writer, ROOMS, [pd.Series(["a"]), pd.Series([1.0]), pd.Series(["2024"])])


def test_a_sink_has_either_a_mapping_or_a_converter():
    builder = PrometheusSink.builder().set_prometheus_remote_write_url("http://receiver.invalid/api/v1/write")
    builder.set_column_mapping(ROOMS).build()
    with pytest.raises(ValueError, match="^call either set_element_converter or set_column_mapping, not both$"):
        builder.set_element_converter(lambda row: None).build()
    with pytest.raises(TypeError, match="^column_mapping: expected a ColumnMapping, got {'m': 'v'}$"):
        builder.set_column_mapping({"m": "v"})  # type: ignore[arg-type]


MARKED = ColumnMapping(
    values="celsius", metric_name="m", labels=["room"], histogram="spread", stale="ended", timestamp="at"
)
SPREAD = NativeHistogram.from_observations([-1.0, 0.0, 2.5, 1e9], schema=3).as_gauge()


def seen(stored):
    return [("stale" if not isinstance(v, NativeHistogram) and is_stale_marker(v) else v, at) for _, v, at in stored]


def test_stale_markers_and_histograms_are_columns_of_rows_that_come_one_by_one(written):
    rows = [
        {"room": "a", "celsius": 1.0, "spread": None, "ended": False, "at": T},
        {"room": "a", "celsius": 0.0, "spread": None, "ended": True, "at": T + 1},
        {"room": "a", "celsius": None, "spread": None, "ended": True, "at": T + 2},
        {"room": "a", "celsius": None, "spread": SPREAD, "ended": None, "at": T + 3},
        {"room": "a", "celsius": None, "spread": histogram_text(SPREAD), "ended": None, "at": T + 4},
        {"room": "a", "celsius": None, "spread": "{}", "ended": None, "at": T + 5},
    ]
    outcome = written(MARKED, rows)
    assert seen(outcome.stored) == [(1.0, T), ("stale", T + 1), (SPREAD, T + 3), (SPREAD, T + 4)]
    assert outcome.skipped == 1
    assert "expected a native histogram as the table helpers write it, got '{}'" in outcome.rejected[0].message


def test_stale_markers_and_histograms_are_columns_of_batches(open_writer):
    text, none = histogram_text(SPREAD), [None] * 3
    columns = [
        pd.Series(["a", "a", "a", "b", None, "b"]),
        pd.Series([1.0, 0.0, np.nan, 7.0, np.nan, np.nan]),
        pd.Series([*none, text, text, "no JSON"], dtype=object),
        pd.Series([False, True, True, None, None, None], dtype=object),
        pd.Series([T, T + 1, T + 2, T + 3, -(2**63), T + 5]),
    ]
    stored, ledger = columns_of(open_writer, MARKED, columns)
    assert sorted(seen(stored), key=lambda each: each[1]) == [(1.0, T), ("stale", T + 1), (SPREAD, T + 3)]
    assert ledger.null_values_skipped == 1
    assert ledger.samples_rejected[RejectionReason.INVALID] == 2


def test_a_row_has_only_one_histogram():
    with pytest.raises(ValueError, match="^histogram: name a single column in values"):
        ColumnMapping(values={"m": "a"}, histogram="h", timestamp="at")


@pytest.mark.parametrize(
    "histogram",
    [
        SPREAD,
        NativeHistogram.from_observations([float("nan"), float("inf")]),
        NativeHistogram.from_classic_buckets({"0.5": 1, "+Inf": 3}, sum=9),
    ],
)
def test_a_histogram_survives_as_text(histogram):
    assert histogram_of(histogram_text(histogram)) == histogram
