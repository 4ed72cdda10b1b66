"""Connections of requests and urllib3 that keep to a deadline and hide the query from both libraries."""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import time
from enum import Enum
from typing import Any

import requests.adapters

from pyflink_prometheus.http.auth.userinfo import basic_credentials, split_userinfo

# A socket's timeout bounds a whole sendall, but an SSLSocket's only each record of it: so send record by record.
_TLS_RECORD = 16 * 1024


class Stage(Enum):
    """The stage that an attempt has reached."""

    CONNECT = "connect"
    SEND = "send"
    RESPONSE = "response"


class Attempt:
    """
    The state of the current attempt, shared by a transport and its connections.

    :ivar deadline: in seconds of the monotonic clock; no wait for the network, on any connection, goes beyond it.
    :ivar query: with its question mark, "" for none. It may hold a secret, and urllib3 logs the URLs that it gets.
    :ivar stage: the stage that the attempt has reached.
    :ivar response: the response, once its status and headers have been received.
    """

    def __init__(self) -> None:
        self.deadline = 0.0
        self.query = ""
        self.stage = Stage.CONNECT
        self.response: http.client.HTTPResponse | None = None

    def begin(self, query: str, timeout_s: float) -> None:
        """Begin an attempt with this timeout."""
        self.deadline = time.monotonic() + timeout_s
        self.query = query
        self.stage = Stage.CONNECT
        self.response = None

    def left_s(self) -> float:
        """
        Return the seconds left until the deadline, as a socket's timeout.

        :raises TimeoutError: if none are left.
        """
        left_s = self.deadline - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("timed out")
        return left_s


class BoundedAdapter(requests.adapters.HTTPAdapter):
    """
    A requests adapter whose connections, direct or through a proxy, keep to the attempt's deadline.

    :param attempt: the current attempt; a transport has one at a time.
    """

    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt
        super().__init__(pool_connections=1, pool_maxsize=1)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Prepare direct connections."""
        super().init_poolmanager(*args, **kwargs)
        _bound(self.poolmanager, self._attempt)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        """Prepare connections through a proxy."""
        exists = proxy in self.proxy_manager
        manager = super().proxy_manager_for(proxy, **kwargs)
        if not exists:
            _bound(manager, self._attempt)
        return manager

    def proxy_headers(self, proxy: str) -> dict[str, str]:
        """Return the proxy's credentials as UTF-8; requests assumes Latin-1, and quotes in its error what is not."""
        return proxy_authorization(proxy)


def proxy_authorization(proxy: str) -> dict[str, str]:
    """Return the header that authenticates to a proxy, if its URL has credentials."""
    _, username, password = split_userinfo(proxy)
    return {} if username is None else {"Proxy-Authorization": basic_credentials(username, password)}


def _bound(manager: Any, attempt: Attempt) -> None:
    """Make a urllib3 pool manager create connections that keep to the attempt's deadline."""
    manager.pool_classes_by_scheme = {
        scheme: _bounded_pool(pool_class, attempt) for scheme, pool_class in manager.pool_classes_by_scheme.items()
    }


def _bounded_pool(pool_class: Any, attempt: Attempt) -> Any:
    class Connection(pool_class.ConnectionCls):  # type: ignore[misc]
        def connect(self) -> None:
            attempt.stage = Stage.CONNECT
            super().connect()
            attempt.stage = Stage.SEND

        def putrequest(self, method: str, url: str, *args: Any, **kwargs: Any) -> None:
            if self.sock is not None:
                attempt.stage = Stage.SEND  # on a kept-alive connection
            super().putrequest(method, url + attempt.query, *args, **kwargs)

        def send(self, data: bytes) -> None:
            if self.sock is None:
                self.connect()
            is_plain = isinstance(self.sock, socket.socket) and not isinstance(self.sock, ssl.SSLSocket)
            size = len(data) if is_plain else _TLS_RECORD
            for start in range(0, len(data), size or 1):
                self.sock.settimeout(attempt.left_s())
                super().send(data[start : start + size])

        def getresponse(self) -> Any:
            attempt.stage = Stage.RESPONSE
            return super().getresponse()

        def response_class(self, sock: Any, *args: Any, **kwargs: Any) -> http.client.HTTPResponse:
            attempt.response = http.client.HTTPResponse(_BoundedSocket(sock, attempt), *args, **kwargs)  # type: ignore[arg-type]
            return attempt.response

    Connection.__name__ = Connection.__qualname__ = pool_class.ConnectionCls.__name__  # messages begin with it
    return type(pool_class.__name__, (pool_class,), {"ConnectionCls": Connection})


class _BoundedSocket:
    """The socket that a response is read from."""

    def __init__(self, sock: Any, attempt: Attempt) -> None:
        self._sock = sock
        self._attempt = attempt

    def makefile(self, mode: str) -> io.BufferedReader:
        """Return the one file that http.client reads."""
        return io.BufferedReader(_BoundedReader(self._sock, self._attempt))


class _BoundedReader(io.RawIOBase):
    """The bytes of a response; no read waits beyond the deadline."""

    def __init__(self, sock: Any, attempt: Attempt) -> None:
        self._sock = sock
        self._attempt = attempt
        self._file = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(self._attempt.left_s())
        count: int | None = self._file.readinto(buffer)
        return count

    def close(self) -> None:
        self._file.close()
        super().close()
