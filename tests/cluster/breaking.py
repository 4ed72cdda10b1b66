"""
Everything that can break around a running job, one thing after another, in an order chosen by a random generator.

Clocks jump only from the sink's point of view: the workers' through a seam, and a receiver's in its Retry-After. Flink
and Prometheus use the machine's clock. An older receiver is a Prometheus behind a proxy that refuses 2.0 like one.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from faulty_proxy import FAULTS
from flink_cluster import PATIENCE_SECONDS, FlinkClusterError, wait_for
from steady_job import SteadyClient, SteadyJob

if TYPE_CHECKING:
    from flink_cluster import FlinkCluster

    from pyflink_prometheus.testing import PrometheusServer

PAUSE_S = 1.0
MOST_STOPS = 5


class Network:
    """
    The faults between writer and receiver, for a :class:`faulty_proxy.FaultyProxy`.

    :ivar faults: the faults from which one is chosen at random for each request; ``None`` is no fault.
    """

    def __init__(self, rng: random.Random) -> None:
        self.faults: list[str | None] = [None]
        self._rng = random.Random(rng.random())  # requests arrive at unpredictable times

    def next_fault(self) -> str | None:
        """Return the next request's fault."""
        return self._rng.choice(self.faults)


class Disk:
    """A small separate file system in memory; mounting it requires root."""

    SIZE = 64 * 2**20

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._filler = folder / "filler"

    @staticmethod
    @contextlib.contextmanager
    def mounted(folder: Path) -> Iterator[Disk | None]:
        """Yield the file system while it is mounted; ``None`` where that is not possible."""
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={Disk.SIZE}", "none", str(folder)]
        if subprocess.run(command, capture_output=True, check=False).returncode != 0:
            yield None
            return
        try:
            yield Disk(folder)
        finally:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)

    def fill(self) -> None:
        """Fill the file system."""
        with contextlib.suppress(OSError), self._filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(2**16))

    def free(self) -> None:
        """Free the space."""
        self._filler.unlink(missing_ok=True)


class Chaos:
    """
    Failures around one running job.

    :param cluster: the cluster of the job, with one TaskManager.
    :param client: submits the job to it.
    :param prometheus: the receiver of the job.
    :param job: the job.
    :param rng: decides when things fail, and how.
    :param per_second: the rate of the job's source while things fail.
    :param network: the faults between writer and receiver, if the network can fail on its own.
    :param disk: the disk with the job's files, if it can be filled.
    :param label: the beginning of each printed line.
    :ivar done: counts the events.
    """

    def __init__(
        self,
        cluster: FlinkCluster,
        client: SteadyClient,
        prometheus: PrometheusServer,
        job: SteadyJob,
        rng: random.Random,
        per_second: float,
        network: Network | None = None,
        disk: Disk | None = None,
        label: str = "",
    ) -> None:
        self.done: Counter[str] = Counter()
        self.job = job
        self._label = label
        self._began = time.monotonic()
        self.job_id = client.submit(job, per_second)
        self._cluster = cluster
        self._client = client
        self._prometheus = prometheus
        self._rng = rng
        self._per_second = per_second
        self._network = network
        self._disk = disk
        self._resumed_from: str | None = None

    def cause(self, kind: str) -> None:
        """Cause a failure, once the job has recovered from the previous one."""
        self.wait_until_well()
        self.pause()
        self._tell(kind)
        event: Callable[[], None] = getattr(self, kind)
        event()

    def finish(self) -> None:
        """Let the job read the rest of its source."""
        self._cluster.wait_for_job(self.job_id, timeout=PATIENCE_SECONDS + self.job.count / 1_000)
        self._tell("finished")

    def kill_worker(self) -> None:
        """Kill one of the Python workers."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._rng.choice(self._cluster.python_worker_pids()), signal.SIGKILL)

    def kill_prometheus(self) -> None:
        """Kill Prometheus, and restart it after a while."""
        self._prometheus.kill()
        self.pause()
        self._prometheus.restart()

    def kill_worker_without_prometheus(self) -> None:
        """Kill a worker that cannot write its samples."""
        self._prometheus.kill()
        self.pause()
        self.kill_worker()
        self.pause()
        self._prometheus.restart()

    def kill_taskmanager(self) -> None:
        """Kill the TaskManager and start another."""
        self._cluster.kill_taskmanager()
        self._cluster.start_taskmanager()

    def kill_jobmanager(self) -> None:
        """Kill the JobManager, and start the job from its last checkpoint on another one, which knows of no job."""
        self._cluster.kill_jobmanager()
        self.pause()
        self._cluster.start_jobmanager()
        self._resume(self._cluster.latest_checkpoint(self.job_id))

    def cancel(self) -> None:
        """Cancel the job, and start it from its last checkpoint."""
        self._cluster.cancel(self.job_id)
        self._cluster.wait_for_job(self.job_id, "CANCELED")
        self._resume(self._cluster.latest_checkpoint(self.job_id))

    def rescale(self) -> None:
        """Stop the job with a savepoint, and start it with another parallelism."""
        others = [each for each in (1, 2, 3) if each != self.job.parallelism]
        self.job = self.job.with_options(parallelism=self._rng.choice(others))
        self.stop_and_resume()

    def new_version(self) -> None:
        """Stop the job with a savepoint, and start another version of it."""
        self.job = self.job.with_options(
            version=self._rng.choice(["AUTO", "V1"]),
            max_batch_size=self._rng.choice([100, 500, 2_000]),
            checkpoint_ms=self._rng.choice([500, 1_000]),
        )
        self.stop_and_resume()

    def clocks_jump(self) -> None:
        """Stop the job with a savepoint, and start it with workers whose clocks jump; once they have, undo this."""
        self.job = self.job.with_options(clock_jumps=0 if self.job.options.get("clock_jumps") else 1)
        self.stop_and_resume()

    def bad_network(self) -> None:
        """Let requests and responses be lost or corrupted for a while."""
        self._while_faulty([*FAULTS, *[None] * 2 * len(FAULTS)], ends=self._rng.random() < 0.5)

    def throttle(self) -> None:
        """Let the receiver throttle all requests for a while."""
        self._while_faulty(["429", "429 and Retry-After", "429 and an earlier date"], ends=True)

    def roll_receiver(self) -> None:
        """Let the receiver be an older one for a while, sometimes a mix of both, as if it had several instances."""
        self._while_faulty(["415 to 2.0", *self._rng.choice([[], [None]])], ends=self._rng.random() < 0.5)

    def fill_disk(self) -> None:
        """Fill the disk for rejected samples for a while."""
        if self._disk is None:
            self._tell("nothing, because no small file system can be mounted here")
            return
        self._disk.fill()
        time.sleep(self._rng.uniform(1, 3))
        self._disk.free()

    def stop_and_resume(self, per_second: float | None = None) -> None:
        """Stop the job with a savepoint, and restart it from there, at a new rate if one is given."""
        self._per_second = per_second or self._per_second
        for _ in range(MOST_STOPS):
            try:
                savepoint = self._cluster.stop_with_savepoint(self.job_id)
            except FlinkClusterError as error:  # something has failed meanwhile, and the job continues
                self._tell(f"not stopped: {str(error).splitlines()[-1]}")
                self.wait_until_well()
            else:
                self._tell("stopped")
                self._resume(savepoint)
                return
        raise FlinkClusterError(f"the job could not be stopped {MOST_STOPS} times")

    def calm(self) -> None:
        """End the remaining faults."""
        if self._network is not None:
            self._network.faults = [None]
        if self._disk is not None:
            self._disk.free()

    def wait_until_well(self) -> None:
        """Wait until all subtasks run, each with a worker of this TaskManager, and new samples arrive."""
        workers = self.job.parallelism
        self._cluster.wait_for_running_tasks(self.job_id)
        # There may be more workers: one from before a failure may take long to end.
        wait_for(lambda: len(self._cluster.python_worker_pids()) >= workers, f"{workers} workers", PATIENCE_SECONDS)
        stored = self._prometheus.count(self.job.metric_name)
        wait_for(lambda: self._prometheus.count(self.job.metric_name) > stored, "new samples", PATIENCE_SECONDS)
        self._tell("well")

    def pause(self) -> None:
        """Wait for a random time."""
        time.sleep(self._rng.uniform(0, PAUSE_S))

    def _while_faulty(self, faults: list[str | None], *, ends: bool) -> None:
        """Let requests fail, either for some seconds or until the next failure of that kind."""
        if self._network is None:
            raise FlinkClusterError("there is no proxy")
        self._network.faults = faults
        time.sleep(self._rng.uniform(1, 3))
        if ends:
            self._network.faults = [None]

    def _resume(self, path: str | None) -> None:
        """Start the job from a savepoint or checkpoint, or else from where it was last started."""
        self._resumed_from = path or self._resumed_from
        self.job_id = self._client.submit(self.job, self._per_second, self._resumed_from)

    def _tell(self, what: str) -> None:
        """Count and print an event; pytest shows it if the test fails."""
        self.done[what] += 1
        print(f"{self._label}{time.monotonic() - self._began:6.1f} s: {what}", flush=True)
