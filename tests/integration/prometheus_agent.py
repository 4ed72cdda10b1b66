"""A real Prometheus as an agent, run natively: it accepts samples and forwards them to a receiver."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

_LOOPBACK = "127.0.0.1"
_READY_SECONDS = 60.0
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class PrometheusAgent:
    """
    A Prometheus agent that runs for a ``with`` block, only on this machine's loopback address.

    :param binary: the executable.
    :param switch: the argument that makes it an agent, which depends on its version.
    :param target_url: the URL that it writes to.
    """

    def __init__(self, binary: Path, switch: str, target_url: str) -> None:
        with socket.socket() as probe:
            probe.bind((_LOOPBACK, 0))
            port = probe.getsockname()[1]
        self.url = f"http://{_LOOPBACK}:{port}"
        self.remote_write_url = f"{self.url}/api/v1/write"
        self._folder = Path(tempfile.mkdtemp(prefix="pyflink-prometheus-"))
        self._log = self._folder / "agent.log"
        config = self._folder / "prometheus.yml"
        config.write_text(
            f"remote_write:\n- url: {target_url}\n  queue_config:\n    batch_send_deadline: 100ms\n    max_shards: 1\n"
        )
        command = [
            str(binary),
            switch,
            f"--config.file={config}",
            f"--storage.agent.path={self._folder / 'data'}",
            f"--web.listen-address={_LOOPBACK}:{port}",
            "--web.enable-remote-write-receiver",
        ]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        try:
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise

    def __enter__(self) -> PrometheusAgent:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop it, and delete its data."""
        self._process.kill()
        self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        while True:
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the agent is not ready; its log:\n{self._log.read_text(errors='replace')}")
            try:
                with _OPENER.open(f"{self.url}/-/ready", timeout=5):
                    return
            except OSError as error:
                if isinstance(error, urllib.error.HTTPError):
                    error.close()
            time.sleep(0.1)
