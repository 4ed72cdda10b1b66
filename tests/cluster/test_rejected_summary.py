"""A job that ends with rejected samples says so where its user looks."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from flink_cluster import FlinkCluster
from local_job import JOBS, run_job_file

from pyflink_prometheus import RemoteWriteVersion
from pyflink_prometheus.testing import ReceivedRequest, Receiver, Response


def refuse(request: ReceivedRequest) -> Response | None:
    """Refuse a request with anything called "refused" in it, as Prometheus does under 1.0: whole."""
    is_refused = any(series.startswith("refused") for series, _, _ in request.samples)
    return Response(400, "out of order sample") if is_refused else None


@pytest.mark.once
def test_each_subtask_of_a_local_job_says_on_the_console_how_many_were_not_written_and_where_the_reasons_are():
    with Receiver(refuse, versions=[RemoteWriteVersion.V1]) as receiver:
        job = run_job_file("rejecting.py", receiver.url, "2", "20", workers="loopback")
    assert job.status == 0, job.stderr
    found = [
        re.fullmatch(
            r"Prometheus writer: (\d+) of (\d+) samples were not written \(invalid \d+, refused \d\); the reasons are "
            r"in (\S+\.log); call set_rejected_samples_handler to keep the samples",
            line,
        )
        for line in job.stderr.splitlines()
        if line.startswith("Prometheus writer: ")
    ]
    counts = [(int(each[1]), int(each[2])) for each in found if each]
    assert len(counts) == 2
    assert [sum(column) for column in zip(*counts)] == [23, 123]
    assert job.stderr.index("Prometheus writer: ") < job.stderr.index("executed")
    (log,) = {each[3] for each in found if each}
    assert "reason refused" in Path(log).read_text(errors="replace")


@pytest.mark.once
def test_on_a_cluster_it_is_in_the_taskmanagers_log(flink_cluster: FlinkCluster) -> None:
    (file,) = [each for each in flink_cluster.log_files() if each.match("*taskexecutor*.log")]
    before = len(file.read_text())  # other tests' jobs run there, too
    with Receiver(refuse, versions=[RemoteWriteVersion.V1]) as receiver:
        flink_cluster.run_job(JOBS / "rejecting.py", receiver.url, "1", "2")
    (line,) = [each for each in file.read_text()[before:].splitlines() if "Prometheus writer: 5 of 105" in each]
    assert "WARN" in line
