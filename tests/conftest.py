"""Fixtures for all layers: the sockets that each may use, writers that are closed, and a real Prometheus."""

from __future__ import annotations

import os
import random
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from doors import RowWriter

from pyflink_prometheus.config import SinkConfig
from pyflink_prometheus.http.transport import RequestsTransport, Transport
from pyflink_prometheus.testing.prometheus_server import DEFAULT_IMAGE, PrometheusServer
from pyflink_prometheus.writer.writer import RemoteWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pyflink_prometheus.clock import Clock

HERE = Path(__file__).parent
# Tests in memory only, tests with their own receiver on loopback, and tests with a real Prometheus.
NO_SOCKETS = ("unit", "property")
LOOPBACK_ONLY = ("conformance", "receivers", "fuzz")
WITH_PROMETHEUS = ("integration", "cluster")


def layer_of(path: Path) -> str:
    """Return the name of the path's folder under tests/, "" for tests/ itself and everywhere else."""
    return path.relative_to(HERE).parts[0] if HERE in path.parents else ""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Block the network for the layers that must not use it."""
    for item in items:
        layer = layer_of(item.path)
        if layer in NO_SOCKETS:
            item.add_marker(pytest.mark.disable_socket)
        elif layer in LOOPBACK_ONLY:
            item.add_marker(pytest.mark.allow_hosts(["127.0.0.1", "::1"]))


def kind_of_prometheus() -> str:
    """Return ``docker`` or ``native``: the environment variable PROMETHEUS_TESTS, else what is available."""
    return os.environ.get("PROMETHEUS_TESTS") or PrometheusServer.default_kind()


def pytest_report_header(config: pytest.Config) -> str | None:
    """Return a line with the Prometheus that this run uses, if it uses one."""
    layers = {layer_of(Path(str(argument).split("::")[0]).resolve()) for argument in config.args}
    if not layers & {"", *WITH_PROMETHEUS}:
        return None
    kind = kind_of_prometheus()
    image = os.environ.get("PROMETHEUS_IMAGE") or DEFAULT_IMAGE
    return f"prometheus: {f'docker, {image}' if kind == 'docker' else 'native'}"


@pytest.fixture
def door(request: pytest.FixtureRequest) -> str:
    """Return how samples reach the writer: see :data:`doors.BOTH_DOORS`."""
    return getattr(request, "param", "records")


@pytest.fixture
def open_writer(door: str) -> Iterator[Callable[..., RemoteWriter]]:
    """Return a function that opens a writer with the given settings; all writers are closed at the end of the test."""
    writers = []

    def open_one(
        url: str = "http://receiver.invalid/api/v1/write",
        *,
        new_transport: Callable[[SinkConfig], Transport] = RequestsTransport,
        clock: Clock | None = None,
        draw: Callable[[], float] = random.random,
        **settings: Any,
    ) -> RemoteWriter:
        config = SinkConfig(prometheus_remote_write_url=url, **settings)
        kind = RowWriter if door == "rows" else RemoteWriter
        writers.append(kind(config, new_transport=new_transport, clock=clock, draw=draw))
        return writers[-1]

    yield open_one
    for writer in writers:
        writer.close()


@pytest.fixture(scope="session")
def prometheus_kind() -> str:
    """Return where Prometheus runs in this test run: ``docker`` or ``native``."""
    return kind_of_prometheus()


@pytest.fixture(scope="session")
def prometheus(prometheus_kind: str) -> Iterator[PrometheusServer]:
    """
    Yield a Prometheus that all tests share: write under ``metric_name``, with timestamps of about now.

    Use ``prometheus_empty`` for timestamps far in the past or in the future: they would move the bounds of what
    Prometheus accepts from other tests.
    """
    with PrometheusServer.start(prometheus_kind) as server:
        yield server


@pytest.fixture
def prometheus_empty(prometheus_kind: str) -> Iterator[PrometheusServer]:
    """Yield an empty Prometheus for one test."""
    with PrometheusServer.start(prometheus_kind) as server:
        yield server


@pytest.fixture
def metric_name(request: pytest.FixtureRequest) -> str:
    """Return a metric name that no other test uses."""
    return re.sub(r"\W+", "_", request.node.nodeid.partition("tests/")[2])
