"""
Compare PyFlink jobs with the sink to the same jobs that discard their records.

A record becomes a series in the sink's element converter, in a map upstream, or in a map to a plain tuple. Each job
runs on one subtask, with records from a Java source. The time per record is compared, after a warm-up. The last table
breaks that time down.
"""

from __future__ import annotations

import itertools
import statistics
from contextlib import ExitStack
from functools import partial
from typing import NamedTuple

from measure import parser, table, take_turns
from pyflink_job import run_job
from receivers import nothing, prometheus, victoria_metrics

RECEIVERS = {"Prometheus": prometheus, "VictoriaMetrics": victoria_metrics, "one that only responds": nothing}


class Case(NamedTuple):
    """The settings in which jobs differ."""

    receiver: str = "Prometheus"
    version: str = "AUTO"
    mode: str = "process"
    records: str = "converted"
    keyed: bool = False
    bundle: int = 10_000
    in_flight: int | None = None


# Each does more than the one before it; the differences are the parts of a record's time.
PARTS = [
    ("PyFlink, with a function that does nothing", "nothing", "one that only responds"),
    ("and conversion", "discard", "one that only responds"),
    ("and lookup of series, and encoding in 1.0", "encode", "one that only responds"),
    ("the sink, to a receiver that only responds", "prometheus", "one that only responds"),
    ("the sink, to VictoriaMetrics", "prometheus", "VictoriaMetrics"),
    ("the sink, to Prometheus", "prometheus", "Prometheus"),
]
QUICK = [Case()]
WHOLE = [
    *(Case(bundle=bundle) for bundle in (10_000, 1_000, 100_000)),
    *(Case(bundle=bundle, in_flight=8) for bundle in (10_000, 100_000)),
    Case(version="V1"),
    Case("VictoriaMetrics", version="V1"),
    Case("one that only responds", version="V1"),
    Case(keyed=True),
    Case(records="as-they-are"),
    Case(mode="thread"),
    Case(records="mapped"),
    Case(mode="thread", records="mapped"),
]

_metrics = (f"bench_{number}" for number in itertools.count())


def measure(case: Case, sink: str, url: str) -> float:
    """Return the microseconds per record."""
    bundles = {1_000: 300, 10_000: 40, 100_000: 8}[case.bundle]
    arguments = [
        f"--sink={sink}",
        f"--url={url}",
        f"--version={case.version}",
        f"--mode={case.mode}",
        f"--records={case.records}",
        f"--bundle={case.bundle}",
        f"--bundles={bundles}",
        f"--warm-up={bundles // 4}",
        f"--metric={next(_metrics)}",
        *(["--keyed"] if case.keyed else []),
        *([f"--in-flight={case.in_flight}"] if case.in_flight else []),
    ]
    return run_job("throughput.py", *arguments)["microseconds"]


def parts(rounds: int) -> None:
    """Break down the time per record, all in one run in 1.0."""
    with ExitStack() as stack:
        urls = {name: stack.enter_context(start()) for name, start in RECEIVERS.items()}
        medians = take_turns(
            {
                what: partial(measure, Case(receiver, version="V1"), sink, urls[receiver])
                for what, sink, receiver in PARTS
            },
            rounds=rounds,
        )
    discarding = medians[PARTS[1][0]]
    table(
        "job parts: the time of a record that is converted in the sink",
        [
            {"": what, "us/record": round(each, 2), "discarding / this": round(discarding / each, 2)}
            for what, each in medians.items()
        ],
    )


def main() -> None:
    """Run the benchmark."""
    options = parser(__doc__).parse_args()
    rows = []
    for case in QUICK if options.quick else WHOLE:
        found: dict[str, list[float]] = {"prometheus": [], "discard": []}
        with RECEIVERS[case.receiver]() as url:
            for _ in range(2 if options.quick else 3):
                for sink, times in found.items():
                    times.append(measure(case, sink, url))
        ours, nothing = (statistics.median(times) for times in found.values())
        rows.append(
            {
                "receiver": f"{case.receiver} {case.version}",
                "mode": case.mode,
                "records": f"keyed, {case.records}" if case.keyed else case.records,
                "bundle": f"{case.bundle:,}",
                "in flight": f"{case.in_flight} of 2000" if case.in_flight else "adaptive",
                "us/record": round(ours, 2),
                "discarding": round(nothing, 2),
                "discarding / sink": round(nothing / ours, 2),
            }
        )
        print("  ".join(map(str, rows[-1].values())), flush=True)
    table("job: with the sink, and with discarding instead", rows)
    parts(1 if options.quick else 5)


if __name__ == "__main__":
    main()
