"""
Whatever breaks while a job runs, in the end Prometheus has all samples of the job's source.

A round breaks everything once or twice, at random moments. The environment variable CHAOS_ROUNDS sets the number of
rounds (default 1; each takes about a minute), CHAOS_SEED the seed of the moments (default 1)::

    CHAOS_ROUNDS=10 CHAOS_SEED=7 pytest tests/cluster/test_chaos.py

``make chaos`` breaks far more, and for longer.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from breaking import Chaos
from flink_cluster import FlinkCluster
from steady_job import SteadyJob

from pyflink_prometheus.testing import PrometheusServer

ROUNDS = int(os.environ.get("CHAOS_ROUNDS", "1"))
SEED = int(os.environ.get("CHAOS_SEED", "1"))
PER_SECOND = 400.0
PER_SECOND_AT_LAST = 20_000.0
SAMPLES_A_ROUND = 60_000  # of far more seconds than a round takes, or the source would end before the chaos does
KINDS = ("kill_worker", "kill_prometheus", "kill_worker_without_prometheus", "kill_taskmanager")


@pytest.mark.once
@pytest.mark.timeout(900 * (1 + ROUNDS))
def test_nothing_is_lost_whatever_breaks(tmp_path: Path, prometheus_empty: PrometheusServer, metric_name: str) -> None:
    batches = f"{metric_name}_batches"
    options = {"batches_metric_name": batches}
    job = SteadyJob(prometheus_empty.remote_write_url, metric_name, ROUNDS * SAMPLES_A_ROUND, options)
    rng = random.Random(SEED)
    with FlinkCluster(tmp_path) as cluster:
        chaos = Chaos(cluster, prometheus_empty, job, rng, PER_SECOND)
        for number in range(ROUNDS):
            for kind in rng.sample(KINDS, len(KINDS)):
                chaos.cause(kind)
            chaos.wait_until_well()
            chaos.pause()
            chaos.stop_and_resume(PER_SECOND if number + 1 < ROUNDS else PER_SECOND_AT_LAST)
        chaos.finish()
    for name in (metric_name, batches):
        assert job.missing(prometheus_empty, name) == []
        assert prometheus_empty.samples(name) == job.made(metric_name=name)
