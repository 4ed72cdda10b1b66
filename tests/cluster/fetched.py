"""Programs that these tests need natively, whatever runs the other tests' Prometheus: fetched, or not to be had."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NoReturn

import pytest

from pyflink_prometheus.testing.prometheus_server import PrometheusServerError, find_binary

_PROMTOOL = Path(__file__).resolve().parent.parent.parent / ".cache" / "prometheus" / "promtool"


def prometheus() -> Path:
    """Return a Prometheus that sees this machine's loopback address, which none in a container does."""
    try:
        return find_binary()
    except PrometheusServerError:
        _missing("native Prometheus; tools/get_prometheus.py fetches one")


def promtool() -> Path:
    """Return promtool."""
    found = Path(os.environ.get("PROMTOOL") or _PROMTOOL)
    if not found.exists():
        _missing("promtool; tools/get_prometheus.py --promtool fetches it")
    return found


def _missing(what: str) -> NoReturn:
    """Skip the test, unless the environment says that what is fetched has to be there: CI must not skip in silence."""
    if os.environ.get("RECEIVERS") == "required":
        pytest.fail(f"there is no {what}")
    pytest.skip(f"there is no {what} (RECEIVERS=required makes this a failure)")
