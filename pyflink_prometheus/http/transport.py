"""One POST and its outcome; never retried, except at once with renewed credentials."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlsplit, urlunsplit

import requests

from pyflink_prometheus.config import SinkConfig, header_problem
from pyflink_prometheus.errors import SecretError
from pyflink_prometheus.http.auth.userinfo import basic_credentials, split_userinfo
from pyflink_prometheus.http.connections import Stage
from pyflink_prometheus.http.exchange import BODY_LIMIT, SUCCESS_BODY_SECONDS, Exchange, Received
from pyflink_prometheus.http.failures import Surroundings, classify_failure
from pyflink_prometheus.http.outcome import Outcome, classify
from pyflink_prometheus.http.signing import CannotSignError, renews, secrets_of, sign
from pyflink_prometheus.secret import Secret

# Headers that select a tenant: their values are not secrets, and receivers quote them in refusals.
_TENANT_HEADERS = frozenset({"x-scope-orgid", "thanos-tenant", "accountid", "projectid"})


class Transport(Protocol):
    """A way to make exactly one attempt to deliver a request body; used by one thread at a time."""

    def post(self, body: bytes, headers: Mapping[str, str]) -> Outcome:
        """Send the body and return the outcome; never raise an error that a network or a receiver can cause."""

    def close(self) -> None:
        """Close the connection."""


class Attempted(NamedTuple):
    """
    The result of one attempt.

    :param outcome: its outcome.
    :param received: the response, unchanged; ``None`` if there was none.
    :param request: the signed request; ``None`` if it was not signed.
    """

    outcome: Outcome
    received: Received | None = None
    request: requests.PreparedRequest | None = None


class RequestsTransport:
    """
    A transport with its own connection.

    Credentials come only from the URL, the headers or the signer, never from a .netrc. No outcome or log shows
    credentials, the query or the headers that the user set.

    :param config: the settings: URL, timeouts, headers, signer, TLS and proxy.
    :param clock_time: returns seconds since 1970.
    :param path: the path of another resource on the same server, instead of the URL's path.
    :param body_limit: how many bytes of a response's body are read.
    :param success_body_s: for how many seconds the body of a success is read.
    """

    def __init__(
        self,
        config: SinkConfig,
        clock_time: Callable[[], float] = time.time,
        *,
        path: str | None = None,
        body_limit: int = BODY_LIMIT,
        success_body_s: float = SUCCESS_BODY_SECONDS,
    ) -> None:
        url, username, password = split_userinfo(config.prometheus_remote_write_url)
        self._exchange = Exchange(
            url if path is None else urlunsplit(urlsplit(url)._replace(path=path)),
            config.socket_timeout_ms / 1000,
            body_limit=body_limit,
            success_body_s=success_body_s,
            tls=config.tls,
            proxy=config.proxy,
            round_robin_dns=config.round_robin_dns,
        )
        self._time = clock_time
        self._signer = config.request_signer
        self._user_agent = {"User-Agent": config.http_user_agent}
        self._headers: dict[str, str | Secret] = {**config.http_headers}
        if username is not None:
            self._headers["Authorization"] = basic_credentials(username, password)

    def post(self, body: bytes, headers: Mapping[str, str]) -> Outcome:
        """
        Send the body; the timeout bounds the whole attempt, up to the last header of the response.

        It does not bound the signer or name resolution, which the operating system does. If the receiver refuses the
        credentials, and the signer has or obtains different ones, the body is sent once more.
        """
        return self.exchange(body, headers).outcome

    def exchange(self, body: bytes, headers: Mapping[str, str]) -> Attempted:
        """Do what :meth:`post` does, and also return the response."""
        attempted = self._attempt(body, headers)
        if attempted.request is not None and attempted.outcome.status in (401, 403):
            try:
                renewed = renews(self._signer, attempted.request, attempted.outcome.status)
            except CannotSignError as error:
                return Attempted(error.outcome)
            if renewed:
                attempted = self._attempt(body, headers)
        return attempted

    @property
    def surroundings(self) -> Surroundings:
        """The settings of an attempt, without secrets."""
        return self._exchange.surroundings

    def observe_connections(self, observer: Callable[[Any], None]) -> None:
        """Call a function with the socket of each connection from now on, once it is open."""
        self._exchange.observe_connections(observer)

    def close(self) -> None:
        """Close the connection."""
        self._exchange.close()

    def _attempt(self, body: bytes, headers: Mapping[str, str]) -> Attempted:
        """Send the body once."""
        try:
            own = _read_headers(self._headers)
            request = self._exchange.prepare(body, {**own, **headers, **self._user_agent})
            unsigned = dict(request.headers)
            if self._signer is not None:
                request = sign(request, self._signer)
                request.headers.update({**headers, **self._user_agent})  # the signer must not replace these
                request.prepare_content_length(request.body)
        except CannotSignError as error:
            return Attempted(error.outcome)
        except Exception as error:
            outcome = classify_failure(error, Stage.CONNECT, self._exchange.surroundings._replace(proxy=""))
            return Attempted(outcome)
        secrets = [
            *(value for name, value in own.items() if name.lower() not in _TENANT_HEADERS),
            *secrets_of({"Authorization": own.get("Authorization", "")}, {}),
            *secrets_of(request.headers, unsigned),
        ]
        received = self._exchange.send(request, secrets)
        if isinstance(received, Outcome):
            return Attempted(received, None, request)
        return Attempted(self._classified(received, secrets), received, request)

    def _classified(self, received: Received, secrets: list[str]) -> Outcome:
        excerpt = self._exchange.redacted(received.text, secrets)
        headers = received.headers
        if "Location" in headers:
            headers["Location"] = self._exchange.redacted(headers["Location"], secrets)
        return classify(received.status, excerpt, headers, self._time())


def _read_headers(headers: Mapping[str, str | Secret]) -> dict[str, Any]:
    """
    Return headers with their secrets read.

    :raises CannotSignError: if a secret cannot be read or sent.
    """
    read, problem = dict(headers), ""
    for name, value in headers.items():
        if isinstance(value, Secret):
            try:
                read[name] = secret = value.read()
            except SecretError as error:
                problem = str(error)
            else:
                if (wrong := header_problem(secret)) is not None:
                    problem = f"check {value.source}: it {wrong}"
            if problem:
                break
    if problem:
        raise CannotSignError(problem)
    return read
