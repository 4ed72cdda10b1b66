"""A day of samples that a real Prometheus has rejected is rescued, and queried back unchanged."""

from __future__ import annotations

import json
import math
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from pyflink_prometheus import JsonLinesRejectedSamples, Metadata, PrometheusTimeSeries, RemoteWriteVersion
from pyflink_prometheus.testing import PrometheusServer

HOUR_MS = 3_600_000
SERIES, STEP_MS = 20, 300_000
WINDOW = "2d"


@pytest.fixture(scope="module")
def now_ms():
    """Return the time at which the newest sample was written."""
    return int(time.time()) * 1000


@pytest.fixture(scope="module")
def late(now_ms):
    """Return a day of samples, up to four hours ago, out of order."""
    rng, end = random.Random(17), now_ms - 4 * HOUR_MS
    values = [math.nan, math.inf, -math.inf, -0.0, 5e-324]
    records = [
        PrometheusTimeSeries(
            "rescued_total",
            {"device": f"d{number % SERIES}", "ünïcode": 'värde "quoted"\n\\', "le": "1"},
            ((rng.choice(values) if rng.random() < 0.01 else rng.uniform(-1e6, 1e6), at + rng.randrange(1000)),),
            Metadata("counter", "Rescued.", "seconds"),
        )
        for at in range(end - 24 * HOUR_MS, end, STEP_MS)
        for number in range(SERIES)
    ]
    rng.shuffle(records)
    return records


def as_stored(records: list[PrometheusTimeSeries]) -> dict[Any, list[Any]]:
    found: dict[Any, list[Any]] = {}
    for record in records:
        labels = tuple(sorted({"__name__": record.metric_name, **dict(record.labels)}.items()))
        found.setdefault(labels, []).extend((repr(sample[0]), sample[1]) for sample in record.samples)
    return {labels: sorted(samples, key=lambda each: each[1]) for labels, samples in found.items()}


def stored(server: PrometheusServer) -> dict[Any, list[Any]]:
    """Return a server's samples, with values as texts, because NaN is not equal to itself."""
    found = server.samples("rescued_total")
    return {labels: [(repr(value), at) for value, at in samples] for labels, samples in found.items()}


def rescue(*arguments: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pyflink_prometheus", "rescue", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def killed_after_a_step(*arguments: Any, temporary_files: Path) -> None:
    """Start the command, and kill it once it has reported its progress."""
    command = [sys.executable, "-m", "pyflink_prometheus", "rescue", *map(str, arguments)]
    pipes: Any = {"stderr": subprocess.PIPE, "stdout": subprocess.DEVNULL, "text": True}
    with subprocess.Popen(command, env={**os.environ, "TMPDIR": str(temporary_files)}, **pipes) as process:
        assert process.stderr is not None
        assert any(" samples (" in line for line in process.stderr)
        process.kill()


@pytest.fixture
def refuse(open_writer, late, now_ms, tmp_path):
    """Return a function that writes a day of samples too late, and returns the directory of rejected samples."""

    def write(server, version=RemoteWriteVersion.AUTO):
        folder = tmp_path / "rejected"
        writer = open_writer(
            server.remote_write_url,
            remote_write_version=version,
            rejected_samples_handler=JsonLinesRejectedSamples(folder, 500_000),
        )
        writer.add(("newest", {}, ((1.0, now_ms),)))
        writer.flush()
        for record in late:
            writer.add(record)
        writer.flush()
        assert writer.ledger.samples_lost == len(late)
        writer.close()
        assert stored(server) == {}
        return folder

    return write


def test_blocks_of_refused_samples_hold_them_all(refuse, late, promtool, prometheus_kind, tmp_path):
    data = tmp_path / "data"
    with PrometheusServer.start(prometheus_kind, data_dir=data) as server:
        folder = refuse(server)
        run = rescue("openmetrics", folder, "--output", tmp_path / "text", "--json")
        assert run.returncode == 0, run.stderr
        told = json.loads(run.stdout)
        assert told["samples"] == len(late)
        for file in told["files"]:
            command = [str(promtool), "tsdb", "create-blocks-from", "openmetrics", file, str(tmp_path / "blocks")]
            made = subprocess.run(command, capture_output=True, text=True, check=False)
            assert made.returncode == 0, made.stderr
        for block in (tmp_path / "blocks").iterdir():
            shutil.move(block, data / block.name)
        server.restart()
        assert stored(server) == as_stored(late)


@pytest.mark.parametrize("version", [RemoteWriteVersion.V1, RemoteWriteVersion.V2], ids=lambda each: each.name)
def test_samples_that_are_sent_again_into_a_window_are_all_stored(
    refuse, late, now_ms, open_writer, prometheus_kind, tmp_path, version
):
    with PrometheusServer.start(prometheus_kind) as strict:
        folder = refuse(strict)
        told = rescue("resend", folder, "--url", strict.remote_write_url, "--left", folder / "not", "--json")
        assert told.returncode == 1, told.stderr
        assert json.loads(told.stdout)["refused"] == {"out of bounds (HTTP 400)": len(late)}
    with PrometheusServer.start(prometheus_kind, out_of_order_time_window=WINDOW) as server:
        writer = open_writer(server.remote_write_url)
        writer.add(("newest", {}, ((1.0, now_ms),)))
        writer.flush()
        endpoint = ("--url", server.remote_write_url, "--remote-write-version", f"{version.name[1:]}.0")
        temporary = tmp_path / "temporary"
        temporary.mkdir()
        killed_after_a_step("resend", folder / "not", *endpoint, "--samples-per-second", 500, temporary_files=temporary)
        assert not list(temporary.iterdir())
        told = rescue("resend", folder / "not", *endpoint, "--samples-per-second", 50_000, "--json")
        assert told.returncode == 0, told.stdout + told.stderr
        assert json.loads(told.stdout)["accepted"] == len(late)
        assert f"{len(late)} of {len(late)} samples (100%)" in told.stderr
        assert stored(server) == as_stored(late)
