"""
Submit small PyFlink jobs to one TaskManager, one after another, and watch its metaspace: flat, or exit with 1.

    python benchmarks/session_cluster.py --jobs 100
    python benchmarks/session_cluster.py --jobs 100 --as-shipped

With PyFlink's jar in Flink's class path, as docs/operations.md advises, or where PyFlink ships it, in opt/. JAVA_HOME
says which Java runs it, and the Python that runs this, which version of Flink.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import NamedTuple

sys.path.append(str(Path(__file__).parents[1] / "tests" / "cluster"))

from flink_cluster import FlinkCluster, FlinkClusterError, Run

from pyflink_prometheus.testing import Receiver

ROOT = Path(__file__).parents[1]
JOB = ROOT / "tests" / "cluster" / "jobs" / "one_after_another.py"
#: Of each kind of job a few.
WARM_UP_JOBS = 20
EVERY_JOBS = 10
ALLOWED_GROWTH_MIB = 5.0
TIMEOUT_S = 3600.0


class Memory(NamedTuple):
    """What a TaskManager's JVM says of its classes."""

    metaspace_mib: float
    loaded: int
    unloaded: int


def memory(cluster: FlinkCluster) -> Memory:
    """Return what the only TaskManager says now."""
    (taskmanager,) = cluster.rest("/taskmanagers")["taskmanagers"]
    names = ["Memory.Metaspace.Used", "ClassLoader.ClassesLoaded", "ClassLoader.ClassesUnloaded"]
    wanted = ",".join(f"Status.JVM.{name}" for name in names)
    values: dict[str, int] = {}
    # Flink fetches metrics because somebody asked: the first answer is of the last time.
    for _ in range(2):
        answer = cluster.rest(f"/taskmanagers/{taskmanager['id']}/metrics", get=wanted)
        values = {each["id"].removeprefix("Status.JVM."): int(each["value"]) for each in answer}
        time.sleep(1)
    metaspace, loaded, unloaded = (values.get(name, 0) for name in names)
    return Memory(metaspace / 2**20, loaded, unloaded)


def ended(cluster: FlinkCluster) -> int:
    """Return how many jobs have ended."""
    return sum(each["status"] in ("FINISHED", "FAILED") for each in cluster.rest("/jobs")["jobs"])


class Client(threading.Thread):
    """A client that submits all jobs."""

    def __init__(self, cluster: FlinkCluster, url: str, jobs: int) -> None:
        super().__init__(daemon=True)
        self._cluster, self._arguments = cluster, (url, str(jobs))
        self.run_of_it: Run | None = None
        self.error: FlinkClusterError | None = None

    def run(self) -> None:
        """Wait for it, or for the cluster's death."""
        try:
            self.run_of_it = self._cluster.run_job(JOB, *self._arguments, timeout=TIMEOUT_S)
        except FlinkClusterError as error:
            self.error = error


def main() -> None:
    """Submit, measure and judge."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=100)
    parser.add_argument("--as-shipped", action="store_true", help="with PyFlink's jar where PyFlink ships it")
    options = parser.parse_args()
    if options.jobs < WARM_UP_JOBS + EVERY_JOBS:
        parser.error(f"--jobs must be {WARM_UP_JOBS + EVERY_JOBS} or more")

    environment = {"PYTHONPATH": str(ROOT)}
    seen: list[tuple[int, Memory]] = []
    with tempfile.TemporaryDirectory() as folder, Receiver() as receiver:
        cluster = FlinkCluster(Path(folder), slots=1, environment=environment, loads_python_once=not options.as_shipped)
        with cluster:
            client = Client(cluster, receiver.url, options.jobs)
            client.start()
            try:
                while client.is_alive():
                    client.join(1.0)
                    if (number := ended(cluster)) // EVERY_JOBS > (seen[-1][0] // EVERY_JOBS if seen else 0):
                        seen.append((number, memory(cluster)))
                        what = seen[-1][1]
                        print(
                            f"{number:4} jobs  {what.metaspace_mib:6.1f} MiB of metaspace  "
                            f"{what.loaded:7} classes loaded, {what.unloaded:7} unloaded",
                            flush=True,
                        )
            except FlinkClusterError as error:
                raise SystemExit(f"FAILED after {seen[-1][0] if seen else 0} jobs and more: {error}") from None
            if client.run_of_it is None:
                raise SystemExit(f"FAILED: {client.error}")
            said = client.run_of_it.stdout
    print(said[said.index("failed: ") :].strip()[:2000])
    settled = [each for number, each in seen if number >= WARM_UP_JOBS]
    most, least = (pick(each.metaspace_mib for each in settled) for pick in (max, min))
    print(f"metaspace after warm-up: {least:.1f} to {most:.1f} MiB")
    if most - least > ALLOWED_GROWTH_MIB or "failed: 0 " not in said:
        raise SystemExit("FAILED: it is not flat, or jobs have failed")
    print("ok")


if __name__ == "__main__":
    main()
