"""The example job, run as users run it, writes exactly the recording."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flink_cluster import FlinkCluster

    from pyflink_prometheus.testing import PrometheusServer
    from pyflink_prometheus.testing.prometheus_server import Samples

ROOT = Path(__file__).resolve().parent.parent.parent
JOB = ROOT / "jobs" / "flights.py"
RECORDING = ROOT / ".cache" / "recording" / "flights.jsonl"

METRICS = {
    "altitude": "flight_altitude_feet",
    "groundspeed": "flight_ground_speed_knots",
    "vertical_rate": "flight_vertical_rate_feet_per_minute",
    "track": "flight_track_degrees",
}


@pytest.fixture(scope="session")
def recording() -> Path:
    if not RECORDING.exists():
        pytest.fail(f"there is no {RECORDING}: run `make recording`")
    return RECORDING


def expected_samples(recording: Path, end_at: int) -> Samples:
    """Compute what Prometheus must have from the recording, independently of the job."""
    rows = [json.loads(line) for line in recording.read_text().splitlines()]
    shift = end_at - max(row["timestamp"] for row in rows)
    found: Samples = {}
    for row in rows:
        for field, metric_name in METRICS.items():
            if row[field] is not None:
                labels = (("__name__", metric_name), ("callsign", row["callsign"]), ("icao24", row["icao24"]))
                found.setdefault(labels, []).append((float(row[field]), row["timestamp"] + shift))
    return found


def job_arguments(recording: Path, server: PrometheusServer, end_at: int) -> Sequence[str]:
    return (f"--recording={recording}", f"--remote-write-url={server.remote_write_url}", f"--end-at={end_at}")


@pytest.fixture
def beginning(recording: Path, tmp_path: Path) -> Path:
    """Return a file with the first 30,000 rows of the recording, for tests that do not need all of them."""
    part = tmp_path / "beginning.jsonl"
    with recording.open() as source, part.open("w") as out:
        out.writelines(line for line, _ in zip(source, range(30_000)))
    return part


@pytest.mark.once
def test_the_whole_recording_from_a_cluster(
    flink_cluster: FlinkCluster, prometheus_empty: PrometheusServer, recording: Path
) -> None:
    end_at = time.time_ns() // 1_000_000
    flink_cluster.run_job(JOB, *job_arguments(recording, prometheus_empty, end_at))

    stored = prometheus_empty.samples('{__name__=~".+"}')

    assert sum(map(len, stored.values())) == 976_046
    assert stored == expected_samples(recording, end_at)


@pytest.mark.once
def test_two_subtasks_keep_the_order_of_each_aircraft(
    flink_cluster: FlinkCluster, prometheus_empty: PrometheusServer, beginning: Path
) -> None:
    end_at = time.time_ns() // 1_000_000
    run = flink_cluster.run_job(JOB, *job_arguments(beginning, prometheus_empty, end_at), "--parallelism=2")

    # Prometheus rejects out-of-order samples, so none are missing only if none overtook another.
    assert prometheus_empty.samples('{__name__=~".+"}') == expected_samples(beginning, end_at)
    writers = [v for v in flink_cluster.rest(f"/jobs/{run.job_id}")["vertices"] if "Prometheus writer" in v["name"]]
    assert [each["parallelism"] for each in writers] == [2]


@pytest.mark.once
def test_the_same_job_runs_without_a_cluster(prometheus_empty: PrometheusServer, beginning: Path) -> None:
    end_at = time.time_ns() // 1_000_000
    # No `python` on PATH that might have PyFlink by chance: the job itself says which Python to use.
    environment = {**os.environ, "PATH": "/usr/bin:/bin"}
    subprocess.run(
        [sys.executable, str(JOB), *job_arguments(beginning, prometheus_empty, end_at)],
        env=environment,
        cwd=beginning.parent,
        check=True,
    )

    assert prometheus_empty.samples('{__name__=~".+"}') == expected_samples(beginning, end_at)


@pytest.mark.once
def test_a_missing_recording_is_reported_in_one_line(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, str(JOB), f"--recording={tmp_path / 'none.jsonl'}"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert run.returncode == 2
    assert f"there is no file {tmp_path / 'none.jsonl'}" in run.stderr.splitlines()[-1]
