"""
Write to real receivers, near and far, and compare the samples per second with the receivers' own limits.

The limit is the throughput of a bare HTTP client with bodies encoded beforehand, with the same number and size of
requests in flight. Series are cached, and each has one sample in a request.
"""

from __future__ import annotations

import gc
import http.client
import multiprocessing
import statistics
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from measure import parser, table
from receivers import FAMILY, Samples, nothing, prometheus, victoria_metrics
from relay import far_away

from pyflink_prometheus.config import RemoteWriteVersion, SinkConfig
from pyflink_prometheus.wire.request import encode, headers_of
from pyflink_prometheus.writer.batch import FillingBatch
from pyflink_prometheus.writer.series_cache import SeriesCache
from pyflink_prometheus.writer.writer import RemoteWriter

NEAR = [
    ("one that only responds", nothing, RemoteWriteVersion.V1),
    ("VictoriaMetrics", victoria_metrics, RemoteWriteVersion.V1),
    ("Prometheus", prometheus, RemoteWriteVersion.V1),
    ("Prometheus", prometheus, RemoteWriteVersion.V2),
]
BATCH = 2000
#: Rows, in one batch from Flink.
ARROW_BATCH = 10_000


class Bare:
    """A bare HTTP client that posts bodies encoded beforehand, on as many connections as a writer has shards."""

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
        columns = [FillingBatch(self._series.table) for _ in range(self._shards)]
        for name, labels, ((value, timestamp),), _, _ in records:
            series = self._series.get(name, labels)
            filling = columns[series.hash % self._shards]
            filling.numbers.append(series.number)
            filling.timestamps.append(timestamp)
            filling.values.append(value)
        return [
            [
                encode(batch.part(start, start + BATCH).in_order().batch, self._version).body
                for start in range(0, len(batch), BATCH)
            ]
            for batch in [filling.take(len(filling)) for filling in columns]
        ]

    def _post(self, bodies: list[bytes]) -> None:
        connection = http.client.HTTPConnection(self._url.hostname or "", self._url.port)
        for body in bodies:
            connection.request("POST", self._url.path, body, headers_of(self._version))
            response = connection.getresponse()
            response.read()
            if response.status >= 300:
                raise SystemExit(f"the receiver responded with {response.status} to a bare request")
        connection.close()


class Writer:
    """
    This package's writer, which stays open across rounds, as in a job.

    :param bundle: the number of records between two flushes; ``None`` for one flush at the end.
    """

    def __init__(self, url: str, *, bundle: int | None = None, **settings: Any) -> None:
        self.writer = RemoteWriter(SinkConfig(prometheus_remote_write_url=url, **settings))
        self._bundle = bundle

    def __call__(self, made: Any) -> tuple[float, float]:
        """Return seconds, and seconds of CPU, for all records."""
        bundles = self._bundles(made)
        began, cpu = time.perf_counter(), time.process_time()
        for each in bundles:
            self._add(each)
            self.writer.flush()
        seconds = time.perf_counter() - began, time.process_time() - cpu
        ledger = self.writer.ledger
        if ledger.samples_accepted != ledger.samples_in:
            raise SystemExit(f"{ledger.samples_in - ledger.samples_accepted} samples were not written")
        return seconds

    def made(self, samples: Samples, count: int) -> Any:
        """Return the next samples as this takes them."""
        return samples.records(count)

    def _bundles(self, records: Any) -> list[Any]:
        bundle = self._bundle or len(records)
        return [records[start : start + bundle] for start in range(0, len(records), bundle)]

    def _add(self, records: Any) -> None:
        add = self.writer.add
        for record in records:
            add(record)


class RowWriter(Writer):
    """This package's writer for rows by column, in batches as Flink sends them."""

    def made(self, samples: Samples, count: int) -> Any:
        """Return the next samples as this takes them."""
        return samples.rows(count)

    def _bundles(self, rows: Any) -> list[Any]:
        count = len(rows.values)
        bundle = self._bundle or count
        return [
            [rows.part(at, min(at + ARROW_BATCH, start + bundle)) for at in range(start, start + bundle, ARROW_BATCH)]
            for start in range(0, count, bundle)
        ]

    def _add(self, batches: Any) -> None:
        for batch in batches:
            self.writer.add_rows(FAMILY, *batch)


def near(count: int, rounds: int) -> None:
    """Compare with the receivers' own limits."""
    rows = []
    for receiver, start, version in NEAR:
        for shards in (1, 4):
            with start() as url:
                writer = Writer(
                    url, remote_write_version=version, max_batch_size_in_samples=BATCH, max_in_flight_requests=shards
                )
                ways: dict[str, Callable[[list[tuple]], tuple[float, float]]] = {
                    "bare": Bare(url, version, shards),
                    "ours": writer,
                }
                # New series are expensive for a receiver, so they are written once before the rounds.
                samples = Samples(10_000)
                for way in ways.values():
                    way(samples.records(10_000))
                found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
                for _ in range(rounds):
                    for name, way in ways.items():
                        found[name].append(way(samples.records(count)))
                writer.writer.close()
            bare, ours = (statistics.median(wall for wall, _ in found[name]) for name in ways)
            rows.append(
                {
                    "": f"{receiver}, {version.name}, {shards} in flight",
                    "samples/s bare": round(count / bare),
                    "samples/s ours": round(count / ours),
                    "ours / bare": round(bare / ours, 2),
                    "us CPU/sample": round(statistics.median(cpu for _, cpu in found["ours"]) / count * 1e6, 2),
                }
            )
    table("writer, near: to receivers on this machine, requests of 2000", rows)


def far(delays_ms: list[int], shards: list[int], rounds: int) -> None:
    """Compare fixed and adaptive numbers of requests in flight at several latencies."""
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
                ways[f"adaptive, bundles of {bundle:,}"] = Writer(url, bundle=bundle)
                ways[f"adaptive, bundles of {bundle:,}, in rows"] = RowWriter(url, bundle=bundle)
            counts = {}
            for name, way in ways.items():
                stack.callback(way.writer.close)
                way(way.made(samples, 2_000))
                counts[name] = _count_for(name, delay_ms)
                if name.startswith("adaptive"):
                    until = time.monotonic() + 10 + delay_ms / 5  # time to adapt
                    while time.monotonic() < until:
                        way(way.made(samples, 100_000))
            found: dict[str, list[float]] = {name: [] for name in ways}
            for _ in range(rounds):
                for name, way in ways.items():
                    found[name].append(counts[name] / way(way.made(samples, counts[name]))[0])
            rates = {name: statistics.median(each) for name, each in found.items()}
            for name, way in ways.items():
                pace = way.writer.pace
                rows.append(
                    {
                        "": f"{delay_ms} ms, {name}",
                        "samples/s": round(rates[name]),
                        "x 1 of 500": round(rates[name] / rates["1 of 500"], 1),
                        "settled at": f"{pace.shards} of {pace.batch_size}" if name.startswith("adaptive") else "",
                    }
                )
    table("writer, far: to a Prometheus behind a relay that adds a delay", rows)


def memory() -> None:
    """Measure the peak memory of a bundle of 100,000 rows, beyond an idle writer that knows the series."""
    rows = []
    for series in (1_000, 100_000):
        with nothing() as url, multiprocessing.get_context("spawn").Pool(1) as pool:
            rows.append({"": f"{series:,} series", "MiB": round(pool.apply(_peak_of_a_bundle, (url, series)), 1)})
    table("writer, memory: a bundle of 100,000 rows", rows)


def _peak_of_a_bundle(url: str, series: int) -> float:
    """Return the MiB by which this process's memory peaks with a bundle, compared with before it."""
    samples, way = Samples(series), RowWriter(url, bundle=100_000)
    way.writer.add_rows(FAMILY, *samples.rows(series))
    way.writer.flush()
    rows = samples.rows(100_000)
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak to the current value
    before = _peak_kib()
    way(rows)
    peak = _peak_kib()
    way.writer.close()
    return (peak - before) / 1024


def _peak_kib() -> int:
    """Return the peak of this process's memory since it was cleared."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0])


def _count_for(name: str, delay_ms: int) -> int:
    """Return the number of samples that keep a way busy for a few seconds."""
    if name.startswith("adaptive"):
        return 200_000
    shards, batch = map(int, name.split(" of "))
    return max(8 * shards * batch, min(400_000, int(1.5 * shards * batch / (0.003 + delay_ms / 1000))))


def main() -> None:
    """Run the benchmark."""
    options = parser(__doc__).parse_args()
    memory()
    if options.quick:
        near(200_000, 3)
        far([50], [8], 1)
    else:
        near(400_000, 5)
        far([0, 20, 50, 100], [1, 4, 8, 32], 3)


if __name__ == "__main__":
    main()
