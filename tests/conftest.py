"""What the layers share: which sockets each may use, and a real Prometheus for those that need one."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pyflink_prometheus.testing.prometheus_server import DEFAULT_IMAGE, PrometheusServer

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
# What runs in memory alone, what talks to a receiver of its own on this machine, and what needs the real thing.
NO_SOCKETS = ("unit", "property")
LOOPBACK_ONLY = ("conformance", "receivers")
WITH_PROMETHEUS = ("integration", "cluster")


def layer_of(path: Path) -> str:
    """Return the name of the folder under tests/ that a path is in, "" for tests/ itself and everywhere else."""
    return path.relative_to(HERE).parts[0] if HERE in path.parents else ""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Close the network to the layers that have no business there; a test that forgets it fails at once."""
    for item in items:
        layer = layer_of(item.path)
        if layer in NO_SOCKETS:
            item.add_marker(pytest.mark.disable_socket)
        elif layer in LOOPBACK_ONLY:
            item.add_marker(pytest.mark.allow_hosts(["127.0.0.1", "::1"]))


def kind_of_prometheus() -> str:
    """Return ``docker`` or ``native``: what the environment's PROMETHEUS_TESTS demands, else what can be had."""
    return os.environ.get("PROMETHEUS_TESTS") or PrometheusServer.default_kind()


def pytest_report_header(config: pytest.Config) -> str | None:
    """Say which Prometheus this run is tested against, where it is tested against one."""
    layers = {layer_of(Path(str(argument).split("::")[0]).resolve()) for argument in config.args}
    if not layers & {"", *WITH_PROMETHEUS}:
        return None
    kind = kind_of_prometheus()
    image = os.environ.get("PROMETHEUS_IMAGE") or DEFAULT_IMAGE
    return f"prometheus: {f'docker, {image}' if kind == 'docker' else 'native'}"


@pytest.fixture(scope="session")
def prometheus_kind() -> str:
    """Say where Prometheus runs in this test run: ``docker`` or ``native``."""
    return kind_of_prometheus()


@pytest.fixture(scope="session")
def prometheus(prometheus_kind: str) -> Iterator[PrometheusServer]:
    """
    Give a Prometheus that all tests share: write under ``metric_name``, at about the present time.

    Times that are far from now, or ahead of it, belong into ``prometheus_empty``: they would move the bounds of what
    Prometheus takes from everybody else.
    """
    with PrometheusServer.start(prometheus_kind) as server:
        yield server


@pytest.fixture
def prometheus_empty(prometheus_kind: str) -> Iterator[PrometheusServer]:
    """Give a Prometheus of the test's own, with nothing in it."""
    with PrometheusServer.start(prometheus_kind) as server:
        yield server


@pytest.fixture
def metric_name(request: pytest.FixtureRequest) -> str:
    """Give a metric name that no other test uses."""
    return re.sub(r"\W+", "_", request.node.nodeid.partition("tests/")[2])
