"""Run a job file in PyFlink's local cluster, in a separate process, with real Python workers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from flink_cluster import PATIENCE_SECONDS, SHORT_LIVED

import pyflink_prometheus

JOBS = Path(__file__).parent / "jobs"


@dataclass(frozen=True)
class FinishedJob:
    """The output of a job file, and what Flink logged, by file."""

    stdout: str
    stderr: str
    logs: dict[str, str]


def run_job_file(name: str, *arguments: str, workers: str = "process") -> FinishedJob:
    """
    Run one of ``jobs/`` to its end.

    :param name: the file's name.
    :param workers: ``process``, as on a cluster, or ``loopback``: threads of the job file's own process.
    :raises AssertionError: if it fails or does not end, with the errors in Flink's log and the log's end.
    """
    command = [sys.executable, str(JOBS / name), *arguments]
    with tempfile.TemporaryDirectory() as log_dir:
        process = subprocess.Popen(
            command,
            env=_environment(workers, log_dir),
            cwd=JOBS,  # workers import from here first, and must not find another copy of the package
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        problem = ""
        try:
            stdout, stderr = process.communicate(timeout=PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            stdout, stderr = process.communicate()
            problem = f"did not end within {PATIENCE_SECONDS:.0f} s"
        logs = {str(file): file.read_text(errors="replace") for file in Path(log_dir).iterdir()}
    if process.returncode:
        problem = problem or f"ended with status {process.returncode}"
        raise AssertionError(
            "\n".join([f"{name} {problem}", stdout, stderr, *map(_worst_and_last_lines, logs.values())])
        )
    return FinishedJob(stdout, stderr, logs)


def _worst_and_last_lines(log: str) -> str:
    lines = log.splitlines()
    return "\n".join([*(line for line in lines[:-100] if " ERROR " in line), "...", *lines[-100:]])


def _environment(workers: str, log_dir: str) -> dict[str, str]:
    scripts = Path(sys.executable).parent
    package_parent = Path(pyflink_prometheus.__file__).resolve().parents[1]
    return {
        **os.environ,
        # PyFlink sometimes starts a plain `python`, and JOBS holds modules that the job files share.
        "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join([str(package_parent), str(JOBS), os.environ.get("PYTHONPATH", "")]),
        # Otherwise all local jobs of this machine log to one file, and each empties it when it starts.
        "FLINK_LOG_DIR": log_dir,
        "JAVA_TOOL_OPTIONS": f"{os.environ.get('JAVA_TOOL_OPTIONS', '')} {SHORT_LIVED}",
        # Without it a local job runs its Python functions in threads of the client's own process.
        "_python_worker_execution_mode": workers,
    }
