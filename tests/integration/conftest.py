"""Receivers other than the newest Prometheus: in Docker if the image is available, else native."""

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
    """Skip the test; fail if RECEIVERS=required, because CI must not skip silently."""
    reason = f"no {receiver}: neither its image from Docker nor {binary}; tools/get_receivers.py fetches the latter"
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


@pytest.fixture(scope="session")
def old_prometheus() -> Iterator[PrometheusServer]:
    """Yield a Prometheus 2.42 that all tests share, with the same rules as ``prometheus``."""
    binary = binary_instead_of(OLD_PROMETHEUS_IMAGE, "Prometheus 2", CACHE / "old-prometheus" / "prometheus")
    kind = "docker" if binary is None else "native"
    with PrometheusServer.start(kind, image=OLD_PROMETHEUS_IMAGE, binary=binary) as server:
        yield server


@pytest.fixture(scope="session")
def victoria_metrics() -> Iterator[VictoriaMetrics]:
    """Yield a VictoriaMetrics that all tests share: write under ``metric_name``."""
    binary = binary_instead_of(
        VICTORIA_METRICS_IMAGE, "VictoriaMetrics", CACHE / "victoria-metrics" / "victoria-metrics"
    )
    image = VICTORIA_METRICS_IMAGE if binary is None else None
    with VictoriaMetrics(image=image, binary=binary) as server:
        yield server
