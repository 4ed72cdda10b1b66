"""The samples that a receiver holds, read through Prometheus's HTTP API."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

import numpy as np
import numpy.typing as npt

from pyflink_prometheus.config import SinkConfig
from pyflink_prometheus.errors import PrometheusSinkError
from pyflink_prometheus.http.outcome import Kind
from pyflink_prometheus.http.transport import RequestsTransport
from pyflink_prometheus.model.digest import histogram_bits, parsed_value, sample_digests, value_bits
from pyflink_prometheus.verification.expectation import Labels
from pyflink_prometheus.writer.digest_files import HOUR_MS

#: The most samples in one response; Prometheus's responses have about 40 bytes for each.
_SAMPLES_A_QUERY = 500_000
_LARGEST_RESPONSE = 1 << 30
_HEADERS = {"Content-Type": "application/x-www-form-urlencoded"}


class Stored(NamedTuple):
    """The samples of a series, in order of time: their timestamps and digests."""

    timestamps: npt.NDArray[np.int64]
    digests: npt.NDArray[np.uint64]


class StoredSamples:
    """
    Queries for raw samples.

    :param config: the receiver's URL, such as ``http://prometheus:9090`` or its URL for writing, and how to reach it.
    :param ignore: labels that are left out.
    """

    def __init__(self, config: SinkConfig, ignore: Collection[str] = ()) -> None:
        path = urlsplit(config.prometheus_remote_write_url).path.rstrip("/").removesuffix("/api/v1/write")
        self._transport = RequestsTransport(
            config,
            path=f"{path}/api/v1/query",
            body_limit=_LARGEST_RESPONSE,
            success_body_s=config.socket_timeout_ms / 1000,
        )
        self._ignore = ignore

    def of_hour(self, metric_name: str, hour: int) -> dict[Labels, Stored]:
        """
        Return the samples of all series of a metric in an hour, without stale markers.

        :raises PrometheusSinkError: if the query fails.
        """
        selector = f"{{__name__={json.dumps(metric_name, ensure_ascii=False)}}}"
        start_ms, end_ms = hour * HOUR_MS, (hour + 1) * HOUR_MS - 1
        parts: dict[Labels, list[Stored]] = {}
        for series in self._windows(selector, start_ms, end_ms, self._count(selector, start_ms, end_ms)):
            pairs = series["metric"].items()
            labels = tuple(sorted(pair for pair in pairs if pair[0] not in self._ignore))
            parts.setdefault(labels, []).append(_stored(series, start_ms, end_ms))
        return {labels: _joined(each) for labels, each in parts.items()}

    def close(self) -> None:
        """Close the connection."""
        self._transport.close()

    def _windows(self, selector: str, start_ms: int, end_ms: int, count: int) -> Iterator[dict[str, Any]]:
        """Query a time range; split it in half if it holds too many samples for one response."""
        if count == 0:
            return
        if count > _SAMPLES_A_QUERY and start_ms < end_ms:
            middle = (start_ms + end_ms) // 2
            for start, end in ((start_ms, middle), (middle + 1, end_ms)):
                yield from self._windows(selector, start, end, self._count(selector, start, end))
            return
        for series in self._query(_window(selector, start_ms, end_ms), end_ms):
            yield {**series, "window": (start_ms, end_ms)}

    def _count(self, selector: str, start_ms: int, end_ms: int) -> int:
        result = self._query(f"sum(count_over_time({_window(selector, start_ms, end_ms)}))", end_ms)
        return int(float(result[0]["value"][1])) if result else 0

    def _query(self, query: str, at_ms: int) -> list[dict[str, Any]]:
        # VictoriaMetrics evaluates queries of the last 30 s for an earlier time, except with "nocache".
        body = urlencode({"query": query, "time": repr(at_ms / 1000), "nocache": "1"}).encode()
        attempted = self._transport.exchange(body, _HEADERS)
        outcome, received = attempted.outcome, attempted.received
        url = self._transport.surroundings.url
        if received is None or outcome.kind is not Kind.ACCEPTED:
            raise PrometheusSinkError(f"check the URL {url}: a query failed: {outcome.message}")
        try:
            # Milliseconds are parsed from the text, because a float of seconds may be off by one.
            parsed = json.loads(received.body, parse_float=_milliseconds, parse_int=_milliseconds)
            result: list[dict[str, Any]] = parsed["data"]["result"]
        except (ValueError, KeyError, TypeError):
            parsed = None
        if parsed is None:
            raise PrometheusSinkError(
                f"check the URL {url}, or give more time with --timeout: this is not a complete response of "
                f"Prometheus's API ({len(received.body)} bytes)"
            )
        return result


def _stored(series: dict[str, Any], start_ms: int, end_ms: int) -> Stored:
    """Return a response's samples of a series; Prometheus before 3 also returns a sample at the range's start."""
    start_ms, end_ms = series.get("window", (start_ms, end_ms))
    floats, histograms = series.get("values", ()), series.get("histograms", ())
    timestamps = np.array([at for at, _ in floats] + [at for at, _ in histograms], np.int64)
    bits = np.concatenate(
        [
            value_bits(np.array([parsed_value(text) for _, text in floats], np.float64)),
            np.array(
                [histogram_bits(parsed_value(each["count"]), parsed_value(each["sum"])) for _, each in histograms],
                np.uint64,
            ),
        ]
    )
    inside = np.flatnonzero((timestamps >= start_ms) & (timestamps <= end_ms))
    inside = inside[np.argsort(timestamps[inside], kind="stable")]
    return Stored(timestamps[inside], sample_digests(timestamps[inside], bits[inside]))


def _joined(parts: list[Stored]) -> Stored:
    if len(parts) == 1:
        return parts[0]
    timestamps = np.concatenate([each.timestamps for each in parts])
    order = np.argsort(timestamps, kind="stable")
    return Stored(timestamps[order], np.concatenate([each.digests for each in parts])[order])


def _window(selector: str, start_ms: int, end_ms: int) -> str:
    # Since Prometheus 3, the start of a range is exclusive.
    return f"{selector}[{end_ms - start_ms + 1}ms]"


def _milliseconds(text: str) -> int:
    """Parse a timestamp: seconds with no decimals or exactly three."""
    whole, _, decimals = text.partition(".")
    return int(whole + (decimals + "000")[:3])
