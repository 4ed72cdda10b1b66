"""Rejected samples are put in order, and written as OpenMetrics text or sent again."""

from __future__ import annotations

import json
import random
import sqlite3
from pathlib import Path

import pytest

from pyflink_prometheus import (
    STALE_MARKER,
    Exemplar,
    JsonLinesRejectedSamples,
    Metadata,
    NativeHistogram,
    PrometheusTimeSeries,
    RejectedSamples,
    RejectionReason,
    read_rejected_samples,
)
from pyflink_prometheus.__main__ import main
from pyflink_prometheus.config import SinkConfig
from pyflink_prometheus.errors import PrometheusSinkError
from pyflink_prometheus.relabelling.relabelling import Relabelling
from pyflink_prometheus.rescue.late_samples import LateSamples
from pyflink_prometheus.rescue.openmetrics_text import lines, timestamp
from pyflink_prometheus.rescue.refused_files import find_files, read_files
from pyflink_prometheus.rescue.resend_progress import ResendProgress
from pyflink_prometheus.rescue.resending import Resend, cause_of, progress_line
from pyflink_prometheus.testing import Receiver, Response
from pyflink_prometheus.testing import ScriptedTransport as Transport
from pyflink_prometheus.writer.writer import RemoteWriter

T = 1_700_000_000_000
HOUR = 3_600_000
URL = "http://receiver.invalid/api/v1/write"


def series(name="m", *samples, metadata=None, exemplars=(), **labels):
    return PrometheusTimeSeries(name, labels, samples, metadata, exemplars)


def refused(*records, reason=RejectionReason.REFUSED, tenant=None):
    return [RejectedSamples(each, len(each.samples), reason, "HTTP 400: no", 400, (), tenant or {}) for each in records]


@pytest.fixture
def samples():
    """Yield an empty collection."""
    with LateSamples() as made:
        yield made


@pytest.fixture
def kept(tmp_path):
    """Return a function that keeps rejected samples in a directory, as a job does."""

    def keep(rejected, folder=tmp_path / "rejected"):
        handler = JsonLinesRejectedSamples(folder)
        handler(rejected)
        handler.close()
        return folder

    return keep


def text(samples, range_ms=2 * HOUR):
    return "".join(lines(samples.by_range(range_ms)))


# The collection.


def test_samples_are_read_by_time_or_by_series_whatever_their_order_was(samples):
    made = [series("m", (float(each), T + each), room=str(each % 3)) for each in range(1000)]
    random.Random(1).shuffle(made)
    for each in made:
        samples.add(each)
    assert [each.timestamp for each in samples.by_time()] == [T + each for each in range(1000)]
    by_series = [(each.labels["room"], each.timestamp) for each in samples.by_range(2 * HOUR)]
    assert by_series == sorted(by_series)
    assert (samples.count(), samples.count_series()) == (1000, 3)


def test_all_that_a_record_holds_comes_back(samples):
    histogram = NativeHistogram(schema=0, positive={1: 2.5, 3: 1.0}, sum=float("inf"), zero_count=1.5)
    metadata, exemplars = Metadata("counter", "Help\n", "seconds"), (Exemplar({"trace": "ü"}, 1.5, T),)
    whole = [
        series("a", (1.5, T, T - 1000), (2.0, T + 1), metadata=metadata, exemplars=exemplars, room="ü\n"),
        series("b", (histogram, T), (STALE_MARKER, T + 1)),
    ]
    for each in whole:
        samples.add(each, {"X-Scope-OrgID": "team"})
    read = list(samples.by_range(2 * HOUR))
    assert [each.record() for each in read][:3] == [
        series("a", (1.5, T, T - 1000), metadata=metadata, room="ü\n"),
        series("a", (2.0, T + 1), metadata=metadata, exemplars=exemplars, room="ü\n"),
        series("b", (histogram, T)),
    ]
    assert {each.tenant["X-Scope-OrgID"] for each in read} == {"team"}


def test_a_sample_that_is_there_twice_is_read_once_and_of_two_values_the_first(samples):
    for value in (1.0, 1.0, 2.0):
        samples.add(series("m", (value, T)))
    assert [each.value for each in samples.by_time()] == [1.0]
    assert (samples.duplicates, samples.conflicts, samples.count()) == (1, 1, 1)


def test_tenants_are_read_one_after_the_other(samples):
    for place, tenant in enumerate(("b", "a", "b")):
        samples.add(series("m", (1.0, T + place)), {"X-Scope-OrgID": tenant})
    assert [each.tenant["X-Scope-OrgID"] for each in samples.by_time()] == ["a", "b", "b"]


# The files.

LINE = {
    "metric_name": "m",
    "labels": {},
    "samples": [["1.0", T]],
    "count": 1,
    "reason": "refused",
    "message": "no",
    "status": 400,
}


def test_only_what_was_to_be_sent_as_it_is_is_read_unless_one_says_otherwise(kept, samples):
    folder = kept(
        [each for reason in RejectionReason for each in refused(series(reason.value, (1.0, T)), reason=reason)]
    )
    left_out = read_files(find_files([folder]), samples).left_out
    assert sorted(each.metric_name for each in samples.by_time()) == [
        *("overflow", "refused", "retries_exhausted", "unconfirmed", "unsent")
    ]
    assert left_out["rejected as too_old"] == 1
    with LateSamples() as others:
        read_files(find_files([folder]), others, [RejectionReason.TOO_OLD])
        assert [each.metric_name for each in others.by_time()] == ["too_old"]


def test_candidates_are_read_and_what_is_no_series_is_counted(kept, samples):
    candidates = (series("a", (1.0, T)), series("b", (1.0, T)))
    folder = kept(
        [
            RejectedSamples(None, 1, RejectionReason.REFUSED, "no", 400, candidates),
            RejectedSamples({"any": "thing"}, 3, RejectionReason.REFUSED, "no", 400),
        ]
    )
    (file,) = folder.iterdir()
    with file.open("a") as lines_of_file:
        # Lines may have any shape if something else has changed the file.
        lines_of_file.write(f"{json.dumps({**LINE, 'labels': 7})}\n{json.dumps({**LINE, 'tenant': 7})}\n")
        lines_of_file.write('{"metric_name": "cut sho')
    left_out = read_files(find_files([folder]), samples).left_out
    assert [each.metric_name for each in samples.by_time()] == ["a", "b"]
    assert left_out == {
        "not a valid series": 3,
        "lines that cannot be read": 2,
        "last lines that are not complete": 1,
    }


@pytest.mark.parametrize(
    "changed",
    [
        *({"tenant": {"X-Scope-OrgID": "a\nb"}}, {"tenant": {"Host": "a"}}, {"tenant": {"a b": "c"}}),
        *({"tenant": {"Content-Length": "1"}}, {"count": 0}, {"count": -5}),
    ],
)
def test_a_line_that_no_job_can_have_written_is_damaged(kept, samples, changed):
    folder = kept(refused(series("m", (1.0, T))))
    (file,) = folder.iterdir()
    file.write_text(json.dumps({**LINE, **changed}) + "\n")
    assert read_files(find_files([folder]), samples).left_out == {"lines that cannot be read": 1}


def test_a_directory_without_files_is_wrong_usage(tmp_path, capsys):
    assert run("openmetrics", tmp_path, "--output", tmp_path / "out") == 2
    assert f"check {tmp_path}: it contains no rejected-*.jsonl file" in capsys.readouterr().err


# The text.


@pytest.mark.parametrize("milliseconds", [0, 1, 1001, -1, -1001, T, T + 1, 2**53, -(2**53)])
def test_prometheus_reads_the_time_that_was_meant(milliseconds):
    assert int(float(timestamp(milliseconds)) * 1000) == milliseconds


def test_prometheus_reads_each_time_that_was_meant():
    for milliseconds in range(T, T + 20_000):
        assert int(float(timestamp(milliseconds)) * 1000) == milliseconds
    assert timestamp(1001) == "1.0015"  # because 1.001 * 1000 is a little less than 1001


def test_metrics_have_their_metadata_and_labels_are_escaped(samples):
    samples.add(series("b", (float("nan"), T), (float("-inf"), T + 1), metadata=Metadata("gauge", 'A "b"\n', "")))
    samples.add(series("a_seconds_total", (1e22, T), metadata=Metadata("counter", "", "seconds"), room='"\\\n'))
    samples.add(series("wörd", (1.0, T), ä="x"))
    samples.add(series("h_bucket", (1.0, T), metadata=Metadata("histogram", "H", "seconds"), le="1"))
    assert text(samples) == (
        "# TYPE a_seconds counter\n"
        "# UNIT a_seconds seconds\n"
        'a_seconds_total{room="\\"\\\\\\n"} 1e+22 1700000000.000\n'
        "# TYPE b gauge\n"
        '# HELP b A \\"b\\"\\n\n'
        "b NaN 1700000000.000\n"
        "b -Inf 1700000000.001\n"
        "# TYPE h_bucket unknown\n"
        "# HELP h_bucket H\n"
        'h_bucket{le="1"} 1.0 1700000000.000\n'
        '# TYPE "wörd" unknown\n'
        '{"wörd","ä"="x"} 1.0 1700000000.000\n'
    )


def test_no_family_is_there_twice(samples):
    for name, kind in (("a", "gauge"), ("a_total", "counter")):
        samples.add(series(name, (1.0, T), metadata=Metadata(kind)))
    found = text(samples)
    assert [line for line in found.splitlines() if line.startswith("#")] == ["# TYPE a gauge", "# TYPE a_total unknown"]


@pytest.mark.parametrize(
    ("record", "kind"),
    [
        (series("m", (1.0, -1)), "times before 1970 or after 287396"),
        (series("m", (1.0, 2**53 + 1)), "times before 1970 or after 287396"),
        (series("m\0", (1.0, T)), "names with a NUL character"),
        (series("m", (1.0, T), **{"a\0": "b"}), "names with a NUL character"),
    ],
)
def test_what_promtool_would_drop_or_stop_at_is_left_out_and_said(kept, tmp_path, capsys, record, kind):
    folder = kept(refused(record, series("m", (2.0, 0), (3.0, 2**53), a="\0")))
    assert run("openmetrics", folder, "--output", tmp_path / "out", "--json") == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["samples"], told["left_out"]) == (2, {kind: 1})


# The command that writes it.


def run(*arguments):
    return main(["rescue", *map(str, arguments)])


def test_files_are_written_by_time_and_tenant(kept, tmp_path, capsys):
    kept(refused(series("m", (1.0, T), (2.0, T + 2 * HOUR), exemplars=(Exemplar({}, 1.0, T),))))
    folder = kept(refused(series("m", (3.0, T)), tenant={"X-Scope-OrgID": "a/b"}))
    assert run("openmetrics", folder, "--output", tmp_path / "out") == 0
    found = {str(each.relative_to(tmp_path / "out")): each.read_text() for each in (tmp_path / "out").rglob("*.*")}
    assert found == {
        "20231114T220000Z.om": "# TYPE m unknown\nm 1.0 1700000000.000\n# EOF\n",
        "20231115T000000Z.om": "# TYPE m unknown\nm 2.0 1700007200.000\n# EOF\n",
        "tenant-a_b/20231114T220000Z.om": "# TYPE m unknown\nm 3.0 1700000000.000\n# EOF\n",
    }
    told = capsys.readouterr().out
    assert "3 samples of 2 series were written to 3 files" in told
    assert "left out: 1 (exemplars)" in told
    assert "promtool tsdb create-blocks-from openmetrics" in told


def test_each_tenant_has_a_folder_of_its_own(kept, tmp_path, capsys):
    tenants = [
        *({"X-Scope-OrgID": each} for each in ("a/b", "a_b", "A_B", "x" * 400, "x" * 399 + "y", "a-b", "a_b-2")),
        *({"THANOS-TENANT": "a_b"}, {"X-Scope-OrgID": "a", "X-Other": "b"}, {}),
    ]
    for number, tenant in enumerate(tenants):
        folder = kept(refused(series("m", (float(number), T)), tenant=tenant))
    assert run("openmetrics", folder, "--output", tmp_path / "out", "--json") == 0
    files = json.loads(capsys.readouterr().out)["files"]
    found = [Path(file).read_text().splitlines()[1:-1] for file in files]
    assert sorted(found) == [[f"m {float(number)} 1700000000.000"] for number in range(len(tenants))]
    assert len({file.lower() for file in files}) == len(tenants)


def test_what_the_text_cannot_hold_is_counted_and_shows_in_the_status(kept, tmp_path, capsys):
    histogram = NativeHistogram(schema=0, positive={1: 2}, sum=1.0)
    folder = kept(refused(series("h", (histogram, T)), series("m", (1.0, T), (STALE_MARKER, T + 1))))
    assert run("openmetrics", folder, "--output", tmp_path / "out", "--json") == 1
    told = json.loads(capsys.readouterr().out)
    assert told["samples"] == 1
    assert told["left_out"]["native histograms"] == told["left_out"]["stale markers"] == 1


def test_a_folder_that_is_not_empty_is_left_alone(kept, tmp_path, capsys):
    folder = kept(refused(series("m", (1.0, T))))
    assert run("openmetrics", folder, "--output", folder) == 2
    assert "name a folder that is new or empty" in capsys.readouterr().err


def test_files_that_are_not_there_are_wrong_usage(tmp_path, capsys):
    assert run("openmetrics", tmp_path / "missing", "--output", tmp_path / "out") == 2
    assert "missing: No such file or directory" in capsys.readouterr().err


# Sending again.


class Sending:
    """A resend to a transport with scripted responses; it can be repeated."""

    def __init__(self, folder, samples, transport, rate=1e6, headers=None, step=20_000, batch=None, **settings):
        self.file, self.left, self.transport = folder / "progress.json", folder / "left", transport
        self.progress = ResendProgress.load(self.file) or ResendProgress(URL)
        if not self.progress.samples:
            self.progress.begin({}, samples.count(), "")
        self.steps: list[int] = []
        self.configs: list[SinkConfig] = []

        def new_writer(config):
            self.configs.append(config)
            return RemoteWriter(config, new_transport=lambda config: transport)

        self.resend = Resend(
            SinkConfig(URL, http_headers=headers or {}, max_batch_size_in_samples=batch, **settings),
            samples,
            self.progress,
            progress_file=self.file,
            left=JsonLinesRejectedSamples(self.left),
            samples_per_second=rate,
            report=lambda progress: self.steps.append(progress.done),
            new_writer=new_writer,
            step=step,
        )


def accepted_timestamps(requests):
    return [each[1] for request in requests for found in request.series for each in found.samples]


def test_samples_are_sent_in_order_of_time(samples, tmp_path):
    for each in reversed(range(100)):
        samples.add(series("m", (1.0, T + each), room=str(each % 7)))
    transport = Transport()
    sending = Sending(tmp_path, samples, transport, batch=10)
    sending.resend.run()
    of_requests = [sorted(accepted_timestamps([request])) for request in transport.accepted]
    assert of_requests == [[T + at for at in range(first, first + 10)] for first in range(0, 100, 10)]
    assert (sending.progress.done, sending.progress.accepted, dict(sending.progress.refused)) == (100, 100, {})


def test_it_goes_on_where_it_has_stopped(samples, tmp_path):
    for each in range(60):
        samples.add(series("m", (1.0, T + each)))
    first = Sending(tmp_path, samples, Transport(script=[None, None, 403]), step=10)
    with pytest.raises(PrometheusSinkError):
        first.resend.run()
    assert first.steps == [10, 20]
    assert ResendProgress.load(first.file) == first.progress
    second = Sending(tmp_path, samples, Transport())
    second.resend.run()
    assert accepted_timestamps([*first.transport.accepted, *second.transport.accepted]) == [T + at for at in range(60)]
    assert (second.progress.done, second.progress.accepted) == (60, 60)


def test_each_tenant_gets_its_own_in_its_headers(samples, tmp_path):
    samples.add(series("m", (1.0, T)), {"X-Scope-OrgID": "a"})
    samples.add(series("m", (2.0, T)))
    sending = Sending(tmp_path, samples, Transport(), headers={"X-Other": "x", "x-scope-orgid": "default"})
    sending.resend.run()
    assert [dict(each.http_headers) for each in sending.configs] == [
        {"X-Other": "x", "X-Scope-OrgID": "a"},
        {"X-Other": "x", "x-scope-orgid": "default"},
    ]


def test_rules_and_exclusions_of_the_endpoint_are_not_applied_again(samples, tmp_path):
    histogram = NativeHistogram(schema=0, positive={1: 2}, sum=1.0)
    samples.add(series("h", (histogram, T)))
    samples.add(series("m", (1.0, T), exemplars=(Exemplar({}, 1.0, T),)))
    sending = Sending(
        tmp_path,
        samples,
        Transport(),
        send_native_histograms=False,
        send_exemplars=False,
        max_sample_age_ms=1,
        relabelling=Relabelling([{"action": "drop", "source_labels": ["__name__"], "regex": "m"}]),
    )
    sending.resend.run()
    (request,) = sending.transport.accepted
    assert sorted(found.metric_name for found in request.series) == ["h", "m"]
    assert sum(len(found.exemplars) for found in request.series) == 1


def test_the_rate_bounds_what_is_sent_at_once(samples, tmp_path):
    samples.add(series("m", (1.0, T)))
    sending = Sending(tmp_path, samples, Transport(), rate=50)
    sending.resend.run()
    (config,) = sending.configs
    assert config.sending_limits.max_samples_per_second == 50
    assert config.max_batch_size_in_samples == 50


@pytest.mark.parametrize(
    ("message", "status", "cause"),
    [
        ("HTTP 400: too old sample, out of order sample", 400, "too old sample (HTTP 400)"),
        ('HTTP 400: out of order sample for series {a="b"}', 400, "out of order sample (HTTP 400)"),
        ("HTTP 422: label value too long", 422, "refused (HTTP 422)"),
        ("it never responded", None, "refused"),
    ],
)
def test_a_cause_has_nothing_that_differs_between_responses(message, status, cause):
    assert cause_of(RejectedSamples(None, 1, RejectionReason.REFUSED, message, status)) == cause


# The command that sends.


def old(request):
    """Refuse samples older than a minute after T."""
    is_old = any(at < T + 60_000 for found in request.series for _, at, *_ in found.samples)
    return Response(400, "out of bounds") if is_old else None


@pytest.mark.enable_socket
def test_it_says_what_is_still_refused_and_keeps_it(kept, tmp_path, capsys):
    folder = kept(refused(*(series("m", (1.0, T + 10_000 * each)) for each in range(12))))
    with Receiver(old) as receiver:
        url = ("--url", receiver.url, "--remote-write-version", "1.0")
        assert run("resend", folder, *url) == 1
        told = capsys.readouterr()
        assert "6 of 12 samples were accepted\nstill refused: 6 (out of bounds (HTTP 400))\n" in told.out
        assert "12 of 12 samples (100%)" in told.err
        with LateSamples() as left:
            read_files(find_files([folder / "left"]), left)
            assert [each.timestamp for each in left.by_time()] == [T + 10_000 * each for each in range(6)]
        # Finished samples are not sent again, but new ones are.
        before = len(receiver.requests)
        assert run("resend", folder, *url, "--json") == 0
        assert json.loads(capsys.readouterr().out)["samples"] == 0
        assert len(receiver.requests) == before
        kept(refused(series("m", (1.0, T + 200_000))))
        assert run("resend", folder, *url, "--json") == 0
        assert json.loads(capsys.readouterr().out)["accepted"] == 1


@pytest.mark.enable_socket
def test_what_is_still_refused_keeps_its_tenant(kept, capsys):
    def refuse_b(request):
        return Response(400, "out of bounds") if request.headers.get("x-scope-orgid") == "b" else None

    folder = kept([each for name in "ab" for each in refused(series("m", (1.0, T)), tenant={"X-Scope-OrgID": name})])
    with Receiver(refuse_b) as receiver:
        assert run("resend", folder, "--url", receiver.url, "--json") == 1
    assert json.loads(capsys.readouterr().out)["accepted"] == 1
    assert [each.tenant for each in read_rejected_samples(folder / "left")] == [{"X-Scope-OrgID": "b"}]


@pytest.mark.enable_socket
def test_what_is_left_out_is_said_and_damage_shows_in_the_status(kept, capsys):
    folder = kept(refused(*(series("m", (value, T)) for value in (1.0, 1.0, 2.0))))
    with Receiver() as receiver:
        assert run("resend", folder, "--url", receiver.url, "--json") == 0
        left_out = json.loads(capsys.readouterr().out)["left_out"]
        assert left_out == {"duplicate": 1, "conflicting": 1}
        (file,) = folder.glob("*.jsonl")
        with file.open("a") as more:
            more.write("{damaged}\n")
        assert run("resend", folder, "--url", receiver.url) == 1
        assert "left out: 1 (lines that cannot be read)" in capsys.readouterr().out


@pytest.mark.enable_socket
def test_an_endpoint_that_does_not_work_fails_it_with_what_to_do(kept, capsys):
    folder = kept(refused(series("m", (1.0, T))))
    with Receiver(lambda request: 404) as receiver:
        assert run("resend", folder, "--url", receiver.url) == 1
    told = capsys.readouterr()
    assert "0 of 1 samples were accepted" in told.out
    assert "error: run the same command again to continue once the cause is fixed: " in told.err
    assert "there is no receiver at this URL" in told.err


def test_a_file_in_place_of_the_folder_for_the_rest_is_named_before_anything_is_sent(kept, capsys):
    folder = kept(refused(series("m", (1.0, T))))
    (folder / "left").write_text("")
    assert run("resend", folder, "--url", URL) == 2
    assert f"check {folder / 'left'}: Not a directory" in capsys.readouterr().err


@pytest.mark.parametrize("way", ["openmetrics", "resend"])
def test_a_disk_that_is_full_of_temporary_files_is_named(kept, tmp_path, monkeypatch, capsys, way):
    folder = kept(refused(*(series("m", (1.0, T), number=str(number)) for number in range(5000))))
    connect = sqlite3.connect

    def connect_to_full_disk(*arguments, **options):
        connection = connect(*arguments, **options)
        connection.execute("PRAGMA max_page_count = 20")
        return connection

    monkeypatch.setattr("pyflink_prometheus.rescue.late_samples.sqlite3.connect", connect_to_full_disk)
    options = ("--output", tmp_path / "out") if way == "openmetrics" else ("--url", URL)
    assert run(way, folder, *options) == 2
    assert (
        "make room for temporary files, or set TMPDIR to a folder with free space: database or disk is full"
        in capsys.readouterr().err
    )


def test_the_time_that_is_left_may_be_days():
    assert progress_line(ResendProgress(URL, samples=300_001, done=1), 0, 1.0).endswith("1/s, 3 days, 11:20:00 left")


def test_the_progress_of_another_endpoint_is_not_gone_on_with(kept, capsys):
    folder = kept(refused(series("m", (1.0, T))))
    ResendProgress("http://other.invalid/api/v1/write").save(folder / "resend-progress.json")
    assert run("resend", folder, "--url", URL) == 2
    assert "name another file with --progress" in capsys.readouterr().err


STATE = {
    "endpoint": URL,
    "spans": {},
    "content": "",
    "taken": {},
    "samples": 1,
    "done": 1,
    "accepted": 1,
    "refused": {},
}


@pytest.mark.parametrize(
    "content",
    [
        *("", "[]", "{}", "[" * 100_000, "\N{BYTE ORDER MARK}{}", '{"version": 2}'),
        '{"version": 1, "endpoint": "x", "spans": 7}',
        json.dumps({"version": 1, **STATE}),
        json.dumps({"version": 1, **STATE, "digest": "0" * 64}),
    ],
)
def test_a_file_that_holds_no_progress_is_refused(kept, capsys, content):
    folder = kept(refused(series("m", (1.0, T))))
    (folder / "resend-progress.json").write_text(content)
    assert run("resend", folder, "--url", URL) == 2
    assert "name another file, or delete it" in capsys.readouterr().err


def test_each_changed_character_of_the_progress_is_found(tmp_path):
    path = tmp_path / "progress.json"
    progress = ResendProgress(URL, {"a": (0, 5)}, "digest", {"b": 7}, 100, 20, 19)
    progress.save(path)
    assert ResendProgress.load(path) == progress
    content = path.read_text()
    for place, character in enumerate(content):
        if not character.isspace():
            path.write_text(f"{content[:place]}{'1' if character != '1' else '2'}{content[place + 1 :]}")
            with pytest.raises(ValueError, match="is damaged"):
                ResendProgress.load(path)


def begun(folder):
    """Write the progress of a run that has sent nothing yet."""
    progress = ResendProgress(URL)
    with LateSamples() as samples:
        spans = find_files([folder])
        reading = read_files(spans, samples)
        progress.begin(spans, samples.count(), reading.digest)
    progress.save(folder / "resend-progress.json")


def test_files_that_have_changed_are_not_gone_on_with(kept, capsys):
    folder = kept(refused(series("m", (1.0, T)), series("m", (2.0, T + 1))))
    begun(folder)
    (file,) = folder.glob("*.jsonl")
    file.write_bytes(file.read_bytes().replace(b"2.0", b"3.0"))
    assert run("resend", folder, "--url", URL) == 2
    assert "restore the files and options of the first run" in capsys.readouterr().err
    file.unlink()
    assert run("resend", folder, "--url", URL) == 2
    assert "restore the files and options of the first run" in capsys.readouterr().err


def test_other_options_are_not_gone_on_with(kept, capsys):
    folder = kept(refused(series("m", (1.0, T))))
    begun(folder)
    assert run("resend", folder, "--url", URL, "--reason", "refused") == 2
    assert "restore the files and options of the first run" in capsys.readouterr().err


def test_a_line_that_is_still_being_written_is_read_by_the_next_run(kept, samples):
    folder = kept(refused(series("m", (1.0, T))))
    (file,) = folder.iterdir()
    line = json.dumps({**LINE, "samples": [["2.0", T + 1]]}) + "\n"
    for at in (1, len(line) - 1):
        taken = {name: stop for name, (_, stop) in find_files([folder]).items()}
        before = file.read_bytes()
        file.write_bytes(before + line[:at].encode())
        assert read_files(find_files([folder], taken), samples).left_out == {"last lines that are not complete": 1}
        taken.update({name: stop for name, (_, stop) in find_files([folder], taken).items()})
        file.write_bytes(before + line.encode())
        assert not read_files(find_files([folder], taken), samples).left_out
    assert [each.value for each in samples.by_time()] == [2.0]
