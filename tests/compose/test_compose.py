"""The cluster of `make cluster` works as documented; the tests depend on their order."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from compose_cluster import ROOT, wait_for

if TYPE_CHECKING:
    from compose_cluster import ComposeCluster

    from pyflink_prometheus.testing.prometheus_server import Samples

# The image may have to be built first.
pytestmark = pytest.mark.timeout(1800)

JOB = Path(__file__).parent / "following_job.py"
RULES = ROOT / "cluster" / "rules"
DASHBOARDS = ROOT / "cluster" / "grafana" / "dashboards"
SENSORS = 40
FIRST, SECOND = 250, 150
WRITTEN = "flink_taskmanager_job_task_operator_Prometheus_numSamplesOut"


def write_part(folder: Path, name: str, first_ms: int, seconds: int) -> Samples:
    """Write a file of samples, one per second and sensor, for the job; return what Prometheus must return."""
    labels = [{"sensor": str(number)} for number in range(SENSORS)]
    stamps = range(first_ms, first_ms + seconds * 1000, 1000)
    hidden = folder / f".{name}"
    with hidden.open("w") as out:
        for stamp in stamps:
            out.writelines(f"{json.dumps(['reading', each, [[stamp % 997, stamp]]])}\n" for each in labels)
    hidden.chmod(0o644)
    hidden.rename(folder / name)
    return {
        (("__name__", "reading"), ("sensor", each["sensor"])): [(float(stamp % 997), stamp) for stamp in stamps]
        for each in labels
    }


def test_the_pipeline_writes_and_the_user_is_told_where_to_look(cluster: ComposeCluster) -> None:
    for url in (cluster.flink_url, cluster.prometheus.url):
        assert url in cluster.output
    assert "the pipeline has written" in cluster.output
    (job,) = cluster.rest("/jobs/overview")["jobs"]
    assert job["state"] == "RUNNING"
    assert cluster.prometheus.series('{__name__=~"flight_.*"}')

    # The others need its slots.
    cluster.rest(f"/jobs/{job['jid']}", "PATCH")
    wait_for(lambda: cluster.rest(f"/jobs/{job['jid']}")["state"] == "CANCELED", "the pipeline's end")


def test_prometheus_scrapes_the_jobmanager_and_each_taskmanager(cluster: ComposeCluster) -> None:
    def scraped() -> bool:
        up = cluster.prometheus.query("count by (job) (up == 1)")
        return {each["metric"]["job"]: each["value"][1] for each in up} == {
            "prometheus": "1",
            "jobmanager": "1",
            "taskmanager": "2",
        }

    wait_for(scraped, "all that is to be scraped")
    assert cluster.value("flink_jobmanager_numRegisteredTaskManagers") == 2
    ids = cluster.prometheus.query("count by (tm_id) (flink_taskmanager_Status_JVM_Threads_Count)")
    assert len(ids) == 2


def test_pyflink_is_in_the_class_path_of_each_taskmanager(cluster: ComposeCluster) -> None:
    """So that it is loaded once and not anew for each job, which is what a session cluster dies of."""
    said = [line for line in cluster.compose("logs", "taskmanager").splitlines() if " Classpath: " in line]
    assert len(said) == 2
    assert all("/flink-python-" in line for line in said)


def test_all_rules_are_loaded_and_work(cluster: ComposeCluster) -> None:
    def loaded() -> bool:
        groups = cluster.rules()
        files = {Path(group["file"]).name for group in groups}
        return files == {file.name for file in RULES.glob("*.yml")} and all(
            rule["health"] == "ok" for group in groups for rule in group["rules"]
        )

    wait_for(loaded, "all rules without an error")


def test_nothing_is_lost_when_a_taskmanager_crashes(cluster: ComposeCluster) -> None:
    folder = cluster.recording_folder / "lines"
    folder.mkdir()
    folder.chmod(0o755)
    begin_ms = (int(time.time()) - 20 * 60) * 1000
    job_id = cluster.submit(JOB, "/opt/recording/lines", "http://prometheus:9090/api/v1/write")

    written = f'sum({WRITTEN}{{job_id="{job_id}"}})'
    expected = write_part(folder, "first", begin_ms, FIRST)
    cluster.wait_for_value(written, SENSORS * FIRST)
    assert cluster.prometheus.samples("reading") == expected
    # Both TaskManagers have a part in it, so that it is all the same which of them crashes.
    assert len(cluster.prometheus.query(f'count by (tm_id) ({WRITTEN}{{job_id="{job_id}"}} > 0)')) == 2

    take_checkpoint(cluster, job_id)
    crash(cluster.containers("taskmanager")[0])
    for key, samples in write_part(folder, "second", begin_ms + FIRST * 1000, SECOND).items():
        expected[key] += samples

    # It goes on from the checkpoint: what was written before is not written again.
    cluster.wait_for_value(written, SENSORS * SECOND)
    assert cluster.prometheus.samples("reading") == expected
    assert cluster.rest(f"/jobs/{job_id}/checkpoints")["latest"]["restored"]
    wait_for(lambda: cluster.rest("/overview")["slots-total"] == 4, "the TaskManager that crashed")


def test_grafana_has_the_datasource_and_all_dashboards(cluster: ComposeCluster) -> None:
    for line in cluster.output.splitlines():
        if "without Grafana" in line:
            pytest.skip(line.split("s  ", 1)[-1])
    assert cluster.grafana("/api/health")["database"] == "ok"
    result = cluster.grafana("/api/datasources/proxy/uid/prometheus/api/v1/query?query=up")
    assert result["status"] == "success"
    expected = {json.loads(file.read_text())["uid"] for file in DASHBOARDS.glob("*.json")}

    def loaded() -> bool:
        return {each["uid"] for each in cluster.grafana("/api/search?type=dash-db")} == expected

    wait_for(loaded, "the dashboards")


def take_checkpoint(cluster: ComposeCluster, job_id: str) -> None:
    """
    Have a checkpoint of what is there now, and wait for that one.

    Another may be under way already, from before the last rows, and a job that goes on from it writes those again.
    """
    request = cluster.rest(f"/jobs/{job_id}/checkpoints", "POST", {})["request-id"]

    def answer() -> Any:
        answered = cluster.rest(f"/jobs/{job_id}/checkpoints/{request}")
        return answered if answered["status"]["id"] == "COMPLETED" else None

    operation = wait_for(answer, "a checkpoint")["operation"]
    assert "failure-cause" not in operation, operation["failure-cause"]


def crash(container: str) -> None:
    """
    Kill Flink and its workers in a container, and so the container with them.

    After `docker kill` none would come back: Docker takes that for the user's wish, and `restart:` is for crashes.
    """
    subprocess.run(["docker", "exec", container, "sh", "-c", "kill -9 -1"], capture_output=True, check=False)
