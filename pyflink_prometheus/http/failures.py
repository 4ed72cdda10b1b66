"""The outcome of an attempt without a response, classified in one place by the exception that requests raised."""

from __future__ import annotations

import http.client
import os
import re
import ssl
from typing import NamedTuple

import requests
import urllib3
from urllib3.util.ssl_match_hostname import CertificateError

from pyflink_prometheus.http.connections import Stage
from pyflink_prometheus.http.outcome import Kind, Outcome
from pyflink_prometheus.http.signing import place_of

# OpenSSL's names for a response that is not TLS.
_NO_COMMON_VERSION = {
    "NO_PROTOCOLS_AVAILABLE",
    "TLSV1_ALERT_PROTOCOL_VERSION",
    "UNSUPPORTED_PROTOCOL",
    "VERSION_TOO_LOW",
}
_NO_TLS = {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL", "RECORD_LAYER_FAILURE"}
# The alerts with which a receiver refuses a client certificate, or asks for one (RFC 8446, 6.2), in OpenSSL's names.
_CLIENT_CERTIFICATE_ALERT = re.compile(
    r"ALERT_(CERTIFICATE_\w+|BAD_CERTIFICATE\w*|UNSUPPORTED_CERTIFICATE|UNKNOWN_CA|ACCESS_DENIED|NO_CERTIFICATE|"
    r"HANDSHAKE_FAILURE)"
)
# The beginning of the alert that a TLS port sends in response to a request without TLS (RFC 8446, 5.1 and 6).
_TLS_ALERT = "\x15\x03"
# The longest quotation of a library's message.
_LONGEST_SHOWN = 300
_TUNNEL_STATUS = re.compile(r"Tunnel connection failed: (\d{3})")
_WRONG_NAME = (62, 64)  # X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH
_NOT_YET_VALID, _EXPIRED = 9, 10  # X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED


class Surroundings(NamedTuple):
    """
    The settings of an attempt, without secrets, for messages.

    :param url: the endpoint's URL.
    :param proxy: the proxy's URL, "" for none.
    :param verify: the path of the trusted certificates, or whether to use those of requests.
    :param connect_timeout_s: how long connecting may take.
    :param timeout_s: how long the whole attempt may take.
    :param has_responded: whether the endpoint has ever sent an HTTP response.
    :param has_own_tls: whether the sink has TLS settings, rather than those of the environment.
    :param has_own_proxy: whether the sink has proxy settings, rather than those of the environment.
    """

    url: str
    proxy: str
    verify: bool | str | None
    connect_timeout_s: float
    timeout_s: float
    has_responded: bool = False
    has_own_tls: bool = False
    has_own_proxy: bool = False

    @property
    def proxy_setting(self) -> str:
        """Where the proxy's URL is set."""
        return "proxy_url" if self.has_own_proxy else "HTTPS_PROXY on the workers"


def classify_failure(error: BaseException, stage: Stage, surroundings: Surroundings) -> Outcome:
    """
    Return the outcome for an exception of requests or its libraries.

    Failures that the user has to fix are fatal, with the advice first. Other network failures are retryable. Texts that
    may quote a URL or a header are not shown.

    :param stage: the stage that the attempt had reached.
    """
    cause = _innermost(error)
    # Most specific first: a certificate error is an SSL error, which is an OSError, and so on.
    fatal = _wrong_certificate(error, cause, surroundings) or _wrong_scheme(error, cause, surroundings)
    fatal = fatal or _wrong_proxy(error, cause, stage, surroundings) or _wrong_authorities(cause, surroundings)
    fatal = fatal or _wrong_version(cause, surroundings)
    refused = _refused_client_certificate(error, cause, surroundings)
    if fatal or refused:
        # A previously accepted client certificate is due for rotation, and each attempt looks for a new one.
        is_due = bool(refused) and surroundings.has_responded and surroundings.has_own_tls
        return Outcome(Kind.RETRYABLE if is_due else Kind.FATAL, fatal or refused)
    if isinstance(cause, (TimeoutError, urllib3.exceptions.TimeoutError)) and not isinstance(
        cause, urllib3.exceptions.NewConnectionError
    ):
        if stage is Stage.CONNECT:
            target = f" to the proxy {surroundings.proxy}" if _is_proxy_error(error) else ""
            return Outcome(Kind.RETRYABLE, f"no connection{target} within {surroundings.connect_timeout_s:g} s")
        what = "no response" if stage is Stage.RESPONSE else "the request could not be sent"
        return Outcome(Kind.RETRYABLE, f"{what} within {surroundings.timeout_s:g} s", timed_out=True)
    if _is_network_error(cause):
        if _is_proxy_error(error):
            return Outcome(Kind.RETRYABLE, f"no connection to the proxy {surroundings.proxy}: {_shown(cause)}")
        if stage is Stage.RESPONSE and not isinstance(cause, OSError):
            return Outcome(Kind.RETRYABLE, f"the response is not valid HTTP: {_shown(cause)}")
        hint = ""
        if isinstance(cause, ConnectionResetError) and not surroundings.has_responded and _is_plain_http(surroundings):
            hint = "use https:// in the URL if this port speaks TLS; "
        return Outcome(Kind.RETRYABLE, f"{hint}the connection failed: {_shown(cause)}")
    what = f"{type(cause).__name__} {place_of(cause.__traceback__)}"
    if stage is Stage.CONNECT and isinstance(error, ValueError):
        return Outcome(Kind.FATAL, f"check the URL {surroundings.url}: no request can be made to it ({what})")
    return Outcome(Kind.RETRYABLE, f"the attempt failed: {what}")


def _wrong_certificate(error: BaseException, cause: BaseException, surroundings: Surroundings) -> str:
    if isinstance(cause, CertificateError):  # urllib3 compares the names itself
        message, is_wrong_name = str(cause), True
    elif isinstance(cause, ssl.SSLCertVerificationError):
        message, is_wrong_name = cause.verify_message, cause.verify_code in _WRONG_NAME
    else:
        return ""
    owner = f"the proxy {surroundings.proxy}" if _is_proxy_error(error) else surroundings.url
    reason = f"the certificate of {owner} was not accepted ({_one_line(message)})"
    if is_wrong_name:
        return f"use a host name in the URL that the certificate covers: {reason}"
    code = getattr(cause, "verify_code", None)
    if code in (_EXPIRED, _NOT_YET_VALID):
        remedy = "renew the certificate" if code == _EXPIRED else "use a certificate that is already valid"
        return f"{remedy}, or correct this machine's clock: {reason}"
    setting = "ca_file" if surroundings.has_own_tls else "REQUESTS_CA_BUNDLE on the workers"
    return (
        f"if the certificate is from a private authority, set {setting} to that authority's certificate file: {reason}"
    )


def _refused_client_certificate(error: BaseException, cause: BaseException, surroundings: Surroundings) -> str:
    reason = (cause.reason or "") if isinstance(cause, ssl.SSLError) else ""
    if not _CLIENT_CERTIFICATE_ALERT.search(reason):
        return ""
    owner = f"the proxy {surroundings.proxy}" if _is_proxy_error(error) else surroundings.url
    condition = "if one is required, " if "HANDSHAKE_FAILURE" in reason else ""
    return (
        f"{condition}set a client certificate that the receiver accepts, with cert_file and key_file of "
        f"set_tls_configuration: {owner} refused the connection ({reason.lower().replace('_', ' ')})"
    )


def _wrong_scheme(error: BaseException, cause: BaseException, surroundings: Surroundings) -> str:
    if isinstance(cause, ssl.SSLError) and cause.reason in _NO_TLS:
        if _is_proxy_error(error):
            return (
                f"use http:// in the proxy's URL in {surroundings.proxy_setting}: the proxy "
                f"{surroundings.proxy} does not speak TLS ({_shown(cause)})"
            )
        return f"use http:// in the URL: {surroundings.url} does not speak TLS ({_shown(cause)})"
    if isinstance(cause, http.client.BadStatusLine) and str(cause).startswith(_TLS_ALERT):
        return f"use https:// in the URL: {surroundings.url} responded with a TLS alert"
    return ""


def _wrong_version(cause: BaseException, surroundings: Surroundings) -> str:
    if surroundings.has_own_tls and isinstance(cause, ssl.SSLError) and cause.reason in _NO_COMMON_VERSION:
        return (
            "change min_version or max_version of set_tls_configuration: the two sides have no TLS version in common "
            f"({_shown(cause)})"
        )
    return ""


def _wrong_proxy(error: BaseException, cause: BaseException, stage: Stage, surroundings: Surroundings) -> str:
    """Return what is wrong with the proxy settings; the libraries' own messages quote the proxy's password."""
    refused = _TUNNEL_STATUS.search(str(cause)) if isinstance(cause, OSError) else None
    if refused and refused[1] == "407":
        return (
            f"set the proxy's user name and password in {surroundings.proxy_setting} "
            f"(http://user:password@host:port): {_shown(cause)}"
        )
    if refused and refused[1].startswith("4"):
        exception = "no_proxy" if surroundings.has_own_proxy else "NO_PROXY on the workers"
        return (
            f"allow the proxy {surroundings.proxy} to connect to {surroundings.url}, or add the host to {exception}: "
            f"{_shown(cause)}"
        )
    if not surroundings.proxy or stage is not Stage.CONNECT or _is_network_error(cause):
        return ""
    if isinstance(error, requests.exceptions.InvalidSchema) and "SOCKS" in str(error):
        return "run pip install 'pyflink-prometheus[socks]' on the workers: the proxy is a SOCKS proxy"
    where = "proxy_url" if surroundings.has_own_proxy else "HTTPS_PROXY, HTTP_PROXY or ALL_PROXY on the workers"
    return (
        f"correct the proxy's URL in {where}: it cannot be used; expected a URL such as http://user:password@host:port"
    )


def _wrong_authorities(cause: BaseException, surroundings: Surroundings) -> str:
    """Return advice if the certificate file or folder cannot be used."""
    path = surroundings.verify
    if not isinstance(path, str) or _is_plain_http(surroundings) or not isinstance(cause, OSError):
        return ""
    try:
        if os.path.isdir(path):
            return ""
        ssl.create_default_context(cafile=path)
    except OSError as error:
        return (
            "set REQUESTS_CA_BUNDLE (or CURL_CA_BUNDLE) to a certificate file that this worker can read: "
            f"{path} cannot be used ({type(error).__name__})"
        )
    return ""


def _is_network_error(cause: BaseException) -> bool:
    """Return whether a network or a receiver can cause this, rather than the settings."""
    return isinstance(cause, (OSError, http.client.HTTPException, urllib3.exceptions.HTTPError)) and not isinstance(
        cause, (ValueError, requests.RequestException)
    )


def _is_plain_http(surroundings: Surroundings) -> bool:
    return surroundings.url.startswith("http:")


def _is_proxy_error(error: BaseException) -> bool:
    return isinstance(error, requests.exceptions.ProxyError)


def _innermost(error: BaseException) -> BaseException:
    """Unwrap the cause from errors of requests and urllib3, which quote the whole URL with its secrets."""
    while True:
        inner = next(
            (each for each in (getattr(error, "reason", None), *error.args) if isinstance(each, BaseException)), None
        )
        if inner is None:
            return error
        error = inner


def _shown(cause: BaseException) -> str:
    # urllib3's messages begin with the connection; the log already names the host.
    text = re.sub(r"^(<.*? at 0x[0-9a-f]+>|\w+\([^)]*\)): ", "", str(cause))
    return _one_line(re.sub(r"<.*? at 0x[0-9a-f]+>", "", text)) or type(cause).__name__


def _one_line(text: str) -> str:
    line = "".join(each if each.isprintable() else repr(each)[1:-1] for each in " ".join(text.split()))
    return line if len(line) <= _LONGEST_SHOWN else line[: _LONGEST_SHOWN - 3] + "..."
