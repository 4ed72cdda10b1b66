"""The samples of a job compared with those in a real Prometheus: all, one missing, a different one."""

from __future__ import annotations

import json
import math
import os
import time
from typing import Any

import pytest

from pyflink_prometheus import STALE_MARKER, NativeHistogram, RemoteWriteVersion
from pyflink_prometheus.__main__ import main
from pyflink_prometheus.http.outcome import Kind, Outcome, Written
from pyflink_prometheus.http.transport import RequestsTransport
from pyflink_prometheus.testing.prometheus_server import PrometheusServer
from pyflink_prometheus.verification import stored_samples

V1, V2 = RemoteWriteVersion.V1, RemoteWriteVersion.V2


@pytest.fixture
def verify(capsys, tmp_path):
    """Return a function that runs the command, and returns its status and output."""

    def run(server, *more):
        status = main(["verify", "--digests", str(tmp_path), "--query-url", server.url, "--json", *more])
        printed = capsys.readouterr()
        assert printed.err == ""
        return status, json.loads(printed.out)

    return run


@pytest.fixture
def write(open_writer, tmp_path):
    """Return a function that writes records to a server with a new writer."""

    def write_all(server, records, **settings):
        writer = open_writer(server.remote_write_url, digest_directory=str(tmp_path), **settings)
        for record in records:
            writer.add(record)
        writer.flush()
        writer.close()
        return writer

    return write_all


class Liar:
    """A transport that reports one request, counted from 1, as written without sending it."""

    def __init__(self, config, lie):
        self._transport = RequestsTransport(config)
        self._lie, self._count = lie, 0

    def post(self, body, headers):
        self._count += 1
        if self._count == self._lie:
            return Outcome(Kind.ACCEPTED, "HTTP 204", 204, written=Written(10_000))
        return self._transport.post(body, headers)

    def close(self):
        self._transport.close()


def records_of(metric, began, count, series=7):
    """Return samples of the latest two hours that alternate between series, one of them with odd names."""
    return [
        (
            metric,
            {"series": str(number % series), "text": 'quote " and ü \\ end'},
            ((math.sin(number), began + 977 * number),),
        )
        for number in range(count)
    ]


def began():
    return int(time.time() * 1000) - 45 * 60_000


@pytest.mark.parametrize("version", [V1, V2])
def test_all_is_stored(prometheus_empty, write, verify, metric_name, version, monkeypatch):
    monkeypatch.setattr(stored_samples, "_SAMPLES_A_QUERY", 300)
    first_ms = began()
    records = records_of(metric_name, first_ms, 2_500)
    records += [(f"{metric_name}_2", {}, ((value, first_ms),)) for value in (math.nan, 1.0)]
    write(prometheus_empty, records, remote_write_version=version, max_batch_size_in_samples=200)
    status, report = verify(prometheus_empty)
    assert (status, report["not_stored"]) == (0, [])
    assert report["samples"] == 2_501, "one of two values at one time was sent"


def test_a_missing_request_is_found(prometheus_empty, write, verify, metric_name):
    settings = {"max_batch_size_in_samples": 100, "max_in_flight_requests": 1, "remote_write_version": V1}
    records = records_of(metric_name, began(), 1_000)
    write(prometheus_empty, records, new_transport=lambda config: Liar(config, 5), **settings)
    status, report = verify(prometheus_empty)
    assert status == 1
    assert sum(each["sent"] - each["stored"] for each in report["not_stored"]) == 100
    assert {each["verdict"] for each in report["not_stored"]} == {"missing"}


def test_one_missing_sample_is_found(prometheus_empty, write, verify, metric_name, capsys, tmp_path):
    settings = {"max_batch_size_in_samples": 1, "max_in_flight_requests": 1, "remote_write_version": V1}
    write(
        prometheus_empty,
        records_of(metric_name, began(), 50),
        new_transport=lambda config: Liar(config, 20),
        **settings,
    )
    status, report = verify(prometheus_empty)
    ((missing,),) = (report["not_stored"],)
    assert (status, missing["sent"] - missing["stored"], missing["labels"]["series"]) == (1, 1, "5")
    for written, is_recent in ((time.time(), True), (time.time() - 3_600, False)):
        for path in tmp_path.glob("*.digests"):
            os.utime(path, (written, written))
        assert main(["verify", "--digests", str(tmp_path), "--query-url", prometheus_empty.url]) == 1
        printed = capsys.readouterr().out
        assert "missing: 1 (at least 1 sample)" in printed
        assert ("run this again in 30 s" in printed) is is_recent, "some receivers return new samples later"


def test_a_restart_and_what_is_written_again_changes_nothing(prometheus_empty, write, verify, metric_name):
    records = records_of(metric_name, began(), 500)
    write(prometheus_empty, records[:400], remote_write_version=V1)
    write(prometheus_empty, records[300:], remote_write_version=V1)
    status, report = verify(prometheus_empty, "--strict")
    assert (status, report["not_stored"]) == (0, [])
    assert report["samples"] == 500


def test_a_worker_that_was_killed_before_it_recorded_what_was_stored(
    prometheus_empty, write, open_writer, verify, metric_name
):
    records = records_of(metric_name, began(), 500)
    write(prometheus_empty, records[:200], remote_write_version=V1)
    lost = open_writer(prometheus_empty.remote_write_url, remote_write_version=V1)
    for record in records[200:300]:
        lost.add(record)
    lost.flush()
    write(prometheus_empty, records[200:], remote_write_version=V1)
    status, report = verify(prometheus_empty, "--strict")
    assert (status, report["not_stored"]) == (0, [])
    assert report["samples"] + report["more"] == 500
    assert report["more"] == 93, "the newest sample of each of the seven series was accepted again"


def test_refused_samples_are_not_expected(prometheus_empty, write, verify, metric_name):
    records = records_of(metric_name, began(), 100)
    writer = write(prometheus_empty, [*records, *records[:50]], remote_write_version=V1, max_batch_size_in_samples=50)
    assert writer.ledger.samples_accepted == 100
    status, report = verify(prometheus_empty)
    assert (status, report["not_stored"], report["samples"]) == (0, [], 100)


@pytest.mark.parametrize("version", [V1, V2])
def test_histograms_and_stale_markers(prometheus_kind, write, verify, metric_name, version):
    start = began()
    records: list[tuple[str, dict[str, str], tuple[tuple[Any, int], ...]]] = [
        (metric_name, {}, ((NativeHistogram.from_observations([0.1 * number, 3.0]), start + number),))
        for number in range(50)
    ]
    records += [(f"{metric_name}_of_floats", {}, ((1.0, start), (STALE_MARKER, start + 1), (2.0, start + 2)))]
    with PrometheusServer.start(prometheus_kind, extra_args=["--enable-feature=native-histograms"]) as server:
        write(server, records, remote_write_version=version)
        status, report = verify(server)
    assert (status, report["not_stored"], report["samples"]) == (0, [], 52)


def test_late_samples_that_are_accepted_twice_are_not_missing(prometheus_kind, write, verify, metric_name):
    records = records_of(metric_name, began(), 300)
    with PrometheusServer.start(prometheus_kind, out_of_order_time_window="2h") as server:
        write(server, records, remote_write_version=V1)
        write(server, records[100:], remote_write_version=V1)
        status, report = verify(server)
    assert (status, report["missing"], report["different"]) == (0, 0, 0)
    assert {each["verdict"] for each in report["not_stored"]} <= {"unclear"}


def test_victoria_metrics(victoria_metrics, write, verify, metric_name, monkeypatch):
    """It evaluates queries for recent times at an earlier time, returns stale markers as NaN, and rounds values."""
    monkeypatch.setattr(stored_samples, "_SAMPLES_A_QUERY", 100)
    now = int(time.time() * 1000)
    records: list[Any] = [
        (metric_name, {"age": str(age)}, ((number / 4, now - age + number),))
        for age in (2_700_000, 1_000)
        for number in range(1_000)
    ]
    marked = [STALE_MARKER if number % 10 == 5 else float(number) for number in range(30)]
    records += [(metric_name, {"age": "marked"}, tuple((value, now + number) for number, value in enumerate(marked)))]
    write(victoria_metrics, records)
    victoria_metrics.samples(metric_name)  # a query before its flush would hide new series for some 10 s
    status, report = verify(victoria_metrics)
    assert (status, report["not_stored"], report["samples"]) == (0, [], 2_027)
    write(victoria_metrics, [(f"{metric_name}_precise", {}, ((math.sin(at), now + at),)) for at in range(1_000)])
    victoria_metrics.samples(f"{metric_name}_precise")
    status, report = verify(victoria_metrics)
    assert (status, report["different"], report["missing"]) == (1, len(report["not_stored"]), 0)
    assert verify(victoria_metrics, "--count-only")[0] == 0
    late = [(metric_name, {"age": "1000"}, ((number / 4, now + number),)) for number in range(300)]
    write(victoria_metrics, late, new_transport=lambda config: Liar(config, 1), remote_write_version=V1)
    assert verify(victoria_metrics, "--count-only")[1]["missing"] > 0


def test_what_cannot_be_found_out(prometheus, capsys, tmp_path):
    command = ["verify", "--digests", str(tmp_path), "--query-url"]
    assert main([*command, prometheus.url]) == 2
    assert "no digests" in capsys.readouterr().err


def test_a_receiver_that_cannot_be_queried(prometheus_empty, write, capsys, metric_name, tmp_path):
    write(prometheus_empty, records_of(metric_name, began(), 5))
    assert main(["verify", "--digests", str(tmp_path), "--query-url", f"{prometheus_empty.url}/nowhere"]) == 2
    assert "check the URL" in capsys.readouterr().err
