"""One POST and its outcome; never a retry, except at once with credentials that have been renewed."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Callable, Protocol

import requests

from pyflink_prometheus.config import SinkConfig, header_problem
from pyflink_prometheus.errors import SecretError
from pyflink_prometheus.http.auth.userinfo import basic_credentials, split_userinfo
from pyflink_prometheus.http.connections import Stage
from pyflink_prometheus.http.exchange import Exchange, Received
from pyflink_prometheus.http.failures import classify_failure
from pyflink_prometheus.http.outcome import Outcome, classify
from pyflink_prometheus.http.signing import CannotSignError, renews, secrets_of, sign
from pyflink_prometheus.secret import Secret

# Headers that select a tenant: they are not secrets, and receivers quote their values in refusals.
_TENANT_HEADERS = frozenset({"x-scope-orgid", "thanos-tenant", "accountid", "projectid"})


class Transport(Protocol):
    """A way to make exactly one attempt to deliver a request body; used by one thread at a time."""

    def post(self, body: bytes, headers: Mapping[str, str]) -> Outcome:
        """Send the body and return the outcome; never raise what a network or a receiver can cause."""

    def close(self) -> None:
        """Close the connection."""


class RequestsTransport:
    """
    A transport with its own connection.

    Credentials come only from the URL, the headers or the signer, never from a .netrc. No outcome or log shows any of
    these, the query or the headers that the user set.

    :param config: the settings: URL, timeouts, headers, signer, TLS and proxy.
    :param clock_time: returns seconds since 1970.
    """

    def __init__(self, config: SinkConfig, clock_time: Callable[[], float] = time.time) -> None:
        url, username, password = split_userinfo(config.prometheus_remote_write_url)
        self._exchange = Exchange(
            url,
            config.socket_timeout_ms / 1000,
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

        It does not bound name resolution, which the operating system does, nor the signer. If the receiver refuses the
        credentials, and the signer has or gets others, the body is sent once more.
        """
        outcome, request = self._attempt(body, headers)
        if request is not None and outcome.status in (401, 403):
            try:
                renewed = renews(self._signer, request, outcome.status)
            except CannotSignError as error:
                return error.outcome
            if renewed:
                outcome, _ = self._attempt(body, headers)
        return outcome

    def close(self) -> None:
        """Close the connection."""
        self._exchange.close()

    def _attempt(self, body: bytes, headers: Mapping[str, str]) -> tuple[Outcome, requests.PreparedRequest | None]:
        """Send the body once; return the outcome, and the request as it was signed, if it was."""
        try:
            own = _read_headers(self._headers)
            request = self._exchange.prepare(body, {**own, **headers, **self._user_agent})
            unsigned = dict(request.headers)
            if self._signer is not None:
                request = sign(request, self._signer)
                request.headers.update({**headers, **self._user_agent})  # which the signer must not replace
                request.prepare_content_length(request.body)
        except CannotSignError as error:
            return error.outcome, None
        except Exception as error:
            return classify_failure(error, Stage.CONNECT, self._exchange.surroundings._replace(proxy="")), None
        secrets = [
            *(value for name, value in own.items() if name.lower() not in _TENANT_HEADERS),
            *secrets_of({"Authorization": own.get("Authorization", "")}, {}),
            *secrets_of(request.headers, unsigned),
        ]
        received = self._exchange.send(request, secrets)
        if isinstance(received, Outcome):
            return received, request
        return self._classified(received, secrets), request

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
