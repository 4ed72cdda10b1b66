"""Receivers that decode what they get, with or without a socket, and answer as a test wants."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Optional, Union

import snappy

from pyflink_prometheus.http.outcome import Kind, Outcome, classify_status
from pyflink_prometheus.timeseries import METRIC_NAME_LABEL, PrometheusTimeSeries
from pyflink_prometheus.wire._pb.remote_write_v1_pb2 import WriteRequest


@dataclass(frozen=True)
class ReceivedRequest:
    """
    Hold one decoded request.

    :param headers: as they came, names in lower case.
    :param series: its series in their order, each with its labels in the order on the wire.
    """

    headers: Mapping[str, str]
    series: list[PrometheusTimeSeries]

    @property
    def samples(self) -> list[tuple[str, float, int]]:
        """All samples as (series key, value, timestamp in ms), in the order on the wire."""
        return [(each.key(), value, timestamp) for each in self.series for value, timestamp in each.samples]


def decode_request(body: bytes, headers: Mapping[str, str] | None = None) -> ReceivedRequest:
    """
    Decode a Remote-Write 1.0 request with protobuf's own classes.

    :param body: as posted: Snappy's block format.
    """
    message = WriteRequest.FromString(snappy.uncompress(body))
    series = []
    for each in message.timeseries:
        labels = [(label.name, label.value) for label in each.labels]
        metric_name = dict(labels).get(METRIC_NAME_LABEL, "")
        others = tuple((name, value) for name, value in labels if name != METRIC_NAME_LABEL)
        samples = tuple((sample.value, sample.timestamp) for sample in each.samples)
        series.append(PrometheusTimeSeries(metric_name, others, samples))
    return ReceivedRequest({name.lower(): value for name, value in (headers or {}).items()}, series)


@dataclass(frozen=True)
class Answer:
    """Hold what a receiver answers: a status, a body, headers."""

    status: int = 204
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


Decide = Callable[[ReceivedRequest], Optional[Union[int, Answer]]]


class ScriptedTransport:
    """
    Take the place of the HTTP transport in a writer: decode what is posted and answer by a script.

    :param script: an outcome or a status for each POST in turn; after its end, and for ``None``, ``decide`` answers.
    :param decide: gives a status for a decoded request. Default: 204 for all.
    """

    def __init__(
        self,
        script: Iterable[int | Outcome | None] = (),
        decide: Callable[[ReceivedRequest], int] = lambda request: 204,
    ) -> None:
        self._script = deque(script)
        self._decide = decide
        self._lock = threading.Lock()
        #: All requests so far, and those that were accepted.
        self.requests: list[ReceivedRequest] = []
        self.accepted: list[ReceivedRequest] = []
        self.closed = False

    def post(self, body: bytes, headers: Mapping[str, str]) -> Outcome:
        """Decode, remember and answer."""
        request = decode_request(body, headers)
        with self._lock:
            self.requests.append(request)
            answer = self._script.popleft() if self._script else None
            if answer is None:
                answer = self._decide(request)
            outcome = answer if isinstance(answer, Outcome) else classify_status(answer)
            if outcome.kind is Kind.ACCEPTED:
                self.accepted.append(request)
            return outcome

    def close(self) -> None:
        """Remember that the writer let go of it."""
        self.closed = True

    @property
    def stored(self) -> list[tuple[str, float, int]]:
        """All samples that were accepted, as (series key, value, timestamp in ms), in order."""
        return [sample for request in self.accepted for sample in request.samples]


class Receiver:
    """
    Listen on loopback as a Remote-Write receiver, decode each request and answer as a test wants.

    ::

        with Receiver() as receiver:
            ...  # write to receiver.url
            assert receiver.requests[0].samples == [...]

    :param decide: gives a status or an :class:`Answer` for a request; ``None`` means 204. Default: 204 for all.
    """

    def __init__(self, decide: Decide = lambda request: None) -> None:
        self._lock = threading.Lock()
        #: All requests so far.
        self.requests: list[ReceivedRequest] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle(self) -> None:
                with contextlib.suppress(ConnectionError):  # a client that was killed
                    super().handle()

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                request = decode_request(body, dict(self.headers.items()))
                with receiver._lock:
                    receiver.requests.append(request)
                    decided = decide(request)
                answer = Answer() if decided is None else Answer(decided) if isinstance(decided, int) else decided
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                content = answer.body.encode("utf-8")
                if answer.status != 204:
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

    @property
    def samples(self) -> list[tuple[str, float, int]]:
        """All samples of all requests, as (series key, value, timestamp in ms), in order."""
        with self._lock:
            return [sample for request in self.requests for sample in request.samples]

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Receiver:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
