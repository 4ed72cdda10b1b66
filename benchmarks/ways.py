"""
Compare the ways for records to enter the sink with the same jobs without it.

Devices report in turn, so that a request holds several samples of each series. Each job runs on one subtask, with
records from a Java source, to a Prometheus beside it. Times are the difference between a long job and a short one, so
the start does not count. ``java`` and ``python`` are seconds of CPU, of Flink's JVM and of the Python worker.
"""

from __future__ import annotations

import statistics
import time
from typing import NamedTuple

from measure import parser, table
from pyflink_job import run_job
from receivers import prometheus


class Way(NamedTuple):
    """A job, and the job without Python that it is compared with."""

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
    """Microseconds per record: wall time and CPU time."""

    wall: float
    java: float
    python: float


def run(arguments: tuple[str, ...], count: int, url: str, start_ms: int) -> tuple[float, float, float]:
    """Run a job; return its seconds, and the CPU seconds of Java and Python."""
    result = run_job("ways.py", *arguments, f"--count={count}", f"--url={url}", f"--start-ms={start_ms}")
    return result["seconds"], result["java"], result["python"]


def measure(arguments: tuple[str, ...], url: str) -> Cost:
    """Return the cost of a record, without the start."""
    # Prometheus accepts these samples: none is older than earlier ones.
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
