"""Connections of requests and urllib3 that meet a deadline and hide the query from both libraries."""

from __future__ import annotations

import http.client
import io
import random
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

import requests.adapters

from pyflink_prometheus.http.auth.userinfo import basic_credentials, split_userinfo

# A socket's timeout bounds a whole sendall, but an SSLSocket's bounds only each record: so send record by record.
_TLS_RECORD = 16 * 1024

# How long to wait for the reason why a receiver closed a connection. It has already arrived, or never will.
_ALERT_SECONDS = 0.5


class Stage(Enum):
    """The stage that an attempt has reached."""

    CONNECT = "connect"
    SEND = "send"
    RESPONSE = "response"


class Attempt:
    """
    The state of the current attempt, shared by a transport and its connections.

    :ivar deadline: in seconds of the monotonic clock; no wait for the network, on any connection, exceeds it.
    :ivar query: with its question mark, "" for none. It may hold a secret, and urllib3 logs the URLs that it receives.
    :ivar stage: the stage that the attempt has reached.
    :ivar response: the response, once its status and headers have been received.
    :ivar observer: called with the socket of each connection, once it is open; ``None`` for no observer.
    """

    def __init__(self) -> None:
        self.deadline = 0.0
        self.query = ""
        self.stage = Stage.CONNECT
        self.response: http.client.HTTPResponse | None = None
        self.observer: Callable[[Any], None] | None = None

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


@dataclass(frozen=True)
class Route:
    """
    The settings for reaching an endpoint that requests itself lacks.

    :param context: the TLS settings; ``None`` for those of requests.
    :param server_name: the name that the endpoint's certificate must cover; ``None`` for the URL's.
    :param connect_headers: returns more headers for a proxy that opens a tunnel; called for each tunnel.
    :param random_address: whether each connection goes to a random one of the host's addresses.
    """

    context: ssl.SSLContext | None = None
    server_name: str | None = None
    connect_headers: Callable[[], dict[str, str]] | None = None
    random_address: bool = False


class BoundedAdapter(requests.adapters.HTTPAdapter):
    """
    A requests adapter whose connections, direct or through a proxy, meet the attempt's deadline.

    :param attempt: the current attempt; a transport has one at a time.
    :param route: TLS and proxy settings.
    """

    def __init__(self, attempt: Attempt, route: Route = Route()) -> None:
        self._attempt = attempt
        self._route = route
        super().__init__(pool_connections=1, pool_maxsize=1)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Prepare direct connections."""
        super().init_poolmanager(*args, **{**kwargs, **self._tls()})
        _bound(self.poolmanager, self._attempt, self._route)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        """Prepare connections through a proxy."""
        exists = proxy in self.proxy_manager
        if not exists and self._route.context is not None and proxy.startswith("https:"):
            kwargs["proxy_ssl_context"] = self._route.context
        manager = super().proxy_manager_for(proxy, **{**kwargs, **self._tls()})
        if not exists:
            _bound(manager, self._attempt, self._route)
        return manager

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Add the trusted authorities of requests to a connection, unless there is a context, which has its own."""
        if self._route.context is None:
            super().cert_verify(conn, url, verify, cert)  # type: ignore[no-untyped-call]

    def build_connection_pool_key_attributes(self, request: Any, verify: Any, cert: Any = None) -> Any:
        """Return where to connect, and the TLS settings of requests unless there is a context."""
        host, tls = super().build_connection_pool_key_attributes(request, verify, cert)
        return (host, tls) if self._route.context is None else (host, {})

    def _tls(self) -> dict[str, Any]:
        if self._route.context is None:
            return {}
        return {"ssl_context": self._route.context, "server_hostname": self._route.server_name}

    def proxy_headers(self, proxy: str) -> dict[str, str]:
        """Return the proxy's credentials as UTF-8; requests assumes Latin-1, and quotes anything else in its error."""
        return proxy_authorization(proxy)


def proxy_authorization(proxy: str) -> dict[str, str]:
    """Return the header that authenticates to a proxy, if its URL has credentials."""
    _, username, password = split_userinfo(proxy)
    return {} if username is None else {"Proxy-Authorization": basic_credentials(username, password)}


def _bound(manager: Any, attempt: Attempt, route: Route) -> None:
    """Make a urllib3 pool manager create connections that meet the attempt's deadline and follow the route."""
    manager.pool_classes_by_scheme = {
        scheme: _bounded_pool(pool_class, attempt, route)
        for scheme, pool_class in manager.pool_classes_by_scheme.items()
    }


def _bounded_pool(pool_class: Any, attempt: Attempt, route: Route) -> Any:
    shared = {"attempt": attempt, "route": route}
    connection_class = pool_class.ConnectionCls
    # Error messages begin with the class name.
    connection = type(connection_class.__name__, (_BoundedConnection, connection_class), shared)
    return type(pool_class.__name__, (_RoutedPool, pool_class), {**shared, "ConnectionCls": connection})


class _BoundedConnection:
    """The methods of a urllib3 connection that differ here."""

    attempt: Attempt
    route: Route
    sock: Any
    _dns_host: str

    def connect(self) -> None:
        self.attempt.stage = Stage.CONNECT
        super().connect()  # type: ignore[misc]
        if self.route.context is not None and self.route.context.verify_mode is ssl.CERT_NONE:
            self.is_verified = True  # or urllib3 warns about each request; one warning at the start is enough
        self.attempt.stage = Stage.SEND
        if self.attempt.observer is not None:
            self.attempt.observer(self.sock)

    def putrequest(self, method: str, url: str, *args: Any, **kwargs: Any) -> None:
        if self.sock is not None:
            self.attempt.stage = Stage.SEND  # on a kept-alive connection
        super().putrequest(method, url + self.attempt.query, *args, **kwargs)  # type: ignore[misc]

    def send(self, data: bytes) -> None:
        if self.sock is None:
            self.connect()
        is_plain = isinstance(self.sock, socket.socket) and not isinstance(self.sock, ssl.SSLSocket)
        size = len(data) if is_plain else _TLS_RECORD
        try:
            for start in range(0, len(data), size or 1):
                self.sock.settimeout(self.attempt.left_s())
                super().send(data[start : start + size])  # type: ignore[misc]
        except OSError:
            if not is_plain:
                self._raise_alert()
            raise

    def _raise_alert(self) -> None:
        """Raise the TLS alert that the receiver sent before it closed the connection, if it has not been read yet."""
        try:
            self.sock.settimeout(min(self.attempt.left_s(), _ALERT_SECONDS))
            self.sock.recv(1)
        except ssl.SSLError as error:
            if error.reason and "ALERT" in error.reason:
                raise
        except OSError:
            pass

    def getresponse(self) -> Any:
        self.attempt.stage = Stage.RESPONSE
        return super().getresponse()  # type: ignore[misc]

    def response_class(self, sock: Any, *args: Any, **kwargs: Any) -> http.client.HTTPResponse:
        bounded: Any = _BoundedSocket(sock, self.attempt)
        self.attempt.response = _Response(bounded, *args, **kwargs)
        return self.attempt.response

    def _new_conn(self) -> Any:
        is_direct = getattr(self, "proxy", None) is None and not hasattr(self, "_socks_options")
        if not self.route.random_address or not is_direct:
            return super()._new_conn()  # type: ignore[misc]
        host = self._dns_host
        self._dns_host = _random_address(host, self.port)  # type: ignore[attr-defined]
        try:
            return super()._new_conn()  # type: ignore[misc]
        finally:
            self._dns_host = host  # the certificate must cover this name


class _RoutedPool:
    """The methods of a urllib3 pool that differ here."""

    route: Route
    proxy_headers: Any

    def _prepare_proxy(self, connection: Any) -> None:
        if self.route.connect_headers is not None:
            self.proxy_headers = {**self.proxy_headers, **self.route.connect_headers()}
        super()._prepare_proxy(connection)  # type: ignore[misc]


def _random_address(host: str, port: int) -> str:
    """Return one of a host's addresses; the host itself if its name cannot be resolved."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        return host
    return str(random.choice(found)[4][0])  # noqa: S311


class _Response(http.client.HTTPResponse):
    """A response without the unparsed rest of its headers: urllib3 would log that, including any secret."""

    def begin(self) -> None:
        super().begin()
        self.headers.defects.clear()
        self.headers.set_payload("")


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
