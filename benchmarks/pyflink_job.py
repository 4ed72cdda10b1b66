"""Run a PyFlink job of ``benchmarks/jobs`` in a separate process, with real Python workers, as on a cluster."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

JOBS = Path(__file__).parent / "jobs"
TIMEOUT_S = 180


def run_job(name: str, *arguments: str, timeout: float = TIMEOUT_S) -> Any:
    """Run a job and return the JSON on the last line of its output."""
    scripts = Path(sys.executable).parent
    environment = {
        **os.environ,
        "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}",  # PyFlink sometimes starts plain `python`
        "PYTHONPATH": str(JOBS.parents[1]),
        # By default a local job runs its Python functions in threads of the client's process.
        "_python_worker_execution_mode": "process",
    }
    process = subprocess.Popen(
        [sys.executable, str(JOBS / name), *arguments],
        env=environment,
        cwd=JOBS,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        stdout, stderr = process.communicate(timeout=timeout)
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise
    if process.returncode:
        raise SystemExit(f"{name} {' '.join(arguments)} failed\n{stderr}")
    return json.loads(stdout.splitlines()[-1])
