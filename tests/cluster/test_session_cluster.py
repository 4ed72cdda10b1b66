"""A TaskManager runs one job after another without loading PyFlink anew, and one that dies under a test says so."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from flink_cluster import LOADED_CLASSES, PATIENCE_SECONDS, FlinkCluster, FlinkClusterError, wait_for
from local_job import JOBS

from pyflink_prometheus.testing import Receiver

JOB = JOBS / "one_after_another.py"
COUNT = 5  # all kinds of jobs, and the first kind once more
ROWS = 10


@pytest.mark.once
def test_a_taskmanager_loads_pyflink_once_for_all_jobs_and_runs_thread_mode_twice(flink_cluster: FlinkCluster) -> None:
    """If each job brought its own PyFlink, thread mode would work only for the first: a JVM loads a library once."""
    with Receiver() as receiver:
        job = flink_cluster.run_job(JOB, receiver.url, str(COUNT))
    assert f"failed: 0 of {COUNT}" in job.stdout
    assert sum(len(request.samples) for request in receiver.requests) == COUNT * ROWS
    loaded = re.findall(
        r"\bBeam\w*PythonFunctionRunner (?=source:)", (flink_cluster.folder / LOADED_CLASSES).read_text()
    )
    assert sorted(loaded) == sorted(set(loaded)) != []


@pytest.mark.once
def test_a_taskmanager_that_dies_is_said_at_once_and_why(tmp_path: Path) -> None:
    """Waiting for the client, or for a job, ends with the error at once, not at the timeout."""
    conf = {"taskmanager.memory.jvm-metaspace.size": "50m"}  # less than any job in Python needs
    died = r"(?s)taskmanager-0 has died.*Terminating due to java\.lang\.OutOfMemoryError: Metaspace"
    with FlinkCluster(tmp_path, slots=1, conf=conf) as cluster, ThreadPoolExecutor(1) as pool:
        client = pool.submit(cluster.run_job, JOB, "http://127.0.0.1:1/", "1")
        with pytest.raises(FlinkClusterError, match=died):
            (job,) = wait_for(lambda: cluster.rest("/jobs")["jobs"], "a job", PATIENCE_SECONDS)
            cluster.wait_for_job(job["id"])
        with pytest.raises(FlinkClusterError, match=died):
            client.result()
