"""OAuth 2.0: the client credentials grant (RFC 6749, 4.4)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote_plus

from pyflink_prometheus import _validation
from pyflink_prometheus.clock import Clock, SystemClock
from pyflink_prometheus.http.auth.token_auth import TokenAuth
from pyflink_prometheus.http.auth.token_endpoint import RefusedError, TokenEndpoint
from pyflink_prometheus.http.auth.token_store import Token
from pyflink_prometheus.http.auth.userinfo import basic_credentials
from pyflink_prometheus.secret import Secret

# Codes of a server that has authenticated the client, or that failed to for a reason other than the method.
_NOT_ABOUT_THE_WAY = {"invalid_scope", "unauthorized_client", "unsupported_grant_type", "invalid_target"}


class OAuth2Auth(TokenAuth):
    """
    OAuth 2.0 with client credentials: a token for a client's ID and secret, from the server's token endpoint.

    The token is fetched on the worker when it is first needed, shared by all shards of a writer, and replaced a minute
    before it expires, or when the receiver no longer accepts it. While the endpoint does not respond, requests are
    retried as if the receiver did not respond. As with Prometheus, the client authenticates with an Authorization
    header, or in the body of the request if the server requires that.

    :param token_url: the token endpoint.
    :param client_id: the client's ID.
    :param client_secret: a :class:`Secret`, or the client's secret itself; ``None`` for a client without one.
    :param scopes: the scopes to request.
    :param endpoint_params: more parameters of the request, such as ``audience``; a value may be a :class:`Secret`.
    :param tls: the TLS settings for the token endpoint.
    :param proxy: the proxy settings for the token endpoint.
    :param clock: the clock for the expiry of tokens.
    :raises ValueError: if the URL or a parameter is not valid.
    """

    def __init__(
        self,
        token_url: str,
        client_id: str,
        client_secret: Secret | str | None = None,
        *,
        scopes: Iterable[str] = (),
        endpoint_params: Mapping[str, Secret | str] | None = None,
        tls: Any = None,
        proxy: Any = None,
        clock: Clock | None = None,
    ) -> None:
        super().__init__(clock)
        _validation.line("client_id", client_id, hidden=True)
        self._client_id = client_id
        self._client_secret = None if client_secret is None else Secret.of(client_secret)
        self._form = Form({"grant_type": "client_credentials"}, scopes, endpoint_params)
        now = (SystemClock() if clock is None else clock).time
        self._endpoint = TokenEndpoint(token_url, {"tls": tls, "proxy": proxy}, now)
        self._in_body: bool | None = None  # how the server wants the client to authenticate, once known

    def fetch(self) -> Token:
        """
        Fetch a token; called by one thread at a time.

        :raises SecretError: if that fails for good.
        :raises CredentialsUnavailableError: if it may succeed later.
        """
        secret = "" if self._client_secret is None else self._client_secret.read()
        form, secrets = self._form.read()
        ways = [False, True] if self._in_body is None else [self._in_body]
        for in_body in ways:
            try:
                token = self._request(form, secret, secrets, in_body=in_body)
            except RefusedError as error:
                if in_body is ways[-1] or error.code in _NOT_ABOUT_THE_WAY:
                    refused = error
                    break
            else:
                self._in_body = in_body
                return token
        raise refused

    def _request(self, form: Mapping[str, str], secret: str, secrets: Iterable[str], *, in_body: bool) -> Token:
        hidden = [*secrets, secret]
        if in_body:
            client = {"client_id": self._client_id, **({"client_secret": secret} if secret else {})}
            return self._endpoint.request_token({**form, **client}, secrets=hidden)
        pair = (quote_plus(each).encode("ascii") for each in (self._client_id, secret))  # RFC 6749, 2.3.1
        return self._endpoint.request_token(form, authorization=basic_credentials(*pair), secrets=hidden)

    def __repr__(self) -> str:
        return f"OAuth2Auth({self._endpoint.url!r}, {self._client_secret!r})"


class Form:
    """
    The form of a request for a token.

    :param grant: the fields of the grant.
    :param scopes: the scopes to request.
    :param endpoint_params: more fields; ``grant_type`` is the only existing field that they may replace.
    :raises ValueError: if they would replace another one.
    """

    def __init__(
        self,
        grant: Mapping[str, str],
        scopes: Iterable[str],
        endpoint_params: Mapping[str, Secret | str] | None,
    ) -> None:
        if isinstance(scopes, str):
            raise TypeError("scopes: expected a list of strings, got a string")
        self.scope = " ".join(scopes)
        self._fields: dict[str, Secret | str] = {**grant, **({"scope": self.scope} if self.scope else {})}
        for name, value in (endpoint_params or {}).items():
            if not isinstance(name, str) or not isinstance(value, (str, Secret)):
                raise TypeError("endpoint_params: expected strings as names, and strings or Secrets as values")
            if name in self._fields and name != "grant_type":
                raise ValueError(f"endpoint_params: {name} is set by the grant and cannot be set here")
            self._fields[name] = value
        self._hidden = [name for name in endpoint_params or {} if name != "grant_type"]

    def read(self) -> tuple[dict[str, str], list[str]]:
        """
        Return the fields, and those of their values that must not be shown.

        :raises SecretError: if a secret cannot be read.
        """
        fields = {name: value.read() if isinstance(value, Secret) else value for name, value in self._fields.items()}
        return fields, [fields[name] for name in self._hidden]
