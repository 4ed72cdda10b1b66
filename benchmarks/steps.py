"""
Compare the operators with the same steps in Flink SQL: what a row costs in each, beyond the start of the job.

Wall time and CPU of one subtask with 1,000 devices, whose rows are out of order by up to five seconds. CPU is that of
the JVM and of the Python worker together, and varies less on a busy machine. Needs Linux.
"""

from __future__ import annotations

import os

from measure import parser, table
from pyflink_job import run_job

PYTHON_ROWS, SQL_ROWS = 200_000, 2_000_000
#: What is shown, the step, and the options of ``jobs/steps.py``.
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
QUICK = {"and Reorder", "and Aggregate", "SQL: ORDER BY", "SQL: TUMBLE"}


def main() -> None:
    """Run the benchmark."""
    options = parser(__doc__).parse_args()
    rows = []
    for name, step, *arguments in CASES:
        if options.quick and name not in QUICK:
            continue
        count = (SQL_ROWS if "--sql" in arguments else PYTHON_ROWS) // (4 if options.quick else 1)
        load = os.getloadavg()[0]
        found = run_job("steps.py", f"--step={step}", f"--rows={count}", *arguments)
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
    table("steps: a row in each, beyond the start of the job", rows)


if __name__ == "__main__":
    main()
