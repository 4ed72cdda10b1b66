"""One request to one URL, bounded in time, and its response: the sink sends everything through this module."""

from __future__ import annotations

import http.client
import logging
import time
import zlib
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit, urlunsplit

import requests

from pyflink_prometheus.config import without_credentials
from pyflink_prometheus.errors import SecretError
from pyflink_prometheus.http.connections import Attempt, BoundedAdapter, Route, proxy_authorization
from pyflink_prometheus.http.failures import Surroundings, classify_failure
from pyflink_prometheus.http.outcome import Kind, Outcome, is_retryable
from pyflink_prometheus.http.proxies import ProxyConfiguration
from pyflink_prometheus.http.redaction import redacted
from pyflink_prometheus.http.signing import secrets_of
from pyflink_prometheus.http.tls import TlsConfiguration, TlsContext

#: A connection attempt that takes longer is not going to succeed.
CONNECT_TIMEOUT_S = 5.0
#: Limits for reading a response body, however large or slow: enough for any receiver's message.
BODY_LIMIT = 8 * 1024
BODY_SECONDS = 1.0
#: The body of a success is not needed; it is read to the end only so that the connection can be kept.
SUCCESS_BODY_SECONDS = 0.5

_log = logging.getLogger(__name__)


class Received(NamedTuple):
    """
    A response.

    :param status: the HTTP status.
    :param headers: the headers, in a mapping that ignores the case of names; a Location header has no query.
    :param body: the beginning of the body, as received.
    """

    status: int
    headers: Any
    body: bytes

    @property
    def text(self) -> str:
        """The body's text; a compressed one, although not requested, is decompressed up to a limit."""
        return _decoded(self.body, self.headers.get("Content-Encoding", ""))


class Exchange:
    """
    A way to send requests to one URL, one at a time, with its own requests adapter; used by one thread at a time.

    It follows no redirects, keeps no cookies and reads responses up to a limit. Proxies and certificates that are not
    configured come from the environment, as in any program that uses requests. Nothing that it returns or logs shows
    the URL's query or the proxy's credentials.

    :param url: the URL, without user and password.
    :param timeout_s: how long an attempt may take, up to the last header of the response.
    :param body_limit: how many bytes of a response's body are read.
    :param success_body_s: for how many seconds the body of a success is read.
    :param tls: TLS settings; ``None`` for those of the environment.
    :param proxy: proxy settings; ``None`` for those of the environment.
    :param round_robin_dns: whether each connection goes to a random one of the host's addresses.
    """

    def __init__(
        self,
        url: str,
        timeout_s: float,
        *,
        body_limit: int = BODY_LIMIT,
        success_body_s: float = SUCCESS_BODY_SECONDS,
        tls: TlsConfiguration | None = None,
        proxy: ProxyConfiguration | None = None,
        round_robin_dns: bool = False,
    ) -> None:
        self._url = url
        self._timeout_s = timeout_s
        self._body_limit = body_limit
        self._success_body_s = success_body_s
        connect_timeout_s = min(CONNECT_TIMEOUT_S, timeout_s)
        # Read once, because reading it for each request would cost more than sending the request.
        environment: Any = requests.Session().merge_environment_settings(url, {}, True, None, None)
        self._environment = {**environment, "timeout": (connect_timeout_s, timeout_s)}
        has_own_proxy = proxy is not None and not proxy.proxy_from_environment
        if proxy is not None and has_own_proxy:
            self._environment["proxies"] = proxy.proxies(url)
        proxy_url = requests.utils.select_proxy(url, self._environment["proxies"]) or ""
        verify = self._environment["verify"]
        self._tls = None if tls is None else TlsContext(tls, verify if isinstance(verify, str) else None)
        self.surroundings = Surroundings(
            without_credentials(url),
            _shown_proxy(proxy_url),
            verify if tls is None else None,
            connect_timeout_s,
            timeout_s,
            has_own_tls=tls is not None,
            has_own_proxy=has_own_proxy,
        )
        self._secrets = [urlsplit(url).query, *_proxy_secrets(proxy_url)]
        self._attempt = Attempt()
        self._route = Route(
            connect_headers=None if proxy is None else proxy.connect_headers, random_address=round_robin_dns
        )
        self._adapter = BoundedAdapter(self._attempt, self._route)
        self._prepared_url = ""

    def prepare(self, body: bytes, headers: Any) -> requests.PreparedRequest:
        """
        Return a POST of a body, which may then be signed.

        :raises ValueError: if no request can be made to the URL.
        """
        request = requests.PreparedRequest()
        request.prepare_method("POST")
        if not self._prepared_url:
            request.prepare_url(self._url, None)
            self._prepared_url = request.url or ""
        request.url = self._prepared_url
        request.prepare_headers(headers)
        request.prepare_cookies({})
        request.prepare_body(body, None)
        return request

    def send(self, request: requests.PreparedRequest, secrets: Iterable[str]) -> Received | Outcome:
        """
        Send a request; return its response, or the outcome of an attempt without a response.

        The timeout bounds the whole attempt, except for name resolution, which the operating system does.

        :param secrets: what the outcome must not show.
        """
        query, request.url = _without_query(request.url)
        self._attempt.begin(query, self._timeout_s)
        try:
            self._use_current_tls()
            response = self._adapter.send(request, **self._environment)
            # An AuthBase may inspect the response; digest authentication then sends the request again.
            for hook in request.hooks["response"]:
                response = hook(response, **self._environment) or response
        except SecretError as error:  # from a certificate, or from a header for the proxy
            return Outcome(Kind.FATAL, str(error))
        except Exception as error:
            outcome = classify_failure(error, self._attempt.stage, self.surroundings)
            return replace(outcome, message=self.redacted(outcome.message, secrets))
        return self._read(response)

    def redacted(self, text: str, secrets: Iterable[str]) -> str:
        """Return a text without these secrets, the URL's query and the proxy's credentials."""
        return redacted(text, [*self._secrets, *secrets])

    def observe_connections(self, observer: Callable[[Any], None]) -> None:
        """Call a function with the socket of each connection from now on, once it is open."""
        self._attempt.observer = observer

    def close(self) -> None:
        """Close the connection."""
        self._adapter.close()

    def _use_current_tls(self) -> None:
        """Replace the connections if a certificate or key has changed."""
        if self._tls is None:
            return
        context = self._tls.current()
        if context is not self._route.context:
            self._adapter.close()
            self._route = replace(self._route, context=context, server_name=self._tls.server_name)
            self._adapter = BoundedAdapter(self._attempt, self._route)

    def _read(self, response: requests.Response) -> Received:
        """Return a response, and keep the connection if its body was read to the end."""
        if not self.surroundings.has_responded:
            self.surroundings = self.surroundings._replace(has_responded=True)
        status, headers = response.status_code, response.headers
        seconds = self._success_body_s if 200 <= status < 300 else BODY_SECONDS
        self._attempt.deadline = time.monotonic() + seconds
        content, complete = _read_body(self._attempt.response, self._body_limit)
        if "Location" in headers:
            headers["Location"] = _shown_location(headers["Location"])
        # A load balancer that fails over from a dead backend keeps using it on existing connections: drop this one.
        if complete and (not is_retryable(status) or status == 429):
            if self._attempt.response is not None:
                self._attempt.response.close()  # the response, not the connection
        else:
            response.raw.close()
        response.raw.release_conn()
        return Received(status, headers, content)


def _read_body(response: http.client.HTTPResponse | None, limit: int) -> tuple[bytes, bool]:
    """Return a response's body, up to a limit of bytes and time, and whether it is complete."""
    content = bytearray()
    if response is None:
        return b"", False
    try:
        while len(content) < limit:
            part = response.read1(limit - len(content))
            if not part:
                return bytes(content), not response.length
            content += part
    except (http.client.HTTPException, OSError, ValueError) as error:
        _log.debug("the response body was cut off: %s", type(error).__name__)
    return bytes(content), False


def _decoded(content: bytes, encoding: str) -> str:
    """Return a body's text; a compressed one, although not requested, is decompressed up to the limit."""
    encoding = encoding.strip().lower()
    if encoding in ("gzip", "x-gzip", "deflate") and content:
        # First with a gzip or zlib header, then without a header, which is how some servers interpret deflate.
        for window_bits in (47, -15):
            try:
                content = zlib.decompressobj(window_bits).decompress(content, BODY_LIMIT)
                break
            except zlib.error:
                continue
    elif encoding not in ("", "identity") and content:
        return f"(a body encoded as {encoding!r})"
    return content.decode("utf-8", errors="replace")


def _without_query(url: str | None) -> tuple[str, str]:
    """Return a URL's query with its question mark, and the URL without the query."""
    scheme, netloc, path, query, _ = urlsplit(url or "")
    return f"?{query}" if query else "", urlunsplit((scheme, netloc, path, "", ""))


def _shown_proxy(proxy: str) -> str:
    """Return a proxy's URL without secrets; if it cannot be parsed, show nothing of it."""
    try:
        return without_credentials(proxy if "://" in proxy else f"http://{proxy}") if proxy else ""
    except ValueError:
        return "from the environment"


def _proxy_secrets(proxy: str) -> list[str]:
    """Return a proxy's credentials: as given, decoded, and as sent."""
    password = proxy.rpartition("@")[0].partition("://")[2].partition(":")[2]
    try:
        sent = proxy_authorization(proxy)
    except ValueError:  # no request is sent in that case
        sent = {}
    return [password, unquote(password), *secrets_of(sent, {})]


def _shown_location(location: str) -> str:
    """Return a redirect's target without the query, which often is the query of the request."""
    try:
        return without_credentials(location)
    except ValueError:
        return ""
