"""
Write three hours of recorded flights to a temporary Prometheus with jobs/flights.py, and show what it has stored.

    demo.py             runs the demo; exits non-zero unless Prometheus has every sample of the recording
    demo.py --serve     serves the data of the last demo, until Ctrl-C
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import demo_chart
import get_prometheus
import get_recording

from pyflink_prometheus import __main__ as commands
from pyflink_prometheus.testing._hosts import binary_on_path
from pyflink_prometheus.testing.prometheus_server import PrometheusServer, PrometheusServerError, Samples

ROOT = Path(__file__).resolve().parent.parent
FOLDER = Path(".cache/demo")
DATA = FOLDER / "data"
JOB_LOG = FOLDER / "job.log"
DIGESTS = FOLDER / "digests"
CHART = FOLDER / "flights.png"
RUN = FOLDER / "run.json"

FIELDS = ("altitude", "groundspeed", "vertical_rate", "track")
METRICS = (
    "flight_altitude_feet",
    "flight_ground_speed_knots",
    "flight_vertical_rate_feet_per_minute",
    "flight_track_degrees",
)
SERVE_PORT = 9090
# Example queries, over a range that is longer than the recording.
EXAMPLES = (
    ("number of aircraft", "count(count_over_time(flight_altitude_feet[4h]))"),
    ("five fastest", "topk(5, max_over_time(flight_ground_speed_knots[4h]))"),
    ("three fastest climbers", "topk(3, quantile_over_time(0.9, flight_vertical_rate_feet_per_minute[4h]))"),
)


@dataclass
class Summary:
    """The stored samples of one metric in numbers."""

    metric: str
    series: int
    samples: int
    low: float
    high: float
    first_ms: int
    last_ms: int


def main() -> None:
    """Run the demo, or serve its data."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().partition("\n")[0])
    parser.add_argument("--serve", action="store_true", help="serve the data of the last demo, until Ctrl-C")
    parser.add_argument(
        "--port", type=int, help=f"Prometheus's port (default: a free one, with --serve {SERVE_PORT} if it is free)"
    )
    parser.add_argument("--parallelism", type=int, default=1, help="subtasks that write (default: %(default)s)")
    args = parser.parse_args()
    try:
        if args.serve:
            serve(args.port)
        else:
            demonstrate(args.port, args.parallelism)
    except PrometheusServerError as error:
        sys.exit(f"demo: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


def demonstrate(port: int | None, parallelism: int) -> None:
    """Run the job against an empty Prometheus and compare the stored samples with the recording."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    rows, expected = count_recorded()
    with start_prometheus(port) as prometheus:
        where = "in Docker" if prometheus.kind == "docker" else "as a process"
        print(f"Prometheus   {prometheus.version}, {where}, at {prometheus.url}")
        print(f"Recording    {rows:,} positions of aircraft over three hours, with {expected:,} measurements")
        print(f"Job          jobs/flights.py, in PyFlink's local cluster; log: {JOB_LOG}")
        end_at = time.time_ns() // 1_000_000
        run_job(prometheus, expected, end_at, parallelism)
        summaries = []
        found: dict[str, Samples] = {}
        for metric in METRICS:
            samples = prometheus.samples(metric)
            summaries.append(summarise(metric, samples))
            found[metric] = samples
        print("\nWhat the sink says it has written, compared with what Prometheus holds (pyflink_prometheus verify):\n")
        is_verified = commands.main(["verify", "--digests", str(DIGESTS), "--query-url", prometheus.url]) == 0
    print_table(summaries)
    demo_chart.draw(found, CHART)
    RUN.write_text(json.dumps({"kind": prometheus.kind, "end_at": end_at}))
    print(f"\nChart of a few flights: {CHART.resolve()}")
    print(f"\nTo see more, `make demo-serve` serves the data again at http://127.0.0.1:{SERVE_PORT}. Example queries:")
    for what, query in EXAMPLES:
        print(f"  {what + ':':<30} {query}")
    print()
    stored, series = sum(each.samples for each in summaries), sum(each.series for each in summaries)
    if stored != expected:
        print(f"The recording has {expected:,} samples, Prometheus {stored:,}; see {JOB_LOG} for the reason.")
    print(f"stored {stored} of {expected} samples in {series} series")
    if stored != expected or not is_verified:
        sys.exit(1)


def count_recorded() -> tuple[int, int]:
    """Return the number of rows and values in the original recording, counted independently of the job."""
    with gzip.open(get_recording.ORIGINAL, "rt") as source:
        rows = json.load(source)
    return len(rows), sum(row[field] is not None for row in rows for field in FIELDS)


def start_prometheus(port: int | None) -> PrometheusServer:
    """Start the Prometheus 3 on PATH, or else one in Docker, or else a downloaded one."""
    on_path = binary_on_path()
    if on_path is None and PrometheusServer.default_kind() == "docker":
        return PrometheusServer.start("docker", data_dir=DATA, port=port)
    binary = on_path or get_prometheus.find_or_fetch()
    return PrometheusServer.start("native", binary=binary, data_dir=DATA, port=port)


def run_job(prometheus: PrometheusServer, expected: int, end_at: int, parallelism: int) -> None:
    """Run the job to its end, and show its progress."""
    command = [
        sys.executable,
        str(ROOT / "jobs" / "flights.py"),
        f"--recording={get_recording.PREPARED.resolve()}",
        f"--remote-write-url={prometheus.remote_write_url}",
        f"--end-at={end_at}",
        f"--parallelism={parallelism}",
        f"--digests={DIGESTS}",
    ]
    with JOB_LOG.open("wb") as log:
        job = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        try:
            show_progress(job, prometheus, expected)
        finally:
            if job.poll() is None:
                job.terminate()
                job.wait()
    if job.returncode != 0:
        reasons = "\n".join(f"  {reason}" for reason in reasons_in(JOB_LOG.read_text(errors="replace")))
        sys.exit(f"The job failed:\n{reasons}\nThe whole log: {JOB_LOG.resolve()}")


def show_progress(job: subprocess.Popen[bytes], prometheus: PrometheusServer, expected: int) -> None:
    """Show progress as one changing line on a terminal, and as an occasional line elsewhere."""
    on_terminal = sys.stdout.isatty()
    began = time.monotonic()
    next_line = 0.0
    while True:
        done = job.poll() is not None
        seconds = time.monotonic() - began
        if on_terminal or done or seconds >= next_line:
            taken = samples_taken(prometheus)
            what = f"{taken:>9,} of {expected:,} samples written" if taken else "Flink is starting"
            line = f"{seconds:6.0f} s   {'#' * (30 * taken // expected):<30}  {what}"
            print(f"\r{line:<79}" if on_terminal else line, end="" if on_terminal else "\n", flush=True)
            next_line = seconds + 5
        if done:
            break
        time.sleep(0.5)
    if on_terminal:
        print()


def samples_taken(prometheus: PrometheusServer) -> int:
    """Return the number of samples that Prometheus has appended; it scrapes nothing, so all are the job's."""
    with urllib.request.urlopen(f"{prometheus.url}/metrics", timeout=10) as response:
        text = response.read().decode()
    counts = re.findall(r'^prometheus_tsdb_head_samples_appended_total\{type="float"\} (\S+)', text, re.MULTILINE)
    return int(sum(map(float, counts)))


def reasons_in(log: str) -> list[str]:
    """Return the errors in a job's log, one line each: Python's own if there are any, else the last lines."""
    errors = re.findall(r"^[A-Za-z_][\w.]*(?:Error|Exception|Interrupt): .+", log, re.MULTILINE)
    python = [error for error in errors if not error.startswith(("py4j.", "java.", "org.apache.flink."))]
    lines = python or errors or [line for line in log.splitlines() if line.strip()][-5:]
    return list(dict.fromkeys(lines))


def summarise(metric: str, samples: Samples) -> Summary:
    """Summarise the stored samples of a metric."""
    values = [value for series in samples.values() for value, _ in series]
    stamps = [stamp for series in samples.values() for _, stamp in series]
    if not values:
        return Summary(metric, 0, 0, 0, 0, 0, 0)
    return Summary(metric, len(samples), len(values), min(values), max(values), min(stamps), max(stamps))


def print_table(summaries: list[Summary]) -> None:
    """Print the summaries as a table."""
    print("\nStored samples, queried from Prometheus:\n")
    print(f"{'metric':<38}{'series':>7}{'samples':>10}{'lowest':>9}{'highest':>9}{'first':>10}{'last':>10}")
    for each in summaries:
        first, last = (datetime.fromtimestamp(ms / 1000).strftime("%H:%M:%S") for ms in (each.first_ms, each.last_ms))
        print(
            f"{each.metric:<38}{each.series:>7,}{each.samples:>10,}{each.low:>9,.0f}{each.high:>9,.0f}"
            f"{first if each.samples else '-':>10}{last if each.samples else '-':>10}"
        )


def serve(port: int | None) -> None:
    """Serve the data of the last demo and print example queries, until Ctrl-C."""
    if not RUN.exists():
        sys.exit("Run `make demo` first: there is no data to serve yet.")
    end = json.loads(RUN.read_text())["end_at"] // 1000
    if port is None and not listens(SERVE_PORT):
        port = SERVE_PORT  # else a free one
    with start_prometheus(port) as prometheus, contextlib.suppress(KeyboardInterrupt):
        print(f"Prometheus {prometheus.version} serves the flights at {prometheus.url}   (Ctrl-C to stop)")
        print(f"\nThe flights end at {datetime.fromtimestamp(end):%Y-%m-%d %H:%M:%S}, so query at that time:")
        for what, query in EXAMPLES:
            print(f"\n  # {what}")
            print(f"  curl -sG {prometheus.url}/api/v1/query -d time={end} --data-urlencode 'query={query}'")
        until = datetime.fromtimestamp(end, timezone.utc).strftime("%Y-%m-%d+%H:%M:%S")
        graph = f"query?g0.expr=flight_altitude_feet&g0.tab=graph&g0.range_input=3h&g0.end_input={until}"
        print(f"\n  # in a browser (Debian's package has no web pages)\n  {prometheus.url}/{graph}", flush=True)
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        signal.pause()


def listens(port: int) -> bool:
    """Return whether something listens on a loopback port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


if __name__ == "__main__":
    main()
