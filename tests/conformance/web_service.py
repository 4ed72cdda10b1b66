"""A server on loopback that stands in for a token endpoint or a metadata service, and responds as a test says."""

from __future__ import annotations

import contextlib
import json
import threading
from collections import deque
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True)
class Asked:
    """One request: headers by their names in lower case."""

    method: str
    target: str
    headers: dict = field(repr=False)
    body: str = field(repr=False)

    @property
    def path(self):
        return urlsplit(self.target).path

    @property
    def form(self):
        """The fields of the form, or of the query if there is no body."""
        fields = parse_qs(self.body or urlsplit(self.target).query, keep_blank_values=True)
        return {name: values[0] for name, values in fields.items()}


class WebService:
    """
    A server that responds to each request with a status, headers, and a body: text, or an object for JSON.

    :param decide: returns the response to a request, after those of ``script``: a body, or a status with a body and
        optional headers; ``None`` closes the connection without a response.
    :param tls: wraps the listener.
    """

    def __init__(self, decide=lambda asked: (404, ""), tls=None):
        self.decide = decide
        self.script: deque = deque()
        self.requests: list[Asked] = []
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def handle(self):
                with contextlib.suppress(OSError):  # a client that is gone
                    super().handle()

            def respond(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", "0"))).decode("latin-1")
                headers = {name.lower(): value for name, value in self.headers.items()}
                asked = Asked(self.command, self.path, headers, body)
                service.requests.append(asked)
                decided: Any = service.script.popleft() if service.script else service.decide(asked)
                if decided is None:
                    self.close_connection = True
                    return
                status, content, *more = decided if isinstance(decided, tuple) else (200, decided)
                text = content if isinstance(content, str) else json.dumps(content)
                self.send_response(status)
                for name, value in (more[0] if more else {}).items():
                    self.send_header(name, value)
                self.send_header("Content-Type", "text/plain" if isinstance(content, str) else "application/json")
                self.send_header("Content-Length", str(len(text.encode())))
                self.end_headers()
                self.wfile.write(text.encode())

            do_GET = do_PUT = do_POST = respond  # noqa: N815

            def log_message(self, format, *args):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.scheme = "http"
        if tls is not None:
            self.scheme = "https"
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def url(self, target="", host="127.0.0.1"):
        return f"{self.scheme}://{host}:{self.port}{target}"

    def forms(self):
        return [asked.form for asked in self.requests]

    def close(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
