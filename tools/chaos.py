"""
Break everything around running jobs, schedule by schedule, and see whether Prometheus has all samples all the same.

    python tools/chaos.py --schedules 100 --seed 1
    python tools/chaos.py --schedules 1 --seed 37    # the one of this seed again

Each schedule has a job of its own on one Flink cluster. It writes the same samples as records, in batches and from a
table, while five or six things fail that its seed chooses: a worker, the TaskManager, the JobManager, Prometheus, the
network; throttling, a receiver of another version, clocks that jump, a full disk under the rejected samples; restarts
from checkpoints and savepoints, with another parallelism or version of the job. In the end zero acceptable samples may
be missing, and each refused one must be in the files of rejected samples. Exit status 1 if it is not so.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests" / "cluster"), str(ROOT / "tests"), str(ROOT)]

from breaking import Chaos, Disk, Network  # noqa: E402  (they are found by now)
from faulty_proxy import FaultyProxy  # noqa: E402
from flink_cluster import FlinkCluster  # noqa: E402
from steady_job import SteadyJob  # noqa: E402

from pyflink_prometheus import PrometheusTimeSeries, read_rejected_samples  # noqa: E402
from pyflink_prometheus.config import SinkConfig  # noqa: E402
from pyflink_prometheus.testing import PrometheusServer  # noqa: E402
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
PER_SECOND = 150.0
PER_SECOND_AT_LAST = 20_000.0
COUNT = 40_000  # of far more seconds than a schedule takes, or the source would end before the chaos does
POISON_EVERY = 500
MOST_PARALLELISM = 3


class Lab:
    """
    A cluster, a Prometheus and a disk for all schedules.

    :param stack: ends all of it.
    """

    def __init__(self, stack: ExitStack) -> None:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chaos-")))
        self.prometheus = stack.enter_context(PrometheusServer.start())
        self.disk = stack.enter_context(Disk.mounted(folder / "rejected"))
        self.rejected = folder / "rejected"
        conf = {"execution.checkpointing.externalized-checkpoint-retention": "RETAIN_ON_CANCELLATION"}
        environment = {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests" / "cluster" / "jobs")])}
        cluster = FlinkCluster(folder / "flink", slots=MOST_PARALLELISM, conf=conf, environment=environment)
        self.cluster = stack.enter_context(cluster)
        # The first sample of an empty Prometheus says which are too old.
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
    rejected = lab.rejected / str(seed)
    network = Network(rng)
    options = {
        "batches_metric_name": names["batches"],
        "table_metric_name": names["table"],
        "rejected": rejected,
        "poison_every": POISON_EVERY,
        "parallelism": rng.choice([1, 2, 3]),
        "max_batch_size": 500,
        "socket_timeout_ms": 1_000,
    }
    with FaultyProxy(lab.prometheus.remote_write_url, network.next_fault, late_s=1.3) as proxy:
        job = SteadyJob(proxy.url, names["records"], COUNT, options)
        chaos = Chaos(lab.cluster, lab.prometheus, job, rng, PER_SECOND, network, lab.disk)
        for kind in kinds:
            chaos.cause(kind)
        chaos.wait_until_well()
        chaos.calm()
        chaos.stop_and_resume(PER_SECOND_AT_LAST)
        chaos.finish()
    problems = []
    for name in names.values():
        if missing := job.missing(lab.prometheus, name):
            problems.append(f"{name}: {len(missing)} samples are missing: {_shown(missing)}")
        elif lab.prometheus.samples(name) != job.made(metric_name=name):
            problems.append(f"{name}: holds others than were sent")
    # A table has none that are too old.
    for name in (names["records"], names["batches"]):
        if unaccounted := sorted(set(range(POISON_EVERY // 2, COUNT, POISON_EVERY)) - _refused(rejected, name)):
            problems.append(f"{name}: {len(unaccounted)} refused samples are in no file: {_shown(unaccounted)}")
    shutil.rmtree(rejected, ignore_errors=True)
    return chaos.done, problems


def _shown(numbers: list[int]) -> str:
    return f"{', '.join(map(str, numbers[:20]))}{', …' if len(numbers) > 20 else ''}"


def _refused(folder: Path, metric_name: str) -> set[int]:
    """Return the numbers of the samples that are too old, as far as they are in the files."""
    return {
        int(value)
        for rejected in read_rejected_samples(str(folder))
        for series in rejected.series
        if series.metric_name == f"{metric_name}_too_old"
        for value, *_ in series.samples
        if isinstance(value, float)
    }


def main() -> int:
    """Run the schedules, and say what was found."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().partition("\n")[0])
    parser.add_argument("--schedules", type=int, default=100, help="how many, default: 100")
    parser.add_argument("--seed", type=int, default=1, help="of the first one; each one has the next, default: 1")
    parser.add_argument("--seconds", type=float, default=7200.0, help="begin none after so long, default: two hours")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # and end all that was started
    began = time.monotonic()
    done: Counter[str] = Counter()
    findings: list[str] = []
    number = 0
    lab: Lab | None = None
    with ExitStack() as stack:
        for seed in range(options.seed, options.seed + options.schedules):
            if time.monotonic() - began > options.seconds:
                break
            started = time.monotonic()
            number += 1
            try:
                lab = lab or Lab(stack)
                happened, problems = run_schedule(lab, seed)
                done += happened
            except Exception:
                problems = [traceback.format_exc()]
                stack.close()  # who knows in which state it is
                lab = None
            findings += [f"repeat it with --schedules 1 --seed {seed}: {each}" for each in problems]
            print(f"seed {seed}: {'; '.join(problems) or 'ok'} ({time.monotonic() - started:.0f} s)", flush=True)
    for kind in sorted(done):
        print(f"{done[kind]:6} {kind}")
    print("\n".join([f"{number} schedules in {(time.monotonic() - began) / 60:.0f} minutes", *findings]))
    return 1 if findings or not number else 0


if __name__ == "__main__":
    sys.exit(main())
