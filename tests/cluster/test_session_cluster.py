"""A TaskManager runs one job after another without loading PyFlink anew, and one that dies under a test says so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from flink_cluster import FlinkCluster, FlinkClusterError
from local_job import JOBS

from pyflink_prometheus.testing import Receiver

JOB = JOBS / "one_after_another.py"
COUNT = 5  # of all kinds of jobs there are, and the first kind once more
ROWS = 10


@pytest.mark.once
def test_a_taskmanager_loads_pyflink_once_for_all_jobs_and_runs_thread_mode_twice(tmp_path: Path) -> None:
    """Where each job brings its own, thread mode works for the first only: a library can be loaded once in a Java."""
    log = tmp_path / "classes"
    conf = {"env.java.opts.taskmanager": f"-Xlog:class+load:file={log}"}
    with FlinkCluster(tmp_path / "flink", slots=1, conf=conf) as cluster, Receiver() as receiver:
        job = cluster.run_job(JOB, receiver.url, str(COUNT))
    assert f"failed: 0 of {COUNT}" in job.stdout
    assert sum(len(request.samples) for request in receiver.requests) == COUNT * ROWS
    loaded = re.findall(r"\bBeam\w*PythonFunctionRunner (?=source:)", log.read_text())
    assert sorted(loaded) == sorted(set(loaded)) != []


@pytest.mark.once
@pytest.mark.parametrize("options", [("-d",), ()], ids=["waiting for a job", "waiting for the client"])
def test_a_taskmanager_that_dies_is_said_at_once_and_why(tmp_path: Path, options: tuple[str, ...]) -> None:
    """Not when the time for waiting is over: that would be in the message, and the reason would not."""
    conf = {"taskmanager.memory.jvm-metaspace.size": "50m"}  # less than any job in Python needs
    died = r"(?s)taskmanager-0 has died.*Terminating due to java\.lang\.OutOfMemoryError: Metaspace"
    with FlinkCluster(tmp_path, slots=1, conf=conf) as cluster, pytest.raises(FlinkClusterError, match=died):
        cluster.wait_for_job(cluster.run_job(JOB, "http://127.0.0.1:1/", "1", options=options).job_id)
