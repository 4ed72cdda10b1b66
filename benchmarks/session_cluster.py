"""
Submit small PyFlink jobs to one TaskManager, one after another, and exit with 1 if they leave anything behind.

    python benchmarks/session_cluster.py --jobs 100
    python benchmarks/session_cluster.py --jobs 100 --as-shipped

A third of the jobs end, a third fail once and are restarted, and a third are cancelled. Measures metaspace, threads,
open files and temporary files of the cluster's two JVMs, and Python workers. PyFlink's jar is in Flink's class path, as
docs/operations.md advises, or where PyFlink ships it, in opt/. JAVA_HOME selects the cluster's Java; the Python that
runs this selects the version of Flink. Linux only.
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
#: A few of each kind of job.
WARM_UP_JOBS = 20
EVERY_JOBS = 10
TIMEOUT_S = 3600.0
#: In seconds: by default, Flink keeps a job's files and its display for an hour, longer than this takes.
CONF = {"blob.service.cleanup.interval": 5, "jobstore.expiration-time": 5}


class Left(NamedTuple):
    """
    The resources in use between two jobs.

    :param metaspace_mib: the TaskManager's, like the classes below.
    :param threads: of both JVMs, like the files below.
    :param temporary: files and folders in Flink's temporary folders.
    :param workers: processes that run Python functions for the TaskManager.
    """

    metaspace_mib: float
    loaded: int
    unloaded: int
    threads: int
    open_files: int
    temporary: int
    workers: int

    def __str__(self) -> str:
        return (
            f"{self.metaspace_mib:6.1f} MiB of metaspace  {self.loaded:7} classes loaded, {self.unloaded:7} unloaded  "
            f"{self.threads:4} threads  {self.open_files:4} open files  {self.temporary:4} temporary files  "
            f"{self.workers} workers"
        )


#: The allowed growth after the warm-up: thread pools, for example, grow a little before they are full.
ALLOWED_GROWTH = Left(
    metaspace_mib=5.0, loaded=10**9, unloaded=10**9, threads=10, open_files=20, temporary=5, workers=0
)


def left(cluster: FlinkCluster) -> Left:
    """Return the resources in use now that no job runs, after giving Flink time to clean up."""
    time.sleep(3 * max(CONF.values()))
    (taskmanager,) = cluster.rest("/taskmanagers")["taskmanagers"]
    names = ["Memory.Metaspace.Used", "ClassLoader.ClassesLoaded", "ClassLoader.ClassesUnloaded"]
    wanted = ",".join(f"Status.JVM.{name}" for name in names)
    values: dict[str, int] = {}
    # Flink fetches metrics on request: the first response has the values of the previous request.
    for _ in range(2):
        response = cluster.rest(f"/taskmanagers/{taskmanager['id']}/metrics", get=wanted)
        values = {each["id"].removeprefix("Status.JVM."): int(each["value"]) for each in response}
        time.sleep(1)
    metaspace, loaded, unloaded = (values.get(name, 0) for name in names)
    javas = [Path(f"/proc/{pid}") for pid in cluster.java_pids()]
    return Left(
        metaspace / 2**20,
        loaded,
        unloaded,
        sum(len(list((java / "task").iterdir())) for java in javas),
        sum(len(list((java / "fd").iterdir())) for java in javas),
        sum(1 for _ in (cluster.folder / "tmp").rglob("*")),
        len(cluster.python_worker_pids()),
    )


class Client(threading.Thread):
    """A client that submits several jobs."""

    def __init__(self, cluster: FlinkCluster, url: str, jobs: int, folder: Path) -> None:
        super().__init__(daemon=True)
        self._cluster, self._arguments = cluster, (url, str(jobs), str(folder))
        self.run_of_it: Run | None = None
        self.error: FlinkClusterError | None = None

    def run(self) -> None:
        """Wait for the client's program, or for the cluster's death."""
        try:
            self.run_of_it = self._cluster.run_job(JOB, *self._arguments, timeout=TIMEOUT_S)
        except FlinkClusterError as error:
            self.error = error


def measure(cluster: FlinkCluster, url: str, jobs: int, folder: Path) -> tuple[list[tuple[int, Left]], str]:
    """Submit jobs in groups; return the resources in use after each group, and the clients' reports of failures."""
    seen: list[tuple[int, Left]] = []
    failed = []
    for so_far in range(0, jobs, EVERY_JOBS):
        (folder / f"{so_far}").mkdir()
        client = Client(cluster, url, min(EVERY_JOBS, jobs - so_far), folder / f"{so_far}")
        client.start()
        client.join()
        if client.run_of_it is None:
            raise SystemExit(f"FAILED after at least {so_far} jobs: {client.error}")
        said = client.run_of_it.stdout
        said = said[said.index("failed: ") :].strip()
        if not said.startswith("failed: 0 "):
            failed.append(said[:2000])
        seen.append((min(so_far + EVERY_JOBS, jobs), left(cluster)))
        print(f"{seen[-1][0]:4} jobs  {seen[-1][1]}", flush=True)
    return seen, "\n".join(failed)


def main() -> None:
    """Submit jobs, measure, and check the growth."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=100)
    parser.add_argument("--as-shipped", action="store_true", help="with PyFlink's jar where PyFlink ships it")
    options = parser.parse_args()
    if options.jobs < WARM_UP_JOBS + EVERY_JOBS:
        parser.error(f"--jobs must be {WARM_UP_JOBS + EVERY_JOBS} or more")

    with tempfile.TemporaryDirectory() as folder, Receiver() as receiver:
        markers = Path(folder) / "markers"
        markers.mkdir()
        cluster = FlinkCluster(
            Path(folder) / "flink",
            slots=1,
            conf=CONF,
            environment={"PYTHONPATH": str(ROOT)},
            loads_python_once=not options.as_shipped,
        )
        with cluster:
            try:
                seen, failed = measure(cluster, receiver.url, options.jobs, markers)
            except FlinkClusterError as error:
                raise SystemExit(f"FAILED: {error}") from None
    print(failed or "no job failed")
    settled = [each for number, each in seen if number >= WARM_UP_JOBS]
    grown = []
    for name, *values, allowed in zip(Left._fields, *settled, ALLOWED_GROWTH):
        if values[-1] - values[0] > allowed:
            grown.append(f"{name} from {values[0]:.0f} to {values[-1]:.0f}")
    if grown or failed:
        raise SystemExit(f"FAILED: {'; '.join(grown) or 'jobs have failed'}")
    print("ok")


if __name__ == "__main__":
    main()
