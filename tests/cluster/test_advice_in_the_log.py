"""The TaskManager's log has advice about unnecessary costs of a job, once."""

from __future__ import annotations

import time

import pytest
from flink_cluster import FlinkCluster
from local_job import JOBS

from pyflink_prometheus.testing import Receiver

FAR_S = 0.25  # so that a few dozen bundles take the ten seconds after which the sink gives advice


def taskmanager_log(cluster: FlinkCluster) -> str:
    """Return the log of the cluster's only TaskManager."""
    (log,) = [each for each in cluster.log_files() if each.match("*taskexecutor*.log")]
    return log.read_text()


@pytest.mark.once
def test_what_makes_a_job_slow_is_said_once(flink_cluster: FlinkCluster) -> None:
    before = len(taskmanager_log(flink_cluster))  # other tests' jobs also log there
    with Receiver(lambda request: time.sleep(FAR_S)) as receiver:
        flink_cluster.run_job(JOBS / "advised.py", receiver.url)
        assert sum(map(len, receiver.samples().values())) == 1_200
    log = taskmanager_log(flink_cluster)[before:]
    for advice in ("without key_by", "an instance of Reading", "python.fn-execution.bundle.size"):
        assert len([line for line in log.splitlines() if "flink/advice.py" in line and advice in line]) == 1
