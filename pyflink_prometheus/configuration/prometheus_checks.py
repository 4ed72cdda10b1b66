"""Prometheus's checks of a configuration whose fields are known and have the right types, with its own words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pyflink_prometheus.config import RESERVED_HEADERS
from pyflink_prometheus.configuration.decoded import Decoded
from pyflink_prometheus.errors import InvalidConfigurationError
from pyflink_prometheus.http.auth.jwt_bearer import ALGORITHMS, GRANT_TYPE
from pyflink_prometheus.http.tls import TLS_VERSIONS

V1_MESSAGE = "prometheus.WriteRequest"
V2_MESSAGE = "io.prometheus.write.v2.Request"

# Prometheus's reserved headers; the sink reserves some more, which it refuses in its own checks.
_RESERVED = (RESERVED_HEADERS - {"authorization", "retry-attempt", "te", "trailer", "transfer-encoding", "upgrade"}) | {
    "x-prometheus-remote-read-version"
}
_RESERVED_HTTP_HEADERS = _RESERVED | {"authorization", "x-prometheus-scrape-timeout-seconds"}

_AUTHENTICATION = ("basic_auth", "authorization", "oauth2", "sigv4", "azuread", "google_iam")
_CLOUDS = ("", "AzureChina", "AzureGovernment", "AzurePublic")
_HEX = "[0-9a-fA-F]"
_HYPHENATED = f"{_HEX}{{8}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{12}}"
_UUID = re.compile(rf"(urn:uuid:)?{_HYPHENATED}|\{{{_HYPHENATED}\}}|{_HEX}{{32}}")
_LEGACY_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_PROTOCOLS = (
    "OpenMetricsText0.0.1",
    "OpenMetricsText1.0.0",
    "PrometheusProto",
    "PrometheusText0.0.4",
    "PrometheusText1.0.0",
)


def check_entry(entry: Decoded) -> None:
    """
    Check an entry of ``remote_write`` in Prometheus's order; its relabelling rules are checked elsewhere.

    :raises InvalidConfigurationError: with Prometheus's words.
    """
    _check_parts(entry)
    if "url" not in entry.values:
        raise entry.error("", "add the url", "url for remote_write is empty")
    if None in entry.get("write_relabel_configs", ()):
        words = "empty or null relabeling rule in remote write config"
        raise entry.error("write_relabel_configs", "remove the empty rule", words)
    _check_headers(entry)
    if entry.get("protobuf_message", V1_MESSAGE) not in (V1_MESSAGE, V2_MESSAGE):
        words = "invalid protobuf_message value: unknown"
        raise entry.error("protobuf_message", f"write {V1_MESSAGE} or {V2_MESSAGE}", words)
    _check_client(entry)
    if "queue_config" in entry.values:
        _check_queue(entry.values["queue_config"])
    configured = [name for name in _AUTHENTICATION if name in entry.values]
    configured += ["authorization"] if entry.count("bearer_token", "bearer_token_file") else []
    if len(configured) > 1:
        words = f"at most one of {', '.join(_AUTHENTICATION[:-1])} or {_AUTHENTICATION[-1]} must be configured"
        raise entry.error(configured[-1], f"keep one of {' and '.join(configured)}", words)


def check_global(settings: Decoded) -> None:
    """
    Check ``global``.

    :raises InvalidConfigurationError: with Prometheus's words.
    """
    scheme = settings.get("metric_name_validation_scheme", "")
    if scheme not in ("", "legacy", "utf8"):
        words = f'unrecognized ValidationScheme: "{scheme}"'
        raise settings.error("metric_name_validation_scheme", "write legacy or utf8", words)
    for name in settings.get("external_labels", {}):
        if not name or (scheme == "legacy" and _LEGACY_LABEL.fullmatch(name) is None):
            words = f'"{name}" is not a valid label name'
            raise settings.error("external_labels", f"rename the label {name!r}", words)
    interval = settings.get("scrape_interval") or 60_000
    if settings.get("scrape_timeout", 0) > interval:
        words = "global scrape timeout greater than scrape interval"
        raise settings.error("scrape_timeout", "make it at most scrape_interval", words)
    protocols = settings.get("scrape_protocols", [])
    if any(each not in _PROTOCOLS for each in protocols):
        raise settings.error("scrape_protocols", f"write only {', '.join(_PROTOCOLS)}", "unknown scrape protocol")
    if len(set(protocols)) < len(protocols):
        raise settings.error("scrape_protocols", "write each only once", "duplicated protocol in scrape_protocols")


def _check_parts(entry: Decoded) -> None:
    """Check the sections that Prometheus checks as soon as it has read them."""
    if "tls_config" in entry.values:
        _check_tls(entry.values["tls_config"])
    oauth2 = entry.get("oauth2")
    if oauth2 is not None:
        if "tls_config" in oauth2.values:
            _check_tls(oauth2.values["tls_config"])
        _check_proxy(oauth2)
    if "sigv4" in entry.values:
        _check_sigv4(entry.values["sigv4"])
    if "azuread" in entry.values:
        _check_azuread(entry.values["azuread"])


def _check_tls(tls: Decoded) -> None:
    for name in ("min_version", "max_version"):
        version = tls.get(name)
        if version is not None and version not in TLS_VERSIONS:
            raise tls.error(name, f"write one of {', '.join(TLS_VERSIONS)}", f"unknown TLS version: {version}")
    counts = {}
    for part, words in (
        ("ca", "at most one of ca, ca_file & ca_ref must be configured"),
        ("cert", "at most one of cert, cert_file & cert_ref must be configured"),
        ("key", "at most one of key and key_file must be configured"),
    ):
        counts[part] = tls.count(part, f"{part}_file", f"{part}_ref")
        if counts[part] > 1:
            raise tls.error("", f"keep one of {part} and {part}_file", words)
    if counts["cert"] > counts["key"]:
        words = "exactly one of key or key_file must be configured when a client certificate is configured"
        raise tls.error("", "add key_file", words)
    if counts["key"] > counts["cert"]:
        words = "exactly one of cert or cert_file must be configured when a client key is configured"
        raise tls.error("", "add cert_file", words)


def _check_proxy(section: Decoded) -> None:
    has_url, from_environment = section.count("proxy_url") > 0, bool(section.get("proxy_from_environment"))
    if section.count("proxy_connect_header") and not has_url and not from_environment:
        words = "if proxy_connect_header is configured, proxy_url or proxy_from_environment must also be configured"
        raise section.error("proxy_connect_header", "add proxy_url, or remove it", words)
    if from_environment and has_url:
        words = "if proxy_from_environment is configured, proxy_url must not be configured"
        raise section.error("proxy_from_environment", "keep either this or proxy_url", words)
    if from_environment and section.count("no_proxy"):
        words = "if proxy_from_environment is configured, no_proxy must not be configured"
        raise section.error("proxy_from_environment", "keep either this or no_proxy", words)
    if "proxy_url" not in section.values and section.count("no_proxy"):
        words = "if no_proxy is configured, proxy_url must also be configured"
        raise section.error("no_proxy", "add proxy_url, or remove it", words)


def _check_sigv4(sigv4: Decoded) -> None:
    if sigv4.count("access_key") != sigv4.count("secret_key"):
        words = "must provide a AWS SigV4 Access key and Secret Key if credentials are specified in the SigV4 config"
        raise sigv4.error("", "set both access_key and secret_key, or neither", words)
    if sigv4.count("external_id") and not sigv4.count("role_arn"):
        raise sigv4.error("external_id", "add role_arn", "external_id can only be used with role_arn")


def _check_azuread(azuread: Decoded) -> None:
    if azuread.get("cloud", "") not in _CLOUDS:
        words = "must provide a cloud in the Azure AD config"
        raise azuread.error("cloud", f"write one of {', '.join(_CLOUDS[1:])}", words)
    ways = ("managed_identity", "workload_identity", "oauth", "sdk", "certificate")
    found = [each for each in ways if each in azuread.values]
    if not found:
        words = (
            "must provide an Azure Managed Identity, Azure Workload Identity, Azure OAuth, Azure Certificate or Azure "
            "SDK in the Azure AD config"
        )
        raise azuread.error("", f"add one of {', '.join(ways)}", words)
    if len(found) > 1:
        words = "cannot provide multiple authentication methods in the Azure AD config"
        raise azuread.error(found[-1], f"keep one of {' and '.join(found)}", words)
    _check_azure_way(found[0], azuread.values[found[0]])
    scope = azuread.get("scope", "")
    if scope and re.fullmatch(r"(?a:[\w\s:/.-]+)", scope) is None:
        raise azuread.error("scope", "write a scope of letters, digits and : / . -", "the provided scope contains")


def _check_azure_way(name: str, way: Decoded) -> None:
    called = {
        "managed_identity": "Azure Managed Identity",
        "workload_identity": "Azure Workload Identity",
        "oauth": "Azure OAuth",
        "sdk": "Azure SDK",
        "certificate": "Azure Certificate",
    }[name]
    required = {
        "workload_identity": ("client_id", "tenant_id"),
        "oauth": ("client_id", "client_secret", "tenant_id"),
        "certificate": ("client_id", "tenant_id", "certificate_path"),
    }.get(name, ())
    for field in required:
        if not way.count(field):
            raise way.error("", f"add {field}", f"must provide an {called} {field} in the Azure AD config")
    ids = {"workload_identity": ("client_id", "tenant_id"), "sdk": ()}.get(name, ("client_id",))
    for field in ids:
        if way.count(field) and _UUID.fullmatch(way.get(field)) is None:
            raise way.error(field, "write a UUID", f"the provided {called} {field} is invalid")


def _check_headers(entry: Decoded) -> None:
    for name in entry.get("headers", {}):
        if name.lower() == "authorization":
            words = "authorization header must be changed via the basic_auth, authorization, oauth2"
            raise entry.error("headers", "use basic_auth, authorization, oauth2, sigv4 or azuread", words)
        if name.lower() in _RESERVED:
            raise entry.error("headers", f"remove {name}", f"{name} is a reserved header. It must not be changed")


def _check_client(entry: Decoded) -> None:
    """Check the settings that all HTTP clients of Prometheus have in common."""
    bearer = entry.count("bearer_token", "bearer_token_file")
    if bearer > 1:
        words = "at most one of bearer_token & bearer_token_file must be configured"
        raise entry.error("bearer_token_file", "keep either this or bearer_token", words)
    if bearer and ("basic_auth" in entry.values or "oauth2" in entry.values):
        words = "at most one of basic_auth, oauth2, bearer_token & bearer_token_file must be configured"
        raise entry.error("", "keep one way to authenticate", words)
    if "basic_auth" in entry.values:
        _check_basic_auth(entry.values["basic_auth"])
    if "authorization" in entry.values:
        _check_authorization(entry, entry.values["authorization"], bearer)
    if "oauth2" in entry.values:
        if "basic_auth" in entry.values:
            words = "at most one of basic_auth, oauth2 & authorization must be configured"
            raise entry.error("basic_auth", "keep either this or oauth2", words)
        _check_oauth2(entry.values["oauth2"])
    _check_proxy(entry)
    for name in entry.get("http_headers", {}):
        if name.lower() in _RESERVED_HTTP_HEADERS:
            canonical = "-".join(part.capitalize() for part in name.split("-"))
            raise entry.error("http_headers", f"remove {name}", f'setting header "{canonical}" is not allowed')


def _check_basic_auth(basic: Decoded) -> None:
    for part in ("username", "password"):
        if basic.count(part, f"{part}_file", f"{part}_ref") > 1:
            words = f"at most one of basic_auth {part}, {part}_file & {part}_ref must be configured"
            raise basic.error("", f"keep one of {part} and {part}_file", words)


def _check_authorization(entry: Decoded, authorization: Decoded, bearer: int) -> None:
    if bearer:
        words = "authorization is not compatible with bearer_token & bearer_token_file"
        raise entry.error("authorization", "keep either this or the bearer token", words)
    if authorization.count("credentials", "credentials_file", "credentials_ref") > 1:
        words = "at most one of authorization credentials & credentials_file must be configured"
        raise authorization.error("", "keep one of credentials and credentials_file", words)
    if authorization.get("type", "").strip().lower() == "basic":
        words = 'authorization type cannot be set to "basic", use "basic_auth" instead'
        raise authorization.error("type", "use basic_auth", words)
    if "basic_auth" in entry.values or "oauth2" in entry.values:
        words = "at most one of basic_auth, oauth2 & authorization must be configured"
        raise entry.error("authorization", "keep one way to authenticate", words)


def _check_oauth2(oauth2: Decoded) -> None:
    for field in ("client_id", "token_url"):
        if not oauth2.count(field):
            raise oauth2.error("", f"add {field}", f"oauth2 {field} must be configured")
    is_jwt = oauth2.get("grant_type") == GRANT_TYPE
    part = "client_certificate_key" if is_jwt else "client_secret"
    if oauth2.count(part, f"{part}_file", f"{part}_ref") > 1:
        words = f"at most one of oauth2 {part}, {part}_file & {part}_ref must be configured"
        raise oauth2.error("", f"keep one of {part} and {part}_file", words)
    algorithm = oauth2.get("signature_algorithm", "")
    if is_jwt and algorithm and algorithm not in ALGORITHMS:
        words = "valid signature algorithms are RS256, RS384 and RS512"
        raise oauth2.error("signature_algorithm", f"write one of {', '.join(ALGORITHMS)}", words)


def _check_queue(queue: Decoded) -> None:
    defaults: Mapping[str, Any] = {
        "max_shards": 50,
        "min_shards": 1,
        "max_samples_per_send": 2000,
        "capacity": 10_000,
        "min_backoff": 30,
        "max_backoff": 5000,
    }
    found = {name: queue.get(name, default) for name, default in defaults.items()}

    def error(field: str, advice: str, words: str) -> InvalidConfigurationError:
        return queue.error(field if field in queue.values else "", advice, f"remote write queue {field} {words}")

    for field in ("max_shards", "min_shards"):
        if found[field] <= 0:
            raise error(field, "write at least 1", "must be positive")
    if found["min_shards"] > found["max_shards"]:
        raise error("min_shards", f"write at most {found['max_shards']}", "must not be greater than max_shards")
    for field in ("max_samples_per_send", "capacity"):
        if found[field] <= 0:
            raise error(field, "write at least 1", "must be positive")
    if found["max_backoff"] < found["min_backoff"]:
        raise error("max_backoff", "make it at least min_backoff", "must not be less than min_backoff")
