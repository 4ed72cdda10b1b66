"""A job that ends or is stopped loses nothing; a cancelled job ends at once, whatever its endpoint does."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from flink_cluster import PATIENCE_SECONDS, FlinkCluster, wait_for
from local_job import run_job_file
from steady_job import SteadyJob

from pyflink_prometheus.testing import PrometheusServer, Receiver

NEVER_MS = 3_600_000  # so that no checkpoint helps these jobs, and no timeout ends a request


@pytest.fixture(autouse=True)
def no_job_is_left(flink_cluster: FlinkCluster) -> Iterator[None]:
    """Free the cluster's slots after each test."""
    yield
    for job in flink_cluster.rest("/jobs")["jobs"]:
        if job["status"] not in ("FINISHED", "CANCELED", "FAILED"):
            flink_cluster.cancel(job["id"])
            flink_cluster.wait_for_job(job["id"], "CANCELED", "FINISHED", "FAILED")


def samples_read(cluster: FlinkCluster, job_id: str) -> int:
    """Return the number of samples that the source of a running job has read."""
    metrics = cluster.metrics(job_id, "Source__numbers.numRecordsOut")
    return next((int(value) for name, value in metrics.items() if name.endswith(".numRecordsOut")), 0)


def samples_passed_on(cluster: FlinkCluster, job_id: str) -> int:
    """Return the number of samples that reached the sink of a stopped job, which may take a moment to end."""
    cluster.wait_for_job(job_id)

    def final() -> int | None:
        source = next(each for each in cluster.rest(f"/jobs/{job_id}")["vertices"] if "numbers" in each["name"])
        return int(source["metrics"]["write-records"]) if source["metrics"]["write-records-complete"] else None

    return wait_for(final, "the final number of records", PATIENCE_SECONDS)


@pytest.mark.once
def test_the_end_of_input_loses_nothing(
    flink_cluster: FlinkCluster, prometheus: PrometheusServer, metric_name: str
) -> None:
    batches = f"{metric_name}_batches"
    options = {"checkpoint_ms": NEVER_MS, "batches_metric_name": batches}
    job = SteadyJob(prometheus.remote_write_url, metric_name, 30_000, options)
    flink_cluster.wait_for_job(job.submit(flink_cluster, per_second=1e6))
    for name in (metric_name, batches):
        assert prometheus.samples(name) == job.made(metric_name=name)
    logs = [each.read_text() for each in flink_cluster.log_files() if each.match("*taskexecutor*.log")]
    for way in (
        "in Arrow batches, because Transport.ARROW is set",
        "one by one, because the stream is keyed in Python",
    ):
        assert any(f"records come {way}" in log for log in logs)


@pytest.mark.parametrize(
    "drain",
    [pytest.param(False, id="without drain"), pytest.param(True, marks=pytest.mark.once, id="with drain")],
)
def test_stopping_with_a_savepoint_loses_nothing(
    drain: bool, flink_cluster: FlinkCluster, prometheus: PrometheusServer, metric_name: str
) -> None:
    job = SteadyJob(prometheus.remote_write_url, metric_name, 100_000, {"checkpoint_ms": NEVER_MS})
    # So slow that it cannot finish before it is stopped.
    job_id = job.submit(flink_cluster, per_second=500)
    wait_for(lambda: samples_read(flink_cluster, job_id) > 1_000, "1,000 samples", PATIENCE_SECONDS)
    flink_cluster.stop_with_savepoint(job_id, drain=drain)
    passed_on = samples_passed_on(flink_cluster, job_id)
    assert 1_000 < passed_on < job.count
    assert prometheus.samples(metric_name) == job.made(passed_on)


@pytest.fixture
def break_endpoint(request: pytest.FixtureRequest) -> Iterator[tuple[str, Callable[[], None]]]:
    """Yield the URL of an endpoint, and a function that makes it fail as the parameter says."""
    with ExitStack() as stack:
        if request.param == "is silent":
            deaf = stack.enter_context(socket.socket())
            deaf.bind(("127.0.0.1", 0))
            deaf.listen()  # connections are accepted, but never get a response
            yield f"http://127.0.0.1:{deaf.getsockname()[1]}/api/v1/write", lambda: None
            return
        status = 204
        receiver = stack.enter_context(Receiver(lambda request: status))

        def fail() -> None:
            nonlocal status
            wait_for(lambda: len(receiver.requests) >= 4, "requests of both subtasks", PATIENCE_SECONDS)
            status = 503

        yield receiver.url, fail


def oldest_checkpoint_s(cluster: FlinkCluster, job_id: str) -> float:
    """Return how long the oldest checkpoint has been in progress."""
    history = cluster.rest(f"/jobs/{job_id}/checkpoints")["history"]
    begun = [each["trigger_timestamp"] / 1000 for each in history if each["status"] == "IN_PROGRESS"]
    return time.time() - min(begun, default=time.time())


@pytest.mark.once
@pytest.mark.parametrize("break_endpoint", ["is silent", "responds with 503"], indirect=True)
def test_cancelling_while_the_endpoint_is_down_leaves_no_worker_behind(
    flink_cluster: FlinkCluster, break_endpoint: tuple[str, Callable[[], None]]
) -> None:
    url, fail = break_endpoint
    # Waiting for the flush would take an hour, or a hundred retries, longer than this test waits.
    options = {"checkpoint_ms": 300, "max_retry_delay_ms": 30_000, "socket_timeout_ms": NEVER_MS}
    job_id = SteadyJob(url, "cancelled", 300_000, options).submit(flink_cluster, per_second=1_000)
    fail()
    wait_for(lambda: len(flink_cluster.python_worker_pids()) == 2, "two workers", PATIENCE_SECONDS)
    wait_for(lambda: oldest_checkpoint_s(flink_cluster, job_id) > 2, "a flush that cannot end", PATIENCE_SECONDS)
    workers = flink_cluster.python_worker_pids()
    flink_cluster.cancel(job_id)
    flink_cluster.wait_for_job(job_id, "CANCELED")
    wait_for(lambda: not any(is_running(pid) for pid in workers), "the workers' end", PATIENCE_SECONDS)


def is_running(pid: int) -> bool:
    """Return whether a process exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.once
def test_cancelling_a_local_job_while_the_endpoint_is_down_lets_the_client_end() -> None:
    """Its flush continues in a thread of the client, which a job cannot reach, until the retries are exhausted."""
    client = run_job_file("cancelled.py", workers="loopback")
    assert client.stdout.splitlines()[-3:] == [
        "cancelled, and the endpoint has not responded yet",
        "the sink continues to retry",
        "no thread of the sink is left",
    ]
