"""Receivers other than the newest Prometheus: in Docker if the image is available, otherwise native."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest
from influxdb import InfluxDb
from prometheus_agent import PrometheusAgent
from victoria_metrics import DEFAULT_IMAGE as VICTORIA_METRICS_IMAGE
from victoria_metrics import VictoriaMetrics

from pyflink_prometheus.testing.prometheus_server import PrometheusServer, PrometheusServerError, find_binary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Debian 12's version. It supports only Remote-Write 1.0.
OLD_PROMETHEUS_IMAGE = "prom/prometheus:v2.42.0"
# Where tools/get_receivers.py puts receivers that Docker cannot run.
CACHE = Path(__file__).parents[2] / ".cache"
OLD_PROMETHEUS_BINARY = CACHE / "old-prometheus" / "prometheus"


def missing(receiver: str, binary: Path) -> NoReturn:
    """Skip the test; fail if RECEIVERS=required, because CI must not skip silently."""
    reason = f"no {receiver}: neither its Docker image nor {binary}, which tools/get_receivers.py fetches"
    if os.environ.get("RECEIVERS") == "required":
        pytest.fail(reason)
    pytest.skip(f"{reason} (RECEIVERS=required makes this a failure)")


def binary_instead_of(image: str, receiver: str, binary: Path) -> Path | None:
    """
    Return the executable to start, ``None`` to start a container of the image.

    PROMETHEUS_TESTS=docker uses Docker only if it has the image: it often has none of these receivers.
    """
    if os.environ.get("PROMETHEUS_TESTS") != "native" and PrometheusServer.default_kind(image) == "docker":
        return None
    if not binary.exists():
        missing(receiver, binary)
    return binary


def start_old_prometheus() -> PrometheusServer:
    """Start a Prometheus 2.42."""
    binary = binary_instead_of(OLD_PROMETHEUS_IMAGE, "Prometheus 2", OLD_PROMETHEUS_BINARY)
    kind = "docker" if binary is None else "native"
    return PrometheusServer.start(kind, image=OLD_PROMETHEUS_IMAGE, binary=binary)


@pytest.fixture(scope="session")
def old_prometheus() -> Iterator[PrometheusServer]:
    """Return a Prometheus 2.42 that all tests share, with the same rules as ``prometheus``."""
    with start_old_prometheus() as server:
        yield server


@pytest.fixture
def old_prometheus_empty() -> Iterator[PrometheusServer]:
    """Return an empty Prometheus 2.42 for one test."""
    with start_old_prometheus() as server:
        yield server


@pytest.fixture(params=["prometheus 3", "prometheus 2"])
def start_agent(request: pytest.FixtureRequest) -> Iterator[Callable[[str], PrometheusAgent]]:
    """Return a function that starts an agent that writes to a URL; native, as a container has another loopback."""
    is_old = request.param == "prometheus 2"
    if is_old:
        binary, switch = OLD_PROMETHEUS_BINARY, "--enable-feature=agent"
    else:
        try:
            binary, switch = find_binary(), "--agent"
        except PrometheusServerError:
            binary, switch = CACHE / "prometheus" / "prometheus", "--agent"
    if not binary.exists():
        missing(request.param, binary)
    agents: list[PrometheusAgent] = []

    def start(url: str) -> PrometheusAgent:
        agents.append(PrometheusAgent(binary, switch, url))
        return agents[-1]

    yield start
    for agent in agents:
        agent.stop()


def start_influxdb() -> InfluxDb:
    """Start an InfluxDB 1.6."""
    binary = CACHE / "influxdb" / "influxd"
    if not binary.exists():
        missing("InfluxDB", binary)
    return InfluxDb(binary)


@pytest.fixture(scope="session")
def influxdb() -> Iterator[InfluxDb]:
    """Return an InfluxDB that all tests share: write under ``metric_name``."""
    with start_influxdb() as server:
        yield server


@pytest.fixture
def influxdb_empty() -> Iterator[InfluxDb]:
    """Return an empty InfluxDB for one test."""
    with start_influxdb() as server:
        yield server


def start_victoria_metrics() -> VictoriaMetrics:
    """Start a VictoriaMetrics."""
    binary = binary_instead_of(
        VICTORIA_METRICS_IMAGE, "VictoriaMetrics", CACHE / "victoria-metrics" / "victoria-metrics"
    )
    return VictoriaMetrics(image=VICTORIA_METRICS_IMAGE if binary is None else None, binary=binary)


@pytest.fixture(scope="session")
def victoria_metrics() -> Iterator[VictoriaMetrics]:
    """Return a VictoriaMetrics that all tests share: write under ``metric_name``."""
    with start_victoria_metrics() as server:
        yield server


@pytest.fixture
def victoria_metrics_empty() -> Iterator[VictoriaMetrics]:
    """Return an empty VictoriaMetrics for one test."""
    with start_victoria_metrics() as server:
        yield server


@pytest.fixture(scope="session")
def native_prometheus() -> Path:
    """Return a Prometheus 3 executable: one in a container cannot reach a test's server on loopback."""
    try:
        return find_binary()
    except PrometheusServerError:
        missing("native Prometheus", CACHE / "prometheus" / "prometheus")


@pytest.fixture(scope="session")
def promtool() -> Path:
    """Return a promtool executable, which checks configurations."""
    binary = CACHE / "prometheus" / "promtool"
    if not binary.exists():
        missing("promtool", binary)
    return binary
