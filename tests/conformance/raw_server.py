"""A raw server: it reads an HTTP request, and a test decides what happens to the connection."""

from __future__ import annotations

import contextlib
import re
import socket
import threading


class RawServer:
    """
    A server on loopback that passes each request of each connection to a function.

    :param response: the bytes to send, or a function of the connection that sends them; it also reads the request if
        ``reads`` is false.
    :param tls: wraps each connection.
    :param keep: whether to wait for another request on the connection.
    :ivar requests: the head of each request, as text.
    :ivar connections: the number of connections.
    :ivar stop: set when the test is over, for functions that run until then.
    """

    def __init__(self, response, *, tls=None, keep=False, reads=True):
        self.requests = []
        self.connections = 0
        self.stop = threading.Event()
        self._response, self._tls, self._keep, self._reads = response, tls, keep, reads
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def url(self, rest="/api/v1/write", scheme="http"):
        return f"{scheme}://127.0.0.1:{self.port}{rest}"

    def close(self):
        self.stop.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(10)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.connections += 1
                self._threads.append(threading.Thread(target=self._serve, args=(connection,), daemon=True))
                self._threads[-1].start()

    def _serve(self, connection):
        with contextlib.suppress(OSError), connection:
            connection.settimeout(10)
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
            with connection:
                while not self._reads or self._read(connection):
                    if callable(self._response):
                        self._response(connection)
                    else:
                        connection.sendall(self._response)
                    if not self._keep:
                        return

    def _read(self, connection):
        """Read one complete request."""
        request = b""
        while b"\r\n\r\n" not in request:
            part = connection.recv(65536)
            if not part:
                return False
            request += part
        head, _, body = request.partition(b"\r\n\r\n")
        length = re.search(rb"(?im)^content-length: (\d+)", head)
        missing = int(length[1]) - len(body) if length else 0
        while missing > 0:
            missing -= len(connection.recv(65536))
        self.requests.append(head.decode("latin-1"))
        return True


def response(status, *headers, body=b""):
    """Return the bytes of a response, with the body's length unless a header determines it."""
    lines = [f"HTTP/1.1 {status} Response", *headers]
    if not any(re.match("(?i)content-length|transfer-encoding", header) for header in headers) and status != 204:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body
