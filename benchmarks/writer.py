"""
Write into real receivers, near and far: samples a second, and what part of the receiver's own limit that is.

The limit is what a bare HTTP client gets through with bodies that were made beforehand, as many requests in flight and
as large. Series are known, and each has one sample in a request.
"""

from __future__ import annotations

import http.client
import statistics
import threading
import time
from contextlib import ExitStack
from urllib.parse import urlsplit

from measure import parser, table
from receivers import Samples, nothing, prometheus, victoria_metrics
from relay import far_away

from pyflink_prometheus.config import RemoteWriteVersion, SinkConfig
from pyflink_prometheus.wire.request import encode, headers_of
from pyflink_prometheus.writer.batch import Batch
from pyflink_prometheus.writer.series_cache import SeriesCache
from pyflink_prometheus.writer.writer import RemoteWriter

NEAR = [
    ("one that only answers", nothing, RemoteWriteVersion.V1),
    ("VictoriaMetrics", victoria_metrics, RemoteWriteVersion.V1),
    ("Prometheus", prometheus, RemoteWriteVersion.V1),
    ("Prometheus", prometheus, RemoteWriteVersion.V2),
]
BATCH = 2000


class Bare:
    """Post bodies that were made beforehand, on as many connections as a writer has shards."""

    def __init__(self, url: str, version: RemoteWriteVersion, shards: int) -> None:
        self._url, self._version, self._shards = urlsplit(url), version, shards
        self._series = SeriesCache(1_000_000)

    def __call__(self, records: list[tuple]) -> tuple[float, float]:
        """Return seconds, and seconds of CPU, for all records."""
        bodies = self._bodies(records)
        threads = [threading.Thread(target=self._post, args=(each,)) for each in bodies]
        began, cpu = time.perf_counter(), time.process_time()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return time.perf_counter() - began, time.process_time() - cpu

    def _bodies(self, records: list[tuple]) -> list[list[bytes]]:
        columns = [Batch() for _ in range(self._shards)]
        for name, labels, ((value, timestamp),), _, _ in records:
            series = self._series.get(name, labels)
            batch = columns[series.hash % self._shards]
            batch.series.append(series)
            batch.timestamps.append(timestamp)
            batch.values.append(value)
        return [
            [
                encode(batch.part(start, start + BATCH).in_order().batch, self._version).body
                for start in range(0, len(batch), BATCH)
            ]
            for batch in columns
        ]

    def _post(self, bodies: list[bytes]) -> None:
        connection = http.client.HTTPConnection(self._url.hostname, self._url.port)
        for body in bodies:
            connection.request("POST", self._url.path, body, headers_of(self._version))
            answer = connection.getresponse()
            answer.read()
            if answer.status >= 300:
                raise SystemExit(f"the receiver answered {answer.status} to a bare request")
        connection.close()


class Writer:
    """
    Write with ours; it lives on from round to round, as in a job.

    :param bundle: records between two flushes; ``None``: one flush at the end.
    """

    def __init__(self, url: str, *, bundle: int | None = None, **settings: object) -> None:
        self.writer = RemoteWriter(SinkConfig(prometheus_remote_write_url=url, **settings))
        self._bundle = bundle

    def __call__(self, records: list[tuple]) -> tuple[float, float]:
        """Return seconds, and seconds of CPU, for all records."""
        add, bundle = self.writer.add, self._bundle or len(records)
        began, cpu = time.perf_counter(), time.process_time()
        for start in range(0, len(records), bundle):
            for record in records[start : start + bundle]:
                add(record)
            self.writer.flush()
        seconds = time.perf_counter() - began, time.process_time() - cpu
        ledger = self.writer.ledger
        if ledger.samples_accepted != ledger.samples_in:
            raise SystemExit(f"{ledger.samples_in - ledger.samples_accepted} samples were not written")
        return seconds


def near(count: int, rounds: int) -> None:
    """Compare with the receivers' own limits."""
    rows = []
    for receiver, start, version in NEAR:
        for shards in (1, 4):
            with start() as url:
                ways = {
                    "bare": Bare(url, version, shards),
                    "ours": Writer(
                        url,
                        remote_write_version=version,
                        max_batch_size_in_samples=BATCH,
                        max_in_flight_requests=shards,
                    ),
                }
                # Series that are new to a receiver cost it much; each round then has others of their samples.
                samples = Samples(10_000)
                for way in ways.values():
                    way(samples.records(10_000))
                found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
                for _ in range(rounds):
                    for name, way in ways.items():
                        found[name].append(way(samples.records(count)))
                ways["ours"].writer.close()
            bare, ours = (statistics.median(wall for wall, _ in found[name]) for name in ways)
            rows.append(
                {
                    "": f"{receiver}, {version.name}, {shards} in flight",
                    "samples/s bare": round(count / bare),
                    "samples/s ours": round(count / ours),
                    "ours / bare": round(bare / ours, 2),
                    "us CPU a sample": round(statistics.median(cpu for _, cpu in found["ours"]) / count * 1e6, 2),
                }
            )
    table("writer, near: into receivers on this machine, requests of 2000", rows)


def far(delays_ms: list[int], shards: list[int], rounds: int) -> None:
    """Compare numbers of requests in flight, fixed and found out, at distances."""
    rows = []
    for delay_ms in delays_ms:
        with ExitStack() as stack:
            url = stack.enter_context(prometheus())
            if delay_ms:
                url = stack.enter_context(far_away(url, delay_ms))
            samples = Samples(2_000)
            ways = {"1 of 500": Writer(url, max_in_flight_requests=1, max_batch_size_in_samples=500)}
            for each in shards:
                ways[f"{each} of {BATCH}"] = Writer(url, max_in_flight_requests=each, max_batch_size_in_samples=BATCH)
            for bundle in (10_000, 100_000):
                ways[f"found out, bundles of {bundle:,}"] = Writer(url, bundle=bundle)
            counts = {}
            for name, way in ways.items():
                stack.callback(way.writer.close)
                way(samples.records(2_000))
                counts[name] = _count_for(name, delay_ms)
                if name.startswith("found"):
                    until = time.monotonic() + 10  # it needs some time to find out
                    while time.monotonic() < until:
                        way(samples.records(100_000))
            found: dict[str, list[float]] = {name: [] for name in ways}
            for _ in range(rounds):
                for name, way in ways.items():
                    found[name].append(counts[name] / way(samples.records(counts[name]))[0])
            rates = {name: statistics.median(each) for name, each in found.items()}
            for name, way in ways.items():
                pace = way.writer.pace
                rows.append(
                    {
                        "": f"{delay_ms} ms, {name}",
                        "samples/s": round(rates[name]),
                        "x 1 of 500": round(rates[name] / rates["1 of 500"], 1),
                        "came to": f"{pace.shards} of {pace.batch_size}" if name.startswith("found") else "",
                    }
                )
    table("writer, far: into a Prometheus behind a relay that adds a delay", rows)


def _count_for(name: str, delay_ms: int) -> int:
    """Return how many samples keep a way busy for some seconds."""
    if name.startswith("found"):
        return 200_000
    shards, batch = map(int, name.split(" of "))
    return max(8 * shards * batch, min(400_000, int(1.5 * shards * batch / (0.003 + delay_ms / 1000))))


def main() -> None:
    """Measure."""
    options = parser(__doc__).parse_args()
    if options.quick:
        near(200_000, 3)
        far([50], [8], 1)
    else:
        near(400_000, 5)
        far([0, 20, 50, 100], [1, 4, 8, 32], 3)


if __name__ == "__main__":
    main()
