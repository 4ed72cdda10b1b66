"""A real Prometheus for tests: started in Docker or natively, read back sample by sample, killed and started again."""

from __future__ import annotations

import json
import os
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyflink_prometheus.model.exemplars import Exemplar
from pyflink_prometheus.testing._hosts import (
    DockerHost,
    Host,
    NativeHost,
    PrometheusServerError,
    docker_problem,
    find_binary,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import TracebackType

__all__ = ["DEFAULT_IMAGE", "PrometheusServer", "PrometheusServerError", "StoredHistogram"]

DEFAULT_IMAGE = "prom/prometheus:v3.5.3"


@dataclass(frozen=True)
class StoredHistogram:
    """
    Hold a native histogram as Prometheus gives it back.

    :param count: how many observations.
    :param sum: their sum.
    :param buckets: (lower bound, upper bound, count) of those that are not empty, in ascending order.
    """

    count: float
    sum: float
    buckets: list[tuple[float, float, float]]


LabelSet = tuple[tuple[str, str], ...]
Samples = dict[LabelSet, list[tuple[float, int]]]
Histograms = dict[LabelSet, list[tuple[StoredHistogram, int]]]
Exemplars = dict[LabelSet, list[Exemplar]]

_READY_SECONDS = 60.0
_POLL_SECONDS = 0.1
_QUERY_SECONDS = 120.0
_PORT_ATTEMPTS = 3
_PORT_TAKEN = ("address already in use", "port is already allocated")
# One answer of 250,000 samples is some 8 MB of JSON.
_SAMPLES_A_QUERY = 250_000
# All of time, for a selector: 1920 to 2120.
_BEGINNING_MS = -50 * 31_557_600_000
_END_MS = 150 * 31_557_600_000


class PrometheusServer:
    """
    Run a Prometheus that accepts Remote-Write, for as long as a ``with`` block lasts::

        with PrometheusServer.start() as prometheus:
            run_my_job(prometheus.remote_write_url)
            assert prometheus.samples("my_metric") == {...}

    It listens on this machine's loopback address alone and, unless ``config`` says otherwise, scrapes nothing, so it
    holds what was written to it and nothing else. Make one with :meth:`start`. Not for use from several threads at
    once.

    Attributes: ``url``, ``remote_write_url``, ``kind`` (``docker`` or ``native``) and ``version``.
    """

    def __init__(self, host: Host, kind: str) -> None:
        self._host = host
        self.kind = kind
        self.url = f"http://127.0.0.1:{host.port}"
        self.remote_write_url = f"{self.url}/api/v1/write"
        self.version = ""

    @staticmethod
    def start(
        kind: str | None = None,
        *,
        image: str | None = None,
        binary: str | os.PathLike[str] | None = None,
        out_of_order_time_window: str | None = None,
        data_dir: str | os.PathLike[str] | None = None,
        port: int | None = None,
        extra_args: Sequence[str] = (),
        config: str | None = None,
    ) -> PrometheusServer:
        """
        Start a Prometheus and return when it is ready.

        :param kind: ``docker`` (needs the extra ``testing``), ``native``, or ``None``: what the environment's
            ``PROMETHEUS_TESTS`` says, else Docker if an engine answers and the image can be had, else native.
        :param image: for Docker; default the environment's ``PROMETHEUS_IMAGE``, else ``prom/prometheus:v3.5.3``.
        :param binary: for native; default the environment's ``PROMETHEUS_BINARY``, else ``prometheus`` on ``PATH`` if
            it is version 3, else ``.cache/prometheus/prometheus`` under the current directory.
        :param out_of_order_time_window: how late a sample may come, such as ``"10m"``; default: not at all.
        :param data_dir: keep the data in this folder, also when the server has stopped; default: a temporary one.
        :param port: the loopback port to listen on; default: one that is free.
        :param extra_args: more arguments of Prometheus's command line.
        :param config: a whole ``prometheus.yml``, such as one that scrapes or has rules; default: an empty one.
        :raises PrometheusServerError: it cannot be had, or does not start; then its log is in the message.
        """
        image = image or os.environ.get("PROMETHEUS_IMAGE") or DEFAULT_IMAGE
        kind = kind or os.environ.get("PROMETHEUS_TESTS") or PrometheusServer.default_kind(image)
        if config is None:
            config = _config(out_of_order_time_window)
        elif out_of_order_time_window is not None:
            raise ValueError("out_of_order_time_window belongs into config where there is one")
        arguments = ["--web.enable-remote-write-receiver", *extra_args]
        folder = None if data_dir is None else Path(data_dir).resolve()
        if kind == "docker":
            problem = docker_problem(image)
            if problem is not None:
                raise PrometheusServerError(f"{problem}; kind='native' or PROMETHEUS_TESTS=native does without Docker")
            return _started(lambda: DockerHost(image, config, arguments, folder, port), kind)
        if kind == "native":
            executable = find_binary(binary)
            return _started(lambda: NativeHost(executable, config, arguments, folder, port), kind)
        raise ValueError(f"kind (or PROMETHEUS_TESTS) must be 'docker' or 'native', not {kind!r}")

    @staticmethod
    def default_kind(image: str = DEFAULT_IMAGE) -> str:
        """Return ``docker`` if an engine answers and has the image or can pull it, else ``native``."""
        return "native" if docker_problem(image) else "docker"

    def __enter__(self) -> PrometheusServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop it in good order, and delete its data unless they are in a folder of yours."""
        self._host.discard()

    def kill(self) -> None:
        """End it as a crash does. :meth:`restart` brings it back."""
        self._host.kill()

    def restart(self) -> None:
        """Start it again, after stopping it in good order if it still runs, with its data and on the same port."""
        if self._host.exit_status() is None:
            self._host.terminate()
        self._host.start()
        self._wait_until_ready()

    def logs(self) -> str:
        """Return what Prometheus has logged so far."""
        return self._host.logs()

    def query(self, promql: str, time: float | None = None) -> list[dict[str, Any]]:
        """
        Return the result of an instant query as Prometheus's API gives it.

        :param promql: the query; one with a scalar or string for a result is wrapped as a single element.
        :param time: seconds since 1970; default now.
        :raises PrometheusServerError: Prometheus refused the query.
        """
        parameters = {"query": promql} if time is None else {"query": promql, "time": repr(time)}
        data = json.loads(self._get("/api/v1/query", parameters))["data"]
        result: list[dict[str, Any]] = data["result"]
        return [{"metric": {}, "value": result}] if data["resultType"] in ("scalar", "string") else result

    def series(self, selector: str) -> list[dict[str, str]]:
        """Return the labels of each stored series that a selector such as ``up{job="x"}`` finds."""
        found: list[dict[str, str]] = json.loads(self._get("/api/v1/series", {"match[]": selector}))["data"]
        return found

    def count(self, selector: str, *, start_ms: int = _BEGINNING_MS, end_ms: int = _END_MS) -> int:
        """Return how many samples are stored for a selector, from ``start_ms`` to ``end_ms``, both included."""
        return sum(self._count(each, start_ms, end_ms) for each in self._metric_by_metric(selector))

    def samples(self, selector: str, *, start_ms: int = _BEGINNING_MS, end_ms: int = _END_MS) -> Samples:
        """
        Return all stored samples for a selector as they are stored, nothing interpolated.

        Asks in as many queries as it takes to keep each answer small, so that a million is no problem. Histograms are
        found by :meth:`histograms`; stale markers are the one thing that Prometheus's query API does not show.

        :param selector: such as ``my_metric`` or ``{__name__=~"flight_.*"}``.
        :param start_ms: the earliest timestamp, in ms; default 1920.
        :param end_ms: the latest one; default 2120.
        :return: from each series' labels, as sorted pairs with ``__name__`` among them, to its samples in order of
            time: (value, timestamp in ms).
        """
        found: Samples = {}
        for labels, series in self._stored(selector, start_ms, end_ms):
            found.setdefault(labels, []).extend((float(value), stamp) for stamp, value in series.get("values", ()))
        return {labels: samples for labels, samples in found.items() if samples}

    def histograms(self, selector: str, *, start_ms: int = _BEGINNING_MS, end_ms: int = _END_MS) -> Histograms:
        """
        Return all stored native histograms for a selector.

        Prometheus 3.5 stores them with ``extra_args=["--enable-feature=native-histograms"]``, 3.9 and later always.

        :param selector: as for :meth:`samples`.
        :param start_ms: the earliest timestamp, in ms; default 1920.
        :param end_ms: the latest one; default 2120.
        :return: from each series' labels to its histograms in order of time: (:class:`StoredHistogram`, timestamp in
            ms).
        """
        found: Histograms = {}
        for labels, series in self._stored(selector, start_ms, end_ms):
            found.setdefault(labels, []).extend(
                (_stored_histogram(histogram), stamp) for stamp, histogram in series.get("histograms", ())
            )
        return {labels: histograms for labels, histograms in found.items() if histograms}

    def exemplars(self, selector: str, *, start_ms: int = 0, end_ms: int = _END_MS) -> Exemplars:
        """
        Return the exemplars that are still stored for a selector.

        Prometheus stores them with ``extra_args=["--enable-feature=exemplar-storage"]``, and keeps the latest ones of
        all series together.

        :param selector: such as ``my_metric``.
        :param start_ms: the earliest timestamp, in ms; default 1970.
        :param end_ms: the latest one; default 2120.
        :return: from each series' labels to its exemplars in order of time.
        """
        query = {"query": selector, "start": repr(start_ms / 1000), "end": repr(end_ms / 1000)}
        answer = json.loads(self._get("/api/v1/query_exemplars", query))
        return {
            tuple(sorted(series["seriesLabels"].items())): [
                Exemplar(each["labels"], float(each["value"]), round(float(each["timestamp"]) * 1000))
                for each in series["exemplars"]
            ]
            for series in answer["data"]
        }

    def _metric_by_metric(self, selector: str) -> list[str]:
        """Return selectors of one metric name each: functions drop the name, and then series would be the same."""
        names = sorted({series["__name__"] for series in self.series(selector)})
        if len(names) <= 1:
            return [selector]
        matchers = selector.strip().removesuffix("}").rstrip(", ")
        return [f"{matchers}, __name__={json.dumps(name, ensure_ascii=False)}}}" for name in names]

    def _count(self, selector: str, start_ms: int, end_ms: int) -> int:
        """Count the samples of one metric."""
        result = self.query(f"sum(count_over_time({_window(selector, start_ms, end_ms)}))", end_ms / 1000)
        return int(result[0]["value"][1]) if result else 0

    def _stored(self, selector: str, start_ms: int, end_ms: int) -> Iterator[tuple[LabelSet, dict[str, Any]]]:
        """Yield labels and a part of what is stored of a series, as the API gives it, in order of time."""
        for each in self._metric_by_metric(selector):
            for series in self._windows(each, start_ms, end_ms, self._count(each, start_ms, end_ms)):
                yield tuple(sorted(series["metric"].items())), series

    def _windows(self, selector: str, start_ms: int, end_ms: int, count: int) -> Iterator[dict[str, Any]]:
        """Ask for all that is stored in a window; halve a window that holds too many samples for one answer."""
        if count == 0:
            return
        if count > _SAMPLES_A_QUERY and start_ms < end_ms:
            middle = (start_ms + end_ms) // 2
            first_half = self._count(selector, start_ms, middle)
            yield from self._windows(selector, start_ms, middle, first_half)
            yield from self._windows(selector, middle + 1, end_ms, count - first_half)
            return
        query = {"query": _window(selector, start_ms, end_ms), "time": repr(end_ms / 1000)}
        # Milliseconds are read from the text: far from 1970 a float of seconds no longer holds them.
        answer = json.loads(self._get("/api/v1/query", query), parse_float=_milliseconds, parse_int=_milliseconds)
        yield from answer["data"]["result"]

    def _get(self, path: str, parameters: dict[str, str]) -> bytes:
        request = urllib.request.Request(  # noqa: S310 - the address is our own
            f"{self.url}{path}", data=urllib.parse.urlencode(parameters).encode() or None
        )
        try:
            with _OPENER.open(request, timeout=_QUERY_SECONDS) as answer:
                body: bytes = answer.read()
                return body
        except urllib.error.HTTPError as error:
            with error:
                text = error.read().decode(errors="replace")
            raise PrometheusServerError(f"Prometheus answered {error.code} to {path} {parameters}: {text}") from error
        except OSError as error:
            raise PrometheusServerError(f"Prometheus at {self.url} does not answer: {error}") from error

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        while True:
            status = self._host.exit_status()
            if status is not None:
                raise PrometheusServerError(f"Prometheus ended with status {status}; its log:\n{self.logs()}")
            try:
                with _OPENER.open(f"{self.url}/-/ready", timeout=5):
                    break
            except OSError as error:  # refused, reset, or a 503 while it reads its data
                if isinstance(error, urllib.error.HTTPError):
                    error.close()
                if time.monotonic() > deadline:
                    raise PrometheusServerError(
                        f"Prometheus is not ready after {_READY_SECONDS:.0f} s ({error}); its log:\n{self.logs()}"
                    ) from error
            time.sleep(_POLL_SECONDS)
        self.version = json.loads(self._get("/api/v1/status/buildinfo", {}))["data"]["version"]


def _started(make_host: Callable[[], Host], kind: str) -> PrometheusServer:
    """Start a server; once more on another port if somebody else took the one that had been free."""
    for attempt in range(_PORT_ATTEMPTS):
        host = make_host()
        try:
            host.start()
            server = PrometheusServer(host, kind)
            server._wait_until_ready()
            return server
        except Exception as error:
            host.discard()
            if attempt + 1 < _PORT_ATTEMPTS and any(words in str(error) for words in _PORT_TAKEN):
                continue
            if isinstance(error, PrometheusServerError):
                raise
            raise PrometheusServerError(f"Prometheus did not start ({kind}): {error}") from error
    raise AssertionError("unreachable: the last attempt returns or raises")


def _config(out_of_order_time_window: str | None) -> str:
    if out_of_order_time_window is None:
        return "global: {}\n"
    return f"storage:\n  tsdb:\n    out_of_order_time_window: {out_of_order_time_window}\n"


def _window(selector: str, start_ms: int, end_ms: int) -> str:
    # A range's left end is open, so one more millisecond takes the sample at start_ms in.
    return f"{selector}[{end_ms - start_ms + 1}ms]"


def _stored_histogram(said: dict[str, Any]) -> StoredHistogram:
    buckets = [(float(lower), float(upper), float(count)) for _, lower, upper, count in said.get("buckets", ())]
    return StoredHistogram(float(said["count"]), float(said["sum"]), buckets)


def _milliseconds(text: str) -> int:
    """Read Prometheus's JSON timestamp, seconds with no decimals or exactly three."""
    return int(text.replace(".", "")) if "." in text else int(text) * 1000


# No proxy may come between us and this machine's own loopback address.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
