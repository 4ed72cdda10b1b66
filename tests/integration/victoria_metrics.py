"""A real VictoriaMetrics for tests: started in Docker or natively, and read sample by sample."""

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
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from types import TracebackType

    from pyflink_prometheus.testing.prometheus_server import Samples

DEFAULT_IMAGE = "victoriametrics/victoria-metrics:v1.145.0"

_LOOPBACK = "127.0.0.1"
_READY_SECONDS = 60.0
_PORT_ATTEMPTS = 3
_PORT_TAKEN = "address already in use"
# All of time, 1970 to 2120: by default, VictoriaMetrics does not return samples after the present.
_ALL_OF_TIME = {"start": "0", "end": str(150 * 31_557_600)}
# No proxy may stand between us and this machine's own loopback address.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class VictoriaMetricsError(RuntimeError):
    """A VictoriaMetrics that does not start."""


class VictoriaMetrics:
    """
    A VictoriaMetrics that runs for a ``with`` block, only on this machine's loopback address.

    Tests should allow for these properties: it responds with 204 to nearly everything, also to samples that it drops.
    It stores a sample that is sent twice two times. It stores values as decimal numbers: integers and values with few
    digits come back unchanged, others lose their last bits.

    :param image: for Docker, the image; or
    :param binary: the executable to run natively.
    """

    def __init__(self, *, image: str | None = None, binary: Path | None = None) -> None:
        if (image is None) == (binary is None):
            raise ValueError(f"one of image and binary, not {image!r} and {binary!r}")
        self.kind = "native" if image is None else "docker"
        for attempt in range(_PORT_ATTEMPTS):
            if binary is not None:
                self._host: _Host = _Process(binary)
            elif image is not None:
                self._host = _Container(image)
            self.url = f"http://{_LOOPBACK}:{self._host.port}"
            self.remote_write_url = f"{self.url}/api/v1/write"
            try:
                self._wait_until_ready()
                return
            except VictoriaMetricsError as error:
                self.stop()
                if attempt + 1 == _PORT_ATTEMPTS or _PORT_TAKEN not in str(error):
                    raise

    def __enter__(self) -> VictoriaMetrics:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop it, and delete its data."""
        self._host.stop()

    def samples(self, selector: str) -> Samples:
        """
        Return all stored samples for a selector, in the shape of :meth:`PrometheusServer.samples`.

        Includes stale markers, as NaN, and duplicates of samples that were stored twice.
        """
        # Otherwise new samples are not visible for a second or so.
        self._get("/internal/force_flush", {})
        found: Samples = {}
        for line in self._get("/api/v1/export", {"match[]": selector, **_ALL_OF_TIME}).splitlines():
            series = json.loads(line)
            values = (float("nan" if value is None else value) for value in series["values"])
            labels = tuple(sorted(series["metric"].items()))
            found.setdefault(labels, []).extend(zip(values, series["timestamps"]))
        return found

    def _get(self, path: str, parameters: dict[str, str]) -> str:
        with _OPENER.open(f"{self.url}{path}?{urllib.parse.urlencode(parameters)}", timeout=60) as response:
            return str(response.read(), "utf-8")

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        while True:
            problem = self._problem()
            if not self._host.is_running():
                raise VictoriaMetricsError(f"VictoriaMetrics has ended; its log:\n{self._host.logs()}")
            if problem is None:
                return
            if time.monotonic() > deadline:
                raise VictoriaMetricsError(f"VictoriaMetrics is not ready: {problem}; its log:\n{self._host.logs()}")
            time.sleep(0.1)

    def _problem(self) -> str | None:
        """Return why it is not ready, ``None`` if it is ready."""
        try:
            self._get("/health", {})
        except OSError as error:  # refused, reset, or a status that means not yet
            if isinstance(error, urllib.error.HTTPError):
                error.close()
            return str(error)
        return None


class _Host(Protocol):
    """A host of a VictoriaMetrics that is already running."""

    port: int

    def is_running(self) -> bool: ...

    def logs(self) -> str: ...

    def stop(self) -> None: ...


class _Process:
    """A process on this machine."""

    def __init__(self, binary: Path) -> None:
        with socket.socket() as probe:
            probe.bind((_LOOPBACK, 0))
            self.port = int(probe.getsockname()[1])
        self._folder = Path(tempfile.mkdtemp(prefix="pyflink-prometheus-"))
        self._log = self._folder / "victoria-metrics.log"
        command = [
            str(binary),
            f"-httpListenAddr={_LOOPBACK}:{self.port}",
            f"-storageDataPath={self._folder / 'data'}",
        ]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)

    def is_running(self) -> bool:
        return self._process.poll() is None

    def logs(self) -> str:
        return self._log.read_text(errors="replace")

    def stop(self) -> None:
        self._process.kill()  # its data are deleted, so nothing has to be saved
        self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)


class _Container:
    """A container in this machine's Docker engine, which chooses the port."""

    def __init__(self, image: str) -> None:
        from testcontainers.core.container import DockerContainer

        self._container = DockerContainer(image)
        self._container.ports["8428/tcp"] = (_LOOPBACK, None)
        self._container.start()
        self.port = int(self._container.get_exposed_port(8428))

    def is_running(self) -> bool:
        wrapped = self._container.get_wrapped_container()
        wrapped.reload()
        return str(wrapped.status) not in ("exited", "dead")

    def logs(self) -> str:
        return str(self._container.get_wrapped_container().logs(), "utf-8", "replace")

    def stop(self) -> None:
        self._container.stop()
