"""
Latency from the creation of a record to a Prometheus query that returns it, through a PyFlink job.

Lines are created at a steady rate, whatever the job does, and Prometheus is queried continuously for the newest sample
of each series. The time until a line reaches Python is PyFlink's part, where it waits for its bundle to end.
"""

from __future__ import annotations

import json
import socket
import statistics
import threading
import time
import urllib.request
from bisect import bisect_left
from typing import NamedTuple

from measure import parser, table
from pyflink_job import run_job

from pyflink_prometheus.testing import PrometheusServer

WARM_UP_S = 8.0


class Case(NamedTuple):
    """The rate and the bundles of a run."""

    per_second: int
    bundle_ms: int
    bundle_size: int = 1000


QUICK = [Case(1000, 1000)]
WHOLE = [Case(10, 1000), Case(1000, 1000), Case(10_000, 1000), Case(10, 200), Case(1000, 200), Case(10_000, 200)]


class Lines:
    """A socket that sends lines to the first client; ``made`` has the times of lines in milliseconds, by series."""

    def __init__(self, per_second: int, seconds: float) -> None:
        self._count, self._interval_s = int(per_second * seconds), 1 / per_second
        self._series = max(1, per_second // 10)
        self.made: dict[str, list[int]] = {}
        self.began_ms = 0.0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self) -> None:
        connection, _ = self._socket.accept()
        began, number = time.time(), 0
        self.began_ms = began * 1000
        while number < self._count:
            now, lines = time.time(), []
            while number < self._count and began + number * self._interval_s <= now:
                series, made_ms = str(number % self._series), int(now * 1000)
                self.made.setdefault(series, []).append(made_ms)
                lines.append(f"{series} {made_ms}\n")
                number += 1
            connection.sendall("".join(lines).encode())
            time.sleep(max(0.001, began + number * self._interval_s - time.time()))
        connection.close()
        self._socket.close()


class Watch:
    """A thread that queries each series' newest sample; ``seen`` has each sample and its time, by series."""

    def __init__(self, url: str) -> None:
        self._url = f"{url}/api/v1/query?query=timestamp(arrived_after_ms)"
        self.seen: dict[str, list[tuple[int, float]]] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop querying."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(0.005):
            with urllib.request.urlopen(self._url, timeout=10) as response:
                found = json.load(response)["data"]["result"]
            now_ms = time.time() * 1000
            for each in found:
                newest = round(float(each["value"][1]) * 1000)
                seen = self.seen.setdefault(each["metric"]["series"], [])
                if not seen or newest > seen[-1][0]:
                    seen.append((newest, now_ms))


def measure(case: Case, seconds: float) -> dict[str, object]:
    """Run the job, and return a row of the table."""
    with PrometheusServer.start("native") as server:
        lines, watch = Lines(case.per_second, WARM_UP_S + seconds), Watch(server.url)
        run_job(
            "stamped.py",
            f"--url={server.remote_write_url}",
            f"--port={lines.port}",
            f"--bundle-size={case.bundle_size}",
            f"--bundle-ms={case.bundle_ms}",
        )
        time.sleep(1)
        watch.stop()
        stored = server.samples("arrived_after_ms")
    first_ms = lines.began_ms + WARM_UP_S * 1000
    latencies = []
    for series, made in lines.made.items():
        seen = watch.seen[series]
        for made_ms in made:
            if made_ms >= first_ms:
                # If the newest sample of a series is there, all older ones are.
                latencies.append(seen[bisect_left(seen, (made_ms, 0.0))][1] - made_ms)
    arrivals = [value for samples in stored.values() for value, made_ms in samples if made_ms >= first_ms]
    if len(arrivals) != len(latencies):
        raise SystemExit(f"{len(latencies)} samples were created, but {len(arrivals)} are stored")
    return {
        "records/s": f"{case.per_second:,}",
        "bundle ms": case.bundle_ms,
        "bundle size": f"{case.bundle_size:,}",
        **{f"{name} p50 ms": round(statistics.median(each)) for name, each in named(latencies, arrivals)},
        **{f"{name} p99 ms": round(statistics.quantiles(each, n=100)[98]) for name, each in named(latencies, arrivals)},
    }


def named(latencies: list[float], arrivals: list[float]) -> list[tuple[str, list[float]]]:
    """Return both latencies with their names in the table."""
    return [("to query", latencies), ("to Python", arrivals)]


def main() -> None:
    """Run the benchmark."""
    options = parser(__doc__).parse_args()
    rows = [measure(case, 12 if options.quick else 30) for case in (QUICK if options.quick else WHOLE)]
    table("latency: from the creation of a record to a query that returns it, and to Python", rows)


if __name__ == "__main__":
    main()
