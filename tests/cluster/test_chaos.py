"""
Whatever breaks while a job runs, in the end Prometheus has all samples of the job's source.

A round breaks everything once or twice, at random moments. The environment variable CHAOS_ROUNDS sets the number of
rounds (default 1; each takes about a minute), CHAOS_SEED the seed of the moments (default 1)::

    CHAOS_ROUNDS=10 CHAOS_SEED=7 pytest tests/cluster/test_chaos.py
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from pathlib import Path

import pytest
from flink_cluster import PATIENCE_SECONDS, FlinkCluster, wait_for
from steady_job import SteadyJob, stop_with_savepoint

from pyflink_prometheus.testing import PrometheusServer

ROUNDS = int(os.environ.get("CHAOS_ROUNDS", "1"))
SEED = int(os.environ.get("CHAOS_SEED", "1"))
PER_SECOND = 400.0
PER_SECOND_AT_LAST = 20_000.0
SAMPLES_A_ROUND = 60_000  # of far more seconds than a round takes, or the source would end before the chaos does
PAUSE_S = 1.5


class Chaos:
    """
    Failures around one running job.

    :param cluster: the cluster of the job, with one TaskManager.
    :param prometheus: the receiver of the job.
    :param job: the job.
    :param rng: decides when and in which order things fail.
    """

    def __init__(self, cluster: FlinkCluster, prometheus: PrometheusServer, job: SteadyJob, rng: random.Random) -> None:
        self.done: Counter[str] = Counter()
        self._cluster = cluster
        self._prometheus = prometheus
        self._job = job
        self._rng = rng
        self._began = time.monotonic()
        self._job_id = job.submit(cluster, PER_SECOND)

    def round(self, then_per_second: float) -> None:
        """Cause each failure once the job is healthy again, then restart the job from a savepoint at another rate."""
        kinds = [self.kill_worker, self.kill_prometheus, self.kill_worker_without_prometheus, self.kill_taskmanager]
        self._rng.shuffle(kinds)
        for kind in kinds:
            self._wait_until_well()
            self._pause()
            self._tell(kind.__name__)
            kind()
        self._wait_until_well()
        self._pause()
        self._tell("stop_and_resume")
        self.stop_and_resume(then_per_second)

    def finish(self) -> None:
        """Let the job read the rest of its source."""
        self._cluster.wait_for_job(self._job_id, timeout=PATIENCE_SECONDS + self._job.count / 1_000)
        self._tell("finished")

    def kill_worker(self) -> None:
        """Kill one of the two Python workers."""
        os.kill(self._rng.choice(self._cluster.python_worker_pids()), signal.SIGKILL)

    def kill_prometheus(self) -> None:
        """Kill Prometheus, and restart it after a while."""
        self._prometheus.kill()
        self._pause()
        self._prometheus.restart()

    def kill_worker_without_prometheus(self) -> None:
        """Kill a worker that cannot write its samples."""
        self._prometheus.kill()
        self._pause()
        self.kill_worker()
        self._pause()
        self._prometheus.restart()

    def kill_taskmanager(self) -> None:
        """Kill the TaskManager and start another."""
        self._cluster.kill_taskmanager()
        self._cluster.start_taskmanager()

    def stop_and_resume(self, per_second: float) -> None:
        """Stop the job with a savepoint, and restart it from there."""
        savepoint = stop_with_savepoint(self._cluster, self._job_id)
        self._tell("stopped")
        self._job_id = self._job.submit(self._cluster, per_second, savepoint)

    def _wait_until_well(self) -> None:
        """Wait until all subtasks run, each with a worker of this TaskManager, and new samples arrive."""
        wait_for(lambda: len(self._cluster.python_worker_pids()) == 2, "two workers", PATIENCE_SECONDS)
        self._cluster.wait_for_running_tasks(self._job_id)
        stored = self._prometheus.count(self._job.metric_name)
        wait_for(lambda: self._prometheus.count(self._job.metric_name) > stored, "new samples", PATIENCE_SECONDS)
        self._tell("well")

    def _pause(self) -> None:
        time.sleep(self._rng.uniform(0, PAUSE_S))

    def _tell(self, what: str) -> None:
        """Count and print an event; pytest shows it if the test fails."""
        self.done[what] += 1
        print(f"{time.monotonic() - self._began:6.1f} s: {what}")


@pytest.mark.once
@pytest.mark.timeout(900 * (1 + ROUNDS))
def test_nothing_is_lost_whatever_breaks(tmp_path: Path, prometheus_empty: PrometheusServer, metric_name: str) -> None:
    batches = f"{metric_name}_batches"
    options = {"batches_metric_name": batches}
    job = SteadyJob(prometheus_empty.remote_write_url, metric_name, ROUNDS * SAMPLES_A_ROUND, options)
    with FlinkCluster(tmp_path) as cluster:
        chaos = Chaos(cluster, prometheus_empty, job, random.Random(SEED))
        for number in range(ROUNDS):
            chaos.round(PER_SECOND if number + 1 < ROUNDS else PER_SECOND_AT_LAST)
        chaos.finish()
    for name in (metric_name, batches):
        assert job.missing(prometheus_empty, name) == []
        assert prometheus_empty.samples(name) == job.made(metric_name=name)
