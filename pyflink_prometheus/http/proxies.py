"""Proxy settings of connections, with the same meaning as in Prometheus."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, urlsplit

from pyflink_prometheus import _validation
from pyflink_prometheus.config import header_problem, is_header_name, without_credentials
from pyflink_prometheus.errors import SecretError
from pyflink_prometheus.secret import Secret

_SCHEMES = ("http", "https", "socks5", "socks5h")
_DEFAULT_PORTS = {"http": 80, "https": 443}

#: The value or values of a header.
HeaderValue = str | Secret | Sequence[str | Secret]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyConfiguration:
    """
    Proxy settings, named and combined as in Prometheus's ``http_config``. Without any of them, no proxy is used.

    :param proxy_url: the proxy, such as ``http://user:password@host:3128``. The scheme may also be ``https``, or with
        the extra ``socks`` ``socks5``; the proxy then resolves the receiver's name.
    :param no_proxy: receivers to reach without the proxy: host names (which cover their subdomains), addresses and
        CIDR blocks, each with or without a port, separated by commas; ``*`` for all. With this setting, localhost and
        loopback addresses also bypass the proxy.
    :param proxy_from_environment: whether to use the worker's HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY.
    :param proxy_connect_header: headers, each with one or more values, for the proxy when it opens a tunnel, which it
        does for https receivers.
    :raises ValueError: if settings exclude each other, or the URL is not a proxy URL.
    """

    proxy_url: str | None = field(default=None, repr=False)
    no_proxy: str | None = None
    proxy_from_environment: bool = False
    proxy_connect_header: Mapping[str, HeaderValue] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        _validation.instance("proxy_from_environment", self.proxy_from_environment, bool)
        if self.proxy_url is not None:
            _check_proxy_url(self.proxy_url)
            if self.proxy_from_environment:
                raise ValueError("proxy_from_environment: it cannot be combined with proxy_url; set one of the two")
        if self.no_proxy is not None:
            _validation.line("no_proxy", self.no_proxy)
            if self.proxy_from_environment:
                raise ValueError("proxy_from_environment: it cannot be combined with no_proxy; use NO_PROXY")
            if self.proxy_url is None:
                raise ValueError("no_proxy: set proxy_url as well")
        if self.proxy_connect_header and self.proxy_url is None and not self.proxy_from_environment:
            raise ValueError("proxy_connect_header: set proxy_url or proxy_from_environment as well")
        for name, value in self.proxy_connect_header.items():
            _check_header(name, value)

    def proxies(self, url: str) -> dict[str, str]:
        """Return the proxies for a receiver's URL as requests takes them; not for ``proxy_from_environment``."""
        if self.proxy_url is None or (self.no_proxy is not None and is_excepted(url, self.no_proxy)):
            return {}
        scheme, colon, rest = self.proxy_url.partition(":")
        # In Go, the proxy resolves names for socks5 as well; requests has a separate scheme for that.
        proxy = f"socks5h:{rest}" if scheme == "socks5" and colon else self.proxy_url
        return {"http": proxy, "https": proxy}

    def connect_headers(self) -> dict[str, str]:
        """
        Read and return the headers for a proxy that opens a tunnel.

        :raises SecretError: if a header cannot be read or sent.
        """
        return {
            name: ", ".join(_read(each) for each in _values(value)) for name, value in self.proxy_connect_header.items()
        }

    def __repr__(self) -> str:
        shown = None if self.proxy_url is None else without_credentials(self.proxy_url)
        return (
            f"ProxyConfiguration(proxy_url={shown!r}, no_proxy={self.no_proxy!r}, "
            f"proxy_from_environment={self.proxy_from_environment!r}, "
            f"proxy_connect_header={sorted(self.proxy_connect_header)!r})"
        )


def is_excepted(url: str, no_proxy: str) -> bool:
    """Return whether a URL is reached without the proxy, by the rules of Go's ``httpproxy``."""
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".")
    address = _address(host)
    if host == "localhost" or (address is not None and address.is_loopback):
        return True
    port = parts.port or _DEFAULT_PORTS.get(parts.scheme)
    return any(_matches(entry.strip().lower(), host, address, port) for entry in no_proxy.split(","))


def _matches(entry: str, host: str, address: Any, port: int | None) -> bool:
    if entry == "*":
        return True
    try:
        block = ipaddress.ip_network(entry, strict=False) if "/" in entry else None
    except ValueError:
        return False
    if block is not None:
        return address is not None and address in block
    name, entry_port = _split_port(entry)
    if not name or (entry_port is not None and entry_port != port):
        return False
    if (found := _address(name)) is not None:
        return bool(found == address)
    if address is not None:
        return False
    # A leading dot, or *., excepts subdomains only.
    name = name.removeprefix("*")
    return host.endswith(name) if name.startswith(".") else host == name or host.endswith(f".{name}")


def _split_port(entry: str) -> tuple[str, int | None]:
    if _address(entry) is not None:  # an IPv6 address contains colons
        return entry, None
    try:
        parts = SplitResult("", entry, "", "", "")
        return parts.hostname or "", parts.port
    except ValueError:
        return "", None


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None


def _check_proxy_url(url: Any) -> None:
    expected = "proxy_url: expected a URL such as http://user:password@host:3128"
    if not isinstance(url, str):
        raise TypeError(f"{expected}, got {type(url).__name__}")
    try:
        parts = urlsplit(url)
        has_host = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:  # the error's text quotes the URL
        parts, has_host = SplitResult("", "", "", "", ""), False
    if parts.scheme not in _SCHEMES or not has_host or any(each.isspace() or not each.isprintable() for each in url):
        raise ValueError(f"{expected} (schemes: {', '.join(_SCHEMES)}); the value may hold a password and is not shown")


def _check_header(name: Any, value: Any) -> None:
    if not is_header_name(name):
        raise ValueError("proxy_connect_header: expected names of letters, digits and hyphens (RFC 9110, 5.6.2)")
    for each in _values(value):
        if not isinstance(each, (str, Secret)):
            raise TypeError(f"proxy_connect_header: expected strings or Secrets for {name}, got {type(each).__name__}")
        if isinstance(each, str) and (problem := header_problem(each)) is not None:
            raise ValueError(f"proxy_connect_header: the value of {name!r} {problem}")


def _read(value: str | Secret) -> str:
    if isinstance(value, str):
        return value
    read = value.read()
    if (problem := header_problem(read)) is not None:
        raise SecretError(f"check {value.source}: it {problem}")
    return read


def _values(value: HeaderValue) -> Sequence[str | Secret]:
    return [value] if isinstance(value, (str, Secret)) else value
