"""Side-by-side measurements of several ways to do the same thing: they take turns, and medians are compared."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
CACHE = Path(__file__).parents[1] / ".cache"


def parser(description: str) -> argparse.ArgumentParser:
    """Return a parser with the options of all benchmarks."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--quick", action="store_true", help="fewer cases and rounds, for a rough result")
    return made


def take_turns(ways: Mapping[str, Callable[[], float]], *, rounds: int) -> dict[str, float]:
    """
    Return the median of the results of each way.

    Each way runs once per round, so that disturbances of the machine affect all of them.
    """
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, run in ways.items():
            found[name].append(run())
    return {name: statistics.median(each) for name, each in found.items()}


def side_by_side(ways: Mapping[str, Callable[[], object]], *, per_round: int, rounds: int = 15) -> dict[str, float]:
    """
    Return the median nanoseconds per item of each way, after a warm-up round.

    :param per_round: the number of items per call.
    """

    def timed(run: Callable[[], object]) -> float:
        began = time.perf_counter()
        run()
        return (time.perf_counter() - began) / per_round * 1e9

    for run in ways.values():
        run()
    return take_turns({name: partial(timed, run) for name, run in ways.items()}, rounds=rounds)


def report(
    title: str,
    medians: dict[str, float],
    *,
    unit: str = "ns",
    baseline: str,
    sizes: dict[str, float] | None = None,
) -> None:
    """Print a table with ratios to the baseline, and bytes per item if given; write it to ``benchmarks/results``."""
    rows = []
    for name, median in medians.items():
        row: dict[str, object] = {"": name, unit: round(median), f"x {baseline}": round(median / medians[baseline], 2)}
        if sizes is not None and name in sizes:
            row["bytes"] = round(sizes[name], 1)
        rows.append(row)
    table(title, rows)


def table(title: str, rows: Sequence[Mapping[str, object]]) -> None:
    """Print rows as a table, and write them to ``benchmarks/results``, named after the start of the title."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    cells = [columns, *([_shown(row.get(name, "")) for name in columns] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells)]
    print(f"\n{title}  (Python {platform.python_version()}, {os.cpu_count()} cores, medians)")
    for line in cells:
        first, *others = (
            cell.ljust(width) if number == 0 else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(line, widths))
        )
        print(f"  {first}  " + "  ".join(others), flush=True)
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / f"{title.split(':', maxsplit=1)[0].replace(',', '').replace(' ', '_')}.json"
    result = {"title": title, "python": platform.python_version(), "cores": os.cpu_count(), "rows": list(rows)}
    file.write_text(json.dumps(result, indent=2) + "\n")


def resident_mib(pid: int | str = "self") -> float:
    """Return a process's resident memory (Linux)."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def _shown(value: object) -> str:
    return f"{value:,}" if isinstance(value, (int, float)) else str(value)
