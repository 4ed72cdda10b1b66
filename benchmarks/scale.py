"""
Run the whole chain as tables for 100,000 devices, one event per second each, in real time on a cluster of this machine.

    python benchmarks/scale.py --devices 100000 --seconds 300

Prints every ten seconds how many rows are read and the size of the last checkpoint, and at the end the rate that was
held, and the largest checkpoint. Needs JAVA_HOME, and some six gigabytes of memory.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from receivers import nothing, prometheus

sys.path.append(str(Path(__file__).parents[1] / "tests" / "cluster"))

from flink_cluster import FlinkCluster
from measure import table

ROOT = Path(__file__).parents[1]
JOB = ROOT / "benchmarks" / "jobs" / "chain.py"
EVERY_S = 10


def main() -> None:
    """Run the job and watch it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().partition("\n")[0])
    parser.add_argument("--devices", type=int, default=100_000)
    parser.add_argument("--seconds", type=int, default=300)
    parser.add_argument("--parallelism", type=int, default=2)
    parser.add_argument("--backend", choices=["hashmap", "rocksdb"], default="hashmap")
    parser.add_argument("--memory", default="4g", help="of the TaskManager")
    parser.add_argument("--receiver", choices=["prometheus", "nothing"], default="prometheus")
    options = parser.parse_args()
    # Other than tests, this runs for long enough for Java's second compiler.
    environment = {"PYTHONPATH": str(ROOT), "JAVA_TOOL_OPTIONS": "-XX:+ExitOnOutOfMemoryError"}
    conf = {
        "execution.checkpointing.interval": "30 s",
        "execution.checkpointing.incremental": True,
        "state.backend.type": options.backend,
        "taskmanager.memory.process.size": options.memory,
    }
    receiver = prometheus if options.receiver == "prometheus" else nothing
    with tempfile.TemporaryDirectory() as folder, receiver() as url:
        cluster = FlinkCluster(Path(folder), slots=options.parallelism, conf=conf, environment=environment)
        with cluster:
            arguments = (f"--url={url}", f"--devices={options.devices}", f"--seconds={options.seconds}", "--live")
            began = time.monotonic()
            job = cluster.run_job(JOB, *arguments, f"--parallelism={options.parallelism}", options=("-d",)).job_id
            rates = watch(cluster, job)
            took = time.monotonic() - began
            checkpoints = cluster.rest(f"/jobs/{job}/checkpoints")["summary"]
    held = statistics.median(rates[1:-1] or rates)
    table(
        "scale: the whole chain in real time",
        [
            {
                "": f"{options.devices:,} devices, {options.backend}, {options.parallelism} subtasks",
                "rows/s wanted": options.devices,
                "rows/s held": round(held),
                "seconds of events": options.seconds,
                "took s": round(took),
                "checkpoint MB": round(checkpoints["state_size"]["max"] / 1e6, 1),
                "checkpoint s": round(checkpoints["end_to_end_duration"]["max"] / 1e3, 1),
                "bytes/device": round(checkpoints["state_size"]["max"] / options.devices),
            }
        ],
    )


def watch(cluster: FlinkCluster, job: str) -> list[float]:
    """Print what happens until the job is over, and return the rows per second of each interval."""
    rates: list[float] = []
    before = rows(cluster, job)
    while cluster.job_state(job) not in ("FINISHED", "FAILED", "CANCELED"):
        time.sleep(EVERY_S)
        now = rows(cluster, job)
        rates.append((now - before) / EVERY_S)
        latest: dict[str, Any] = cluster.rest(f"/jobs/{job}/checkpoints")["latest"]["completed"] or {}
        size = latest.get("state_size", 0) / 1e6
        print(f"{now:12,} rows, {rates[-1]:9,.0f} a second, last checkpoint {size:8.1f} MB", flush=True)
        before = now
    if cluster.job_state(job) != "FINISHED":
        raise SystemExit(f"FAILED: {cluster.root_exception(job)[:2000]}")
    return rates


def rows(cluster: FlinkCluster, job: str) -> int:
    """Return how many rows the first step has read so far."""
    vertices = cluster.rest(f"/jobs/{job}")["vertices"]
    first = next(each for each in vertices if each["name"].startswith("WindowDeduplicate"))
    return int(first["metrics"]["read-records"])


if __name__ == "__main__":
    main()
