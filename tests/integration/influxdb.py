"""A real InfluxDB 1 for tests, run natively, and read back sample by sample."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

    from pyflink_prometheus.testing.prometheus_server import Samples

_LOOPBACK = "127.0.0.1"
_READY_SECONDS = 60.0
_PORT_ATTEMPTS = 3
_PORT_TAKEN = "address already in use"
_DATABASE = "samples"
_CONFIG = """
reporting-disabled = true
bind-address = "{loopback}:{other_port}"
[meta]
dir = "{folder}/meta"
[data]
dir = "{folder}/data"
wal-dir = "{folder}/wal"
[http]
bind-address = "{loopback}:{port}"
[monitor]
store-enabled = false
"""
# No proxy may stand between us and this machine's own loopback address.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class InfluxDbError(RuntimeError):
    """An InfluxDB that does not start."""


class InfluxDb:
    """
    An InfluxDB with one database that runs for a ``with`` block, only on this machine's loopback address.

    :param binary: the ``influxd`` executable.
    """

    def __init__(self, binary: Path) -> None:
        for attempt in range(_PORT_ATTEMPTS):
            self._start(binary)
            try:
                self._wait_until_ready()
                self._post("/query", {"q": f"CREATE DATABASE {_DATABASE}"})
                return
            except InfluxDbError as error:
                self.stop()
                if attempt + 1 == _PORT_ATTEMPTS or _PORT_TAKEN not in str(error):
                    raise

    def __enter__(self) -> InfluxDb:
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

    def samples(self, metric_name: str) -> Samples:
        """Return all stored samples of a metric, in the form of :meth:`PrometheusServer.samples`."""
        query = {"db": _DATABASE, "q": f'SELECT * FROM "{metric_name}" GROUP BY *', "epoch": "ms"}
        (result,) = json.loads(self._post("/query", query))["results"]
        return {
            tuple(sorted((name, value) for name, value in series["tags"].items() if value)): [
                (float(value), timestamp) for timestamp, value in series["values"]
            ]
            for series in result.get("series", ())
        }

    def _start(self, binary: Path) -> None:
        with socket.socket() as probe, socket.socket() as other:
            probe.bind((_LOOPBACK, 0))
            other.bind((_LOOPBACK, 0))
            port, other_port = probe.getsockname()[1], other.getsockname()[1]
        self.url = f"http://{_LOOPBACK}:{port}"
        self.remote_write_url = f"{self.url}/api/v1/prom/write?db={_DATABASE}"
        self._folder = Path(tempfile.mkdtemp(prefix="pyflink-prometheus-"))
        self._log = self._folder / "influxd.log"
        config = self._folder / "influxdb.conf"
        config.write_text(_CONFIG.format(loopback=_LOOPBACK, port=port, other_port=other_port, folder=self._folder))
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [str(binary), "run", "-config", str(config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def _post(self, path: str, parameters: dict[str, str]) -> bytes:
        data = urllib.parse.urlencode(parameters).encode()
        with _OPENER.open(f"{self.url}{path}", data=data, timeout=60) as response:
            return bytes(response.read())

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        while True:
            if self._process.poll() is not None:
                raise InfluxDbError(f"InfluxDB has ended; its log:\n{self._log.read_text(errors='replace')}")
            try:
                with _OPENER.open(f"{self.url}/ping", timeout=5):
                    return
            except OSError as error:
                if isinstance(error, urllib.error.HTTPError):
                    error.close()
                if time.monotonic() > deadline:
                    raise InfluxDbError(f"InfluxDB is not ready: {error}") from error
            time.sleep(0.1)
