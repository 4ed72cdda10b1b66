"""However workers and responses are lost, the digests never report a stored sample as missing."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from moving_clock import SelfMovingClock

from pyflink_prometheus import RemoteWriteVersion
from pyflink_prometheus.config import SinkConfig
from pyflink_prometheus.model.digest import sample_digests, value_bits
from pyflink_prometheus.testing import PrometheusModel, Response, ScriptedTransport
from pyflink_prometheus.verification.comparison import Verdict, judged
from pyflink_prometheus.verification.expectation import read_expectation
from pyflink_prometheus.verification.stored_samples import Stored
from pyflink_prometheus.writer.writer import RemoteWriter

T = 1_700_000_000_000
COUNT = 60
SERIES = 3

# The number of samples that a worker gets, and what happens then: a checkpoint, its end before one, or its end while
# its unsent samples arrive only after the next worker's first samples.
lives = st.lists(st.tuples(st.integers(1, 15), st.sampled_from(["checkpoint", "killed", "outlived"])), max_size=8)
faults = st.lists(st.sampled_from(["none", "none", "refused", "response lost"]), max_size=40)


class Job:
    """Consecutive workers that each begin at the last checkpoint."""

    def __init__(self, directory: Path, version: RemoteWriteVersion, faults: list[str]) -> None:
        self.model = PrometheusModel(T)
        self.checkpoint = 0
        self._directory = directory
        self._version = version
        self._faults = list(faults)
        self._outlived: RemoteWriter | None = None
        self._writer: RemoteWriter | None = None
        self._next = 0

    def respond(self, request):
        fault = self._faults.pop() if self._faults else "none"
        if fault == "refused":
            return Response(503)
        response = self.model(request)
        return Response(503) if fault == "response lost" else response

    def give(self, count: int, end: str) -> None:
        """Pass samples to the worker, and start one if there is none."""
        if self._writer is None:
            self._writer, self._next = self._started(), self.checkpoint
        for number in range(self._next, min(self._next + count, COUNT)):
            self._writer.add(("m", {"series": str(number % SERIES)}, ((float(number), T + number),)))
            self._next = number + 1
        if end == "outlived" and self._outlived is None:
            self._outlived, self._writer = self._writer, None
            return
        if end == "checkpoint":
            self._writer.flush()
            self.checkpoint = self._next
        if self._outlived is not None:
            self._outlived.flush()
            self._kill(self._outlived)
            self._outlived = None
        if end == "killed":
            self._kill(self._writer)
            self._writer = None

    def finish(self) -> None:
        """Pass all remaining samples to the worker."""
        self.give(COUNT, "checkpoint")
        if self._writer is not None:
            self._writer.close()

    def _started(self) -> RemoteWriter:
        config = SinkConfig(
            "http://receiver.invalid/api/v1/write",
            remote_write_version=self._version,
            digest_directory=str(self._directory),
            max_batch_size_in_samples=7,
            max_in_flight_requests=1,
        )
        transport = ScriptedTransport(decide=self.respond)
        return RemoteWriter(config, new_transport=lambda config: transport, clock=SelfMovingClock())

    def _kill(self, writer: RemoteWriter) -> None:
        """End a writer, with its files as its last flush left them."""
        files = {path: path.read_bytes() for path in self._directory.iterdir()}
        writer.close()
        for path in self._directory.iterdir():
            path.write_bytes(files.get(path, b""))


def verdicts(directory: Path, stored: list[tuple[str, float, int]]) -> set[Verdict]:
    """Return the result of a comparison with the stored samples."""
    found = set()
    for labels, hours in read_expectation(str(directory), {}).series.items():
        samples = [(value, at) for _, value, at in stored if value % SERIES == int(dict(labels)["series"])]
        values = np.array([value for value, _ in samples], np.float64)
        timestamps = np.array([at for _, at in samples], np.int64)
        held = Stored(timestamps, sample_digests(timestamps, value_bits(values)))
        found |= {judged(expected, held) for expected in hours.values()}
    return found


@settings(max_examples=200)
@given(st.sampled_from([RemoteWriteVersion.V1, RemoteWriteVersion.V2]), lives, faults)
def test_nothing_is_missing_after_failures(version, lives, faults):
    with TemporaryDirectory() as folder:
        job = Job(Path(folder), version, faults)
        for count, end in lives:
            job.give(count, end)
        job.finish()
        assert {int(value) for _, value, _ in job.model.stored} == set(range(COUNT))
        assert verdicts(Path(folder), job.model.stored) <= {Verdict.STORED, Verdict.UNCLEAR}
