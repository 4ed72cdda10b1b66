"""One cluster for all tests, with the pipeline as submitted by `make cluster`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from compose_cluster import ROOT, ComposeCluster, problem

if TYPE_CHECKING:
    from collections.abc import Iterator

RECORDING = ROOT / ".cache" / "recording" / "flights.jsonl"
# About twenty minutes of the recording.
ROWS = 30_000


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComposeCluster]:
    """Yield the cluster with two TaskManagers; skip without Docker, unless COMPOSE=required."""
    why_not = problem()
    if why_not is not None:
        (pytest.fail if os.environ.get("COMPOSE") == "required" else pytest.skip)(why_not)
    if not RECORDING.exists():
        pytest.fail(f"there is no {RECORDING}: run `make recording`")
    folder = tmp_path_factory.mktemp("recording")
    with RECORDING.open() as source, (folder / "flights.jsonl").open("w") as out:
        out.writelines(line for line, _ in zip(source, range(ROWS)))
    cluster = ComposeCluster(folder)
    try:
        cluster.up()
        yield cluster
    finally:
        cluster.down()
