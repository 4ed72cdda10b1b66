"""The conversion of a checked entry of ``remote_write`` into settings of the sink."""

from __future__ import annotations

from typing import Any

from pyflink_prometheus.config import (
    AdaptiveSendingConfiguration,
    RemoteWriteVersion,
    RetryConfiguration,
    check_header,
    checked_url,
)
from pyflink_prometheus.configuration import credentials
from pyflink_prometheus.configuration.decoded import Decoded
from pyflink_prometheus.configuration.prometheus_checks import V2_MESSAGE
from pyflink_prometheus.secret import Secret


def settings_of(entry: Decoded) -> dict[str, Any]:
    """
    Return the settings in an entry, except for its rules. A setting that it lacks keeps the sink's default.

    :raises InvalidConfigurationError: if Prometheus would accept the entry, but no request could succeed.
    """
    try:
        url = checked_url(entry.get("url"))
    except ValueError as error:
        problem = str(error).removeprefix("prometheus_remote_write_url: ")
        url = ""
    if not url:
        raise entry.error("url", problem)
    settings: dict[str, Any] = {
        "prometheus_remote_write_url": url,
        "socket_timeout_ms": entry.get("remote_timeout"),
        "http_headers": _headers(entry) or None,
        "request_signer": credentials.signer(entry),
        "tls": credentials.tls(entry.get("tls_config")),
        "proxy": credentials.proxy(entry),
        "round_robin_dns": entry.get("round_robin_dns"),
        "send_exemplars": entry.get("send_exemplars"),
    }
    if settings["socket_timeout_ms"] == 0:
        raise entry.error("remote_timeout", "write a value above 0: every request would fail at once")
    message = entry.get("protobuf_message")
    if message is not None:
        settings["remote_write_version"] = RemoteWriteVersion.V2 if message == V2_MESSAGE else RemoteWriteVersion.V1
    if message != V2_MESSAGE:  # 2.0 always sends them, as in Prometheus
        settings["send_native_histograms"] = entry.get("send_native_histograms")
    queue = entry.get("queue_config")
    if queue is not None:
        settings.update(_queue(queue))
    return {name: value for name, value in settings.items() if value is not None}


def _queue(queue: Decoded) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "max_batch_size_in_samples": queue.get("max_samples_per_send"),
        "max_sample_age_ms": queue.get("sample_age_limit") or None,
    }
    if "batch_send_deadline" in queue.values:
        settings["max_time_in_buffer_ms"] = _at_least_1(queue.get("batch_send_deadline"))
    shards = queue.get("max_shards")
    if shards is not None:
        settings["adaptive_sending"] = AdaptiveSendingConfiguration(max_in_flight_requests=shards)
        if queue.get("min_shards") == shards:
            settings["max_in_flight_requests"] = shards
    if "capacity" in queue.values:
        default = AdaptiveSendingConfiguration().max_in_flight_requests
        buffered = queue.get("capacity") * (default if shards is None else shards)
        settings["max_buffered_samples"] = max(buffered, queue.get("max_samples_per_send", 1))
    if "min_backoff" in queue.values or "max_backoff" in queue.values:
        shortest = _at_least_1(queue.get("min_backoff", 30))
        longest = max(shortest, queue.get("max_backoff", 5000))
        settings["retry"] = RetryConfiguration(initial_retry_delay_ms=shortest, max_retry_delay_ms=longest)
    return {name: value for name, value in settings.items() if value is not None}


def _at_least_1(duration_ms: int) -> int:
    return max(1, duration_ms)


def _headers(entry: Decoded) -> dict[str, str | Secret]:
    """
    Return the headers of both fields; several values of a header are joined, which is equivalent (RFC 9110, 5.3).

    :raises InvalidConfigurationError: if a header cannot be sent.
    """
    headers: dict[str, str | Secret] = dict(entry.get("headers", {}))
    names = {name.lower(): name for name in headers}
    for name, header in entry.get("http_headers", {}).items():
        before = headers.pop(names.get(name.lower(), ""), None)
        values: list[str | Secret] = [] if before is None else [before]
        if header is not None:
            values += [*header.get("values", []), *header.get("secrets", [])]
            values += [Secret.file(path) for path in header.get("files", [])]
        texts = [each for each in values if isinstance(each, str)]
        if len(values) == 1:
            headers[name] = values[0]
        elif len(texts) < len(values):
            raise entry.error("http_headers", f"give {name} only one value: it has a file or a Secret, and others")
        elif texts:
            headers[name] = ", ".join(texts)
        if header is not None and header.count("secrets") and isinstance(headers.get(name), str):
            headers[name] = Secret.value(str(headers[name]))
    for name, value in headers.items():
        _check_header(entry, name, value)
    return headers


def _check_header(entry: Decoded, name: str, value: str | Secret) -> None:
    try:
        check_header(name, value)
    except ValueError as error:
        problem = str(error).removeprefix("http_headers: ")
    else:
        return
    raise entry.error("headers" if name in entry.get("headers", {}) else "http_headers", problem)


def without_effect(entry: Decoded) -> list[tuple[str, str]]:
    """Return the fields that have no effect because of their value, and why."""
    queue: Decoded | None = entry.get("queue_config")
    found = []
    if entry.get("follow_redirects"):
        found.append((entry, "follow_redirects", "the sink does not follow redirects"))
    if entry.get("enable_http2"):
        found.append((entry, "enable_http2", "the sink speaks HTTP/1.1"))
    if queue is not None and queue.get("retry_on_http_429") is False:
        found.append((queue, "retry_on_http_429", "the sink always retries 429"))
    if queue is not None and "min_shards" in queue.values and queue.get("min_shards") != queue.get("max_shards"):
        found.append((queue, "min_shards", "the sink starts with one request in flight"))
    return [(f"{each.node.path}.{name}".lstrip("."), note) for each, name, note in found]
