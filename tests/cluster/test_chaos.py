"""Whatever breaks while a job runs, Prometheus eventually has all samples; ``make chaos`` breaks far more."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from breaking import Chaos
from flink_cluster import FlinkCluster
from steady_job import SteadyClient, SteadyJob

from pyflink_prometheus.testing import PrometheusServer

PER_SECOND = 60.0
PER_SECOND_AT_LAST = 20_000.0
COUNT = 12_000  # for far longer than this takes, or the source would end before the chaos does


@pytest.mark.once
@pytest.mark.timeout(1800)
def test_nothing_is_lost_whatever_breaks(tmp_path: Path, prometheus_empty: PrometheusServer, metric_name: str) -> None:
    batches = f"{metric_name}_batches"
    options = {"batches_metric_name": batches, "checkpoint_ms": 500, "max_batch_size": 20, "parallelism": 1}
    job = SteadyJob(prometheus_empty.remote_write_url, metric_name, COUNT, options)
    cluster = FlinkCluster(tmp_path)
    with SteadyClient(cluster) as client, cluster:
        chaos = Chaos(cluster, client, prometheus_empty, job, random.Random(1), PER_SECOND)
        chaos.cause("kill_worker_without_prometheus")
        chaos.cause("kill_taskmanager")
        chaos.wait_until_well()
        chaos.stop_and_resume(PER_SECOND_AT_LAST)
        chaos.finish()
    for name in (metric_name, batches):
        found = prometheus_empty.samples(name)
        assert job.missing(found) == []
        assert found == job.made(metric_name=name)
