"""Digests of written samples: each sample once, by series and hour, whatever happens to requests and workers."""

from __future__ import annotations

import contextlib
import errno
import math
import random
import resource
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pyflink_prometheus import (
    STALE_MARKER,
    NativeHistogram,
    PrometheusSinkError,
    RemoteWriteVersion,
    TenantConfiguration,
)
from pyflink_prometheus.config import SinkConfig
from pyflink_prometheus.http.outcome import Kind, Outcome
from pyflink_prometheus.model.digest import histogram_bits, sample_digests, total_digest, value_bits
from pyflink_prometheus.testing import FakeClock, PrometheusModel, ScriptedTransport
from pyflink_prometheus.verification.comparison import Verdict, judged
from pyflink_prometheus.verification.expectation import Expected, read_expectation
from pyflink_prometheus.verification.stored_samples import Stored
from pyflink_prometheus.writer import digest_files
from pyflink_prometheus.writer.digest_files import HOUR_MS, ROW, DigestFiles, read_digests, summed
from pyflink_prometheus.writer.fan_out import FanOut

V1, V2 = RemoteWriteVersion.V1, RemoteWriteVersion.V2
HOUR = 472_222
T = HOUR * HOUR_MS


def digest(samples):
    values = np.array([value for value, _ in samples], np.float64)
    return total_digest(sample_digests(np.array([at for _, at in samples], np.int64), value_bits(values)))


def stored(samples):
    ordered = sorted(samples, key=lambda sample: sample[1])
    values = np.array([value for value, _ in ordered], np.float64)
    timestamps = np.array([at for _, at in ordered], np.int64)
    return Stored(timestamps, sample_digests(timestamps, value_bits(values)))


@pytest.fixture
def write(open_writer, tmp_path):
    """Return a function that writes samples of series "a", "b" … with a new writer, and returns the writer."""

    def write_all(samples, transport=None, *, close=True, **settings):
        transport = ScriptedTransport() if transport is None else transport
        writer = open_writer(
            new_transport=lambda config: transport,
            clock=FakeClock(),
            draw=lambda: 1.0,
            digest_directory=str(settings.pop("directory", tmp_path)),
            max_in_flight_requests=1,
            max_batch_size_in_samples=settings.pop("batch", 100),
            **settings,
        )
        for name, value, at in samples:
            writer.add(("m", {"name": name}, ((value, at),)))
        writer.flush()
        if close:
            writer.close()
        return writer

    return write_all


def expected(directory, **more):
    """Return the samples that should be stored, by series' names and hours."""
    series = read_expectation(str(directory), more.pop("headers", {}), **more).series
    return {
        (dict(labels)["name"], hour - HOUR): (each.count, each.digest, each.unsure, each.repeats)
        for labels, hours in series.items()
        for hour, each in hours.items()
    }


@pytest.mark.parametrize("version", [V1, V2])
def test_each_series_and_hour_has_its_count_and_digest(write, tmp_path, version):
    samples = [(name, number / 7, T + number * 60_000) for number in range(100) for name in "ab"]
    write(samples, batch=30, remote_write_version=version)
    found = expected(tmp_path)
    for name in "ab":
        for hour, start, stop in ((0, 0, 60), (1, 60, 100)):
            of_hour = [(value, at) for each, value, at in samples if each == name][start:stop]
            assert found[name, hour] == (len(of_hour), digest(of_hour), 0, 0)
    assert len(found) == 4


def test_the_digest_does_not_depend_on_the_order_and_on_every_bit():
    samples = [(random.Random(number).random(), T + number) for number in range(1_000)]
    shuffled = samples[:]
    random.Random(1).shuffle(shuffled)
    assert digest(samples) == digest(shuffled)
    assert digest([(1.0, T)]) != digest([(math.nextafter(1.0, 2.0), T)])
    assert digest([(0.0, T)]) != digest([(-0.0, T)])
    assert digest([(1.0, T)]) != digest([(1.0, T + 1)])
    assert digest([(1.0, T), (2.0, T + 1)]) != digest([(2.0, T), (1.0, T + 1)])


def test_nan_is_nan_and_a_histogram_is_its_count_and_sum(write, tmp_path):
    histogram = NativeHistogram.from_observations([1.0, 2.5])
    write([("a", math.nan, T), ("a", histogram, T + 1)])
    bits = np.array([value_bits(np.array([float("nan")]))[0], histogram_bits(2.0, 3.5)], np.uint64)
    assert expected(tmp_path)["a", 0][:2] == (2, total_digest(sample_digests(np.array([T, T + 1]), bits)))


def test_a_time_far_ahead_has_its_hour(write, tmp_path):
    """Such as one in microseconds, which VictoriaMetrics and older versions of Prometheus accept."""
    write([("a", 1.0, T * 1_000)])
    assert [*expected(tmp_path)] == [("a", HOUR * 1_000 - HOUR)]


def test_stale_markers_do_not_count(write, tmp_path):
    write([("a", 1.0, T), ("a", STALE_MARKER, T + 1)])
    assert expected(tmp_path)["a", 0] == (1, digest([(1.0, T)]), 0, 0)


def test_the_newest_sample_counts_once_however_often_it_is_accepted(write, tmp_path):
    write([("a", 1.0, T), ("a", 1.0, T), ("b", 1.0, T), ("a", 1.0, T)], batch=1)
    write([("a", 1.0, T), ("a", 2.0, T + 1)])
    assert expected(tmp_path) == {
        ("a", 0): (2, digest([(1.0, T), (2.0, T + 1)]), 0, 0),
        ("b", 0): (1, digest([(1.0, T)]), 0, 0),
    }


def test_what_was_refused_may_be_stored(write, tmp_path):
    transport = ScriptedTransport(decide=lambda request: 400 if request.samples and request.samples[0][1] > 5 else 204)
    write([("a", float(number), T + number) for number in range(10)], transport, batch=1, remote_write_version=V1)
    count, found, unsure, _ = expected(tmp_path)["a", 0]
    assert (count, found, unsure) == (6, digest([(float(number), T + number) for number in range(6)]), 4)


def test_of_what_is_partly_written_nothing_is_sure(write, tmp_path):
    transport = ScriptedTransport(decide=PrometheusModel(T))
    write([("a", 1.0, T), ("b", 1.0, T)], transport)
    write([("a", 2.0, T - 1), ("b", 2.0, T + 1)], transport)  # Prometheus rejects one, and does not say which
    found = expected(tmp_path)
    assert found["a", 0] == (1, digest([(1.0, T)]), 0, 0)
    assert found["a", -1][2] == 1
    assert found["b", 0] == (1, digest([(1.0, T)]), 1, 0)


def test_a_restart_in_which_older_samples_are_accepted_again_is_noted(write, tmp_path):
    samples = [("a", float(number), T + number) for number in range(10)]
    write(samples)
    write(samples[5:])
    count, _, _, repeats = expected(tmp_path)["a", 0]
    assert (count, repeats) == (15, 5)


def test_a_worker_that_is_killed_has_written_what_it_flushed(write, tmp_path):
    write([("a", 1.0, T)], close=False)
    for path in tmp_path.glob("*.digests"):
        with path.open("ab") as file:
            file.write(b"\0" * (ROW.itemsize - 1))  # a row that was cut short
    for path in tmp_path.glob("*.labels"):
        with path.open("ab") as file:
            file.write(b'[{"__na')
    assert expected(tmp_path)["a", 0][0] == 1


def test_a_request_that_is_retried_counts_once(write, tmp_path):
    down = Outcome(Kind.RETRYABLE, "no connection")
    write([("a", 1.0, T), ("a", 2.0, T + 1)], ScriptedTransport(script=[down, 503, down]))
    assert expected(tmp_path)["a", 0][0] == 2


def test_tenants_are_kept_apart(write, tmp_path):
    write([("one", 1.0, T), ("two", 1.0, T)], tenant=TenantConfiguration({"X-Scope-OrgID": "name"}, keep_labels=True))
    assert expected(tmp_path) == {}
    assert [*expected(tmp_path, headers={"x-scope-orgid": "one"})] == [("one", 0)]


def test_a_file_is_compacted_when_it_has_grown(tmp_path, monkeypatch):
    monkeypatch.setattr(digest_files, "_COMPACT_FROM", 100 * ROW.itemsize)
    files = DigestFiles(str(tmp_path))
    rows = np.zeros(10, ROW)
    rows["series"], rows["count"], rows["digest"], rows["newest"] = range(10), 1, (1 << 63) + 1, T
    for number in range(100):
        rows["first"] = T + number
        files.write([((("__name__", "m"), ("i", str(each))), ()) for each in range(0 if number else 10)], rows)
    files.close()
    ((series, found),) = read_digests(str(tmp_path))
    assert len(series) == len(found) == 10
    assert set(found["count"].tolist()) == {100}
    assert set(found["digest"].tolist()) == {100}
    assert set(found["first"].tolist()) == {T}
    assert sum(path.stat().st_size for path in tmp_path.glob("*.digests")) < 200 * ROW.itemsize


def test_rows_of_a_series_and_hour_add_up():
    rows = np.zeros(3, ROW)
    rows["series"], rows["hour"], rows["count"], rows["unsure"], rows["first"] = 7, 1, [0, 2, 3], [5, 0, 0], [0, 11, 12]
    (row,) = summed(rows)
    assert (row["count"], row["unsure"], row["first"]) == (5, 5, 11)


def test_a_directory_that_cannot_be_written_fails_the_job(write, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(PrometheusSinkError, match="set_digest_directory"):
        write([("a", 1.0, T)], directory=tmp_path / "file")


@contextlib.contextmanager
def no_file_beyond(size):
    """Let files grow only to a size, as if the disk were then full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)


@pytest.mark.parametrize("size", [0, 10, 150], ids=["no label", "half a label", "half a row"])
def test_what_a_full_disk_does_not_take_is_written_once_there_is_room(open_writer, tmp_path, size):
    writer = open_writer(
        new_transport=lambda config: ScriptedTransport(), clock=FakeClock(), digest_directory=str(tmp_path)
    )
    samples = {name: [(number / 7, T + number) for number in range(3)] for name in "abc"}
    for name, of_series in samples.items():
        writer.add(("m", {"name": name}, tuple(of_series)))
    with no_file_beyond(size), pytest.raises(PrometheusSinkError, match="make room"):
        writer.flush()
    writer.close()
    assert expected(tmp_path) == {(name, 0): (3, digest(samples[name]), 0, 0) for name in samples}


def test_a_file_grows_on_where_there_is_no_room_to_compact_it(tmp_path, monkeypatch):
    monkeypatch.setattr(digest_files, "_COMPACT_FROM", 10 * ROW.itemsize)
    rows = np.zeros(9, ROW)
    rows["series"], rows["count"] = range(9), 1
    files = DigestFiles(str(tmp_path))
    series = [((("__name__", "m"), ("i", str(each))), ()) for each in range(9)]
    files.write(series, rows)
    monkeypatch.setattr(Path, "write_bytes", out_of_room)
    for _ in range(5):
        files.write([], rows)
    monkeypatch.undo()
    assert [each["count"].tolist() for _, each in read_digests(str(tmp_path))] == [[6] * 9]
    files.write([], rows)
    files.close()
    assert [each["count"].tolist() for _, each in read_digests(str(tmp_path))] == [[7] * 9]
    assert not list(tmp_path.glob("*.new"))


def out_of_room(path, content):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_each_endpoint_keeps_its_own(tmp_path):
    configs = [
        SinkConfig(
            prometheus_remote_write_url=f"http://{name}.invalid/write",
            remote_write_version=V1,
            digest_directory=str(tmp_path / name),
        )
        for name in ("first", "second")
    ]
    writer = FanOut(
        replace(configs[0], further_endpoints={"second": configs[1]}),
        new_transport=lambda config: ScriptedTransport(),
        clock=FakeClock(),
    )
    writer.add(("m", {"name": "a"}, ((1.0, T),)))
    writer.flush()
    writer.close()
    for name in ("first", "second"):
        assert expected(tmp_path / name)["a", 0][0] == 1


def test_two_endpoints_cannot_share_a_directory():
    config = SinkConfig(prometheus_remote_write_url="http://a.invalid/write", digest_directory="digests")
    with pytest.raises(ValueError, match="digest_directory"):
        replace(config, further_endpoints={"b": config})


SAMPLES = [(float(number), T + 10 * number) for number in range(100)]


@pytest.mark.parametrize(
    ("held", "more", "verdict"),
    [
        (SAMPLES, {}, "stored"),
        (SAMPLES[:50] + SAMPLES[51:], {}, "missing"),
        ([], {}, "missing"),
        (SAMPLES[:50] + SAMPLES[51:] + [(1.0, T + 5)], {}, "different"),
        ([*SAMPLES[:-1], (7.0, SAMPLES[-1][1])], {}, "different"),
        ([*SAMPLES, (1.0, T + 5_000), (2.0, T + 5_001)], {}, "stored"),
        ([*SAMPLES, (1.0, T + 5), (2.0, T + 6)], {}, "stored"),
        ([*SAMPLES[1:], (1.0, T + 5_000), (2.0, T + 5_001)], {}, "unclear"),
        (SAMPLES[1:], {"repeats": 1}, "unclear"),
        (SAMPLES[2:], {"repeats": 1}, "missing"),
        ([*SAMPLES, (math.nan, T + 5), (math.nan, T + 5_000)], {}, "stored"),
        ([*SAMPLES[:-1], (math.nan, T + 5), (math.nan, T + 5_000)], {}, "unclear"),
    ],
)
def test_verdicts(held, more, verdict):
    assert judged(Expected(len(SAMPLES), digest(SAMPLES), **more), stored(held)) is Verdict(verdict)


@pytest.mark.parametrize(
    ("count", "more", "verdict"),
    [(100, {}, "stored"), (99, {}, "missing"), (101, {}, "unclear"), (99, {"repeats": 1}, "unclear")],
)
def test_verdicts_by_count_alone(count, more, verdict):
    held = [(value + 0.5, at) for value, at in [*SAMPLES, (1.0, T + 5_000)][:count]]
    assert judged(Expected(len(SAMPLES), digest(SAMPLES), **more), stored(held), count_only=True) is Verdict(verdict)


def test_nothing_is_kept_unless_it_is_asked_for(open_writer, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    writer = open_writer(new_transport=lambda config: ScriptedTransport())
    writer.add(("m", {}, ((1.0, T),)))
    writer.flush()
    assert [*tmp_path.iterdir()] == []
