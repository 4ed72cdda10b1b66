"""Measure several ways of doing the same thing side by side: rounds take turns, and medians are compared."""

from __future__ import annotations

import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

RESULTS = Path(__file__).parent / "results"


def side_by_side(ways: dict[str, Callable[[], object]], *, per_round: int, rounds: int = 15) -> dict[str, float]:
    """
    Return each way's median nanoseconds an item.

    The first round warms up and does not count; within a round each way runs once, so that what disturbs the machine
    disturbs all alike.

    :param per_round: how many items one call of a way handles.
    """
    times: dict[str, list[float]] = {name: [] for name in ways}
    for round_number in range(rounds + 1):
        for name, run in ways.items():
            began = time.perf_counter()
            run()
            if round_number:
                times[name].append((time.perf_counter() - began) / per_round * 1e9)
    return {name: statistics.median(each) for name, each in times.items()}


def report(
    title: str,
    medians: dict[str, float],
    *,
    unit: str = "ns",
    baseline: str,
    sizes: dict[str, float] | None = None,
) -> None:
    """Print a table with ratios to the baseline, and bytes an item if given; write it to ``benchmarks/results``."""
    print(f"\n{title}  (Python {platform.python_version()}, median of rounds)")
    for name, median in medians.items():
        size = "" if sizes is None else f"   {sizes[name]:>6.1f} bytes"
        print(f"  {name:<48} {median:>10.0f} {unit}   {median / medians[baseline]:>6.2f} x {baseline}{size}")
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / f"{title.split(':')[0].replace(' ', '_')}.json"
    result = {"title": title, "unit": unit, "baseline": baseline, "medians": medians, "bytes": sizes}
    file.write_text(json.dumps(result, indent=2) + "\n")
