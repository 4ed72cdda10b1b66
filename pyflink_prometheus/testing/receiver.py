"""Receivers that decode requests, with or without a socket, and respond as a test decides."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from pyflink_prometheus.config import RemoteWriteVersion
from pyflink_prometheus.http.outcome import (
    Kind,
    Outcome,
    Written,
    classify_status,
)
from pyflink_prometheus.model.labels import canonical_labels
from pyflink_prometheus.testing.decoding import ReceivedRequest, decode_request

ALL_VERSIONS = (RemoteWriteVersion.V1, RemoteWriteVersion.V2)


@dataclass(frozen=True)
class Response:
    """
    The response of a receiver.

    :param status: the HTTP status.
    :param body: the body, as text.
    :param headers: headers in addition to the Written headers.
    :param written: the counts in the Written headers of the response to a 2.0 request. Default: everything for 2xx,
        else nothing.
    :param says_written: whether it sends Written headers at all; a 1.0 receiver does not.
    """

    status: int = 204
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    written: Written | None = None
    says_written: bool = True


Decide = Callable[[ReceivedRequest], int | Response | None]


def _response_to(
    request: ReceivedRequest, decided: int | Response | None, versions: Collection[RemoteWriteVersion]
) -> Response:
    """Return the response of a receiver that supports these versions, with Written headers if 2.0 is among them."""
    response = Response() if decided is None else Response(decided) if isinstance(decided, int) else decided
    if request.version is RemoteWriteVersion.V1:
        return response
    if RemoteWriteVersion.V2 not in versions:
        return Response(415, "Remote-Write 2.0 is not supported")
    written = response.written
    if written is None and response.says_written and response.status != 415:
        written = request.content if 200 <= response.status < 300 else Written()
    return replace(response, written=written)


class ScriptedTransport:
    """
    A replacement for a writer's HTTP transport that decodes each request and follows a script.

    :param script: an outcome, a status or a :class:`Response` for each POST in turn; after the last one, and for
        ``None``, ``decide`` is called.
    :param decide: returns an outcome, a status or a :class:`Response` for a decoded request; ``None`` means 204.
        Default: always 204.
    :param versions: the supported versions; without 2.0, a 2.0 request gets 415. Default: both.
    """

    def __init__(
        self,
        script: Iterable[int | Response | Outcome | None] = (),
        decide: Callable[[ReceivedRequest], int | Response | Outcome | None] = lambda request: None,
        versions: Collection[RemoteWriteVersion] = ALL_VERSIONS,
    ) -> None:
        self._script = deque(script)
        self._decide = decide
        self._versions = versions
        self._lock = threading.Lock()
        #: All requests so far.
        self.requests: list[ReceivedRequest] = []
        #: The requests that were accepted.
        self.accepted: list[ReceivedRequest] = []
        self.closed = False

    def post(self, body: bytes, headers: Mapping[str, str]) -> Outcome:
        """Decode and record a request, and return the outcome."""
        request = decode_request(body, headers)
        with self._lock:
            self.requests.append(request)
            decided = self._script.popleft() if self._script else None
            if decided is None:
                decided = self._decide(request)
            if isinstance(decided, Outcome):
                outcome = decided
            else:
                response = _response_to(request, decided, self._versions)
                outcome = replace(classify_status(response.status, response.body), written=response.written)
            if outcome.kind is Kind.ACCEPTED:
                self.accepted.append(request)
            return outcome

    def close(self) -> None:
        """Record that the writer has closed it."""
        self.closed = True

    @property
    def stored(self) -> list[tuple[str, float, int]]:
        """All accepted samples as (series key, value, timestamp in ms), in order."""
        return [sample for request in self.accepted for sample in request.samples]


class Receiver:
    """
    A Remote-Write receiver on loopback that decodes each request and responds as a test decides.

    A request that cannot be decoded gets 400.

    ::

        with Receiver() as receiver:
            ...  # write to receiver.url
            assert receiver.requests[0].samples == [...]

    :param decide: returns a status or a :class:`Response` for a request; ``None`` means 204. Default: always 204.
    :param versions: the supported versions; without 2.0, a 2.0 request gets 415. Default: both.
    """

    def __init__(
        self, decide: Decide = lambda request: None, versions: Collection[RemoteWriteVersion] = ALL_VERSIONS
    ) -> None:
        self._lock = threading.Lock()
        #: All requests so far.
        self.requests: list[ReceivedRequest] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # otherwise each response with a body takes 40 ms

            def handle(self) -> None:
                with contextlib.suppress(ConnectionError):  # a client that was killed
                    super().handle()

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                try:
                    request = decode_request(body, dict(self.headers.items()))
                except Exception as error:
                    response = Response(400, f"cannot decode the body: {error!r}")
                else:
                    with receiver._lock:
                        receiver.requests.append(request)
                        response = _response_to(request, decide(request), versions)
                self.send_response(response.status)
                for name, value in response.headers.items():
                    self.send_header(name, value)
                for kind, number in (response.written._asdict() if response.written else {}).items():
                    self.send_header(f"X-Prometheus-Remote-Write-{kind.title()}-Written", str(number))
                # A 204 has no body (RFC 9110, 15.3.5).
                content = b"" if response.status == 204 else response.body.encode("utf-8")
                if response.status != 204:
                    self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """The URL to write to."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/api/v1/write"

    def samples(self, metric_name: str | None = None) -> dict[tuple[tuple[str, str], ...], list[tuple[Any, int]]]:
        """
        Return the samples of all requests, in the shape of :meth:`PrometheusServer.samples`.

        :param metric_name: return only the series of this metric. Default: all.
        :return: the samples of each series as (value, timestamp in ms), in order of arrival. The keys are the series'
            labels as sorted pairs, including ``__name__``. For the order across series, see ``requests``.
        """
        found: dict[tuple[tuple[str, str], ...], list[tuple[Any, int]]] = {}
        with self._lock:
            for series in [series for request in self.requests for series in request.series]:
                if metric_name in (None, series.metric_name):
                    labels = canonical_labels(series.metric_name, series.labels)
                    found.setdefault(labels, []).extend(sample[:2] for sample in series.samples)
        return found

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Receiver:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
