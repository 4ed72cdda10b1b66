"""
Compare the operators with the same steps in Flink SQL: the cost of a row in each, without the start of the job.

Wall time and CPU of one subtask with 1,000 devices, whose rows are out of order by up to five seconds. CPU is that of
the JVM and of the Python worker together, and varies less on a busy machine. The last rows are the whole chain as
tables up to a step, into a Prometheus. Needs Linux.
"""

from __future__ import annotations

import os

from measure import parser, table
from pyflink_job import run_job
from receivers import prometheus

PYTHON_ROWS, SQL_ROWS, CHAIN_ROWS = 200_000, 2_000_000, 1_000_000
TIMEOUT_S = 900
#: The row's label, the step, and the options of ``jobs/steps.py``.
CASES = [
    ("timestamps", "plain"),
    ("timestamps and a key", "keyed"),
    ("the same in one step", "keyed", "--fused"),
    ("and Reorder", "reorder", "--fused"),
    ("and Reorder, released together", "reorder-together", "--fused"),
    ("and Aggregate", "aggregate", "--fused"),
    ("SQL: timestamps", "plain", "--sql"),
    ("SQL: ORDER BY", "reorder", "--sql"),
    ("SQL: TUMBLE", "aggregate", "--sql"),
]
#: The row's label, and the options of ``jobs/chain.py``. Each step includes the ones before it.
CHAIN = [
    ("tables: rows, written raw", "--until=source"),
    ("tables: and reordered", "--until=reorder"),
    ("tables: and filtered", "--until=filter"),
    ("tables: and enriched", "--until=enrich"),
    ("tables: and ended", "--until=ended"),
    ("tables: and aggregated, the whole chain",),
    ("tables: the whole chain, with copies", "--copy"),
]
QUICK = {"and Reorder", "and Aggregate", "SQL: ORDER BY", "SQL: TUMBLE", "tables: and aggregated, the whole chain"}


def main() -> None:
    """Run the benchmark."""
    options = parser(__doc__).parse_args()
    rows: list[dict[str, object]] = []

    def measure(name: str, job: str, count: int, *arguments: str) -> None:
        if options.quick and name not in QUICK:
            return
        load = os.getloadavg()[0]
        count //= 4 if options.quick else 1
        found = run_job(job, f"--rows={count}", *arguments, timeout=TIMEOUT_S)
        rows.append(
            {
                "": name,
                "us/row": round(found["wall"], 1),
                "CPU of Java": round(found["java"], 1),
                "CPU of Python": round(found["python"], 1),
                "CPU": round(found["java"] + found["python"], 1),
                "load before": round(load, 1),
            }
        )
        print("  ".join(map(str, rows[-1].values())), flush=True)

    for name, step, *arguments in CASES:
        count = SQL_ROWS if "--sql" in arguments else PYTHON_ROWS
        measure(name, "steps.py", count, f"--step={step}", *arguments)
    for name, *arguments in CHAIN:
        with prometheus() as url:
            measure(name, "chain.py", CHAIN_ROWS, f"--url={url}", *arguments)
    table("steps: a row in each, beyond the start of the job", rows)


if __name__ == "__main__":
    main()
