"""One POST on a kept-alive connection, and its outcome; never a retry."""

from __future__ import annotations

import http.client
import logging
import time
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Callable, Protocol
from urllib.parse import unquote, urlsplit, urlunsplit

import requests

from pyflink_prometheus.config import SinkConfig, without_credentials
from pyflink_prometheus.errors import SecretError
from pyflink_prometheus.http.auth import basic_credentials, split_userinfo
from pyflink_prometheus.http.connections import (
    Attempt,
    BoundedAdapter,
    Route,
    Stage,
    proxy_authorization,
)
from pyflink_prometheus.http.failures import Surroundings, classify_failure
from pyflink_prometheus.http.outcome import Kind, Outcome, classify
from pyflink_prometheus.http.proxies import ProxyConfiguration
from pyflink_prometheus.http.redaction import redacted
from pyflink_prometheus.http.signing import CannotSignError, secrets_of, sign
from pyflink_prometheus.http.tls import TlsConfiguration, TlsContext

#: A connection that takes longer is not going to succeed.
CONNECT_TIMEOUT_S = 5.0
#: Limits for reading a response's body, however large or slow: enough for any receiver's message.
BODY_LIMIT = 8 * 1024
BODY_SECONDS = 1.0
#: The body of a success is not needed; it is read to its end only so that the connection can be kept.
SUCCESS_BODY_SECONDS = 0.5

# Headers that select a tenant: they are not secrets, and receivers quote their values in refusals.
_TENANT_HEADERS = frozenset({"x-scope-orgid", "thanos-tenant", "accountid", "projectid"})

_log = logging.getLogger(__name__)


class Transport(Protocol):
    """A way to make exactly one attempt to deliver a request body; used by one thread at a time."""

    def post(self, body: bytes, headers: Mapping[str, str]) -> Outcome:
        """Send the body and return the outcome; never raise what a network or a receiver can cause."""

    def close(self) -> None:
        """Close the connection."""


class RequestsTransport:
    """
    A transport with its own requests adapter.

    It follows no redirects, keeps no cookies and reads responses up to a limit. Proxies and certificates that are not
    configured come from the environment, as in any program that uses requests; credentials come only from the URL or
    the signer, never from a .netrc. No outcome or log shows any of these, the query or the headers that the user set.

    :param config: the settings: URL, timeouts, headers and signer.
    :param clock_time: returns seconds since 1970.
    """

    def __init__(self, config: SinkConfig, clock_time: Callable[[], float] = time.time) -> None:
        self._url, username, password = split_userinfo(config.prometheus_remote_write_url)
        self._timeout_s = config.socket_timeout_ms / 1000
        self._connect_timeout_s = min(CONNECT_TIMEOUT_S, self._timeout_s)
        self._time = clock_time
        self._signer = config.request_signer
        self._user_agent = {"User-Agent": config.http_user_agent}
        self._headers = {**config.http_headers}
        if username is not None:
            self._headers["Authorization"] = basic_credentials(username, password)
        # Read once: for every request it would cost more than all else.
        environment: Any = requests.Session().merge_environment_settings(self._url, {}, True, None, None)
        self._environment = {**environment, "timeout": (self._connect_timeout_s, self._timeout_s)}
        tls: TlsConfiguration | None = config.tls
        proxies: ProxyConfiguration | None = config.proxy
        if proxies is not None and not proxies.proxy_from_environment:
            self._environment["proxies"] = proxies.proxies(self._url)
        proxy = requests.utils.select_proxy(self._url, self._environment["proxies"]) or ""
        verify = self._environment["verify"]
        self._tls = None if tls is None else TlsContext(tls, verify if isinstance(verify, str) else None)
        self._surroundings = Surroundings(
            config.url_without_credentials,
            _shown_proxy(proxy),
            verify if tls is None else None,
            self._connect_timeout_s,
            self._timeout_s,
            has_own_tls=tls is not None,
            has_own_proxy=proxies is not None and not proxies.proxy_from_environment,
        )
        self._secrets = [
            *(value for name, value in config.http_headers.items() if name.lower() not in _TENANT_HEADERS),
            *secrets_of({"Authorization": self._headers.get("Authorization", "")}, {}),
            urlsplit(self._url).query,
            *_proxy_secrets(proxy),
        ]
        self._attempt = Attempt()
        self._route = Route(
            connect_headers=None if proxies is None else proxies.connect_headers, random_address=config.round_robin_dns
        )
        self._adapter = BoundedAdapter(self._attempt, self._route)
        self._prepared_url = ""

    def post(self, body: bytes, headers: Mapping[str, str]) -> Outcome:
        """
        Send the body; the timeout bounds the whole attempt, up to the last header of the response.

        It does not bound name resolution, which the operating system does, nor the signer.
        """
        try:
            self._use_current_tls()
            request = self._prepare(body, headers)
            unsigned = dict(request.headers)
            if self._signer is not None:
                request = sign(request, self._signer)
                request.headers.update({**headers, **self._user_agent})  # which the signer must not replace
                request.prepare_content_length(request.body)
        except (CannotSignError, SecretError) as error:
            return Outcome(Kind.FATAL, str(error))
        except Exception as error:
            return classify_failure(error, Stage.CONNECT, self._surroundings._replace(proxy=""))
        secrets = [*self._secrets, *secrets_of(request.headers, unsigned)]
        query, request.url = _without_query(request.url)
        self._attempt.begin(query, self._timeout_s)
        try:
            response = self._adapter.send(request, **self._environment)
            # An AuthBase may inspect the response; digest authentication then sends the request again.
            for hook in request.hooks["response"]:
                response = hook(response, **self._environment) or response
        except SecretError as error:  # of a header for the proxy
            return Outcome(Kind.FATAL, str(error))
        except Exception as error:
            outcome = classify_failure(error, self._attempt.stage, self._surroundings)
            return replace(outcome, message=redacted(outcome.message, secrets))
        return self._read(response, secrets)

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

    def _prepare(self, body: bytes, headers: Mapping[str, str]) -> requests.PreparedRequest:
        """Return the unsigned request."""
        request = requests.PreparedRequest()
        request.prepare_method("POST")
        if not self._prepared_url:
            request.prepare_url(self._url, None)
            self._prepared_url = request.url or ""
        request.url = self._prepared_url
        request.prepare_headers({**self._headers, **headers, **self._user_agent})
        request.prepare_cookies({})
        request.prepare_body(body, None)
        return request

    def _read(self, response: requests.Response, secrets: Iterable[str]) -> Outcome:
        """Return the outcome of a response, and keep the connection if its body was read to the end."""
        if not self._surroundings.has_responded:
            self._surroundings = self._surroundings._replace(has_responded=True)
        success = 200 <= response.status_code < 300
        self._attempt.deadline = time.monotonic() + (SUCCESS_BODY_SECONDS if success else BODY_SECONDS)
        content, complete = _read_body(self._attempt.response)
        excerpt = _decoded(content, response.headers.get("Content-Encoding", ""))
        headers = response.headers
        if "Location" in headers:
            headers["Location"] = _shown_location(headers["Location"])
        outcome = classify(response.status_code, redacted(excerpt, secrets), headers, self._time())
        # A load balancer that fails over from a dead backend keeps using it on existing connections, so drop this one.
        if complete and (outcome.kind is not Kind.RETRYABLE or response.status_code == 429):
            if self._attempt.response is not None:
                self._attempt.response.close()  # the response, not the connection
        else:
            response.raw.close()
        response.raw.release_conn()
        return outcome


def _read_body(response: http.client.HTTPResponse | None) -> tuple[bytes, bool]:
    """Return a response's body, up to a limit of bytes and of time, and whether that is all of it."""
    content = bytearray()
    if response is None:
        return b"", False
    try:
        while len(content) < BODY_LIMIT:
            part = response.read1(BODY_LIMIT - len(content))
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
        # First with a gzip or zlib header, then without any, as some senders understand deflate.
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
    """Return a proxy's URL without secrets; nothing of one that cannot be parsed."""
    try:
        return without_credentials(proxy if "://" in proxy else f"http://{proxy}") if proxy else ""
    except ValueError:
        return "from the environment"


def _proxy_secrets(proxy: str) -> list[str]:
    """Return a proxy's credentials: as given, decoded, and as sent."""
    password = proxy.rpartition("@")[0].partition("://")[2].partition(":")[2]
    try:
        sent = proxy_authorization(proxy)
    except ValueError:  # then no request is sent either
        sent = {}
    return [password, unquote(password), *secrets_of(sent, {})]


def _shown_location(location: str) -> str:
    """Return a redirect's target without the query, which often is that of the request."""
    try:
        return without_credentials(location)
    except ValueError:
        return ""
