"""The network path to an endpoint: its name, its addresses, and its certificate."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from pyflink_prometheus.http.exchange import CONNECT_TIMEOUT_S
from pyflink_prometheus.http.failures import Surroundings
from pyflink_prometheus.preflight.finding import Finding, Severity

OK, ADVICE, PROBLEM = Severity.OK, Severity.ADVICE, Severity.PROBLEM

_PORTS = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}
#: A certificate that expires within this many days should be renewed.
RENEW_DAYS = 14
_DAY_S = 86_400


def check_way(surroundings: Surroundings, *, each_address: bool = False) -> list[Finding]:
    """
    Look up the endpoint's name, or the proxy's if there is one, and open a connection to each of its addresses.

    :param surroundings: the settings of an attempt.
    :param each_address: whether the sink chooses one of the addresses at random, so that all must work.
    """
    findings = []
    is_proxied = bool(surroundings.proxy)
    target = urlsplit(surroundings.proxy if is_proxied else surroundings.url)
    if is_proxied:
        where = "the settings" if surroundings.has_own_proxy else "the environment of this machine"
        note = "" if surroundings.has_own_proxy else "set the same variables on the workers, which do not share them"
        message = f"Requests go through the proxy {surroundings.proxy}, which comes from {where}."
        findings.append(Finding("proxy", OK, message, note))
    host, port = target.hostname or "", target.port or _PORTS.get(target.scheme, 80)
    named = f"the proxy {host}" if is_proxied else host
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        remedy = (
            f"check the host in the {'proxy' if is_proxied else 'URL'}, and the DNS of this machine and the workers"
        )
        message = f"The name of {named} cannot be resolved ({_words(error)})."
        return [*findings, Finding("name", PROBLEM, message, remedy)]
    addresses = list(dict.fromkeys(str(each[4][0]) for each in found))
    findings.append(Finding("name", OK, f"{named} has {_counted(addresses)}."))
    return [*findings, _connect(named, addresses, port, each_address=each_address, is_proxied=is_proxied)]


def _connect(named: str, addresses: list[str], port: int, *, each_address: bool, is_proxied: bool) -> Finding:
    open_ones, failures, timed_out = [], [], False
    for address in addresses:
        try:
            socket.create_connection((address, port), timeout=CONNECT_TIMEOUT_S).close()
        except OSError as error:
            failures.append(f"{address}: {_words(error)}")
            timed_out = timed_out or isinstance(error, TimeoutError)
        else:
            open_ones.append(address)
    if not open_ones:
        where = "proxy's URL" if is_proxied else "URL"
        remedy = f"check the {where}, that something listens there, and that no firewall or network policy blocks it"
        return Finding("connection", PROBLEM, f"Port {port} of {named} is not open ({'; '.join(failures)}).", remedy)
    message = f"Port {port} is open at {', '.join(open_ones)}"
    if failures:
        message += f", but not at others ({'; '.join(failures)})"
    if failures and (each_address or timed_out):
        return Finding("connection", ADVICE, f"{message}.", "remove the dead addresses from DNS, or bring them back")
    return Finding("connection", OK, f"{message}.")


class Connections:
    """An observer of connections that keeps the certificates of the first TLS connection."""

    def __init__(self) -> None:
        self.count = 0
        self.version = ""
        self.certificates: list[dict[str, Any]] = []

    def __call__(self, connection: Any) -> None:
        """Take the socket of an open connection."""
        self.count += 1
        if isinstance(connection, ssl.SSLSocket) and not self.version:
            self.version = connection.version() or "TLS"
            self.certificates = _chain(connection)

    def findings(self, now_s: float | None = None) -> Iterator[Finding]:
        """Yield the findings about the certificates."""
        if not self.version:
            return
        if not self.certificates:
            remedy = "set the trusted authorities with ca_file instead of insecure_skip_verify"
            yield Finding("tls", ADVICE, f"{self.version}, but the receiver's certificate is not checked.", remedy)
            return
        now_s = time.time() if now_s is None else now_s
        ends = [(ssl.cert_time_to_seconds(each["notAfter"]), each) for each in self.certificates if "notAfter" in each]
        end_s, first = min(ends, key=lambda end: end[0])
        days = int((end_s - now_s) // _DAY_S)
        until = time.strftime("%Y-%m-%d", time.gmtime(end_s))
        owner = f"{'' if len(ends) == 1 else f'{len(ends)} certificates; the first to expire is for '}{_subject(first)}"
        message = f"{self.version}, trusted: {owner}, valid until {until} ({days} days)."
        if days < RENEW_DAYS:
            yield Finding("tls", ADVICE, message, "renew the certificate before it expires")
        else:
            yield Finding("tls", OK, message)


def _chain(connection: ssl.SSLSocket) -> list[dict[str, Any]]:
    """Return the verified certificates, the receiver's first; none if they were not verified."""
    own: Any = connection.getpeercert()
    if not own:
        return []
    try:  # public only from Python 3.13 on
        verified = connection._sslobj.get_verified_chain()  # type: ignore[attr-defined]  # noqa: SLF001
        return [each.get_info() for each in verified]
    except (AttributeError, TypeError, ValueError):
        return [own]


def _subject(certificate: dict[str, Any]) -> str:
    names = [value for kind, value in certificate.get("subjectAltName", ()) if kind in ("DNS", "IP Address")]
    common = [value for part in certificate.get("subject", ()) for kind, value in part if kind.endswith("ommonName")]
    any_of_subject = [value for part in certificate.get("subject", ()) for _, value in part]
    return str(next(iter([*names, *common, *any_of_subject]), "an unnamed certificate"))


def _counted(addresses: list[str]) -> str:
    return f"the address {addresses[0]}" if len(addresses) == 1 else f"the addresses {', '.join(addresses)}"


def _words(error: OSError | UnicodeError) -> str:
    if isinstance(error, TimeoutError):
        return f"no response within {CONNECT_TIMEOUT_S:g} s"
    return getattr(error, "strerror", None) or type(error).__name__
