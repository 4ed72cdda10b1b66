"""The example jobs write what pandas computes from the same deliveries, with and without a crash."""

from __future__ import annotations

import json
import re
import runpy
import subprocess
import sys
import time
import urllib.request
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import expected_flights as expected
import pytest
from flink_cluster import PATIENCE_SECONDS, FlinkCluster, wait_for
from local_job import JOBS as TEST_JOBS

from pyflink_prometheus.testing import PrometheusServer, Receiver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pandas as pd

    from pyflink_prometheus.testing.prometheus_server import Samples

ROOT = Path(__file__).resolve().parents[2]
JOBS = ROOT / "jobs"
EXAMPLES = TEST_JOBS / "examples.py"
RECORDING = ROOT / ".cache" / "recording" / "flights.jsonl"
# Prometheus shows a series for this long although no samples arrive.
STALE_AFTER_MS = 60_000

OPERATOR, FLIGHT_OF = ("operator",), ("operator", "country")
ALTITUDES = {"mean": "mean", "max": "max", "count_in_window": "count", "quantile 0": "0.5", "quantile 1": "0.95"}


def reordered(rows: pd.DataFrame) -> Samples:
    return expected.of_aircraft(rows, ("altitude",), step="reordered")


def filtered(rows: pd.DataFrame) -> Samples:
    fields, passing = ("altitude", "latitude", "longitude"), expected.possible(rows)
    steps = {"reordered": rows, "filtered": passing, "rejected": rows.drop(passing.index)}
    assert not steps["rejected"].empty
    found: Samples = {}
    for step, those in steps.items():
        found.update(expected.of_aircraft(those, fields, step=step))
    return found


def enriched(rows: pd.DataFrame) -> Samples:
    placed = rows[rows.place.notna()]
    return {
        **expected.of_aircraft(rows, ("altitude",), by=FLIGHT_OF),
        **expected.of_counters(placed, "flight_messages_count", ("place", "operator"), interval_ms=60_000),
    }


def aggregated(rows: pd.DataFrame) -> Samples:
    return {
        **expected.of_aircraft(rows, ("altitude",)),
        **expected.of_windows(rows, "altitude", ALTITUDES, OPERATOR),
        **expected.of_windows(rows, "groundspeed", {"mean": "mean"}, OPERATOR, size_ms=600_000),
        **expected.of_counters(rows, "flight_messages_count", OPERATOR, interval_ms=15_000),
    }


def whole_chain(rows: pd.DataFrame) -> Samples:
    rows = expected.possible(rows)
    placed = rows[rows.place.notna()]
    return {
        **expected.of_aircraft(rows, by=FLIGHT_OF),
        **expected.of_windows(rows, "altitude", ALTITUDES, OPERATOR),
        **expected.of_windows(placed, "groundspeed", {"mean": "mean", "count_in_window": "count"}, ("cell", "place")),
        **expected.of_counters(rows, "flight_messages_count", OPERATOR, interval_ms=15_000),
    }


WRITTEN: dict[str, Callable[[pd.DataFrame], Samples]] = {
    "reorder": reordered,
    "filter": filtered,
    "enrich": enriched,
    "aggregate": aggregated,
    # The other jobs also have everything else in pipeline.py.
    "pipeline_sql": whole_chain,
}


@dataclass
class Submitted:
    """One of the jobs, and the Prometheus that it writes to."""

    name: str
    server: PrometheusServer
    recording: Path
    end_at: int
    max_delay_s: int
    parallelism: int = 2
    job_id: str = ""
    printed: str = ""

    def command_line(self, *options: str) -> list[str]:
        arguments = [f"--recording={self.recording}", f"--remote-write-url={self.server.remote_write_url}"]
        arguments += [f"--end-at={self.end_at}", f"--max-delay={self.max_delay_s}", f"--parallelism={self.parallelism}"]
        return [str(JOBS / f"{self.name}.py"), *arguments, *options]

    def stored(self) -> Samples:
        return self.server.samples('{__name__=~".+"}')

    def rows(self) -> pd.DataFrame:
        return expected.delivered(self.recording, self.end_at, max_delay=self.max_delay_s)


def beginning(folder: Path, lines: int) -> Path:
    """Write the beginning of the recording to a separate file."""
    if not RECORDING.exists():
        pytest.fail(f"there is no {RECORDING}: run `make recording`")
    part = folder / f"{lines}.jsonl"
    with RECORDING.open() as source, part.open("w") as out:
        out.writelines(line for line, _ in zip(source, range(lines)))
    return part


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def submit(cluster: FlinkCluster, jobs: list[Submitted], *options: str) -> None:
    """Submit jobs from one client, which is faster than one client for each."""
    command_lines = json.dumps([job.command_line(*options) for job in jobs])
    run = cluster.run_job(EXAMPLES, command_lines, options=("-d", "-pyfs", str(JOBS)))
    ids = {job["name"]: job["jid"] for job in cluster.rest("/jobs/overview")["jobs"]}
    for job in jobs:
        job.job_id = ids[job.name]
        job.printed = run.stdout.partition(f"== {job.name}\n")[2].partition("\n== ")[0]


def kill_once_all_are_under_way(cluster: FlinkCluster, jobs: list[Submitted]) -> None:
    """Kill the TaskManager when each job has something to restore."""

    def all_are_under_way() -> bool:
        assert all(cluster.job_state(job.job_id) != "FINISHED" for job in jobs), "one ended before all were under way"
        return all(cluster.completed_checkpoints(job.job_id) and job.server.count('{__name__=~".+"}') for job in jobs)

    wait_for(all_are_under_way, "samples and a checkpoint of each job", PATIENCE_SECONDS)
    time.sleep(2)  # longer than the checkpoint interval, so that there is something to restore
    cluster.kill_taskmanager()
    cluster.start_taskmanager()


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory, prometheus_kind: str) -> Iterator[dict[str, Submitted]]:
    """Run all jobs at once until they end, on a cluster whose only TaskManager is killed meanwhile."""
    conf = {
        "execution.checkpointing.interval": "1 s",
        "restart-strategy.type": "fixed-delay",
        "restart-strategy.fixed-delay.attempts": 100,
        "restart-strategy.fixed-delay.delay": "500 ms",
        "taskmanager.memory.process.size": "3g",
        "slot.request.timeout": "20 min",  # however long it takes to submit them
    }
    folder = tmp_path_factory.mktemp("killed")
    part, end_at = beginning(folder, 6_000), now_ms()
    with ExitStack() as stack:
        servers = [stack.enter_context(PrometheusServer.start(prometheus_kind)) for _ in WRITTEN]
        jobs = [
            Submitted(name, server, part, end_at, max_delay_s=60, parallelism=2 if name == "pipeline_sql" else 1)
            for name, server in zip(WRITTEN, servers)
        ]
        cluster = FlinkCluster(folder / "flink", slots=sum(job.parallelism for job in jobs), conf=conf)
        stack.callback(cluster.stop)
        # The jobs begin together, when a TaskManager comes: otherwise the first may end before the last begins.
        cluster.start(taskmanagers=0)
        submit(cluster, jobs, "--speed=3")
        cluster.start_taskmanager()
        kill_once_all_are_under_way(cluster, jobs)
        for job in jobs:
            cluster.wait_for_job(job.job_id, "FINISHED")
            restored = cluster.rest(f"/jobs/{job.job_id}/checkpoints")["counts"]["restored"]
            assert restored >= 1, f"{job.name} restarted from the beginning"
        yield {job.name: job for job in jobs}


@pytest.mark.once
@pytest.mark.parametrize("name", WRITTEN)
def test_a_job_that_is_killed_and_restored_writes_what_it_would_have_written(
    killed: dict[str, Submitted], name: str
) -> None:
    job = killed[name]
    stored = {key: samples for key, samples in job.stored().items() if ("step", "delivered") not in key}
    assert expected.differences(stored, WRITTEN[name](job.rows())) == []


@pytest.mark.once
@pytest.mark.parametrize("name", WRITTEN)
def test_what_a_job_says_to_ask_prometheus_has_a_result(killed: dict[str, Submitted], name: str) -> None:
    assert_queries_have_results(killed[name])


@pytest.mark.once
def test_of_what_is_not_in_order_prometheus_takes_a_part(killed: dict[str, Submitted]) -> None:
    stored = killed["reorder"].server.samples('flight_altitude_feet{step="delivered"}')
    made = expected.of_aircraft(killed["reorder"].rows(), ("altitude",), step="delivered")
    missing = [sample for key, samples in made.items() for sample in set(samples) - set(stored[key])]
    assert 0.01 < len(missing) / sum(map(len, made.values())) < 0.9


@pytest.mark.once
def test_the_whole_chain_writes_nothing_that_is_refused_and_ends_what_is_silent(
    flink_cluster: FlinkCluster, prometheus_empty: PrometheusServer, tmp_path: Path
) -> None:
    job = Submitted("pipeline", prometheus_empty, beginning(tmp_path, 30_000), now_ms(), max_delay_s=120)
    file, *arguments = job.command_line()
    flink_cluster.run_job(Path(file), *arguments, options=("-pyfs", str(JOBS)))
    rows = job.rows()

    assert set(responses_to_writes(prometheus_empty)) == {"204"}
    assert expected.differences(job.stored(), whole_chain(rows)) == []

    altitudes = expected.of_aircraft(expected.possible(rows), ("altitude",), by=FLIGHT_OF)
    for at in range(job.end_at - 1_200_000, job.end_at, 100_000):
        shown = {tuple(sorted(each["metric"].items())) for each in job.server.query("flight_altitude_feet", at / 1000)}
        alive = {
            key for key, samples in altitudes.items() if any(at - STALE_AFTER_MS < stamp <= at for _, stamp in samples)
        }
        assert alive
        assert shown == alive


@pytest.mark.once
def test_the_jobs_in_sql_write_what_those_in_python_write(
    flink_cluster: FlinkCluster, prometheus_empty: PrometheusServer, prometheus_kind: str, tmp_path: Path
) -> None:
    part, end_at = beginning(tmp_path, 9_000), now_ms()
    job = Submitted("flights_sql", prometheus_empty, part, end_at, max_delay_s=60)
    with PrometheusServer.start(prometheus_kind) as other:
        twin = replace(job, name="reorder_sql", server=other, parallelism=1)
        submit(flink_cluster, [job, twin])
        for each in (job, twin):
            flink_cluster.wait_for_job(each.job_id)
            assert_queries_have_results(each)
        in_order = other.samples('flight_altitude_feet{step="reordered"}')
    rows = job.rows()
    assert expected.differences(in_order, reordered(rows)) == []
    aggregates = {name: of for name, of in ALTITUDES.items() if "quantile" not in name}
    in_python = {**expected.of_aircraft(rows), **expected.of_windows(rows, "altitude", aggregates, OPERATOR)}
    assert set(responses_to_writes(prometheus_empty)) == {"204"}
    assert expected.differences(job.stored(), in_python) == []


@pytest.mark.once
def test_the_jobs_to_try_a_cluster_with_write_all_their_rows(flink_cluster: FlinkCluster, tmp_path: Path) -> None:
    config, properties, password = (tmp_path / name for name in ("prometheus.yml", "properties.json", "password"))
    with Receiver() as receiver:
        password.write_text("hush")
        auth = {"username": "flink", "password_file": str(password)}
        config.write_text(json.dumps({"remote_write": [{"url": receiver.url, "basic_auth": auth}]}))
        groups = {
            "kinesis.analytics.flink.run.options": {"python": "main.py", "pyFiles": "lib/"},
            "DataGen": {"events.per.sec": "300", "number.of.rows": "600"},
            "PrometheusSink": {"endpoint.url": receiver.url, "max.request.retry": "5"},
        }
        properties.write_text(json.dumps([{"PropertyGroupId": id, "PropertyMap": of} for id, of in groups.items()]))
        command_lines = [
            [str(JOBS / "temperatures.py"), f"--config={config}", "--rows=200", "--rows-per-second=100"],
            [str(JOBS / "amazon_managed_flink.py"), f"--properties={properties}"],
        ]
        flink_cluster.run_job(EXAMPLES, json.dumps(command_lines), options=("-d",))
        ids = {job["name"]: job["jid"] for job in flink_cluster.rest("/jobs/overview")["jobs"]}
        for name in ("temperatures", "Prometheus sink example"):
            flink_cluster.wait_for_job(ids[name])
        rooms, sensors = receiver.samples("room_temperature_celsius"), receiver.samples("temperature")
    # Two rows of a series may happen to have the same time; then the sink keeps the first.
    assert 190 <= sum(map(len, rooms.values())) <= 200
    assert 590 <= sum(map(len, sensors.values())) <= 600
    assert all(re.fullmatch(r"room \d+", dict(labels)["room"]) for labels in rooms)
    for labels in map(dict, sensors):
        assert re.fullmatch(r"R000\d\d", labels["roomId"])
        assert int(labels["sensorId"][1:]) // 100 == int(labels["roomId"][1:])
    assert {request.headers.get("authorization") for request in receiver.requests} == {None, "Basic Zmxpbms6aHVzaA=="}


def assert_queries_have_results(job: Submitted) -> None:
    queries = re.findall(r"^  (\S.*)$", job.printed, re.MULTILINE)
    assert len(queries) >= 2
    assert all(job.server.query(query, job.end_at / 1000) for query in queries)


def responses_to_writes(server: PrometheusServer) -> dict[str, int]:
    """Return how often Prometheus has responded with each status to a remote-write request."""
    with urllib.request.urlopen(f"{server.url}/metrics", timeout=30) as response:
        text = response.read().decode()
    found = re.findall(r'prometheus_http_requests_total\{code="(\d+)",handler="/api/v1/write"\} (\d+)', text)
    return {code: int(count) for code, count in found if int(count)}


@pytest.mark.once
@pytest.mark.parametrize("name", [*WRITTEN, "pipeline", "flights_sql", "reorder_sql", "flights"])
def test_help_says_what_a_job_is_for(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [f"{name}.py", "--help"])
    with pytest.raises(SystemExit, match="^0$"):
        runpy.run_path(str(JOBS / f"{name}.py"), run_name="__main__")
    printed = capsys.readouterr().out
    assert "--remote-write-url" in printed
    assert "flink run" in printed


@pytest.mark.once
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--recording=none.jsonl"], "run `make recording`: there is no file "),
        (["--repeat=0"], "--speed: expected at least 0, or at least 1 with --repeat=0, got 0"),
        (["--parallelism=0"], "--parallelism of at least 1"),
    ],
)
def test_wrong_options_are_reported_in_a_line(options: list[Any], message: str, tmp_path: Path) -> None:
    (tmp_path / "some.jsonl").write_text("{}\n")
    command = [sys.executable, JOBS / "reorder.py", f"--recording={tmp_path / 'some.jsonl'}", *options]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert message in run.stderr.splitlines()[-1]
