"""
The cost of digests of written samples: the writer with and without ``set_digest_directory``, in nanoseconds per sample.

The transport responds at once, so this is the writer's own time, on all of its threads. The two writers take turns.
"""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Mapping
from functools import partial

import numpy as np
from measure import parser, report, take_turns

from pyflink_prometheus.config import RemoteWriteVersion, SinkConfig
from pyflink_prometheus.http.outcome import Kind, Outcome
from pyflink_prometheus.writer.family import RowFamily
from pyflink_prometheus.writer.writer import RemoteWriter

SERIES = 10_000
_ACCEPTED = Outcome(Kind.ACCEPTED, "HTTP 204", 204)
_FAMILY = RowFamily("temperature_celsius", ("device", "site"))


class AtOnce:
    """A transport that accepts everything at once."""

    def post(self, body: bytes, headers: Mapping[str, str]) -> Outcome:
        return _ACCEPTED

    def close(self) -> None:
        pass


class Rows:
    """
    A writer of rows, with several samples of each series in a request.

    :param per_series: the number of samples of a series in each flush.
    """

    def __init__(self, per_series: int, digest_directory: str | None) -> None:
        config = SinkConfig(
            prometheus_remote_write_url="http://receiver.invalid/api/v1/write",
            remote_write_version=RemoteWriteVersion.V1,
            max_in_flight_requests=1,
            max_batch_size_in_samples=10_000,
            digest_directory=digest_directory,
        )
        self._writer = RemoteWriter(config, new_transport=lambda config: AtOnce())
        numbers = np.tile(np.arange(SERIES), per_series)
        self._labels = [[f"device-{each}" for each in numbers], [f"site-{each % 50}" for each in numbers]]
        self._offsets = np.repeat(np.arange(per_series), SERIES) * 1000
        self._values = np.random.default_rng(1).random(len(numbers))
        self._times = itertools.count(1_700_000_000_000, 1000 * per_series)

    def __call__(self) -> float:
        """Return the nanoseconds of CPU per sample of one flush."""
        timestamps = (self._offsets + next(self._times)).astype(np.int64)
        began = time.process_time()
        self._writer.add_rows(_FAMILY, self._labels, timestamps, self._values)
        self._writer.flush()
        return (time.process_time() - began) / len(timestamps) * 1e9


def main() -> None:
    """Run the benchmark."""
    quick = parser((__doc__ or "").strip()).parse_args().quick
    with tempfile.TemporaryDirectory() as folder:
        for per_series in (1, 10):
            ways = {"without": Rows(per_series, None), "with": Rows(per_series, f"{folder}/{per_series}")}
            for way in ways.values():
                way()
            medians = take_turns({name: partial(way) for name, way in ways.items()}, rounds=9 if quick else 31)
            report(f"digests, {per_series} samples of each series in a flush", medians, baseline="without")


if __name__ == "__main__":
    main()
