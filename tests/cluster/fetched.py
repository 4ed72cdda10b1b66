"""Fetched programs that these tests need natively, even if other tests use Docker."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NoReturn

import pytest

from pyflink_prometheus.testing.prometheus_server import PrometheusServerError, find_binary

_PROMTOOL = Path(__file__).resolve().parent.parent.parent / ".cache" / "prometheus" / "promtool"


def prometheus() -> Path:
    """Return a Prometheus that can reach this machine's loopback address, unlike one in a container."""
    try:
        return find_binary()
    except PrometheusServerError:
        _missing("native Prometheus; tools/get_prometheus.py fetches one")


def promtool() -> Path:
    """Return the promtool executable."""
    found = Path(os.environ.get("PROMTOOL") or _PROMTOOL)
    if not found.exists():
        _missing("promtool; tools/get_prometheus.py --promtool fetches it")
    return found


def _missing(what: str) -> NoReturn:
    """Skip the test; fail if RECEIVERS=required, because CI must not skip silently."""
    if os.environ.get("RECEIVERS") == "required":
        pytest.fail(f"there is no {what}")
    pytest.skip(f"there is no {what} (RECEIVERS=required makes this a failure)")
