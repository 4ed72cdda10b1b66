"""
Compare the ways of records into the sink with the same jobs without it.

Devices report in turn, so that a request holds several samples of each series. Each job runs on one subtask, with
records from a Java source, to a Prometheus beside it. A time is that of a long job less that of a short one, so the
start does not count. ``java`` is what Flink's JVM takes of the CPU, and ``python`` the rest of the job.
"""

from __future__ import annotations

import resource
import statistics
import time
from typing import NamedTuple

from measure import parser, table
from pyflink_job import run_job
from receivers import prometheus


class Way(NamedTuple):
    """A job, and the one without Python that it is compared with."""

    name: str
    arguments: tuple[str, ...]
    without: tuple[str, ...]


NUMBERS = ("--way=discard",)
ROWS = ("--way=discard", "--rows")
TABLE = ("--way=blackhole",)
WAYS = [
    Way("typed stream, converter", ("--way=converter",), NUMBERS),
    Way("the same, 1.0", ("--way=converter", "--version=V1"), NUMBERS),
    Way("the same, one by one", ("--way=converter", "--transport=RECORDS"), NUMBERS),
    Way("the same, keyed in Python", ("--way=converter", "--keyed=python"), NUMBERS),
    Way("the same, pickled", ("--way=converter", "--pickled"), NUMBERS),
    Way("rows, converter", ("--way=converter", "--rows", "--transport=ARROW"), ROWS),
    Way("rows, column mapping", ("--way=mapping", "--rows", "--transport=ARROW"), ROWS),
    Way("rows, converter, keyed in Java", ("--way=converter", "--rows", "--transport=ARROW", "--keyed=java"), ROWS),
    Way("rows, column mapping, keyed in Java", ("--way=mapping", "--rows", "--transport=ARROW", "--keyed=java"), ROWS),
    Way("table, column mapping", ("--way=table",), TABLE),
    Way("the same, 100,000 series", ("--way=table", "--series=100000"), (*TABLE, "--series=100000")),
    Way("the same, 1.0", ("--way=table", "--version=V1"), TABLE),
]
QUICK = [WAYS[0], WAYS[2], WAYS[6], WAYS[9]]
SHORT, LONG = 100_000, 1_100_000


class Cost(NamedTuple):
    """Microseconds per record: on the clock, and of the CPU."""

    wall: float
    java: float
    python: float


def run(arguments: tuple[str, ...], count: int, url: str, start_ms: int) -> tuple[float, float, float]:
    """Run a job; return its seconds, and those of the CPU in Java and beside it."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = run_job("ways.py", *arguments, f"--count={count}", f"--url={url}", f"--start-ms={start_ms}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return result["seconds"], result["java_cpu_s"], cpu - result["java_cpu_s"]


def measure(arguments: tuple[str, ...], url: str) -> Cost:
    """Return what a record costs beyond the start."""
    # Samples that Prometheus accepts: none is older than what was written before.
    start_ms = int(time.time() * 1000) - LONG // 1000 * 100 - 60_000
    short, long = (
        run((*arguments, f"--metric=bench_{time.monotonic_ns()}"), count, url, start_ms) for count in (SHORT, LONG)
    )
    return Cost(*((end - begin) / (LONG - SHORT) * 1e6 for begin, end in zip(short, long)))


def median(costs: list[Cost]) -> Cost:
    """Return the median of each cost."""
    return Cost(*(statistics.median(each) for each in zip(*costs)))


def main() -> None:
    """Run the benchmark."""
    options = parser(__doc__).parse_args()
    ways = QUICK if options.quick else WAYS
    jobs = list(dict.fromkeys([arguments for way in ways for arguments in (way.without, way.arguments)]))
    found: dict[tuple[str, ...], list[Cost]] = {job: [] for job in jobs}
    with prometheus() as url:
        for _ in range(1 if options.quick else 3):
            for job in jobs:
                found[job].append(measure(job, url))
                print(" ".join(job), *(round(each, 2) for each in found[job][-1]), flush=True)
    costs = {job: median(each) for job, each in found.items()}
    table(
        "ways: microseconds per record, beside the same job without Python",
        [
            {
                "": way.name,
                "us/record": round(costs[way.arguments].wall, 2),
                "without": round(costs[way.without].wall, 2),
                "more": round(costs[way.arguments].wall - costs[way.without].wall, 2),
                "java": round(costs[way.arguments].java, 2),
                "python": round(costs[way.arguments].python, 2),
            }
            for way in ways
        ],
    )


if __name__ == "__main__":
    main()
