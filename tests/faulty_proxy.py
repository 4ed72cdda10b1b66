"""A proxy that injects failures of networks and receivers according to a schedule."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from pyflink_prometheus.testing import decode_request

#: Each network fault, and whether the receiver behind the proxy still gets the request. A schedule may also have
#: "415 to 2.0", as from an older receiver, and "429 and an earlier date", as from one whose clock is an hour slow.
FAULTS = {
    "hang up": False,
    "reset before": False,
    "reset in the response": True,
    "late response": True,
    "500": False,
    "503": False,
    "429": False,
    "429 and Retry-After": False,
    "garbage": True,
    "drip": True,
}


class FaultyProxy:
    """
    A proxy that forwards requests to a receiver, except those that the schedule makes fail.

    :param upstream: the receiver's URL.
    :param next_fault: gives the next request's fault, ``None`` for none; called under a lock.
    :param late_s: the seconds that a late response takes; longer than the writer's timeout.
    """

    def __init__(self, upstream: str, next_fault, late_s: float = 0.5) -> None:
        self.seen: Counter = Counter()
        #: The requests to the receiver, in order, with the status of its response.
        self.forwarded: list[tuple[list[tuple[str, float, int]], int]] = []
        lock = threading.Lock()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                with lock:
                    fault = next_fault()
                    proxy.seen[fault] += 1
                    if fault == "415 to 2.0" and "write.v2" not in self.headers["Content-Type"]:
                        fault = None
                    if fault is None or FAULTS.get(fault):
                        status, response, content = _forward(upstream, body, dict(self.headers.items()))
                        proxy.forwarded.append((decode_request(body, dict(self.headers.items())).samples, status))
                if fault is None:
                    self.connection.sendall(response + content)
                elif fault == "hang up":
                    self.close_connection = True
                elif fault == "reset before":
                    self.reset()
                elif fault == "reset in the response":
                    self.connection.sendall(response[:7])
                    self.reset()
                elif fault == "late response":
                    time.sleep(late_s)
                    self.connection.sendall(response + content)
                elif fault == "garbage":
                    self.connection.sendall(b"\x00\xff no HTTP at all \r\n\r\n")
                    self.close_connection = True
                elif fault == "drip":
                    for byte in response + content:
                        self.connection.sendall(bytes([byte]))
                        time.sleep(0.0005)
                else:
                    after = "Retry-After: 0\r\n" if "Retry-After" in fault else ""
                    earlier = f"Retry-After: {formatdate(time.time() - 3600, usegmt=True)}\r\n"
                    after = earlier if "date" in fault else after
                    head = f"HTTP/1.1 {fault[:3]} Trouble\r\n{after}Content-Length: 5\r\n\r\nsorry"
                    self.connection.sendall(head.encode())

            def reset(self):
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()
                self.close_connection = True

            def finish(self):
                with contextlib.suppress(OSError, ValueError):
                    super().finish()

            def log_message(self, format, *args):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request, client_address):
                pass  # the other side has stopped waiting, as the fault intends

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/api/v1/write"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _forward(upstream: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes, bytes]:
    request = urllib.request.Request(upstream, data=body, headers=headers, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            status, content, headers = response.status, response.read(), response.headers
    except urllib.error.HTTPError as error:
        status, content, headers = error.code, error.read(), error.headers
    kept = [f"{name}: {value}\r\n" for name, value in headers.items() if name.endswith("-Written")]
    length = "" if status == 204 else f"Content-Length: {len(content)}\r\n"
    return status, f"HTTP/1.1 {status} Response\r\n{''.join(kept)}{length}\r\n".encode(), content
