"""The token endpoint of an OAuth 2.0 server (RFC 6749)."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import urlencode

from pyflink_prometheus.config import DEFAULT_USER_AGENT, header_problem, token_url_problem, without_credentials
from pyflink_prometheus.errors import CredentialsUnavailableError, SecretError
from pyflink_prometheus.http.auth.token_store import Token
from pyflink_prometheus.http.auth.userinfo import basic_credentials, split_userinfo
from pyflink_prometheus.http.exchange import Exchange
from pyflink_prometheus.http.outcome import Kind, Outcome, is_retryable, one_line, parse_retry_after

#: How long fetching a token may take, in seconds.
TIMEOUT_S = 30.0
_BODY_LIMIT = 1024 * 1024
_BODY_SECONDS = 10.0

#: The names of token types in headers, as Go's oauth2 package writes them, which Prometheus uses.
_SCHEMES = {"bearer": "Bearer", "mac": "MAC", "basic": "Basic", "": "Bearer"}

_ADVICE = {
    "invalid_client": "check client_id and client_secret (or the client's key): the server does not accept them",
    "invalid_grant": "check the key, its ID, iss, audience and claims, and this worker's clock",
    "invalid_scope": "check scopes: the server does not know or allow them",
    "unauthorized_client": "allow this client to use this grant on the server",
    "unsupported_grant_type": "check token_url and the grant: the server does not support it",
}


class RefusedError(SecretError):
    """
    A request for a token that the server refused for good.

    :param code: the server's error code (RFC 6749, 5.2), "" if it sent none.
    """

    def __init__(self, message: str, *, code: str = "") -> None:
        super().__init__(message)
        self.code = code


class TokenEndpoint:
    """
    A token endpoint; used by one thread at a time. It is pickled without its connection.

    :param url: its URL.
    :param settings: the settings of its connection, as :class:`~pyflink_prometheus.http.exchange.Exchange` takes them.
    :param clock_time: returns seconds since 1970.
    :raises ValueError: if the URL is not valid.
    """

    def __init__(
        self, url: str, settings: Mapping[str, Any] | None = None, clock_time: Callable[[], float] = time.time
    ) -> None:
        problem = token_url_problem(url)
        if problem is not None:
            raise ValueError(f"token_url: expected a URL such as https://login.example/oauth2/token; {problem}")
        self._url = url.strip()
        self._settings = {name: value for name, value in (settings or {}).items() if value is not None}
        self._time = clock_time
        self._exchange: Exchange | None = None

    @property
    def url(self) -> str:
        """The URL for messages, without user, password and query."""
        return without_credentials(self._url)

    @property
    def audience(self) -> str:
        """The URL by which the server knows itself."""
        return split_userinfo(self._url)[0]

    def request_token(
        self, form: Mapping[str, str], *, authorization: str | None = None, secrets: Iterable[str] = ()
    ) -> Token:
        """
        Return the token that the endpoint issues for a form.

        :param form: the fields of the form.
        :param authorization: the Authorization header, if the client authenticates with one.
        :param secrets: what messages must not show.
        :raises RefusedError: if the server refuses the request.
        :raises SecretError: if there is no token endpoint, or it cannot be reached as configured.
        :raises CredentialsUnavailableError: if it does not respond, or asks for a later retry.
        """
        url, username, password = split_userinfo(self._url)
        if self._exchange is None:
            self._exchange = Exchange(
                url, TIMEOUT_S, body_limit=_BODY_LIMIT, success_body_s=_BODY_SECONDS, **self._settings
            )
        headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "Accept": "application/json",
            "User-Agent": DEFAULT_USER_AGENT,
        }
        if authorization is None and username is not None:
            authorization = basic_credentials(username, password)
        if authorization is not None:
            headers["Authorization"] = authorization
        hidden = [*secrets, authorization or "", (authorization or "").partition(" ")[2], password.decode("latin-1")]
        request = self._exchange.prepare(urlencode(form).encode("ascii"), headers)
        received = self._exchange.send(request, hidden)
        if isinstance(received, Outcome):
            if received.kind is Kind.RETRYABLE:
                raise CredentialsUnavailableError(f"no token from {self.url}: {received.message}")
            raise SecretError(f"no token from {self.url}: {received.message}")
        fields = _object(received.text)
        if 200 <= received.status < 300:
            return self._token(fields)
        raise self._failure(received.status, received.headers, fields, received.text, hidden)

    def _token(self, fields: Mapping[str, Any]) -> Token:
        token = fields.get("access_token")
        if not isinstance(token, str) or not token:
            raise SecretError(f"check token_url: {self.url} responded without an access_token, so it issues no tokens")
        if (problem := header_problem(token)) is not None:
            raise SecretError(f"check the server of token_url: the token from {self.url} {problem}")
        kind = fields.get("token_type")
        kind = kind if isinstance(kind, str) and header_problem(kind) is None else ""
        life_s = _seconds(fields.get("expires_in"))
        return Token(f"{_SCHEMES.get(kind.lower(), kind)} {token}", None if life_s is None else self._time() + life_s)

    def _failure(
        self, status: int, headers: Any, fields: Mapping[str, Any], text: str, hidden: Iterable[str]
    ) -> SecretError | CredentialsUnavailableError:
        code = str(fields.get("error", ""))
        words = ": ".join(str(fields[name]) for name in ("error", "error_description") if fields.get(name)) or text
        words = one_line(self._redacted(words, hidden))
        what = f"{self.url} issued no token (HTTP {status}{': ' if words else ''}{words})"
        if is_retryable(status) or code in ("temporarily_unavailable", "server_error", "slow_down"):
            retry_after_s = parse_retry_after(headers.get("Retry-After"), self._time())
            return CredentialsUnavailableError(what, retry_after_s=retry_after_s)
        advice = _ADVICE.get(code)
        if advice is None and 300 <= status < 400:
            target = self._redacted(headers.get("Location", ""), hidden)
            advice = f"set token_url to the URL that it redirects to{': ' if target else ''}{one_line(target)}"
        if advice is None and status in (401, 403):
            advice = _ADVICE["invalid_client"]
        return RefusedError(f"{advice or 'check token_url, the client and the parameters'}: {what}", code=code)

    def _redacted(self, text: str, hidden: Iterable[str]) -> str:
        return text if self._exchange is None else self._exchange.redacted(text, hidden)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_exchange": None}


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _seconds(value: Any) -> float | None:
    """Return a number of seconds, which some servers write as text; ``None`` if it is not a number above 0."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        seconds = float(value)
    except (ValueError, OverflowError):
        return None
    return seconds if 0 < seconds < 1e12 else None  # both comparisons are false for NaN
