"""The settings of a writer in one line of the log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

from pyflink_prometheus.config import SinkConfig
from pyflink_prometheus.guards.limits import SendingLimits
from pyflink_prometheus.relabelling.relabelling import Relabelling
from pyflink_prometheus.writer.backlog import BUFFERED_BATCHES
from pyflink_prometheus.writer.pace import Pace
from pyflink_prometheus.writer.rejected import LogRejectedSamples
from pyflink_prometheus.writer.rejected_files import JsonLinesRejectedSamples

_IN_DEFAULT_OF = {
    "rejected_samples_handler": LogRejectedSamples.__name__,
    "max_buffered_samples": f"{BUFFERED_BATCHES} batches per request in flight",
    "max_isolation_requests": "no limit",
    "tls": "the worker's defaults",
    "proxy": "the worker's environment",
}
_ADAPTED = {"max_in_flight_requests", "max_batch_size_in_samples", "adaptive_sending"}


def settings_line(config: SinkConfig) -> str:
    """
    Return all settings with their values, including defaults, and the bounds of those that the sink adapts on its own.

    Secrets are not shown, nor is anything that may hold one: of headers only the names are shown, of signers and
    handlers only the kind.
    """
    shown = {"prometheus_remote_write_url": config.url_without_credentials}
    for each in fields(config):
        if each.name not in {"prometheus_remote_write_url", "further_endpoints", *_ADAPTED}:
            shown[each.name] = _shown(each.name, getattr(config, each.name))
        elif each.name in _ADAPTED:
            shown.update(_adapted(config))
    for name, endpoint in config.further_endpoints.items():
        shown[f"endpoint {name!r}"] = f"({settings_line(endpoint)})"
    return ", ".join(f"{name}: {value}" for name, value in shown.items())


def _adapted(config: SinkConfig) -> dict[str, str]:
    """Return the number of requests in flight and their size, fixed or with their bounds."""
    fixed = bool(config.further_endpoints) or config.best_effort is not None
    pace = Pace.begin(config)

    def span(now: int, least: int, most: int) -> str:
        return str(now) if fixed or least == most else f"{now} (adapts from {least} to {most})"

    return {
        "max_in_flight_requests": span(pace.shards, pace.least_shards, pace.most_shards),
        "max_batch_size_in_samples": span(pace.batch_size, pace.least_batch_size, pace.most_batch_size),
    }


def _shown(name: str, value: Any) -> str:
    if value is None or value == SendingLimits():
        return _IN_DEFAULT_OF.get(name, "none")
    if isinstance(value, Relabelling):
        return "set" if value else "none"
    if isinstance(value, JsonLinesRejectedSamples):
        return repr(value)
    if name in ("request_signer", "rejected_samples_handler"):
        return _kind(value)
    if isinstance(value, Mapping):  # headers, whose values may be secrets
        return ", ".join(value).join("[]")
    if isinstance(value, Enum):
        return value.name
    if is_dataclass(value) and not isinstance(value, type):
        return _changed(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _changed(value: Any) -> str:
    """Return the settings of a configuration that are set, without the values that its repr hides."""
    inner = {each.name: getattr(value, each.name) for each in fields(value) if each.repr}
    hidden = [each.name for each in fields(value) if not each.repr and getattr(value, each.name)]
    shown = [f"{name}: {_shown(name, each)}" for name, each in inner.items() if each is not None]
    return ", ".join([*shown, *(f"{name}: set" for name in hidden)]).join("()")


def _kind(value: Any) -> str:
    """Return the name of a class or function, or of an object's class."""
    name = getattr(value, "__qualname__", None)
    return name if isinstance(name, str) else type(value).__qualname__
