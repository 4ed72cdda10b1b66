"""
Write a million series to a Prometheus for half an hour, while old series keep ending and new ones keep beginning.

    python benchmarks/churn.py --minutes 30
    python benchmarks/churn.py --minutes 3 --subtasks 1 2 --receiver nothing    # only the sink, in one and in two

Prints every ten seconds the number of written samples, and the memory and CPU of the Python workers, Flink's
TaskManager and Prometheus; at the end the medians, and the sink's counts of the receiver's responses. Needs JAVA_HOME,
and for a million series about twelve gigabytes of memory, most of it for Prometheus.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import sys
import tempfile
import time
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from receivers import nothing, prometheus

sys.path.append(str(Path(__file__).parents[1] / "tests" / "cluster"))

import itertools

from flink_cluster import FlinkCluster
from measure import resident_mib, table

ROOT = Path(__file__).parents[1]
JOB = ROOT / "benchmarks" / "jobs" / "churn.py"
EVERY_S = 10
COUNTERS = (
    "numSamplesOut",
    "numSamplesDropped",
    "numSamplesNonRetryableDropped",
    "numSamplesRetryLimitDropped",
    "numWriteRequestsOut",
    "numWriteRequestsRetries",
    "numBytesOut",
)


class Usage(NamedTuple):
    """Memory in MiB, and seconds of CPU since the start."""

    mib: float
    cpu: float

    @classmethod
    def of(cls, *pids: int) -> Usage:
        """Return the total usage of processes."""
        ticks = os.sysconf("SC_CLK_TCK")
        cpu = 0.0
        for pid in pids:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            cpu += (int(fields[11]) + int(fields[12])) / ticks
        return cls(sum(map(resident_mib, pids)), cpu)


class Look(NamedTuple):
    """The measurements at one time; ``series`` counts all series that Prometheus has had."""

    at: float
    samples: int
    series: int
    usage: dict[str, Usage]


def main() -> None:
    """Run the job with each number of subtasks."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().partition("\n")[0])
    parser.add_argument("--series", type=int, default=1_000_000)
    parser.add_argument("--life", type=int, default=1200, help="seconds after which each series is replaced by another")
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--subtasks", type=int, nargs="+", default=[1])
    parser.add_argument("--memory", default="3g", help="memory of the TaskManager")
    parser.add_argument("--receiver", choices=["prometheus", "nothing"], default="prometheus")
    options = parser.parse_args()
    table("churn: many series, of which old ones end", [run(options, subtasks) for subtasks in options.subtasks])


def run(options: argparse.Namespace, subtasks: int) -> dict[str, object]:
    """Run the job for the given time, and return a row of the table."""
    environment = {"PYTHONPATH": str(ROOT), "JAVA_TOOL_OPTIONS": "-XX:+ExitOnOutOfMemoryError"}
    conf = {"execution.checkpointing.interval": "30 s", "taskmanager.memory.process.size": options.memory}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        receiver = prometheus if options.receiver == "prometheus" else nothing
        url = stack.enter_context(receiver())
        cluster = stack.enter_context(FlinkCluster(folder, slots=subtasks, conf=conf, environment=environment))
        arguments = (f"--url={url}", f"--series={options.series}", f"--life={options.life}")
        job = cluster.run_job(JOB, *arguments, f"--subtasks={subtasks}", options=("-d",)).job_id
        cluster.wait_for_running_tasks(job)
        own_url = url.replace("/api/v1/write", "/metrics") if options.receiver == "prometheus" else None
        looks = watch(cluster, job, own_url, options.minutes * 60)
        counters = {name: count(cluster, job, name) for name in COUNTERS}
        checkpoints = cluster.rest(f"/jobs/{job}/checkpoints")
        cluster.cancel(job)
        cluster.wait_for_job(job, "CANCELED")
    print({**counters, "checkpoints": checkpoints["counts"]}, flush=True)
    # In the first minute all series are new.
    settled = [each for each in looks if each.at > looks[0].at + 60] or looks
    rates = [(b.samples - a.samples) / (b.at - a.at) for a, b in itertools.pairwise(settled)]
    first, last = settled[0], settled[-1]
    return {
        "": f"{options.series:,} series, {subtasks} subtasks, {options.receiver}",
        "minutes": round((looks[-1].at - looks[0].at) / 60, 1),
        "samples/s": round(statistics.median(rates)),
        "series in all": last.series,
        "bytes/sample": round(counters["numBytesOut"] / counters["numSamplesOut"], 1),
        "checkpoint s": round(checkpoints["summary"]["end_to_end_duration"]["max"] / 1e3, 1),
        **{f"{name} MiB": round(usage.mib) for name, usage in last.usage.items()},
        **{
            f"{name} us": round((usage.cpu - first.usage[name].cpu) / (last.samples - first.samples) * 1e6, 2)
            for name, usage in last.usage.items()
        },
    }


def watch(cluster: FlinkCluster, job: str, own_url: str | None, seconds: float) -> list[Look]:
    """Measure until the time is over."""
    looks: list[Look] = []
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        time.sleep(EVERY_S)
        if (state := cluster.job_state(job)) != "RUNNING":
            raise SystemExit(f"FAILED: the job is {state}\n{cluster.root_exception(job)[:2000]}")
        usage = {
            "worker": Usage.of(*cluster.python_worker_pids()),
            "TaskManager": Usage.of(cluster.java_pids()[-1]),
        }
        series = 0
        if own_url is not None:
            own = own_metrics(own_url)
            series = int(own["prometheus_tsdb_head_series"])
            usage["Prometheus"] = Usage(own["process_resident_memory_bytes"] / 2**20, own["process_cpu_seconds_total"])
        looks.append(Look(time.monotonic(), count(cluster, job, "numSamplesOut"), series, usage))
        before = looks[-2] if len(looks) > 1 else looks[-1]._replace(at=began, samples=0)
        rate = (looks[-1].samples - before.samples) / (looks[-1].at - before.at)
        print(
            f"{looks[-1].at - began:6.0f} s {looks[-1].samples:13,} samples, {rate:9,.0f}/s, {series:10,} series, "
            + ", ".join(f"{name} {each.mib:,.0f} MiB" for name, each in usage.items()),
            flush=True,
        )
    return looks


def own_metrics(url: str) -> dict[str, float]:
    """Return a Prometheus's own metrics."""
    with urllib.request.urlopen(url, timeout=60) as response:
        text = response.read().decode()
    return {name: float(value) for name, value in re.findall(r"(?m)^([^#\s]+(?:\{[^}]*\})?) (\S+)$", text)}


def count(cluster: FlinkCluster, job: str, name: str) -> int:
    """Return a counter's sum over the subtasks."""
    found = cluster.metrics(job, f"Prometheus.{name}")
    return sum(int(float(value)) for key, value in found.items() if key.endswith(f".Prometheus.{name}"))


if __name__ == "__main__":
    main()
