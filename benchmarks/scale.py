"""
Run the whole chain as tables for 100,000 devices, one event per second each, in real time on a cluster of this machine.

    python benchmarks/scale.py --devices 100000 --seconds 300

Prints every ten seconds the number of rows read, how far the writer is behind the clock, and the size of state and
memory; at the end the sustained rate with each state backend. A reading waits five seconds for late ones, so a chain
that keeps up is about seven seconds behind. A chain that doesn't is stopped after ``--seconds``. Needs JAVA_HOME,
Linux, and six gigabytes of memory for the TaskManager, besides that of its Python workers, the JobManager and the
receiver.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

from receivers import nothing, prometheus

sys.path.append(str(Path(__file__).parents[1] / "tests" / "cluster"))

from flink_cluster import FlinkCluster, wait_for
from measure import table

ROOT = Path(__file__).parents[1]
JOB = ROOT / "benchmarks" / "jobs" / "chain.py"
EVERY_S = 10
#: Metrics arrive a moment after the first request for them.
METRICS_S = 1
#: The time that a job that keeps up may take to end after its last events.
END_S = 20
OVER = ("FINISHED", "FAILED", "CANCELED")


class Seen(NamedTuple):
    """The observed state of a running job."""

    rows: int
    per_second: float
    behind_s: float
    state_mb: float
    java_mb: float
    python_mb: float


def main() -> None:
    """Run the job with each backend and watch it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().partition("\n")[0])
    parser.add_argument("--devices", type=int, default=100_000)
    parser.add_argument("--seconds", type=int, default=300)
    parser.add_argument("--parallelism", type=int, default=2)
    parser.add_argument("--backends", nargs="+", choices=["hashmap", "rocksdb"], default=["hashmap", "rocksdb"])
    parser.add_argument("--memory", default="6g", help="memory of the TaskManager")
    parser.add_argument("--receiver", choices=["prometheus", "nothing"], default="prometheus")
    options = parser.parse_args()
    table("scale: the whole chain in real time", [measured(options, backend) for backend in options.backends])


def measured(options: argparse.Namespace, backend: str) -> dict[str, object]:
    """Run the job with a backend, and return a row of the table."""
    print(f"{options.devices:,} devices, {backend}, {options.parallelism} subtasks", flush=True)
    # Unlike the tests, this runs long enough for Java's second compiler.
    environment = {"PYTHONPATH": str(ROOT), "JAVA_TOOL_OPTIONS": "-XX:+ExitOnOutOfMemoryError"}
    conf = {
        "execution.checkpointing.interval": "30 s",
        "execution.checkpointing.incremental": True,
        "state.backend.type": backend,
        "taskmanager.memory.process.size": options.memory,
        # State is on the heap or in managed memory, which RocksDB shares with windows and Python.
        "taskmanager.memory.managed.fraction": 0.1 if backend == "hashmap" else 0.5,
    }
    receiver = prometheus if options.receiver == "prometheus" else nothing
    with tempfile.TemporaryDirectory() as folder, receiver() as url:
        cluster = FlinkCluster(Path(folder), slots=options.parallelism, conf=conf, environment=environment)
        with cluster:
            began_ms = int(time.time() * 1000)
            arguments = (f"--url={url}", f"--devices={options.devices}", f"--seconds={options.seconds}")
            more = (f"--parallelism={options.parallelism}", f"--live={began_ms}")
            job = cluster.run_job(JOB, *arguments, *more, options=("-d",)).job_id
            seen = watch(cluster, job, began_ms, options.seconds)
            checkpoints = cluster.rest(f"/jobs/{job}/checkpoints")["summary"]
    held = statistics.median(each.per_second for each in seen[1:-1] or seen)
    return {
        "": f"{options.devices:,} devices, {backend}, {options.parallelism} subtasks",
        "rows/s wanted": options.devices,
        "rows/s held": round(held),
        "seconds": options.seconds,
        "behind s": round(seen[-1].behind_s, 1),
        "state MB": round(max(each.state_mb for each in seen), 1),
        "bytes/device": round(max(each.state_mb for each in seen) * 1e6 / options.devices),
        "checkpoint s": round(checkpoints["end_to_end_duration"]["max"] / 1e3, 1),
        "TaskManager MB": round(max(each.java_mb for each in seen)),
        "Python MB": round(max(each.python_mb for each in seen)),
    }


def watch(cluster: FlinkCluster, job: str, began_ms: int, seconds: int) -> list[Seen]:
    """Print observations until the job or its time is over, and return them."""
    reads, writes = (vertex(cluster, job, name) for name in ("^WindowDeduplicate", "write raw"))
    wait_for(lambda: rows(cluster, job, reads), "the first rows", 300)
    first = last = time.monotonic()
    before = 0
    seen: list[Seen] = []
    while cluster.job_state(job) not in OVER and last - first < seconds + END_S:
        time.sleep(EVERY_S - METRICS_S)
        # Metrics requested now are available the next time.
        for _ in range(2):
            count, written_ms, now = rows(cluster, job, reads), watermark(cluster, job, writes), time.monotonic()
            time.sleep(METRICS_S)
        latest: dict[str, Any] = cluster.rest(f"/jobs/{job}/checkpoints")["latest"]["completed"] or {}
        if cluster.job_state(job) in OVER:
            break
        seen.append(
            Seen(
                rows=count,
                per_second=(count - before) / (now - last),
                behind_s=max(0.0, now - first - max(0, written_ms - began_ms) / 1e3),
                state_mb=latest.get("state_size", 0) / 1e6,
                java_mb=sum(map(resident_mb, cluster.java_pids()[1:])),
                python_mb=sum(map(resident_mb, cluster.python_worker_pids())),
            )
        )
        before, last = count, now
        print(
            "{0.rows:12,} rows, {0.per_second:9,.0f} a second, {0.behind_s:6.1f} s behind, state {0.state_mb:8.1f} MB, "
            "TaskManager {0.java_mb:6.0f} MB, Python {0.python_mb:5.0f} MB".format(seen[-1]),
            flush=True,
        )
    if cluster.job_state(job) == "FAILED":
        raise SystemExit(f"FAILED: {cluster.root_exception(job)[:2000]}")
    if cluster.job_state(job) not in OVER:
        cluster.cancel(job)
        cluster.wait_for_job(job, "CANCELED")
    return seen


def vertex(cluster: FlinkCluster, job: str, name: str) -> str:
    """Return the id of the step whose name matches a pattern."""
    vertices = cluster.rest(f"/jobs/{job}")["vertices"]
    return next(str(each["id"]) for each in vertices if re.search(name, each["name"]))


def rows(cluster: FlinkCluster, job: str, reads: str) -> int:
    """Return the number of rows that a step has read so far."""
    vertices = cluster.rest(f"/jobs/{job}")["vertices"]
    return next(int(each["metrics"]["read-records"]) for each in vertices if each["id"] == reads)


def watermark(cluster: FlinkCluster, job: str, writes: str) -> int:
    """Return the time up to which a step has all rows, in milliseconds."""
    found = cluster.rest(f"/jobs/{job}/vertices/{writes}/watermarks")
    return min((int(each["value"]) for each in found), default=0)


def resident_mb(process: int) -> float:
    """Return the memory of a process, 0 if it is gone."""
    with contextlib.suppress(OSError):
        status = Path("/proc", str(process), "status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) / 1e3
    return 0.0


if __name__ == "__main__":
    main()
