"""A job whose requests and responses are lost or corrupted in transit stores all of its samples."""

from __future__ import annotations

import random
from itertools import cycle

import pytest
from faulty_proxy import FAULTS, FaultyProxy
from flink_cluster import FlinkCluster
from steady_job import SteadyJob

from pyflink_prometheus.testing import PrometheusServer

SETTINGS = {"checkpoint_ms": 500, "max_batch_size": 25, "max_retry_delay_ms": 50, "socket_timeout_ms": 1_000}


@pytest.mark.once
def test_no_fault_on_the_way_loses_a_sample_of_a_job_or_breaks_order(
    flink_cluster: FlinkCluster, prometheus: PrometheusServer, metric_name: str
) -> None:
    faults = [*FAULTS, *[None] * 15]
    random.Random(3).shuffle(faults)
    with FaultyProxy(prometheus.remote_write_url, cycle(faults).__next__, late_s=1.3) as proxy:
        job = SteadyJob(proxy.url, metric_name, 2_000, SETTINGS)
        job_id = job.submit(flink_cluster, per_second=1_000)
        flink_cluster.wait_for_job(job_id)
    assert {fault for fault in FAULTS if proxy.seen[fault]} == set(FAULTS)
    assert prometheus.samples(metric_name) == job.made()
    assert flink_cluster.root_exception(job_id) == ""
    # No sample reached Prometheus for the first time after a newer one of its series.
    seen: dict[str, list[int]] = {}
    for samples, _ in proxy.forwarded:
        for series, _, timestamp in samples:
            times = seen.setdefault(series, [])
            if timestamp not in times:
                assert timestamp > max(times, default=0)
                times.append(timestamp)
