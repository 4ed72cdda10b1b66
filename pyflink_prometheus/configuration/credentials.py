"""The signer, TLS and proxy settings of a configuration."""

from __future__ import annotations

from typing import Any

from pyflink_prometheus.configuration.decoded import Decoded
from pyflink_prometheus.http.auth.basic import BasicAuth
from pyflink_prometheus.http.auth.entra import EntraAuth
from pyflink_prometheus.http.auth.jwt_bearer import GRANT_TYPE, JwtBearerAuth
from pyflink_prometheus.http.auth.oauth2 import OAuth2Auth
from pyflink_prometheus.http.auth.scheme import BearerAuth, SchemeAuth
from pyflink_prometheus.http.auth.sigv4 import SigV4Auth
from pyflink_prometheus.http.proxies import ProxyConfiguration
from pyflink_prometheus.http.tls import TlsConfiguration
from pyflink_prometheus.secret import Secret

_PROXY = ("proxy_url", "no_proxy", "proxy_from_environment", "proxy_connect_header")


def signer(entry: Decoded) -> Any:
    """
    Return the signer of an entry; ``None`` if the entry has no authentication.

    :raises InvalidConfigurationError: if Prometheus would accept the entry, but every request would be refused.
    """
    makers = {
        "basic_auth": _basic,
        "authorization": _authorization,
        "oauth2": _oauth2,
        "sigv4": _sigv4,
        "azuread": _azuread,
    }
    for name, make in makers.items():
        if name in entry.values:
            section: Decoded = entry.values[name]
            try:
                return make(section)
            except (TypeError, ValueError) as error:
                if hasattr(error, "field"):
                    raise
                problem = str(error)
            raise section.error("", problem)
    token = _secret(entry, "bearer_token")
    return None if token is None else BearerAuth(token)


def tls(section: Decoded | None) -> TlsConfiguration | None:
    """
    Return the TLS settings.

    :raises InvalidConfigurationError: if they exclude each other, although Prometheus accepts them.
    """
    if section is None:
        return None
    try:
        return TlsConfiguration(**section.plain())
    except ValueError as error:
        problem = str(error)
    raise section.error("", problem)


def proxy(section: Decoded) -> ProxyConfiguration | None:
    """
    Return the proxy settings; ``None`` if there are none.

    :raises InvalidConfigurationError: if they cannot be used, although Prometheus accepts them.
    """
    settings = {name: value for name, value in section.plain().items() if name in _PROXY}
    headers = settings.get("proxy_connect_header", {})
    settings["proxy_connect_header"] = {name: list(values or ()) for name, values in headers.items()}
    if "proxy_url" not in settings and not settings.get("proxy_from_environment"):
        return None
    problem = ""
    try:
        return ProxyConfiguration(**settings)
    except ValueError as error:
        problem = str(error)
    field = next((name for name in _PROXY if problem.startswith(name)), "")
    raise section.error(field, problem.removeprefix(f"{field}: "))


def _secret(section: Decoded, name: str) -> Secret | None:
    """Return a secret from a field or its ``_file`` field; ``None`` if neither has a value."""
    if section.count(f"{name}_file"):
        return Secret.file(section.get(f"{name}_file"))
    return Secret.of(section.get(name)) if section.count(name) else None


def _basic(section: Decoded) -> BasicAuth:
    path = section.get("username_file")
    return BasicAuth(Secret.file(path) if path else section.get("username", ""), _secret(section, "password"))


def _authorization(section: Decoded) -> SchemeAuth:
    credentials = _secret(section, "credentials")
    if credentials is None:
        raise section.error("", "add credentials or credentials_file")
    scheme = section.get("type", "").strip() or "Bearer"
    return BearerAuth(credentials) if scheme == "Bearer" else SchemeAuth(scheme, credentials)


def _oauth2(section: Decoded) -> OAuth2Auth | JwtBearerAuth:
    values = section.plain()
    settings = {
        "scopes": values.get("scopes", ()),
        "endpoint_params": values.get("endpoint_params"),
        "tls": tls(section.get("tls_config")),
        "proxy": proxy(section),
    }
    if values.get("grant_type") != GRANT_TYPE:
        return OAuth2Auth(values["token_url"], values["client_id"], _secret(section, "client_secret"), **settings)
    key = _secret(section, "client_certificate_key")
    if key is None:
        raise section.error("", "add client_certificate_key_file")
    for name in ("client_certificate_key_id", "signature_algorithm", "iss", "audience", "claims"):
        if name in values:
            settings[name] = values[name]
    return JwtBearerAuth(values["token_url"], values["client_id"], key, **settings)


def _sigv4(section: Decoded) -> SigV4Auth:
    settings = section.plain()
    if "service_name" in settings:
        settings["service"] = settings.pop("service_name")
    return SigV4Auth(**settings)


def _azuread(section: Decoded) -> EntraAuth:
    shared = {name: section.get(name) for name in ("cloud", "scope") if section.count(name)}
    makers: dict[str, Any] = {
        "managed_identity": EntraAuth.managed_identity,
        "workload_identity": EntraAuth.workload_identity,
        "oauth": EntraAuth.application,
        "sdk": EntraAuth.default,
        "certificate": EntraAuth.certificate,
    }
    name = next(each for each in makers if each in section.values)
    way: Decoded = section.values[name]
    made: EntraAuth = makers[name](**way.plain(), **shared)
    return made
