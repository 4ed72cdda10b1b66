"""One POST on a kept-alive connection, and its outcome; never a second attempt."""

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
from pyflink_prometheus.http.auth import basic_credentials, split_userinfo
from pyflink_prometheus.http.connections import (
    Attempt,
    BoundedAdapter,
    Stage,
    proxy_authorization,
)
from pyflink_prometheus.http.failures import Surroundings, classify_failure
from pyflink_prometheus.http.outcome import Kind, Outcome, classify
from pyflink_prometheus.http.redaction import redacted
from pyflink_prometheus.http.signing import CannotSignError, secrets_of, sign

#: A connection is there within that, or it is not going to be.
CONNECT_TIMEOUT_S = 5.0
#: Of an answer's body: enough for any receiver's words, whatever it sends and however slowly.
BODY_LIMIT = 8 * 1024
BODY_SECONDS = 1.0
#: Of a success nobody needs the words; what is waited for is the end, so that the connection can be kept.
SUCCESS_BODY_SECONDS = 0.5

# Headers that choose whose data it is: they are no secrets, and receivers name their values in what they refuse.
_TENANT_HEADERS = frozenset({"x-scope-orgid", "thanos-tenant", "accountid", "projectid"})

_log = logging.getLogger(__name__)


class Transport(Protocol):
    """Make exactly one attempt to deliver a request body; one instance is used by one thread at a time."""

    def post(self, body: bytes, headers: Mapping[str, str]) -> Outcome:
        """Send the body and return what came of it; raises nothing that a network or a receiver can cause."""

    def close(self) -> None:
        """Let go of the connection."""


class RequestsTransport:
    """
    Deliver through an adapter of requests of its own.

    Redirects are not followed, cookies not kept, answers are read up to a limit, proxies and certificates come from the
    environment as in any program that uses requests, and credentials only from the URL or the signer (never from a
    .netrc). Of none of these, nor of the query and the headers that the user set, does anything get into an outcome or
    a log.

    :param config: url, timeouts, headers and signer are read from it.
    :param clock_time: gives seconds since 1970.
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
        # Asked once: on every request it would cost more than the rest of it.
        environment: Any = requests.Session().merge_environment_settings(self._url, {}, True, None, None)
        self._environment = {**environment, "timeout": (self._connect_timeout_s, self._timeout_s)}
        proxy = requests.utils.select_proxy(self._url, self._environment["proxies"]) or ""
        self._surroundings = Surroundings(
            config.url_without_credentials,
            _shown_proxy(proxy),
            self._environment["verify"],
            self._connect_timeout_s,
            self._timeout_s,
        )
        self._secrets = [
            *(value for name, value in config.http_headers.items() if name.lower() not in _TENANT_HEADERS),
            *secrets_of({"Authorization": self._headers.get("Authorization", "")}, {}),
            urlsplit(self._url).query,
            *_proxy_secrets(proxy),
        ]
        self._attempt = Attempt()
        self._adapter = BoundedAdapter(self._attempt)
        self._prepared_url = ""

    def post(self, body: bytes, headers: Mapping[str, str]) -> Outcome:
        """
        Send the body; the timeout bounds the whole attempt, up to the last header of the answer.

        Only the resolution of names, which the operating system does, and the signer take what they take.
        """
        try:
            request = self._prepare(body, headers)
            unsigned = dict(request.headers)
            if self._signer is not None:
                request = sign(request, self._signer)
                request.headers.update({**headers, **self._user_agent})  # which no signer may have replaced
                request.prepare_content_length(request.body)
        except CannotSignError as error:
            return Outcome(Kind.FATAL, str(error))
        except Exception as error:
            return classify_failure(error, Stage.CONNECT, self._surroundings._replace(proxy=""))
        secrets = [*self._secrets, *secrets_of(request.headers, unsigned)]
        query, request.url = _without_query(request.url)
        self._attempt.begin(query, self._timeout_s)
        try:
            response = self._adapter.send(request, **self._environment)
            # An AuthBase may want to see the answer; the one of digest authentication makes the attempt once more.
            for hook in request.hooks["response"]:
                response = hook(response, **self._environment) or response
        except Exception as error:
            outcome = classify_failure(error, self._attempt.stage, self._surroundings)
            return replace(outcome, message=redacted(outcome.message, secrets))
        return self._read(response, secrets)

    def close(self) -> None:
        """Let go of the connection."""
        self._adapter.close()

    def _prepare(self, body: bytes, headers: Mapping[str, str]) -> requests.PreparedRequest:
        """Return the request, not signed yet."""
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
        """Read what an answer says, and keep the connection where that is over."""
        if not self._surroundings.answered:
            self._surroundings = self._surroundings._replace(answered=True)
        success = 200 <= response.status_code < 300
        self._attempt.deadline = time.monotonic() + (SUCCESS_BODY_SECONDS if success else BODY_SECONDS)
        content, complete = _read_body(self._attempt.answer)
        excerpt = _decoded(content, response.headers.get("Content-Encoding", ""))
        answered = response.headers
        if "Location" in answered:
            answered["Location"] = _shown_location(answered["Location"])
        outcome = classify(response.status_code, redacted(excerpt, secrets), answered, self._time())
        # A balancer that has moved away from a dead backend goes on to ask it on the connections that it has.
        if complete and (outcome.kind is not Kind.RETRYABLE or response.status_code == 429):
            if self._attempt.answer is not None:
                self._attempt.answer.close()  # not the connection
        else:
            response.raw.close()
        response.raw.release_conn()
        return outcome


def _read_body(answer: http.client.HTTPResponse | None) -> tuple[bytes, bool]:
    """Return what an answer's body holds, up to a limit of bytes and of time, and whether that was all of it."""
    content = bytearray()
    if answer is None:
        return b"", False
    try:
        while len(content) < BODY_LIMIT:
            part = answer.read1(BODY_LIMIT - len(content))
            if not part:
                return bytes(content), not answer.length
            content += part
    except (http.client.HTTPException, OSError, ValueError) as error:
        _log.debug("the answer's body broke off: %s", type(error).__name__)
    return bytes(content), False


def _decoded(content: bytes, encoding: str) -> str:
    """Return a body's text; a compressed one is read as far as the limit goes, although none was asked for."""
    encoding = encoding.strip().lower()
    if encoding in ("gzip", "x-gzip", "deflate") and content:
        # Both wrappers, or for deflate the bare data, which some senders mean by it.
        for window_bits in (47, -15):
            try:
                content = zlib.decompressobj(window_bits).decompress(content, BODY_LIMIT)
                break
            except zlib.error:
                continue
    elif encoding not in ("", "identity") and content:
        return f"(a body in {encoding!r})"
    return content.decode("utf-8", errors="replace")


def _without_query(url: str | None) -> tuple[str, str]:
    """Return a URL's query with its question mark, and the URL without it."""
    scheme, netloc, path, query, _ = urlsplit(url or "")
    return f"?{query}" if query else "", urlunsplit((scheme, netloc, path, "", ""))


def _shown_proxy(proxy: str) -> str:
    """Return a proxy's URL as it may be shown; nothing of one that has no clear structure."""
    try:
        return without_credentials(proxy if "://" in proxy else f"http://{proxy}") if proxy else ""
    except ValueError:
        return "of the environment"


def _proxy_secrets(proxy: str) -> list[str]:
    """Return a proxy's credentials, as they were given, decoded, and as they are sent."""
    password = proxy.rpartition("@")[0].partition("://")[2].partition(":")[2]
    try:
        sent = proxy_authorization(proxy)
    except ValueError:  # then there is no request either
        sent = {}
    return [password, unquote(password), *secrets_of(sent, {})]


def _shown_location(location: str) -> str:
    """Return where a redirect points, without the query: often it is that of the request."""
    try:
        return without_credentials(location)
    except ValueError:
        return ""
