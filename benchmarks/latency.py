"""
From a record's creation to Prometheus answering a query with it, through a PyFlink job.

Lines are made at a steady rate, whatever the job does, and Prometheus is asked for the newest sample of each series all
the time. How long a line took to reach Python is PyFlink's part: it waits there for its bundle to end.
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
    """Hold what is run."""

    per_second: int
    bundle_ms: int
    bundle_size: int = 1000


QUICK = [Case(1000, 1000)]
WHOLE = [Case(10, 1000), Case(1000, 1000), Case(10_000, 1000), Case(10, 200), Case(1000, 200), Case(10_000, 200)]


class Lines:
    """Make lines for whoever connects, and remember when: ``made`` has milliseconds of each series."""

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
    """Ask for the newest sample of each series all the time; ``seen`` has when which one was there, by series."""

    def __init__(self, url: str) -> None:
        self._url = f"{url}/api/v1/query?query=timestamp(arrived_after_ms)"
        self.seen: dict[str, list[tuple[int, float]]] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ask no more."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(0.005):
            with urllib.request.urlopen(self._url, timeout=10) as answer:
                found = json.load(answer)["data"]["result"]
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
                # The newest of a series that is there has all older ones with it.
                latencies.append(seen[bisect_left(seen, (made_ms, 0.0))][1] - made_ms)
    arrivals = [value for samples in stored.values() for value, made_ms in samples if made_ms >= first_ms]
    if len(arrivals) != len(latencies):
        raise SystemExit(f"{len(latencies)} were made and {len(arrivals)} are stored")
    return {
        "records/s": f"{case.per_second:,}",
        "bundle ms": case.bundle_ms,
        "bundle size": f"{case.bundle_size:,}",
        **{f"{name} p50 ms": round(statistics.median(each)) for name, each in named(latencies, arrivals)},
        **{f"{name} p99 ms": round(statistics.quantiles(each, n=100)[98]) for name, each in named(latencies, arrivals)},
    }


def named(latencies: list[float], arrivals: list[float]) -> list[tuple[str, list[float]]]:
    """Return both under the names that they have in the table."""
    return [("to query", latencies), ("to Python", arrivals)]


def main() -> None:
    """Measure."""
    options = parser(__doc__).parse_args()
    rows = [measure(case, 12 if options.quick else 30) for case in (QUICK if options.quick else WHOLE)]
    table("latency: from a record's creation to its answer by Prometheus, and to Python", rows)


if __name__ == "__main__":
    main()
