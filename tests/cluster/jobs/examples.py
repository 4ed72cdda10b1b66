"""
Submit several of the example jobs from one client, each as if it were run on its own.

usage: examples.py JSON

JSON is a list of command lines, each with a job's file and its arguments. Prints each job's name before its output.
"""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path


def main() -> None:
    """Submit all jobs."""
    for command_line in json.loads(sys.argv[1]):
        print(f"== {Path(command_line[0]).stem}", flush=True)
        sys.argv[:] = command_line
        # As __main__, so that its functions reach the workers like those of a job's main file.
        runpy.run_path(command_line[0], run_name="__main__")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
