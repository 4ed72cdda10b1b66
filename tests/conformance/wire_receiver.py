"""A receiver that keeps requests as received, and responds exactly as a test says."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

import snappy

from pyflink_prometheus.config import RemoteWriteVersion
from pyflink_prometheus.wire._pb.remote_write_v1_pb2 import WriteRequest
from pyflink_prometheus.wire._pb.remote_write_v2_pb2 import Request

V1, V2, AUTO = RemoteWriteVersion.V1, RemoteWriteVersion.V2, RemoteWriteVersion.AUTO
V2_MESSAGE = "io.prometheus.write.v2.Request"
T = 1_700_000_000_000


class Reply(NamedTuple):
    """A response with these headers and no other headers of the protocol."""

    status: int = 204
    body: str = ""
    headers: Mapping[str, str] = {}


def written(samples=0, histograms=0, exemplars=0):
    """Return the Written headers."""
    counts = {"Samples": samples, "Histograms": histograms, "Exemplars": exemplars}
    return {f"X-Prometheus-Remote-Write-{kind}-Written": str(count) for kind, count in counts.items()}


@dataclass(frozen=True, eq=False)
class Seen:
    """One request: headers by their names in lower case, and the address of the connection's other end."""

    method: str
    path: str
    headers: dict = field(repr=False)
    body: bytes
    connection: tuple

    @property
    def version(self):
        return V2 if V2_MESSAGE in self.headers.get("content-type", "") else V1

    @cached_property
    def message(self) -> Any:
        return (Request if self.version is V2 else WriteRequest).FromString(snappy.uncompress(self.body))

    @property
    def series(self):
        return list(self.message.timeseries)

    def labels(self, holder):
        """Return the labels of a series or of an exemplar, in the order on the wire."""
        if self.version is V1:
            return [(label.name, label.value) for label in holder.labels]
        texts = [self.message.symbols[reference] for reference in holder.labels_refs]
        return list(zip(texts[::2], texts[1::2]))

    def name(self, series):
        return dict(self.labels(series))["__name__"]

    @property
    def samples(self):
        """All samples and histograms as (metric's name, timestamp), in the order on the wire."""
        return [
            (self.name(series), each.timestamp)
            for series in self.series
            for each in (*series.samples, *series.histograms)
        ]

    @property
    def content(self):
        """The numbers of samples, histograms and exemplars in the request."""
        kinds = ("samples", "histograms", "exemplars")
        return [sum(len(getattr(series, kind)) for series in self.series) for kind in kinds]

    @property
    def unknown_bytes(self):
        """The number of bytes that the schema of its version does not define."""
        known = type(self.message)()
        known.CopyFrom(self.message)
        known.DiscardUnknownFields()
        return self.message.ByteSize() - known.ByteSize()


class WireReceiver:
    """
    A receiver on loopback that keeps all requests, and responds by ``script`` first, then by ``decide``.

    Both return a :class:`Reply`, which is sent as it is, or a status, to which the receiver adds Written headers like
    one of both versions: everything for a 2.0 request with 2xx, otherwise nothing.
    """

    def __init__(self):
        self._lock = threading.Lock()
        self.forget()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # otherwise a response with a body takes 40 ms

            def handle(self):
                with contextlib.suppress(ConnectionError):  # a writer that was closed
                    super().handle()

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                headers = {name.lower(): ", ".join(self.headers.get_all(name, [])) for name in self.headers}
                reply = receiver._reply(Seen(self.command, self.path, headers, body, self.client_address))
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                content = reply.body.encode("utf-8")
                if reply.status != 204:
                    self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if reply.status != 204:
                    self.wfile.write(content)

            def log_message(self, format, *args):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def forget(self):
        """Reset: forget all requests, and respond with 204."""
        self.requests, self.accepted = [], []
        self.script: deque[Reply | int] = deque()
        self.decide = lambda request: 204

    @property
    def root(self):
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def url(self):
        return f"{self.root}/api/v1/write"

    @property
    def versions(self):
        """The version of each request."""
        return [request.version for request in self.requests]

    @property
    def stored(self):
        """The samples of requests with a 2xx response, as (metric's name, timestamp), in order."""
        return [sample for request in self.accepted for sample in request.samples]

    def close(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _reply(self, request):
        with self._lock:
            self.requests.append(request)
            decided = self.script.popleft() if self.script else None
        if decided is None:
            decided = self.decide(request)
        if not isinstance(decided, Reply):
            counts = request.content if 200 <= decided < 300 else []
            decided = Reply(decided, headers=written(*counts) if request.version is V2 else {})
        if 200 <= decided.status < 300:
            with self._lock:
                self.accepted.append(request)
        return decided
