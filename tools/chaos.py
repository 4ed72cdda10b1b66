"""
Break everything around running jobs, schedule by schedule, and check that Prometheus still gets all samples.

    python tools/chaos.py --schedules 100 --seed 1 --at-once 2
    python tools/chaos.py --schedules 1 --seed 37    # repeat the schedule of this seed

Each schedule runs its own job, which writes the same samples as records, in batches and from a table. Meanwhile five or
six things fail, which its seed chooses: a worker, the TaskManager, the JobManager, Prometheus, the network; throttling,
a receiver of another version, clocks that jump, a full disk under the job's files; restarts from checkpoints and
savepoints, with another parallelism or version of the job. At the end, no acceptable sample may be missing, each
rejected one must be in the files of rejected samples, and the digests of the written samples must agree. Otherwise the
exit status is 1.

Several schedules run at once, each with a Flink cluster, a Prometheus and a disk that no other schedule uses meanwhile.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests" / "cluster"), str(ROOT / "tests"), str(ROOT)]

from breaking import Chaos, Disk, Network  # noqa: E402  (they are found by now)
from faulty_proxy import FaultyProxy  # noqa: E402
from flink_cluster import FlinkCluster  # noqa: E402
from steady_job import SteadyClient, SteadyJob  # noqa: E402

from pyflink_prometheus import PrometheusTimeSeries, read_rejected_samples  # noqa: E402
from pyflink_prometheus.config import SinkConfig  # noqa: E402
from pyflink_prometheus.testing import PrometheusServer  # noqa: E402
from pyflink_prometheus.verification.comparison import Compared, Verdict, compare  # noqa: E402
from pyflink_prometheus.verification.expectation import read_expectation  # noqa: E402
from pyflink_prometheus.verification.stored_samples import StoredSamples  # noqa: E402
from pyflink_prometheus.writer.writer import RemoteWriter  # noqa: E402

KINDS = (
    "kill_worker",
    "kill_worker_without_prometheus",
    "kill_taskmanager",
    "kill_jobmanager",
    "kill_prometheus",
    "bad_network",
    "throttle",
    "roll_receiver",
    "clocks_jump",
    "fill_disk",
    "cancel",
    "rescale",
    "new_version",
)
PER_SECOND = 80.0
PER_SECOND_AT_LAST = 20_000.0
COUNT = 16_000  # of far more seconds than a schedule takes, or the source would end before the chaos does
POISON_EVERY = 500
MOST_PARALLELISM = 3


class Lab:
    """
    A cluster, a Prometheus and a disk, for one schedule after another.

    :param stack: closes all of them.
    """

    def __init__(self, stack: ExitStack) -> None:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chaos-")))
        self.prometheus = stack.enter_context(PrometheusServer.start())
        self.files = folder / "files"
        self.disk = stack.enter_context(Disk.mounted(self.files))
        conf = {
            "execution.checkpointing.externalized-checkpoint-retention": "RETAIN_ON_CANCELLATION",
            # By default a TaskManager takes far longer to notice that a JobManager is gone, or another one there.
            "heartbeat.timeout": "10 s",
            "cluster.registration.error-delay": "300 ms",
        }
        # Beam sometimes closes a worker twice, which ends the TaskManager ("Reference count must not be negative").
        self.cluster = FlinkCluster(
            folder / "flink",
            slots=MOST_PARALLELISM,
            conf=conf,
            environment={"PYTHONPATH": str(ROOT)},
            supervised=True,
        )
        self.client = stack.enter_context(SteadyClient(self.cluster))  # imports PyFlink while the cluster starts
        stack.enter_context(self.cluster)
        # The first sample of an empty Prometheus determines which samples are too old.
        writer = RemoteWriter(SinkConfig(self.prometheus.remote_write_url))
        writer.add(PrometheusTimeSeries("began", {}, ((1.0, time.time_ns() // 1_000_000),)))
        writer.flush()
        writer.close()


def run_schedule(lab: Lab, seed: int) -> tuple[Counter[str], list[str]]:
    """Run one schedule; return what happened, and what is wrong."""
    rng = random.Random(seed)
    kinds = rng.sample(KINDS, rng.choice([5, 6]))
    print(f"seed {seed}: {', '.join(kinds)}", flush=True)
    names = {"records": f"records_{seed}", "batches": f"batches_{seed}", "table": f"table_{seed}"}
    files = lab.files / str(seed)
    network = Network(rng)
    options = {
        "batches_metric_name": names["batches"],
        "table_metric_name": names["table"],
        "rejected": files / "rejected",
        "digests": files / "digests",
        "poison_every": POISON_EVERY,
        "parallelism": rng.choice([1, 2]),
        "max_batch_size": rng.choice([20, 500]),
        "checkpoint_ms": 500,
        "socket_timeout_ms": 1_000,
    }
    with FaultyProxy(lab.prometheus.remote_write_url, network.next_fault, late_s=1.3) as proxy:
        job = SteadyJob(proxy.url, names["records"], COUNT, options)
        chaos = Chaos(
            lab.cluster,
            lab.client,
            lab.prometheus,
            job,
            rng,
            PER_SECOND,
            network,
            lab.disk,
            label=f"seed {seed}: ",
        )
        for kind in kinds:
            chaos.cause(kind)
        chaos.wait_until_well()
        chaos.calm()
        chaos.job = chaos.job.with_options(max_batch_size=2_000)
        chaos.stop_and_resume(PER_SECOND_AT_LAST)
        chaos.finish()
    problems = []
    for name in names.values():
        found = lab.prometheus.samples(name)
        if missing := job.missing(found):
            problems.append(f"{name}: {len(missing)} samples are missing: {_shown(missing)}")
        elif found != job.made(metric_name=name):
            problems.append(f"{name}: holds samples that were not sent")
    # A table has no samples that are too old.
    for name in (names["records"], names["batches"]):
        if unaccounted := sorted(
            set(range(POISON_EVERY // 2, COUNT, POISON_EVERY)) - _refused(files / "rejected", name)
        ):
            problems.append(f"{name}: {len(unaccounted)} rejected samples are in no file: {_shown(unaccounted)}")
    compared = _compared(files / "digests", lab.prometheus)
    problems += [f"digests: {each}" for each in compared if each.verdict in (Verdict.MISSING, Verdict.DIFFERENT)]
    chaos.done["a TaskManager died on its own"] += len(lab.cluster.died)
    lab.cluster.died.clear()
    chaos.done += Counter(f"series and hour of digests: {each.verdict.value}" for each in compared)
    shutil.rmtree(files, ignore_errors=True)
    return chaos.done, problems


def _shown(numbers: list[int]) -> str:
    return f"{', '.join(map(str, numbers[:20]))}{', …' if len(numbers) > 20 else ''}"


def _refused(folder: Path, metric_name: str) -> set[int]:
    """Return the numbers of those too old samples that are in the files."""
    return {
        int(value)
        for rejected in read_rejected_samples(str(folder))
        for series in rejected.series
        if series.metric_name == f"{metric_name}_too_old"
        for value, *_ in series.samples
        if isinstance(value, float)
    }


def _compared(digests: Path, prometheus: PrometheusServer) -> list[Compared]:
    """Return what ``verify`` finds."""
    with closing(StoredSamples(SinkConfig(prometheus.remote_write_url))) as stored:
        return list(compare(read_expectation(str(digests), {}), stored))


def run_seeds(connection: Connection, logs: Path | None) -> None:
    """Run the schedules of the seeds that arrive, until ``None`` arrives, and send back the findings."""
    _end_on_signals()
    lab: Lab | None = None
    with ExitStack() as stack:
        for seed in iter(connection.recv, None):
            began = time.monotonic()
            happened: Counter[str] = Counter()
            try:
                lab = lab or Lab(stack)
                happened, problems = run_schedule(lab, seed)
            except Exception:
                problems = [traceback.format_exc()]
            if problems and lab is not None:
                if logs is not None:
                    shutil.copytree(lab.cluster.log_dir, logs / f"seed-{seed}", dirs_exist_ok=True)
                stack.close()  # its state is unknown
                lab = None
            print(f"seed {seed}: {'; '.join(problems) or 'ok'} ({time.monotonic() - began:.0f} s)", flush=True)
            connection.send((happened, problems))


def _end_on_signals() -> None:
    """Stop everything that was started, once, on SIGINT and SIGTERM."""

    def end(*_: object) -> None:
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, lambda *_: None)
        sys.exit(1)

    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, end)


@dataclass
class Report:
    """The events of all schedules, and the problems."""

    schedules: int = 0
    done: Counter[str] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)

    def add(self, seed: int | None, happened: Counter[str], problems: list[str]) -> None:
        """Add a schedule."""
        self.schedules += 1
        self.done += happened
        self.findings += [f"repeat it with --schedules 1 --seed {seed}: {each}" for each in problems]

    def __str__(self) -> str:
        lines = [f"{self.done[kind]:6} {kind}" for kind in sorted(self.done)]
        return "\n".join([*lines, f"{self.schedules} schedules", *self.findings])


def run_all(seeds: Iterator[int], report: Report, *, at_once: int, seconds: float, logs: Path | None) -> None:
    """
    Run schedules, each in one of several processes.

    :param report: receives the findings.
    :param seconds: start no schedule after this time.
    """
    began = time.monotonic()
    context = multiprocessing.get_context("spawn")
    runners: list[BaseProcess] = []
    running: dict[Connection, int | None] = {}

    def begin_next(connection: Connection) -> None:
        is_over = time.monotonic() - began > seconds
        running[connection] = None if is_over else next(seeds, None)
        connection.send(running[connection])

    try:
        for _ in range(at_once):
            ours, theirs = context.Pipe()
            runners.append(context.Process(target=run_seeds, args=(theirs, logs)))
            runners[-1].start()
            theirs.close()
            begin_next(ours)
        while running:
            for connection in wait(list(running)):
                assert isinstance(connection, Connection)
                seed = running.pop(connection)
                try:
                    report.add(seed, *connection.recv())
                    begin_next(connection)
                except EOFError:
                    if seed is not None:  # it was running a schedule
                        report.add(seed, Counter(), ["its process has ended"])
    finally:
        for runner in runners:
            runner.terminate()
        for runner in runners:
            runner.join()


def main() -> int:
    """Run the schedules and print the findings, even if interrupted."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().partition("\n")[0])
    parser.add_argument("--schedules", type=int, default=100, help="number of schedules (default: 100)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the first schedule, then counting up (default: 1)")
    parser.add_argument("--at-once", type=int, default=2, help="schedules that run at the same time (default: 2)")
    parser.add_argument("--seconds", type=float, default=7200.0, help="start none after this time (default: two hours)")
    parser.add_argument("--logs", type=Path, help="folder for Flink's logs of schedules with problems")
    options = parser.parse_args()
    _end_on_signals()
    began = time.monotonic()
    seeds = iter(range(options.seed, options.seed + options.schedules))
    report = Report()
    try:
        run_all(seeds, report, at_once=options.at_once, seconds=options.seconds, logs=options.logs)
    finally:
        print(f"{report}\n{(time.monotonic() - began) / 60:.0f} minutes")
    return 1 if report.findings or not report.schedules else 0


if __name__ == "__main__":
    sys.exit(main())
