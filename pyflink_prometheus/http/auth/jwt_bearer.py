"""OAuth 2.0: the JWT bearer grant (RFC 7523, 2.1)."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from pyflink_prometheus import _validation
from pyflink_prometheus.clock import Clock, SystemClock
from pyflink_prometheus.errors import SecretError
from pyflink_prometheus.http.auth.extras import required
from pyflink_prometheus.http.auth.oauth2 import Form
from pyflink_prometheus.http.auth.token_auth import TokenAuth
from pyflink_prometheus.http.auth.token_endpoint import TokenEndpoint
from pyflink_prometheus.http.auth.token_store import Token
from pyflink_prometheus.secret import Secret

GRANT_TYPE = "urn:ietf:params:oauth:grant-type:jwt-bearer"
ALGORITHMS = ("RS256", "RS384", "RS512")

#: How long an assertion is valid, as with Prometheus.
_ASSERTION_S = 600


class JwtBearerAuth(TokenAuth):
    """
    OAuth 2.0 with a JWT as the grant: a token for an assertion that the client signs with its RSA key.

    The workers need the extra ``jwt``: ``pip install 'pyflink-prometheus[jwt]'``. Tokens are kept and replaced as by
    :class:`OAuth2Auth`; names and defaults are those of Prometheus.

    :param token_url: the token endpoint.
    :param client_id: the client's ID, and the subject of the assertion.
    :param client_certificate_key: a :class:`Secret`, or the RSA key itself, as unencrypted text in PEM format.
    :param client_certificate_key_id: the key's ID, if the server wants one.
    :param signature_algorithm: RS256, RS384 or RS512. Default RS256.
    :param iss: the issuer of the assertion. Default: the client's ID.
    :param audience: the audience of the assertion. Default: the token endpoint.
    :param claims: more claims of the assertion; they replace default claims of the same name.
    :param scopes: the scopes to request.
    :param endpoint_params: more parameters of the request; a value may be a :class:`Secret`.
    :param tls: the TLS settings for the token endpoint.
    :param proxy: the proxy settings for the token endpoint.
    :param clock: the clock for the expiry of tokens.
    :raises ValueError: if the URL, the algorithm or a parameter is not valid.
    """

    def __init__(
        self,
        token_url: str,
        client_id: str,
        client_certificate_key: Secret | str,
        *,
        client_certificate_key_id: str | None = None,
        signature_algorithm: str = "RS256",
        iss: str | None = None,
        audience: str | None = None,
        claims: Mapping[str, Any] | None = None,
        scopes: Iterable[str] = (),
        endpoint_params: Mapping[str, Secret | str] | None = None,
        tls: Any = None,
        proxy: Any = None,
        clock: Clock | None = None,
    ) -> None:
        super().__init__(clock)
        _validation.line("client_id", client_id, hidden=True)
        if signature_algorithm not in ALGORITHMS:
            raise ValueError(f"signature_algorithm: expected one of {', '.join(ALGORITHMS)}")
        self._key = Secret.of(client_certificate_key)
        self._headers = {} if client_certificate_key_id is None else {"kid": client_certificate_key_id}
        self._algorithm = signature_algorithm
        self._time = (SystemClock() if clock is None else clock).time
        self._endpoint = TokenEndpoint(token_url, {"tls": tls, "proxy": proxy}, self._time)
        self._form = Form({"grant_type": GRANT_TYPE, "assertion": ""}, scopes, endpoint_params)
        self._claims = {
            "iss": client_id if iss is None else iss,
            "sub": client_id,
            "aud": self._endpoint.audience if audience is None else audience,
            **({"scope": self._form.scope} if self._form.scope else {}),
        }
        self._more_claims = _checked_claims(claims or {})

    def fetch(self) -> Token:
        """
        Fetch a token; called by one thread at a time.

        :raises SecretError: if that fails for good.
        :raises CredentialsUnavailableError: if it may succeed later.
        """
        assertion = self._assertion()
        form, secrets = self._form.read()
        return self._endpoint.request_token({**form, "assertion": assertion}, secrets=[*secrets, assertion])

    def _assertion(self) -> str:
        jwt = required("jwt", package="pyjwt", extra="jwt")
        required("cryptography", package="cryptography", extra="jwt")
        key, now = self._key.read(), int(self._time())
        claims = {**self._claims, "jti": str(uuid.uuid4()), "iat": now, "exp": now + _ASSERTION_S, **self._more_claims}
        try:
            return str(jwt.encode(claims, key, algorithm=self._algorithm, headers=self._headers))
        except Exception as error:  # the error's text may quote the key
            problem = type(error).__name__
        raise SecretError(
            f"check {self._key.source}: it cannot sign with {self._algorithm}; expected an unencrypted RSA key in PEM "
            f"format ({problem})"
        )

    def __repr__(self) -> str:
        return f"JwtBearerAuth({self._endpoint.url!r}, {self._key!r})"


def _checked_claims(claims: Mapping[str, Any]) -> dict[str, Any]:
    _validation.instance("claims", claims, Mapping)
    try:
        json.dumps(dict(claims))
        return dict(claims)
    except (TypeError, ValueError):
        pass
    raise TypeError("claims: expected JSON: strings as names, and strings, numbers, lists and mappings as values")
