"""All records read before a checkpoint have been sent when it completes, so no failure loses any."""

from __future__ import annotations

import itertools
import os
import signal
from pathlib import Path

import pytest
from local_job import run_job_file

from pyflink_prometheus.testing import ReceivedRequest, Receiver

RECORDS = 8_000
KILL_AT = 5_000
METRIC_NAMES = ("chained", "keyed", "batches", "keyed_batches")


class UnreliableStore:
    """A receiver that fails every fourth request, and kills the first worker that sends a certain record."""

    def __init__(self) -> None:
        self.samples: list[tuple[str, float, int]] = []
        self.killed = False
        self._requests = itertools.count(1)

    def __call__(self, request: ReceivedRequest) -> int:
        if not self.killed and any(value >= KILL_AT for _, value, _ in request.samples):
            self.killed = True
            os.kill(int(request.headers["x-worker"]), signal.SIGKILL)
            return 500
        if next(self._requests) % 4 == 0:
            return 503
        self.samples += request.samples
        return 204

    def missing(self, metric_name: str) -> set[int]:
        stored = {int(value) for series, value, _ in self.samples if series.startswith(f"{metric_name}{{")}
        return set(range(RECORDS)) - stored


def run(folder: Path, hook: str, job_file: str = "breakdowns.py") -> tuple[UnreliableStore, int]:
    """Return the stored samples of a job, and the latest record before the first worker crashed."""
    store = UnreliableStore()
    with Receiver(store) as receiver:
        run_job_file(job_file, receiver.url, str(folder), hook)
    return store, int((folder / "broken-down-at").read_text())


def test_no_record_is_lost_when_workers_are_killed_and_each_series_stays_in_order(tmp_path):
    store, _ = run(tmp_path, "with-hook")
    assert store.killed
    for metric_name in METRIC_NAMES:
        assert store.missing(metric_name) == set()
    first_seen: dict[str, list[float]] = {}
    for series, value, _ in dict.fromkeys(store.samples):
        first_seen.setdefault(series, []).append(value)
    assert len(first_seen) == 28
    for values in first_seen.values():
        assert values == sorted(values)


@pytest.mark.once
def test_without_the_hook_the_same_job_loses_what_was_read_before_a_checkpoint(tmp_path):
    store, broken_down_at = run(tmp_path, "without-hook")
    for metric_name in METRIC_NAMES:
        assert min(store.missing(metric_name)) < broken_down_at
