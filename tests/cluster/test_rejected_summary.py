"""A job that ends with rejected samples reports them where its user looks."""

from __future__ import annotations

import re

import pytest
from flink_cluster import FlinkCluster
from local_job import JOBS, run_job_file

from pyflink_prometheus import RemoteWriteVersion
from pyflink_prometheus.testing import ReceivedRequest, Receiver, Response


def refuse(request: ReceivedRequest) -> Response | None:
    """Refuse a whole request that contains anything called "refused", as Prometheus does under 1.0."""
    is_refused = any(series.startswith("refused") for series, _, _ in request.samples)
    return Response(400, "out of order sample") if is_refused else None


WRITTEN = (
    r"Prometheus writer: (\d+) samples were written to http://127\.0\.0\.1:\d+/api/v1/write \(requests: \d+, retries: "
    r"\d+, waited for responses: \d+\.\d s\)"
)


@pytest.mark.once
def test_a_local_job_says_on_the_console_how_many_were_not_written_and_where_the_reasons_are():
    with Receiver(refuse, versions=[RemoteWriteVersion.V1]) as receiver:
        job = run_job_file("rejecting.py", receiver.url, "2", "20", workers="loopback")
    found = [
        re.fullmatch(
            WRITTEN + r"; (\d+) of (\d+) samples were not written \(invalid \d+, refused \d\); the reasons are in "
            r"(\S+\.log); call set_rejected_samples_handler to keep the samples",
            line,
        )
        for line in job.stderr.splitlines()
        if line.startswith("Prometheus writer: ")
    ]
    counts = [[int(each[group]) for group in (1, 2, 3)] for each in found if each]
    # One line, or one for each subtask if the first one had ended when the other began.
    assert len(found) == len(counts) in (1, 2)
    assert [sum(column) for column in zip(*counts)] == [100, 23, 123]
    (file,) = {each[4] for each in found if each}
    assert "reason refused" in job.logs[file]
    assert job.logs[file].count("; settings: prometheus_remote_write_url: http://127.0.0.1:") == 2


@pytest.mark.once
def test_on_a_cluster_it_is_in_the_taskmanagers_log(flink_cluster: FlinkCluster) -> None:
    (file,) = [each for each in flink_cluster.log_files() if each.match("*taskexecutor*.log")]
    before = len(file.read_text())  # other tests' jobs also log there
    with Receiver(refuse, versions=[RemoteWriteVersion.V1]) as receiver:
        flink_cluster.run_job(JOBS / "rejecting.py", receiver.url, "1", "2")
    (line,) = [each for each in file.read_text()[before:].splitlines() if "Prometheus writer: 5 of 105" in each]
    assert "WARN" in line
