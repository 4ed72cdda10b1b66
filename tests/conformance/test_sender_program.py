"""The sender program: what a receiver gets from a page, and that only a signal stops the program."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from sender.exposition import OPEN_METRICS, parse

from pyflink_prometheus import STALE_MARKER, Exemplar, Metadata
from pyflink_prometheus.testing import Receiver, Response

ROOT = Path(__file__).resolve().parents[2]
TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPEN = f"{OPEN_METRICS}; version=1.0.0; charset=utf-8"
ENOUGH_SECONDS = 120.0  # a busy machine is slow


class Target:
    """A page that is served on loopback."""

    def __init__(self, page, content_type=TEXT):
        self.page, self.content_type, self.status = page, content_type, 200
        self.headers: list[dict[str, str]] = []
        target = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                target.headers.append(dict(self.headers.items()))
                body = target.page.encode("utf-8")
                self.send_response(target.status)
                self.send_header("Content-Type", target.content_type)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()


class Program:
    """A process of the sender program."""

    def __init__(self, tmp_path, target, remote_write_url, *arguments, python_path=(ROOT,)):
        self.log_file = tmp_path / "log"
        command = [sys.executable, str(ROOT / "tests" / "sender" / "sender.py"), "--interval", "50ms", *arguments]
        command += ["--scrape", f"http://{target.address}/metrics", "--remote-write", remote_write_url]
        with self.log_file.open("w") as log:
            environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, python_path))}
            self.process = subprocess.Popen(command, stderr=log, env=environment)

    @property
    def log(self):
        return self.log_file.read_text()

    def stop(self, number=signal.SIGINT):
        """Return the exit status; raise if the program does not end."""
        self.process.send_signal(number)
        return self.process.wait(ENOUGH_SECONDS)


@pytest.fixture
def scrape():
    """Return a function that serves a page."""
    targets = []

    def serve(*arguments):
        targets.append(Target(*arguments))
        return targets[-1]

    yield serve
    for target in targets:
        target.server.shutdown()
        target.server.server_close()


@pytest.fixture
def start(tmp_path):
    """Return a function that starts the program."""
    programs = []

    def start_one(target, remote_write_url, *arguments, **options):
        programs.append(Program(tmp_path, target, remote_write_url, *arguments, **options))
        return programs[-1]

    yield start_one
    for program in programs:
        program.process.kill()
        program.process.wait()


def wait_for(found, program):
    deadline = time.monotonic() + ENOUGH_SECONDS
    while time.monotonic() < deadline:
        if result := found():
            return result
        time.sleep(0.01)
    raise AssertionError(f"nothing in {ENOUGH_SECONDS:.0f} seconds; the program says:\n{program.log}")


def first_write(receiver, program):
    """Return the series of the first request, by their names."""
    request = wait_for(lambda: receiver.requests[:1], program)[0]
    return {series.metric_name: series for series in request.series}


def values(receiver, metric_name):
    """Return the values of a metric so far, in hexadecimal, to distinguish NaNs."""
    samples = [
        sample
        for request in list(receiver.requests)
        for series in request.series
        if series.metric_name == metric_name
        for sample in series.samples
    ]
    return [struct.pack(">d", sample[0]).hex() for sample in samples]


STALE = struct.pack(">d", STALE_MARKER).hex()


@pytest.mark.parametrize("version", ["1", "2"])
def test_it_writes_what_is_on_the_page_with_the_targets_labels(scrape, start, version):
    target = scrape('a{x="1",job="theirs"} 2.5\nb +Inf 1700000000123\n')
    before = time.time() * 1000
    with Receiver() as receiver:
        program = start(target, receiver.url, "--remote-write-version", version, "--job", "mine")
        series = first_write(receiver, program)
        version_header = receiver.requests[0].headers["x-prometheus-remote-write-version"]
    assert version_header == {"1": "0.1.0", "2": "2.0.0"}[version]
    ours = {"job": "mine", "instance": target.address}
    assert dict(series["a"].labels) == {**ours, "x": "1", "exported_job": "theirs"}
    assert dict(series["b"].labels) == dict(series["up"].labels) == ours
    ((value, timestamp),) = series["a"].samples
    assert value == 2.5
    assert before - 1000 <= timestamp <= time.time() * 1000
    assert series["up"].samples == ((1.0, timestamp),)
    assert series["b"].samples == ((float("inf"), 1_700_000_000_123),)
    assert target.headers[0]["Accept"].startswith(OPEN_METRICS)


def test_metadata_exemplars_and_start_times_go_with_their_series(scrape, start):
    page = """\
# HELP requests Answered \\"so far\\".
# TYPE requests counter
requests_total 9 # {trace_id="abc"} 0.5 1700000000.25
requests_created 1600000000.5
# TYPE wait_seconds histogram
# UNIT wait_seconds seconds
wait_seconds_bucket{le="1.0"} 2 # {trace_id="def"} 0.7
wait_seconds_bucket{le="+Inf"} 3
wait_seconds_sum 4
wait_seconds_count 3
wait_seconds_created 1600000001
# EOF
"""
    with Receiver() as receiver:
        program = start(scrape(page, OPEN), receiver.url)
        series = first_write(receiver, program)
    timestamp = series["up"].samples[0][1]
    assert series["requests_total"].metadata == Metadata("counter", 'Answered "so far".')
    assert series["requests_total"].samples == ((9.0, timestamp, 1_600_000_000_500),)
    assert series["requests_total"].exemplars == (Exemplar((("trace_id", "abc"),), 0.5, 1_700_000_000_250),)
    for name, value in (("wait_seconds_sum", 4.0), ("wait_seconds_count", 3.0)):
        assert series[name].metadata == Metadata("histogram", "", "seconds")
        assert series[name].samples == ((value, timestamp, 1_600_000_001_000),)
    buckets = [each for each in receiver.requests[0].series if each.metric_name == "wait_seconds_bucket"]
    assert [each.samples[0][2:] for each in buckets] == [(1_600_000_001_000,)] * 2
    assert {dict(each.labels)["le"]: each.exemplars for each in buckets} == {
        "1.0": (Exemplar((("trace_id", "def"),), 0.7, timestamp),),
        "+Inf": (),
    }
    assert series["up"].metadata.type == "gauge"
    assert not {"requests_created", "wait_seconds_created"} & series.keys()


def test_a_series_that_is_gone_gets_one_stale_marker(scrape, start):
    target = scrape("stays 1\ngoes 1\nhas_times_of_its_own 1 1700000000000\n")
    with Receiver() as receiver:
        program = start(target, receiver.url)
        first_write(receiver, program)
        target.page = "stays 2\n"
        wait_for(lambda: STALE in values(receiver, "goes"), program)
        written = len(receiver.requests)
        wait_for(lambda: len(receiver.requests) > written + 2, program)
        assert values(receiver, "goes").index(STALE) == len(values(receiver, "goes")) - 1
        assert STALE not in values(receiver, "stays") + values(receiver, "has_times_of_its_own")


@pytest.mark.parametrize(("status", "page"), [(500, "a 1\n"), (200, "a is one\n")])
def test_a_failed_scrape_ends_all_series_until_the_next(scrape, start, status, page):
    target = scrape("a 1\n")
    one, zero = (struct.pack(">d", value).hex() for value in (1.0, 0.0))
    with Receiver() as receiver:
        program = start(target, receiver.url)
        first_write(receiver, program)
        target.status, target.page = status, page
        wait_for(lambda: zero in values(receiver, "up"), program)
        assert values(receiver, "a")[-1] == STALE
        target.status, target.page = 200, "a 1\n"
        wait_for(lambda: values(receiver, "up")[-1] == one, program)
        assert values(receiver, "a")[-1] == one
    assert "scraping http://" in program.log


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("status", [204, 503])
def test_a_signal_ends_it_at_once_whatever_it_is_at(scrape, start, number, status):
    with Receiver(lambda request: status) as receiver:
        program = start(scrape("a 1\n"), receiver.url)
        wait_for(lambda: len(receiver.requests) > 2, program)
        # A program that finished its current write would keep retrying for minutes, longer than `stop` waits.
        assert program.stop(number) == 0
    assert STALE not in values(receiver, "a")
    assert "ERROR" not in program.log


#: Sends a signal to its own process when the program imports its slowest module.
AMID_THE_IMPORTS = """
import os, signal, sys

if {ignored}:
    signal.signal({number}, signal.SIG_IGN)

class Finder:
    @staticmethod
    def find_spec(name, *_):
        if name == "requests":
            sys.meta_path.remove(Finder)
            os.kill(os.getpid(), {number})

sys.meta_path.insert(0, Finder)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("ignored", [False, True], ids=["", "ignored, as in the background of a shell"])
def test_a_signal_during_its_start_ends_it_as_well(scrape, start, tmp_path, number, ignored):
    (tmp_path / "sitecustomize.py").write_text(AMID_THE_IMPORTS.format(number=int(number), ignored=ignored))
    program = start(scrape("a 1\n"), "http://127.0.0.1:1/write", python_path=(tmp_path, ROOT))
    assert program.process.wait(ENOUGH_SECONDS) == 0
    assert "Traceback" not in program.log


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_where_it_was_ignored_at_its_start(scrape, start, tmp_path, number):
    (tmp_path / "sitecustomize.py").write_text(f"import signal; signal.signal({int(number)}, signal.SIG_IGN)")
    with Receiver() as receiver:
        program = start(scrape("a 1\n"), receiver.url, python_path=(tmp_path, ROOT))
        wait_for(lambda: receiver.requests, program)
        assert program.stop(number) == 0


@pytest.mark.parametrize("status", [400, 401, 404, 500])
def test_it_goes_on_after_an_error(scrape, start, status):
    responses = iter([Response(status, "the receiver's words"), Response(status, "the receiver's words")])
    with Receiver(lambda request: next(responses, None)) as receiver:
        program = start(scrape("a 1\n"), receiver.url)
        wait_for(lambda: len({each for samples in receiver.samples("a").values() for each in samples}) > 3, program)
        assert program.stop() == 0
    if status != 500:  # which is only retried
        assert "the receiver's words" in program.log


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/write", "invalid://127.0.0.1/write"])
def test_it_goes_on_where_nobody_receives(scrape, start, url):
    target = scrape("a 1\n")
    program = start(target, url)
    wait_for(lambda: target.headers, program)
    assert program.stop() == 0


def test_a_wrong_argument_is_refused(scrape, start):
    program = start(scrape(""), "http://127.0.0.1:1/write", "--interval", "soon")
    assert program.process.wait(ENOUGH_SECONDS) == 2
    assert "expected a duration such as 50ms, 1s or 2m, got 'soon'" in program.log


def samples_of(page, content_type):
    """Return the metric's name, the labels, the samples and whether they are timed, of each line of a page."""
    return [
        (record.metric_name, record.labels, record.samples, timed) for record, timed in parse(page, content_type, 7)
    ]


@pytest.mark.parametrize(
    ("content_type", "seconds", "end"), [(TEXT, "1700000000{:03}", ""), (OPEN, "1700000000.{:03}", "# EOF\n")]
)
def test_timestamps_keep_their_milliseconds(content_type, seconds, end):
    page = "".join(f'a{{b="{ms}"}} 0.5 {seconds.format(ms)}\n' for ms in range(1000)) + "c 2\n" + end
    assert samples_of(page, content_type) == [
        *[("a", {"b": str(ms)}, ((0.5, 1_700_000_000_000 + ms, None),), True) for ms in range(1000)],
        ("c", {}, ((2.0, 7, None),), False),
    ]


def test_names_may_be_any_text():
    page = '# TYPE "a.b" counter\n{"a.b","c.d"="ü"} 1\n'
    assert samples_of(page, TEXT) == [("a.b", {"c.d": "ü"}, ((1.0, 7, None),), False)]


def test_metadata_is_that_of_the_family():
    page = """\
# HELP a one \\\\ two\\nthree
# TYPE a histogram
a_bucket{le="+Inf"} 1
a_count 1
# TYPE b untyped
b 1
# TYPE c gauge
c_count 1
# TYPE d_total counter
d_total 1
e 1
"""
    assert [(line.record.metric_name, line.record.metadata) for line in parse(page, TEXT, 7)] == [
        ("a_bucket", Metadata("histogram", "one \\ two\nthree")),
        ("a_count", Metadata("histogram", "one \\ two\nthree")),
        ("b", Metadata("unknown")),
        ("c_count", Metadata("unknown")),
        ("d_total", Metadata("counter")),
        ("e", Metadata("unknown")),
    ]


def test_open_metrics_has_more_types():
    page = """\
# TYPE a gaugehistogram
a_bucket{le="+Inf"} 1
a_gcount 1
a_gsum 1
# TYPE b info
b_info{c="d"} 1
# TYPE e stateset
e{e="f"} 0
# EOF
"""
    assert [
        (line.record.metric_name, line.record.metadata and line.record.metadata.type) for line in parse(page, OPEN, 7)
    ] == [
        ("a_bucket", "gaugehistogram"),
        ("a_gcount", "gaugehistogram"),
        ("a_gsum", "gaugehistogram"),
        ("b_info", "info"),
        ("e", "stateset"),
    ]


def test_counters_keep_their_names_whatever_these_end_in():
    page = """\
# TYPE a counter
a{x="1"} 1
a{x="2"} 2
# TYPE b_total counter
b_total 3
# TYPE ab counter
ab 4
"""
    expected = [("a", Metadata("counter"))] * 2 + [("b_total", Metadata("counter")), ("ab", Metadata("counter"))]
    for text, content_type in ((page, TEXT), (page.replace("\n", "\r\n"), TEXT), (f"{page}# EOF\n", OPEN)):
        lines = parse(text, content_type, 7)
        assert [(line.record.metric_name, line.record.metadata) for line in lines] == expected
        assert [line.record.samples[0][0] for line in lines] == [1.0, 2.0, 3.0, 4.0]


def test_counters_keep_exemplars_and_start_times_whatever_their_names_end_in():
    page = """\
# TYPE a counter
a 1 # {b="c"} 0.5 1.25
a_created 2
# TYPE d_total counter
d_total 1 # {b="c"} 0.5 1.25
d_total_created 2
# TYPE e counter
e_total 1 # {b="c"} 0.5 1.25
e_created 2
# EOF
"""
    records = [line.record for line in parse(page, OPEN, 7)]
    assert [record.metric_name for record in records] == ["a", "d_total", "e_total"]
    for record in records:
        assert record.samples == ((1.0, 7, 2000),)
        assert record.exemplars == (Exemplar({"b": "c"}, 0.5, 1250),)
        assert record.metadata == Metadata("counter")


def test_two_names_that_ending_would_make_one_are_never_mixed_up():
    page = "# TYPE a counter\na 1\na_total 2\n"
    assert [name for name, *_ in samples_of(page, TEXT)] == ["a", "a_total"]
    with pytest.raises(ValueError, match="Clashing name"):
        parse(f"{page}# EOF\n", OPEN, 7)


def test_only_open_metrics_says_when_a_series_started():
    page = "# TYPE a_total counter\na_total 2\n# TYPE a_created gauge\na_created 5.5\n"
    assert [line.record.samples for line in parse(page, TEXT, 7)] == [((2.0, 7, None),), ((5.5, 7, None),)]
    page = "# TYPE a counter\na_total 2\na_created 5.5\n# EOF\n"
    assert [line.record.samples for line in parse(page, OPEN, 7)] == [((2.0, 7, 5500),)]


@pytest.mark.parametrize(
    ("page", "content_type"),
    [
        ("a 1\na1\n", TEXT),
        ("a one\n", TEXT),
        ("a 1 Inf\n", TEXT),
        ('{b="c"} 1\n', TEXT),
        ("# TYPE a thing\na 1\n", TEXT),
        ("a 1\n", OPEN),
        ("# TYPE a histogram\na {count:1}\n# EOF\n", OPEN),
        ("# TYPE a gauge\na 1 # {} 1\n# EOF\n", OPEN),
    ],
)
def test_a_malformed_page_is_refused(page, content_type):
    with pytest.raises(ValueError, match="the page cannot be read"):
        parse(page, content_type, 7)
