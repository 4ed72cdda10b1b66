"""The cluster of docker-compose.yml, started by `make cluster`'s program next to any running one."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from pyflink_prometheus.testing import PrometheusServer
from pyflink_prometheus.testing.prometheus_server import PrometheusServerError

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[2]
POLL_SECONDS = 0.2
_JSON = {"Content-Type": "application/json"}
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class ComposeError(RuntimeError):
    """A cluster that does not work as it should."""


@dataclass
class ComposeCluster:
    """
    The cluster under a separate name and on separate ports.

    :param recording_folder: the folder that its containers see as /opt/recording.
    :param taskmanagers: the number of TaskManagers.
    """

    recording_folder: Path
    taskmanagers: int = 2
    #: The output of the program that started the cluster.
    output: str = field(default="", init=False)

    def __post_init__(self) -> None:
        flink, prometheus, grafana = _free_ports(3)
        self._environment = {
            **os.environ,
            "COMPOSE_PROJECT_NAME": f"pyflink-prometheus-test-{os.getpid()}",
            "RECORDING_FOLDER": str(self.recording_folder),
            "TASKMANAGERS": str(self.taskmanagers),
            "FLINK_PORT": str(flink),
            "PROMETHEUS_PORT": str(prometheus),
            "GRAFANA_PORT": str(grafana),
        }
        self.flink_url = f"http://127.0.0.1:{flink}"
        self.grafana_url = f"http://127.0.0.1:{grafana}"
        self.prometheus = PrometheusServer(SimpleNamespace(port=prometheus), "docker")

    def up(self) -> None:
        """Start the cluster as `make cluster` does."""
        self.output = self._run(sys.executable, "tools/cluster.py")

    def down(self) -> None:
        """Remove containers, network and volumes."""
        self.compose("down", "--volumes", "--timeout=2")

    def compose(self, *arguments: str) -> str:
        """Run `docker compose` on this cluster and return its output."""
        return self._run("docker", "compose", *arguments)

    def containers(self, service: str) -> list[str]:
        """Return the ids of a service's containers."""
        return self.compose("ps", "--quiet", service).split()

    def submit(self, job: Path, *arguments: str) -> str:
        """Submit a job with only the cluster's own tools, and return its id."""
        inside = f"/tmp/{job.name}"
        self.compose("cp", str(job), f"jobmanager:{inside}")
        output = self.compose("exec", "-T", "jobmanager", "flink", "run", "-d", "-py", inside, *arguments)
        return output.partition("JobID ")[2][:32]

    def rest(self, path: str, method: str = "GET", body: dict[str, Any] | None = None) -> Any:
        """Return a response of Flink's REST API."""
        data = None if body is None else json.dumps(body).encode()
        return _fetch(urllib.request.Request(f"{self.flink_url}{path}", data, _JSON, method=method))

    def rules(self) -> list[dict[str, Any]]:
        """Return the groups of rules that Prometheus has loaded, with the state of each rule."""
        groups: list[dict[str, Any]] = _fetch(f"{self.prometheus.url}/api/v1/rules")["data"]["groups"]
        return groups

    def grafana(self, path: str) -> Any:
        """Return a response of Grafana's API without login."""
        return _fetch(f"{self.grafana_url}{path}")

    def value(self, promql: str) -> float | None:
        """Return the result of a query for one number, None if there is none."""
        result = self.prometheus.query(promql)
        return float(result[0]["value"][1]) if result else None

    def container_at(self, address: str) -> str:
        """Return the id of the TaskManager's container that has this address now."""
        containers = self.containers("taskmanager")
        network = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
        addresses = self._run("docker", "inspect", "--format", network, *containers).split()
        return dict(zip(addresses, containers))[address]

    def cancel(self, job_id: str) -> None:
        """Cancel a job and wait for its end."""

        def is_cancelled() -> bool:
            if self.rest(f"/jobs/{job_id}")["state"] == "CANCELED":
                return True
            self.rest(f"/jobs/{job_id}", "PATCH")
            return False

        wait_for(is_cancelled, f"the end of job {job_id}")

    def _run(self, *command: str) -> str:
        done = subprocess.run(
            command, cwd=ROOT, env=self._environment, capture_output=True, text=True, timeout=1200, check=False
        )
        if done.returncode != 0:
            raise ComposeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout


def problem() -> str | None:
    """Return why no cluster can be started here, or None if one can."""
    for command, what in (
        (("docker", "version"), "no Docker engine responds"),
        (("docker", "compose", "version"), "docker has no compose"),
    ):
        try:
            subprocess.run(command, capture_output=True, check=True)
        except (OSError, subprocess.CalledProcessError):
            return what
    return None


def wait_for(condition: Callable[[], Any], what: str, seconds: float = 300) -> Any:
    """
    Call a function until it returns a true value, and return that; raise when the time is over.

    A service that is busy or restarting may refuse or drop a request: that counts as "not yet".
    """
    deadline = time.monotonic() + seconds
    while True:
        found, reason = None, ""
        try:
            found = condition()
        except (OSError, HTTPException, PrometheusServerError) as error:
            reason = f"; the last request failed: {error}"
        if found:
            return found
        if time.monotonic() > deadline:
            raise ComposeError(f"waited {seconds:.0f} s for {what}{reason}")
        time.sleep(POLL_SECONDS)


def _fetch(request: urllib.request.Request | str) -> Any:
    with _OPENER.open(request, timeout=30) as response:
        return json.loads(response.read() or "null")


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
