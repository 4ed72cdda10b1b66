"""Hosts for a test's Prometheus: a container or a process. Both keep the data across a crash."""

from __future__ import annotations

import atexit
import gc
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

_LOOPBACK = "127.0.0.1"
_STOP_SECONDS = 15.0
_PULL_SECONDS = 60.0


class PrometheusServerError(RuntimeError):
    """A Prometheus that is not available, does not start, or refuses a query."""


class Host(Protocol):
    """A host of one Prometheus. ``start`` after ``kill`` or ``terminate`` keeps the data and the port."""

    port: int

    def start(self) -> None:
        """Start it without waiting until it responds."""

    def exit_status(self) -> int | None:
        """Return the exit status; ``None`` while it runs."""

    def terminate(self) -> None:
        """Stop it cleanly and keep its data."""

    def kill(self) -> None:
        """Kill it, as a crash would, and keep its data."""

    def logs(self) -> str:
        """Return its log."""

    def discard(self) -> None:
        """Stop it and delete all its files."""


class NativeHost:
    """
    A Prometheus process on this machine.

    :param binary: the executable.
    :param config: the text of prometheus.yml.
    :param arguments: command-line arguments, without those for files and addresses.
    :param data_dir: a directory for the data, which is kept; ``None`` for a temporary one.
    :param port: the loopback port; ``None`` for a free one.
    """

    def __init__(
        self, binary: Path, config: str, arguments: Sequence[str], data_dir: Path | None, port: int | None
    ) -> None:
        self.port = free_port() if port is None else port
        self._process: subprocess.Popen[bytes] | None = None
        self._folder = Path(tempfile.mkdtemp(prefix="pyflink-prometheus-"))
        self._log = self._folder / "prometheus.log"
        (self._folder / "prometheus.yml").write_text(config)
        self._command = [
            str(binary),
            f"--config.file={self._folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={data_dir or self._folder / 'data'}",
            f"--web.listen-address={_LOOPBACK}:{self.port}",
            *arguments,
        ]

    def start(self) -> None:
        """Start the process, and write its output to a file."""
        atexit.register(self.discard)  # for tests that end without stopping it
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - the caller's own binary, and no shell
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, cwd=self._folder
            )

    def exit_status(self) -> int | None:
        """Return the process's exit status."""
        return None if self._process is None else self._process.poll()

    def terminate(self) -> None:
        """Send SIGTERM, then SIGKILL if the process does not exit in time."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """Send SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def logs(self) -> str:
        """Return the log of all starts so far."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def discard(self) -> None:
        """Stop the process and delete its folder."""
        atexit.unregister(self.discard)
        self.terminate()
        shutil.rmtree(self._folder, ignore_errors=True)


class DockerHost:
    """
    A Prometheus container of this machine's Docker engine, reachable on loopback only.

    :param image: the image, pulled if missing.
    :param config: the text of prometheus.yml.
    :param arguments: command-line arguments, without those for files and addresses.
    :param data_dir: a directory for the data, which is kept; ``None`` for a temporary volume.
    :param port: the loopback port; ``None`` for a free one.
    """

    def __init__(
        self, image: str, config: str, arguments: Sequence[str], data_dir: Path | None, port: int | None
    ) -> None:
        container_class = _testcontainers().DockerContainer
        # Chosen here, because the engine would pick a different port when the container is restarted.
        self.port = free_port() if port is None else port
        self._folder = Path(tempfile.mkdtemp(prefix="pyflink-prometheus-"))
        config_file = self._folder / "prometheus.yml"
        config_file.write_text(config)
        config_file.chmod(0o644)  # the image runs as the user nobody
        command = ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus", *arguments]
        self._container = container_class(image).with_command(command)
        self._container.with_volume_mapping(str(config_file), "/etc/prometheus/prometheus.yml")
        if data_dir is not None:
            data_dir.mkdir(parents=True, exist_ok=True)
            self._container.with_volume_mapping(str(data_dir.resolve()), "/prometheus", "rw")
            self._container.with_kwargs(user=f"{os.getuid()}:{os.getgid()}")
        self._container.ports["9090/tcp"] = (_LOOPBACK, self.port)
        self._exists = False

    def start(self) -> None:
        """Create and start the container, or restart it."""
        if self._exists:
            self._container.get_wrapped_container().start()
            return
        try:
            self._container.start()
        except Exception:
            self.discard()
            raise
        self._exists = True

    def exit_status(self) -> int | None:
        """Return the exit status of the container's process."""
        wrapped = self._container.get_wrapped_container()
        wrapped.reload()
        return int(wrapped.attrs["State"]["ExitCode"]) if wrapped.status in ("exited", "dead") else None

    def terminate(self) -> None:
        """Stop the container."""
        self._container.get_wrapped_container().stop(timeout=int(_STOP_SECONDS))

    def kill(self) -> None:
        """Kill the container's process."""
        self._container.get_wrapped_container().kill()
        self._container.get_wrapped_container().wait()

    def logs(self) -> str:
        """Return the container's log of all starts so far."""
        text: bytes = self._container.get_wrapped_container().logs()
        return text.decode(errors="replace")

    def discard(self) -> None:
        """Remove the container with its volume, and delete the folder of its configuration."""
        self._container.stop()
        shutil.rmtree(self._folder, ignore_errors=True)


def docker_problem(image: str) -> str | None:
    """
    Return why a container of this image cannot be started here; ``None`` if it can.

    Pulls the image, and the image of testcontainers' reaper unless ``TESTCONTAINERS_RYUK_DISABLED=true``.
    """
    try:
        _testcontainers()
        import docker
        from testcontainers.core.config import testcontainers_config
        from testcontainers.core.docker_client import DockerClient
    except (PrometheusServerError, ImportError) as error:
        return str(error)
    with warnings.catch_warnings():
        # The client leaks a socket if no engine responds; collect it here, not during a test.
        warnings.simplefilter("ignore", ResourceWarning)
        try:
            client = DockerClient(timeout=_PULL_SECONDS).client
        except Exception as error:
            problem = f"no Docker engine responds ({_first_line(error)})"
            client = None
        if client is None:
            gc.collect()
            return problem
    images = [image] if testcontainers_config.ryuk_disabled else [image, testcontainers_config.ryuk_image]
    try:
        for each in images:
            try:
                client.images.get(each)
            except docker.errors.ImageNotFound:
                client.images.pull(*_repository_and_tag(each))
    except Exception as error:
        hint = "" if each == image else "; set TESTCONTAINERS_RYUK_DISABLED=true to do without it"
        return f"Docker cannot get the image {each} ({_first_line(error)}){hint}"
    finally:
        client.close()
    return None


def find_binary(binary: str | os.PathLike[str] | None = None) -> Path:
    """
    Find a Prometheus executable.

    In this order: the argument, the environment variable ``PROMETHEUS_BINARY``, ``PATH``, and ``.cache/prometheus/``
    under the current directory, where this project's own setup puts one.

    :raises PrometheusServerError: if there is none.
    """
    named = binary or os.environ.get("PROMETHEUS_BINARY")
    if named:
        found = shutil.which(named)
        if found is None:
            raise PrometheusServerError(f"{os.fspath(named)} is not an executable file")
        return Path(found).resolve()
    on_path = binary_on_path()
    if on_path is not None:
        return on_path
    fetched = Path(".cache/prometheus/prometheus")
    if fetched.exists():
        return fetched.resolve()
    raise PrometheusServerError(
        "no Prometheus 3 found: put `prometheus` on PATH, set PROMETHEUS_BINARY to it, or start a Docker engine"
    )


def binary_on_path() -> Path | None:
    """Return the ``prometheus`` on ``PATH`` if it is version 3; older ones, as in distributions, lack 2.0."""
    found = shutil.which("prometheus")
    return Path(found) if found is not None and major_version(Path(found)) >= 3 else None


def major_version(binary: Path) -> int:
    """Return the major version of a Prometheus executable; 0 if it does not run or is a different program."""
    try:
        result = subprocess.run(  # noqa: S603 - the caller's own binary, and no shell
            [str(binary), "--version"], capture_output=True, text=True, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return 0
    words = (result.stdout + result.stderr).split()
    number = words[2].split(".")[0] if words[:2] == ["prometheus,", "version"] else "0"
    return int(number) if number.isdigit() else 0


def free_port() -> int:
    """Return a loopback port that is free at the moment."""
    with socket.socket() as probe:
        probe.bind((_LOOPBACK, 0))
        return int(probe.getsockname()[1])


def _testcontainers() -> Any:
    with warnings.catch_warnings():
        # Some versions use their own deprecated functions, which would fail strict test runs.
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            from testcontainers.core import container
        except ImportError as error:
            raise PrometheusServerError(
                "Prometheus in Docker needs testcontainers: pip install 'pyflink-prometheus[testing]' "
                f"(in {sys.executable}: {error})"
            ) from error
    return container


def _repository_and_tag(image: str) -> tuple[str, str | None]:
    repository, colon, tag = image.rpartition(":")
    return (repository, tag) if colon and "/" not in tag else (image, None)


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
