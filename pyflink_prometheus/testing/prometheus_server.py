"""A real Prometheus for tests: started in Docker or natively, read sample by sample, killed and restarted."""

from __future__ import annotations

import json
import os
import re
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
    A native histogram as Prometheus returns it.

    :param count: the number of observations.
    :param sum: the sum of the observations.
    :param buckets: (lower bound, upper bound, count) of each bucket that is not empty, in ascending order.
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
# A response with 250,000 samples is about 8 MB of JSON.
_SAMPLES_A_QUERY = 250_000
# The name is before the braces, or quoted within them: ``{"my.metric", a="b"}``.
_NAMES_A_METRIC = re.compile(r'\s*[^\s{]|.*[{,]\s*"', re.DOTALL)
# The default time range of a query: 1920 to 2120.
_BEGINNING_MS = -50 * 31_557_600_000
_END_MS = 150 * 31_557_600_000


class PrometheusServer:
    """
    A Prometheus that accepts Remote-Write, for the duration of a ``with`` block.

    ::

        with PrometheusServer.start() as prometheus:
            run_my_job(prometheus.remote_write_url)
            assert prometheus.samples("my_metric") == {...}

    It listens on loopback only. Unless ``config`` says otherwise, it scrapes nothing, so it holds only what was written
    to it. Create one with :meth:`start`. Not thread-safe.

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

        :param kind: ``docker`` (needs the extra ``testing``) or ``native``. Default: the environment variable
            ``PROMETHEUS_TESTS``, else Docker if an engine responds and the image is available, else native.
        :param image: the Docker image. Default: the environment variable ``PROMETHEUS_IMAGE``, else
            ``prom/prometheus:v3.5.3``.
        :param binary: the native executable. Default: the environment variable ``PROMETHEUS_BINARY``, else
            ``prometheus`` on ``PATH`` if it is version 3, else ``.cache/prometheus/prometheus`` under the current
            directory.
        :param out_of_order_time_window: how late a sample may be, such as ``"10m"``. Default: not at all.
        :param data_dir: a directory for the data, which is kept. Default: a temporary one.
        :param port: the loopback port to listen on. Default: a free one.
        :param extra_args: more command-line arguments for Prometheus.
        :param config: a complete ``prometheus.yml``, for example with scrape configurations or rules. Default: empty.
        :raises PrometheusServerError: if Prometheus is not available, or does not start; the message includes its log.
        """
        image = image or os.environ.get("PROMETHEUS_IMAGE") or DEFAULT_IMAGE
        kind = kind or os.environ.get("PROMETHEUS_TESTS") or PrometheusServer.default_kind(image)
        if config is None:
            config = _config(out_of_order_time_window)
        elif out_of_order_time_window is not None:
            raise ValueError("out_of_order_time_window: set it in config, since config is given")
        arguments = ["--web.enable-remote-write-receiver", *extra_args]
        folder = None if data_dir is None else Path(data_dir).resolve()
        if kind == "docker":
            problem = docker_problem(image)
            if problem is not None:
                raise PrometheusServerError(f"{problem}; set kind='native' or PROMETHEUS_TESTS=native to avoid Docker")
            return _started(lambda: DockerHost(image, config, arguments, folder, port), kind)
        if kind == "native":
            executable = find_binary(binary)
            return _started(lambda: NativeHost(executable, config, arguments, folder, port), kind)
        raise ValueError(f"kind (or PROMETHEUS_TESTS): expected 'docker' or 'native', got {kind!r}")

    @staticmethod
    def default_kind(image: str = DEFAULT_IMAGE) -> str:
        """Return ``docker`` if an engine responds and has the image or can pull it, else ``native``."""
        return "native" if docker_problem(image) else "docker"

    def __enter__(self) -> PrometheusServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop it cleanly, and delete its data unless ``data_dir`` was given."""
        self._host.discard()

    def kill(self) -> None:
        """Kill it, as a crash would. :meth:`restart` starts it again."""
        self._host.kill()

    def restart(self) -> None:
        """Restart it with its data and on the same port, after stopping it cleanly if it is still running."""
        if self._host.exit_status() is None:
            self._host.terminate()
        self._host.start()
        self._wait_until_ready()

    def logs(self) -> str:
        """Return Prometheus's log so far."""
        return self._host.logs()

    def query(self, promql: str, time: float | None = None) -> list[dict[str, Any]]:
        """
        Return the result of an instant query in the format of Prometheus's API.

        :param promql: the query; a scalar or string result is wrapped as a single element.
        :param time: the evaluation time in seconds since 1970. Default: now.
        :raises PrometheusServerError: if Prometheus refuses the query.
        """
        parameters = {"query": promql} if time is None else {"query": promql, "time": repr(time)}
        data = json.loads(self._get("/api/v1/query", parameters))["data"]
        result: list[dict[str, Any]] = data["result"]
        return [{"metric": {}, "value": result}] if data["resultType"] in ("scalar", "string") else result

    def series(self, selector: str) -> list[dict[str, str]]:
        """Return the labels of each stored series that matches a selector such as ``up{job="x"}``."""
        found: list[dict[str, str]] = json.loads(self._get("/api/v1/series", {"match[]": selector}))["data"]
        return found

    def count(self, selector: str, *, start_ms: int = _BEGINNING_MS, end_ms: int = _END_MS) -> int:
        """Return the number of stored samples for a selector, from ``start_ms`` to ``end_ms``, both inclusive."""
        return sum(self._count(each, start_ms, end_ms) for each in self._metric_by_metric(selector))

    def samples(self, selector: str, *, start_ms: int = _BEGINNING_MS, end_ms: int = _END_MS) -> Samples:
        """
        Return the raw stored samples for a selector, without interpolation.

        Splits large results into several queries, so a million samples is not a problem. For histograms, use
        :meth:`histograms`. Prometheus's query API does not return stale markers.

        :param selector: a selector such as ``my_metric`` or ``{__name__=~"flight_.*"}``.
        :param start_ms: the earliest timestamp, in milliseconds. Default: the year 1920.
        :param end_ms: the latest timestamp, in milliseconds. Default: the year 2120.
        :return: the samples of each series as (value, timestamp in ms), in order of time. The keys are the series'
            labels as sorted pairs, including ``__name__``.
        """
        found: Samples = {}
        for labels, series in self._stored(selector, start_ms, end_ms):
            found.setdefault(labels, []).extend((float(value), stamp) for stamp, value in series.get("values", ()))
        return {labels: samples for labels, samples in found.items() if samples}

    def histograms(self, selector: str, *, start_ms: int = _BEGINNING_MS, end_ms: int = _END_MS) -> Histograms:
        """
        Return the stored native histograms for a selector.

        Prometheus 3.5 stores them with ``extra_args=["--enable-feature=native-histograms"]``, 3.9 and later always.

        :param selector: as for :meth:`samples`.
        :param start_ms: the earliest timestamp, in milliseconds. Default: the year 1920.
        :param end_ms: the latest timestamp, in milliseconds. Default: the year 2120.
        :return: the histograms of each series as (:class:`StoredHistogram`, timestamp in ms), in order of time. The
            keys are the series' labels.
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

        Prometheus stores them with ``extra_args=["--enable-feature=exemplar-storage"]``, and keeps only the latest,
        across all series.

        :param selector: a selector such as ``my_metric``.
        :param start_ms: the earliest timestamp, in milliseconds. Default: 1970.
        :param end_ms: the latest timestamp, in milliseconds. Default: the year 2120.
        :return: the exemplars of each series in order of time. The keys are the series' labels.
        """
        query = {"query": selector, "start": repr(start_ms / 1000), "end": repr(end_ms / 1000)}
        response = json.loads(self._get("/api/v1/query_exemplars", query))
        return {
            tuple(sorted(series["seriesLabels"].items())): [
                Exemplar(each["labels"], float(each["value"]), round(float(each["timestamp"]) * 1000))
                for each in series["exemplars"]
            ]
            for series in response["data"]
        }

    def _metric_by_metric(self, selector: str) -> list[str]:
        """
        Return one selector per metric name: functions drop the name, and series would then collide.

        This is done even for a single name: another metric may be written before the next query.
        """
        if _NAMES_A_METRIC.match(selector):
            return [selector]
        names = sorted({series["__name__"] for series in self.series(selector)})
        matchers = selector.strip().removesuffix("}").rstrip(", ")
        return [f"{matchers}, __name__={json.dumps(name, ensure_ascii=False)}}}" for name in names]

    def _count(self, selector: str, start_ms: int, end_ms: int) -> int:
        """Count the samples of one metric."""
        result = self.query(f"sum(count_over_time({_window(selector, start_ms, end_ms)}))", end_ms / 1000)
        return int(result[0]["value"][1]) if result else 0

    def _stored(self, selector: str, start_ms: int, end_ms: int) -> Iterator[tuple[LabelSet, dict[str, Any]]]:
        """Yield the labels and parts of each series in the API's format, in order of time."""
        for each in self._metric_by_metric(selector):
            for series in self._windows(each, start_ms, end_ms, self._count(each, start_ms, end_ms)):
                yield tuple(sorted(series["metric"].items())), series

    def _windows(self, selector: str, start_ms: int, end_ms: int, count: int) -> Iterator[dict[str, Any]]:
        """Query a time range; split it in half if it holds too many samples for one response."""
        if count == 0:
            return
        if count > _SAMPLES_A_QUERY and start_ms < end_ms:
            middle = (start_ms + end_ms) // 2
            first_half = self._count(selector, start_ms, middle)
            yield from self._windows(selector, start_ms, middle, first_half)
            yield from self._windows(selector, middle + 1, end_ms, count - first_half)
            return
        query = {"query": _window(selector, start_ms, end_ms), "time": repr(end_ms / 1000)}
        # Milliseconds are parsed from the text: far from 1970, a float of seconds is not precise enough.
        response = json.loads(self._get("/api/v1/query", query), parse_float=_milliseconds, parse_int=_milliseconds)
        yield from response["data"]["result"]

    def _get(self, path: str, parameters: dict[str, str]) -> bytes:
        request = urllib.request.Request(  # noqa: S310 - the address is our own
            f"{self.url}{path}", data=urllib.parse.urlencode(parameters).encode() or None
        )
        try:
            with _OPENER.open(request, timeout=_QUERY_SECONDS) as response:
                body: bytes = response.read()
                return body
        except urllib.error.HTTPError as error:
            with error:
                text = error.read().decode(errors="replace")
            raise PrometheusServerError(
                f"Prometheus responded with {error.code} to {path} {parameters}: {text}"
            ) from error
        except OSError as error:
            raise PrometheusServerError(f"Prometheus at {self.url} does not respond: {error}") from error

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        while True:
            status = self._host.exit_status()
            if status is not None:
                raise PrometheusServerError(f"Prometheus exited with status {status}; its log:\n{self.logs()}")
            try:
                with _OPENER.open(f"{self.url}/-/ready", timeout=5):
                    break
            except OSError as error:  # refused, reset, or a 503 while it loads its data
                if isinstance(error, urllib.error.HTTPError):
                    error.close()
                if time.monotonic() > deadline:
                    raise PrometheusServerError(
                        f"Prometheus is not ready after {_READY_SECONDS:.0f} s ({error}); its log:\n{self.logs()}"
                    ) from error
            time.sleep(_POLL_SECONDS)
        self.version = json.loads(self._get("/api/v1/status/buildinfo", {}))["data"]["version"]


def _started(make_host: Callable[[], Host], kind: str) -> PrometheusServer:
    """Start a server; retry with a different port if the free one was taken in the meantime."""
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
    # The start of a range is exclusive, so one more millisecond includes the sample at start_ms.
    return f"{selector}[{end_ms - start_ms + 1}ms]"


def _stored_histogram(data: dict[str, Any]) -> StoredHistogram:
    buckets = [(float(lower), float(upper), float(count)) for _, lower, upper, count in data.get("buckets", ())]
    return StoredHistogram(float(data["count"]), float(data["sum"]), buckets)


def _milliseconds(text: str) -> int:
    """Parse a timestamp of Prometheus's JSON: seconds with no decimals or exactly three."""
    return int(text.replace(".", "")) if "." in text else int(text) * 1000


# Loopback requests must not go through a proxy.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
