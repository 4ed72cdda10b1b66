"""The cluster of `make cluster` works as documented; the tests depend on their order."""

from __future__ import annotations

import json
import subprocess
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from compose_cluster import ROOT, ComposeError, wait_for

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
SAMPLES_IN = "flink_taskmanager_job_task_operator_Prometheus_numSamplesIn"


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
    (job,) = wait_for(lambda: cluster.rest("/jobs/overview")["jobs"], "the list of jobs")
    wait_for(lambda: cluster.rest(f"/jobs/{job['jid']}")["state"] == "RUNNING", "the pipeline to run")
    assert cluster.prometheus.series('{__name__=~"flight_.*"}')
    cluster.cancel(job["jid"])  # the others need its slots


def test_prometheus_scrapes_the_jobmanager_and_each_taskmanager(cluster: ComposeCluster) -> None:
    def scraped() -> bool:
        up = cluster.prometheus.query("count by (job) (up == 1)")
        return {each["metric"]["job"]: each["value"][1] for each in up} == {
            "prometheus": "1",
            "jobmanager": "1",
            "taskmanager": "2",
        }

    def told_apart() -> bool:
        ids = cluster.prometheus.query("count by (tm_id) (flink_taskmanager_Status_JVM_Threads_Count)")
        return len(ids) == 2 == cluster.value("flink_jobmanager_numRegisteredTaskManagers")

    wait_for(scraped, "all scrape targets")
    wait_for(told_apart, "the metrics of two TaskManagers")


def test_pyflink_is_in_the_class_path_of_each_taskmanager(cluster: ComposeCluster) -> None:
    """So that it is loaded once and not for each job, which would eventually kill a session cluster."""
    said = [line for line in cluster.compose("logs", "taskmanager").splitlines() if " Classpath: " in line]
    # Each logs it once, and again after a restart.
    assert len({line.split()[0] for line in said}) == 2
    assert all("/flink-python-" in line for line in said)


def test_the_image_is_one_that_flink_can_start_on_kubernetes(cluster: ComposeCluster) -> None:
    """There, Flink calls the entry point with a shell command, which is searched on PATH."""
    scripts = ["kubernetes-jobmanager.sh", "kubernetes-taskmanager.sh"]
    command = ["/docker-entrypoint.sh", "bash", "-c", f"command -v {' '.join(scripts)} && ls /opt/jobs/temperatures.py"]
    found = cluster.compose("exec", "-T", "jobmanager", *command).split()
    assert found == [*(f"/opt/flink/bin/{each}" for each in scripts), "/opt/jobs/temperatures.py"]


def test_all_rules_are_loaded_and_work(cluster: ComposeCluster) -> None:
    def loaded() -> bool:
        groups = cluster.rules()
        files = {Path(group["file"]).name for group in groups}
        return files == {file.name for file in RULES.glob("*.yml")} and all(
            rule["health"] == "ok" for group in groups for rule in group["rules"]
        )

    wait_for(loaded, "all rules without an error")


def test_nothing_is_lost_when_a_taskmanager_crashes(cluster: ComposeCluster) -> None:
    """
    This holds however late the crash is noticed, and however often the job restarts before it recovers.

    Samples that the surviving TaskManager writes before the crash is noticed are written again after it. Prometheus
    then rejects them, because it has newer samples, so the number that the sink counts as written depends on the
    timing.
    """
    folder = cluster.recording_folder / "lines"
    folder.mkdir()
    folder.chmod(0o755)
    begin_ms = (int(time.time()) - 20 * 60) * 1000
    wait_for(lambda: cluster.rest("/overview")["slots-available"] == 4, "free slots")
    job_id = cluster.submit(JOB, "/opt/recording/lines", "http://prometheus:9090/api/v1/write")

    expected = write_part(folder, "first", begin_ms, FIRST)
    wait_until_stored(cluster, expected)
    checkpoint = take_checkpoint(cluster, job_id)

    writers = running_writers(cluster, job_id)
    taskmanagers = [each["taskmanager-id"] for each in writers]
    # Only a restart may put both into the same one.
    assert len(set(taskmanagers)) == 2 or any(each["attempt"] for each in writers)
    crash(cluster.container_at(taskmanagers[0].partition(":")[0]))
    for key, samples in write_part(folder, "second", begin_ms + FIRST * 1000, SECOND).items():
        expected[key] += samples
    wait_until_stored(cluster, expected)

    # It continues from that checkpoint or a later one: earlier rows are not even read again.
    assert wait_for(lambda: cluster.rest(f"/jobs/{job_id}/checkpoints")["latest"]["restored"], "a restart")["id"] >= (
        checkpoint
    )
    read = samples_read_after_restarts(cluster, job_id)
    assert 0 < max(read.values()) <= SENSORS * SECOND
    wait_for(lambda: cluster.rest("/overview")["slots-total"] == 4, "the TaskManager that crashed")


def test_grafana_has_the_datasource_and_all_dashboards(cluster: ComposeCluster) -> None:
    for line in cluster.output.splitlines():
        if "without Grafana" in line:
            pytest.skip(line.split("s  ", 1)[-1])
    query = "/api/datasources/proxy/uid/prometheus/api/v1/query?query=up"
    wait_for(lambda: cluster.grafana("/api/health")["database"] == "ok", "Grafana's database")
    wait_for(lambda: cluster.grafana(query)["status"] == "success", "Grafana's datasource")
    expected = {json.loads(file.read_text())["uid"] for file in DASHBOARDS.glob("*.json")}

    def loaded() -> bool:
        return {each["uid"] for each in cluster.grafana("/api/search?type=dash-db")} == expected

    wait_for(loaded, "the dashboards")


def wait_until_stored(cluster: ComposeCluster, expected: Samples) -> None:
    """Wait until Prometheus has exactly these samples; raise with the differences if some remain after a while."""
    differences: list[str] = []

    def stored() -> bool:
        found = cluster.prometheus.samples("reading")
        differences[:] = [
            f"{labels}: {len(set(samples) - set(found.get(labels, [])))} of {len(samples)} are missing"
            for labels, samples in expected.items()
            if found.get(labels) != samples
        ]
        return found == expected

    try:
        wait_for(stored, "all samples to be stored")
    except ComposeError as error:
        raise ComposeError("\n".join([str(error), *differences])) from None


def take_checkpoint(cluster: ComposeCluster, job_id: str) -> int:
    """
    Take a checkpoint of the current state, and return its id.

    Another checkpoint may already be under way, from before the last rows, and a job that continues from it would write
    those rows again. A checkpoint fails if the job restarts meanwhile; then this takes another.
    """

    def taken() -> int | None:
        request = cluster.rest(f"/jobs/{job_id}/checkpoints", "POST", {})["request-id"]

        def ended() -> Any:
            status = cluster.rest(f"/jobs/{job_id}/checkpoints/{request}")
            return status["operation"] if status["status"]["id"] == "COMPLETED" else None

        return wait_for(ended, "the end of a checkpoint").get("checkpointId")

    return int(wait_for(taken, "a checkpoint"))


def running_writers(cluster: ComposeCluster, job_id: str) -> list[dict[str, Any]]:
    """Return the subtasks of the writer as Flink's REST API shows them, once each has a TaskManager."""

    def assigned() -> list[dict[str, Any]] | None:
        vertices = cluster.rest(f"/jobs/{job_id}")["vertices"]
        (writer,) = [each["id"] for each in vertices if "Prometheus writer" in each["name"]]
        subtasks: list[dict[str, Any]] = cluster.rest(f"/jobs/{job_id}/vertices/{writer}")["subtasks"]
        return subtasks if all(each["status"] == "RUNNING" for each in subtasks) else None

    found: list[dict[str, Any]] = wait_for(assigned, "running writers")
    return found


def samples_read_after_restarts(cluster: ComposeCluster, job_id: str) -> dict[str, float]:
    """Return the number of samples that each attempt but the first has passed to the sink, as scraped from now on."""
    now_ms = time.time_ns() // 1_000_000

    def scraped() -> Samples | None:
        counters = cluster.prometheus.samples(f'{SAMPLES_IN}{{job_id="{job_id}",task_attempt_num!="0"}}')
        return counters if any(samples[-1][1] > now_ms for samples in counters.values()) else None

    read: dict[str, float] = defaultdict(float)
    for labels, samples in wait_for(scraped, "the counters of the restarted job").items():
        read[dict(labels)["task_attempt_num"]] += max(value for value, _ in samples)
    return read


def crash(container: str) -> None:
    """
    Kill Flink and its workers in a container, which ends the container.

    After `docker kill` the container would not come back: Docker takes that as the user's wish, and `restart:` is for
    crashes.
    """
    subprocess.run(["docker", "exec", container, "sh", "-c", "kill -9 -1"], capture_output=True, check=False)
