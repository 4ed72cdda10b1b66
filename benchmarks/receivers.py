"""Receivers for benchmarks, and samples for them."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import multiprocessing
import sys
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

import numpy as np
from measure import CACHE

from pyflink_prometheus.testing import PrometheusServer
from pyflink_prometheus.writer.family import RowFamily

sys.path.append(str(Path(__file__).parents[1] / "tests" / "integration"))

from victoria_metrics import VictoriaMetrics

STEP_MS = 100
METRIC = "flight_altitude_feet"
#: The label that all rows of :class:`Samples` share.
FAMILY = RowFamily(METRIC, ("icao24", "callsign", "operator", "source"))


@contextlib.contextmanager
def prometheus() -> Iterator[str]:
    """Yield the URL of a Prometheus."""
    with PrometheusServer.start("native") as server:
        yield server.remote_write_url


@contextlib.contextmanager
def victoria_metrics() -> Iterator[str]:
    """Yield the URL of a VictoriaMetrics."""
    with VictoriaMetrics(binary=CACHE / "victoria-metrics" / "victoria-metrics") as server:
        yield server.remote_write_url


@contextlib.contextmanager
def nothing() -> Iterator[str]:
    """Yield the URL of a 1.0 receiver that only reads and responds, to measure only the writer."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.Process(target=_respond, args=(theirs,), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}/api/v1/write"
    finally:
        process.terminate()
        process.join()


def _respond(port: Connection) -> None:
    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
                await reader.readexactly(int(length))
                writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        writer.close()

    async def run() -> None:
        server = await asyncio.start_server(respond, "127.0.0.1", 0, limit=1 << 20)
        port.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(run())


class Rows(NamedTuple):
    """Samples by column: labels, timestamps and values."""

    labels: list[list[str]]
    timestamps: np.ndarray
    values: np.ndarray

    def part(self, start: int, end: int) -> Rows:
        """Return a slice of the rows."""
        columns = [column[start:end] for column in self.labels]
        return Rows(columns, self.timestamps[start:end], self.values[start:end])


class Samples:
    """
    A generator of records with one sample each, series by series.

    All series have four labels besides the name. Timestamps increase across calls, because receivers reject samples
    older than those they have.

    :param series: the number of series.
    """

    def __init__(self, series: int) -> None:
        self.labels = [
            {"icao24": f"{n * 7919 % 16**6:06x}", "callsign": f"MSR{n % 1000}", "operator": "MSR", "source": "adsb"}
            for n in range(series)
        ]
        self._steps = itertools.count(int(time.time() * 1000) - 1_800_000, STEP_MS)

    def records(self, count: int) -> list[tuple]:
        """Return the next records."""
        made: list[tuple] = []
        while len(made) < count:
            at = next(self._steps)
            made += [(METRIC, labels, ((float(at), at),), None, ()) for labels in self.labels]
        return made[:count]

    def rows(self, count: int) -> Rows:
        """Return the next samples, as rows by column; a multiple of the number of series."""
        steps = [next(self._steps) for _ in range(count // len(self.labels))]
        columns = [[labels[name] for labels in self.labels] * len(steps) for name in FAMILY.label_names]
        timestamps = np.repeat(np.array(steps, np.int64), len(self.labels))
        return Rows(columns, timestamps, timestamps.astype(np.float64))
