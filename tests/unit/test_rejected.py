"""Rejected samples: logged with throttling, or written to files and read back."""

from __future__ import annotations

import json
import logging
import math
import pickle
import resource
import signal
from typing import Any

import pytest

from pyflink_prometheus import (
    JsonLinesRejectedSamples,
    LogRejectedSamples,
    PrometheusTimeSeries,
    RejectedSamples,
    RejectionReason,
    read_rejected_samples,
)

NAN = float("nan")
RECORD = PrometheusTimeSeries("m", {"a": "ü\n"}, ((1.5, 1_700_000_000_000), (math.inf, 0), (-0.0, -1)))
REFUSED = RejectedSamples(RECORD, 3, RejectionReason.REFUSED, 'HTTP 400: out of "order"', 400)


def test_what_is_written_to_files_reads_back(tmp_path):
    handler = JsonLinesRejectedSamples(tmp_path / "made" / "here")
    handler([REFUSED])
    handler.flush()
    assert list(read_rejected_samples(tmp_path / "made" / "here")) == [REFUSED]
    handler.close()


def test_nan_survives(tmp_path):
    handler = JsonLinesRejectedSamples(tmp_path)
    handler([RejectedSamples(("m", {}, ((NAN, 1),)), 1, RejectionReason.REFUSED, "no")])
    handler.close()
    (read,) = read_rejected_samples(tmp_path)
    value = read.record.samples[0][0]
    assert isinstance(value, float)
    assert math.isnan(value)


@pytest.mark.parametrize(
    "stranger", [{"any": "thing"}, ("m", {}, (("x", 1),)), ("m", {}, ((1.0, 1.5),)), (None, {}, ())]
)
def test_what_was_no_record_is_kept_as_its_text(tmp_path, stranger):
    handler = JsonLinesRejectedSamples(tmp_path)
    handler([RejectedSamples(stranger, 1, RejectionReason.INVALID, "bad")])
    handler.close()
    assert [read.record for read in read_rejected_samples(tmp_path)] == [repr(stranger)]


def test_files_are_rotated_by_size_and_nothing_is_lost(tmp_path):
    handler = JsonLinesRejectedSamples(tmp_path, max_file_size_bytes=500)
    for number in range(20):
        handler([RejectedSamples(("m", {}, ((float(number), number),)), 1, RejectionReason.REFUSED, "no")])
    handler.close()
    assert len(list(tmp_path.iterdir())) > 3
    read = sorted(each.record.samples[0][1] for each in read_rejected_samples(tmp_path))
    assert read == list(range(20))


def test_a_line_that_a_crash_cut_short_is_passed_over(tmp_path, caplog):
    handler = JsonLinesRejectedSamples(tmp_path)
    handler([REFUSED, REFUSED])
    handler.close()
    (path,) = tmp_path.iterdir()
    path.write_text(path.read_text()[:-20])
    assert list(read_rejected_samples(tmp_path)) == [REFUSED]
    assert f"check line 2 of {path}: it is damaged" in caplog.text


DAMAGED = {
    "bytes that are not UTF-8": b"\xff\xfe",
    "not an object": b"[]",
    "no object of ours": b'{"text": "hello"}',
    "deeper than Python reads": b"[" * 100_000,
    "a number of 5000 digits": b"1" * 5000,
    "no reason": lambda read: read.pop("reason"),
    "a reason that is none": lambda read: read.update(reason="whim"),
    "a count in words": lambda read: read.update(count="one"),
    "a tenant in words": lambda read: read.update(tenant="a"),
    "samples in words": lambda read: read.update(samples="abc"),
    "a value that is none": lambda read: read.update(samples=[[None, 1]]),
    "a time beyond all times": lambda read: read.update(samples=[["1.0", 10**400]]),
    "half a histogram": lambda read: read.update(samples=[[{"schema": 1}, 1]]),
    "labels in a list": lambda read: read.update(labels=["a"]),
    "exemplars in words": lambda read: read.update(exemplars="ab"),
    "metadata of too many parts": lambda read: read.update(metadata=[1, 2, 3, 4]),
}


@pytest.mark.parametrize("damage", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_line_costs_no_other_line(tmp_path, caplog, damage):
    handler = JsonLinesRejectedSamples(tmp_path)
    handler([REFUSED, REFUSED, REFUSED])
    handler.close()
    (path,) = tmp_path.iterdir()
    first, second, third = path.read_bytes().splitlines(keepends=True)
    if callable(damage):
        read = json.loads(second)
        damage(read)
        second = json.dumps(read).encode()
    else:
        second = damage
    path.write_bytes(first + second.rstrip(b"\n") + b"\n" + third)
    assert list(read_rejected_samples(tmp_path)) == [REFUSED, REFUSED]
    assert f"check line 2 of {path}: it is damaged" in caplog.text


class Unspeakable:
    def __repr__(self):
        raise RuntimeError


def test_a_record_that_cannot_even_be_shown_is_kept_by_its_type(tmp_path):
    records: list[object] = [Unspeakable(), ("m", {}, ((Unspeakable(), 1),))]
    for record in records:
        handler = JsonLinesRejectedSamples(tmp_path)
        handler([RejectedSamples(record, 1, RejectionReason.INVALID, "bad")])
        handler.close()
    assert {read.record for read in read_rejected_samples(tmp_path)} == {"<Unspeakable>", "<tuple>"}


def test_a_file_that_cannot_be_written_is_closed_all_the_same(tmp_path):
    handler = JsonLinesRejectedSamples(tmp_path)
    handler([REFUSED])
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))  # as if the disk were full
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with pytest.raises(OSError, match="File too large"):
            handler.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    handler([REFUSED])
    handler.close()
    assert list(read_rejected_samples(tmp_path)) == [REFUSED]


def test_the_handler_can_be_shipped_with_the_job(tmp_path):
    shipped = pickle.loads(pickle.dumps(JsonLinesRejectedSamples(tmp_path)))
    shipped([REFUSED])
    shipped.close()
    assert list(read_rejected_samples(tmp_path)) == [REFUSED]


def test_the_log_has_one_line_a_reason_and_interval_and_loses_no_count(caplog):
    now = [0.0]
    handler = LogRejectedSamples(interval_s=10, monotonic=lambda: now[0])
    with caplog.at_level(logging.WARNING):
        for _ in range(5):
            handler([REFUSED])
            handler([RejectedSamples("x", 1, RejectionReason.INVALID, "bad")])
        now[0] = 11
        handler([REFUSED])
        handler.close()
    counts = [(record.args[1], record.args[0]) for record in caplog.records]
    assert counts == [("refused", 3), ("invalid", 1), ("refused", 15), ("invalid", 4)]
    assert 'out of "order"' in caplog.text


@pytest.mark.parametrize(
    "record",
    [
        PrometheusTimeSeries("m", {"a": "x" * 100_000}, ((1.0, 1),)),
        PrometheusTimeSeries("m", {f"label_{number}": "x" for number in range(5000)}, ((1.0, 1),)),
        PrometheusTimeSeries("m", {}, tuple((1.0, number) for number in range(10_000))),
        "x" * 100_000,
    ],
    ids=["value", "labels", "samples", "no record"],
)
def test_a_line_of_the_log_has_a_bound_whatever_was_rejected(caplog, record):
    with caplog.at_level(logging.WARNING):
        LogRejectedSamples()([RejectedSamples(record, 1, RejectionReason.INVALID, "bad")])
    [line] = [entry.getMessage() for entry in caplog.records]
    assert len(line) < 1000
    assert line.endswith("...: bad")


SHAPES: list[Any] = [7, None, "text", [7], [[]], [[{"schema": "x"}, 1]]]
GOOD_LINE = {
    "metric_name": "m",
    "labels": {},
    "samples": [["1.0", 1]],
    "count": 1,
    "reason": "refused",
    "message": "no",
}


@pytest.mark.parametrize(
    "changed",
    [
        "",
        "7",
        "[]",
        "{}",
        "[" * 100_000,
        *(
            json.dumps({**GOOD_LINE, "status": 400, name: value})
            for name in ("samples", "count", "reason", "metadata", "exemplars", "candidates", "tenant")
            for value in SHAPES
        ),
    ],
)
def test_a_line_that_was_changed_is_skipped_or_read_and_nothing_else(tmp_path, caplog, changed):
    good = json.dumps({**GOOD_LINE, "status": 400})
    (tmp_path / "rejected-1.jsonl").write_text(f"{changed}\n{good}\n")
    *_, read = read_rejected_samples(tmp_path)
    assert read.record == PrometheusTimeSeries("m", {}, ((1.0, 1),))
