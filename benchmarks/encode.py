"""
Encode and compress requests of 2000 samples, and cache many series.

Compares both versions with protobuf's generated classes, and with other projects' libraries if `make bench` has
installed them. This package also looks up the series of each record, for which the generated classes have no
equivalent.
"""

from __future__ import annotations

import subprocess
import time
import tracemalloc
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from flights import SAMPLES, Record, flights, some_series
from measure import parser, report, side_by_side, table, take_turns
from snappy import compress

from pyflink_prometheus.config import RemoteWriteVersion
from pyflink_prometheus.wire._pb.remote_write_v1_pb2 import WriteRequest
from pyflink_prometheus.wire._pb.remote_write_v2_pb2 import Request
from pyflink_prometheus.wire.request import encode
from pyflink_prometheus.writer.batch import Batch, FillingBatch
from pyflink_prometheus.writer.series_cache import SeriesCache

CASES = [(metrics, per_series) for metrics in (1, 4) for per_series in (1, 4, 20)]
LARGE_REQUEST = 10_000
PEERS = {
    "opentelemetry": "OpenTelemetry's exporter 0.66b1",
    "prometheus-remote-writer": "prometheus-remote-writer 1.1.3",
}
PEERS_PYTHON = Path(__file__).parents[1] / ".venv-peers" / "bin" / "python"


def columns(records: list[Record], cache: SeriesCache) -> Batch:
    """Look up the series of each record, and put the samples into columns, as the writer does."""
    filling = FillingBatch(cache.table)
    for name, labels, samples in records:
        number = cache.get(name, labels).number
        for value, timestamp in samples:
            filling.numbers.append(number)
            filling.timestamps.append(timestamp)
            filling.values.append(value)
    return filling.take(len(filling))


def ours(version: RemoteWriteVersion, made: Batch) -> bytes:
    """Encode columns with this package."""
    return encode(made, version).body


def ours_from_records(version: RemoteWriteVersion, records: list[Record], cache: SeriesCache) -> bytes:
    """Look up the series, sort the samples and encode them, with this package."""
    return encode(columns(records, cache).in_order().batch, version).body


def generated_v1(records: list[Record]) -> bytes:
    """Encode as 1.0 with the generated classes."""
    request = WriteRequest()
    for metric_name, labels, samples in records:
        series = request.timeseries.add()
        for name, text in sorted({"__name__": metric_name, **labels}.items()):
            series.labels.add(name=name, value=text)
        for value, timestamp in samples:
            series.samples.add(value=value, timestamp=timestamp)
    return compress(request.SerializeToString())


def generated_v2(records: list[Record]) -> bytes:
    """Encode as 2.0 with the generated classes."""
    request = Request()
    symbols = {"": 0}
    for metric_name, labels, samples in records:
        series = request.timeseries.add()
        sorted_labels = sorted({"__name__": metric_name, **labels}.items())
        texts = [text for label in sorted_labels for text in label]
        series.labels_refs.extend([symbols.setdefault(text, len(symbols)) for text in texts])
        for value, timestamp in samples:
            series.samples.add(value=value, timestamp=timestamp)
    request.symbols.extend(symbols)
    return compress(request.SerializeToString())


class Peer:
    """Another library that encodes, in a separate process."""

    def __init__(self, library: str, per_series: int) -> None:
        command = [str(PEERS_PYTHON), str(Path(__file__).with_name("peers.py")), library, str(per_series)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        self.size = int(self._stdout.readline())

    def __call__(self) -> float:
        """Return the nanoseconds per sample."""
        self._stdin.write("\n")
        self._stdin.flush()
        return float(self._stdout.readline())

    def close(self) -> None:
        """End the process."""
        self._stdin.close()
        self._process.wait()


def timed(run: Callable[[], object]) -> float:
    """Return the nanoseconds per sample of a request."""
    began = time.perf_counter()
    run()
    return (time.perf_counter() - began) / SAMPLES * 1e9


def compare_encoders(cases: list[tuple[int, int]]) -> None:
    """Compare encoders, after checking that they return the same bytes."""
    for metrics, per_series in cases:
        records, cache = flights(metrics, per_series), SeriesCache(4 * SAMPLES)
        made = columns(records, cache)
        ways = {
            "1.0 generated classes": partial(generated_v1, records),
            "1.0 ours": partial(ours, RemoteWriteVersion.V1, made),
            "2.0 generated classes": partial(generated_v2, records),
            "2.0 ours": partial(ours, RemoteWriteVersion.V2, made),
        }
        bodies = {name: encode() for name, encode in ways.items()}
        # In 2.0 symbols may have any order; the property tests compare those bodies.
        if bodies["1.0 generated classes"] != bodies["1.0 ours"]:
            raise SystemExit("the encoders disagree; run the property tests")
        medians = side_by_side(ways, per_round=SAMPLES)
        report(
            f"encode {per_series} samples a series, {metrics} metrics an aircraft: with Snappy, per sample",
            medians,
            baseline="1.0 generated classes",
            sizes={name: len(body) / SAMPLES for name, body in bodies.items()},
        )


def compare_libraries(rounds: int) -> None:
    """Compare from records to the request's body, the only part that can be measured with other libraries."""
    if not PEERS_PYTHON.exists():
        print("\nskipping other libraries: `make bench` installs them")
        return
    for per_series in (1, 20):
        records, cache = flights(1, per_series), SeriesCache(4 * SAMPLES)
        runs = {
            "1.0 ours": partial(ours_from_records, RemoteWriteVersion.V1, records, cache),
            "2.0 ours": partial(ours_from_records, RemoteWriteVersion.V2, records, cache),
            "1.0 generated classes": partial(generated_v1, records),
        }
        sizes = {name: len(run()) / SAMPLES for name, run in runs.items()}
        ways: dict[str, Callable[[], float]] = {name: partial(timed, run) for name, run in runs.items()}
        with ExitStack() as stack:
            for library, name in PEERS.items():
                peer = Peer(library, per_series)
                stack.callback(peer.close)
                ways[name], sizes[name] = peer, peer.size / SAMPLES
            report(
                f"libraries, {per_series} samples a series: from records to a body with Snappy, per sample",
                take_turns(ways, rounds=rounds),
                baseline="1.0 ours",
                sizes=sizes,
            )


def in_turn(counts: list[int]) -> None:
    """Measure requests of devices that report in turn, sorting and Snappy included."""
    rows = []
    for count in counts:
        cache = SeriesCache(2 * count)
        for start in range(0, count, SAMPLES):
            for name, labels in some_series(min(SAMPLES, count - start), start, 1, count):
                cache.get(name, labels)
        numbers = [each.number for each in cache.table.series]
        for per_series in (1, 10, 100):
            devices = LARGE_REQUEST // per_series
            if devices > count:
                continue
            filling = FillingBatch(cache.table)
            for place in range(LARGE_REQUEST):
                filling.numbers.append(numbers[place % devices * (count // devices)])
                filling.timestamps.append(1_700_000_000_000 + place // devices * 1000)
                filling.values.append(float(place))
            made = filling.take(LARGE_REQUEST)
            medians = side_by_side(
                {
                    version.name: partial(lambda made, version: encode(made.in_order().batch, version), made, version)
                    for version in (RemoteWriteVersion.V1, RemoteWriteVersion.V2)
                },
                per_round=LARGE_REQUEST,
            )
            row: dict[str, object] = {"known series": f"{count:,}", "samples a series": per_series}
            rows.append(row | {f"{name} ns/sample": round(each) for name, each in medians.items()})
    table(f"in turn: requests of {LARGE_REQUEST:,} samples of devices that report in turn", rows)


def many_series(counts: list[int]) -> None:
    """Measure the cost of many series: to look up and encode a cached one, to create one, and to keep it."""
    rows = []
    for count in counts:
        cache = SeriesCache(2 * count)
        tracemalloc.start()
        for start in range(0, count, SAMPLES):
            for name, labels in some_series(min(SAMPLES, count - start), start, 1, count):
                cache.get(name, labels)
        del name, labels
        size = tracemalloc.get_traced_memory()[0] / count
        tracemalloc.stop()
        times: dict[str, list[float]] = {"make": [], "1.0": [], "2.0": []}
        for number in range(15):
            sample = [(float(number), 1_700_000_000_000 + number)]
            chosen = some_series(min(SAMPLES, count), number, max(1, count // SAMPLES), count)
            records = [(name, labels, sample) for name, labels in chosen]
            records *= SAMPLES // len(records)
            for name, version in (("1.0", RemoteWriteVersion.V1), ("2.0", RemoteWriteVersion.V2)):
                fresh = [(name, {**labels}, samples) for name, labels, samples in records]
                times[name].append(timed(partial(ours_from_records, version, fresh, cache)))
            times["make"].append(timed(partial(columns, records, SeriesCache(2 * SAMPLES))) * SAMPLES / len(chosen))
            del chosen, records, fresh
        rows.append(
            {
                "cached series": f"{count:,}",
                "1.0 ns/sample": round(sorted(times["1.0"])[7]),
                "2.0 ns/sample": round(sorted(times["2.0"])[7]),
                "ns to create one": round(sorted(times["make"])[7]),
                "bytes each": round(size),
            }
        )
    table("series: from records to a body with Snappy, and the memory of each series", rows)


def main() -> None:
    """Run the benchmark."""
    options = parser(__doc__).parse_args()
    compare_encoders(CASES[:1] if options.quick else CASES)
    compare_libraries(9 if options.quick else 25)
    in_turn([1_000, 10_000] if options.quick else [1_000, 10_000, 1_000_000])
    many_series([100, 100_000] if options.quick else [100, 10_000, 100_000, 1_000_000])


if __name__ == "__main__":
    main()
