"""Receivers beside the newest Prometheus: in Docker where the image can be had, else native."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest
from victoria_metrics import DEFAULT_IMAGE as VICTORIA_METRICS_IMAGE
from victoria_metrics import VictoriaMetrics

from pyflink_prometheus.testing.prometheus_server import PrometheusServer

if TYPE_CHECKING:
    from collections.abc import Iterator

# That of Debian 12. It knows Remote-Write 1.0 alone.
OLD_PROMETHEUS_IMAGE = "prom/prometheus:v2.42.0"
# Where tools/get_receivers.py puts what Docker cannot run.
CACHE = Path(__file__).parents[2] / ".cache"


def missing(receiver: str, binary: Path) -> NoReturn:
    """Skip the test, unless the environment says that the receivers have to be there: CI must not skip in silence."""
    reason = f"no {receiver}: neither its image from Docker nor {binary}; tools/get_receivers.py fetches the latter"
    if os.environ.get("RECEIVERS") == "required":
        pytest.fail(reason)
    pytest.skip(f"{reason} (RECEIVERS=required makes this a failure)")


def binary_instead_of(image: str, receiver: str, binary: Path) -> Path | None:
    """
    Return ``None`` if a container of the image is to be started, else the executable to start.

    PROMETHEUS_TESTS=docker asks for Docker if it has the image, no more: of these receivers it often has none.
    """
    if os.environ.get("PROMETHEUS_TESTS") != "native" and PrometheusServer.default_kind(image) == "docker":
        return None
    if not binary.exists():
        missing(receiver, binary)
    return binary


@pytest.fixture(scope="session")
def old_prometheus() -> Iterator[PrometheusServer]:
    """Give a Prometheus 2.42 that all tests share, on the same terms as ``prometheus``."""
    binary = binary_instead_of(OLD_PROMETHEUS_IMAGE, "Prometheus 2", CACHE / "old-prometheus" / "prometheus")
    kind = "docker" if binary is None else "native"
    with PrometheusServer.start(kind, image=OLD_PROMETHEUS_IMAGE, binary=binary) as server:
        yield server


@pytest.fixture(scope="session")
def victoria_metrics() -> Iterator[VictoriaMetrics]:
    """Give a VictoriaMetrics that all tests share: write under ``metric_name``."""
    binary = binary_instead_of(
        VICTORIA_METRICS_IMAGE, "VictoriaMetrics", CACHE / "victoria-metrics" / "victoria-metrics"
    )
    image = VICTORIA_METRICS_IMAGE if binary is None else None
    with VictoriaMetrics(image=image, binary=binary) as server:
        yield server
