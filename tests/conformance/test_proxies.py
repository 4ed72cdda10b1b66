"""
Proxy settings of the sink, against proxies on loopback: HTTP, HTTPS and SOCKS.

1.0 and 2.0 leave proxies to the sender; the settings are those of Prometheus's `http_config`.
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import struct

import pytest
from raw_server import RawServer, response

from pyflink_prometheus.config import SinkConfig
from pyflink_prometheus.http.outcome import Kind
from pyflink_prometheus.http.proxies import ProxyConfiguration, is_excepted
from pyflink_prometheus.http.tls import TlsConfiguration
from pyflink_prometheus.http.transport import RequestsTransport
from pyflink_prometheus.secret import Secret

DONE = response(204, "Connection: close")


@pytest.fixture
def trusted(authority, tmp_path):
    """Return TLS settings that trust the authority."""
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return TlsConfiguration(ca_file=str(tmp_path / "ca.pem"))


@pytest.fixture
def context(authority):
    """Return a TLS context for a server, as 127.0.0.1 and as receiver.test."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "receiver.test").configure_cert(context)
    return context


@pytest.fixture
def serve():
    """Return a function that starts a server of bytes."""
    with contextlib.ExitStack() as stack:
        yield lambda response=DONE, **settings: stack.enter_context(RawServer(response, **settings))


@pytest.fixture
def post():
    """Return a function that makes one attempt at a URL."""
    with contextlib.ExitStack() as stack:

        def attempt(url, **settings):
            transport = RequestsTransport(SinkConfig(prometheus_remote_write_url=url, **settings))
            stack.callback(transport.close)
            return transport.post(b"body", {})

        yield attempt


def piped(connection, port):
    """
    Forward bytes in both directions between a connection and a port, until one side ends.

    On one thread, because a TLS connection must not be read and written at the same time.
    """
    with socket.create_connection(("127.0.0.1", port), timeout=10) as onward, contextlib.suppress(OSError):
        others = {connection: onward, onward: connection}
        while True:
            read_already = [each for each in others if getattr(each, "pending", int)()]
            for source in read_already or select.select(list(others), [], [], 10)[0]:
                data = source.recv(65536)
                if not data:
                    return
                others[source].sendall(data)


def tunnel_to(receiver):
    """Return a proxy's function that makes a tunnel, whatever host is requested."""

    def respond(connection):
        connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        piped(connection, receiver.port)

    return respond


def test_plain_requests_go_to_the_proxy_with_its_credentials(serve, post):
    proxy = serve()
    url = proxy.url("").replace("http://", "http://user:hunter22@")
    outcome = post("http://receiver.test/write", proxy=ProxyConfiguration(proxy_url=url))
    assert outcome.kind is Kind.ACCEPTED
    assert proxy.requests[0].startswith("POST http://receiver.test/write HTTP/1.1")
    assert "Proxy-Authorization: Basic dXNlcjpodW50ZXIyMg==" in proxy.requests[0]


def test_a_tunnel_gets_credentials_and_connect_headers_and_the_receiver_neither(
    serve, post, context, trusted, tmp_path
):
    receiver = serve(tls=context)
    proxy = serve(tunnel_to(receiver))
    (tmp_path / "token").write_text("token-1\n")
    config = ProxyConfiguration(
        proxy_url=proxy.url("").replace("http://", "http://user:hunter22@"),
        proxy_connect_header={"X-Team": ["a", "b"], "X-Token": Secret.file(str(tmp_path / "token"))},
    )
    assert post("https://receiver.test/write", proxy=config, tls=trusted).kind is Kind.ACCEPTED
    head = proxy.requests[0]
    assert head.startswith("CONNECT receiver.test:443 ")
    assert "Proxy-Authorization: Basic dXNlcjpodW50ZXIyMg==" in head
    assert "X-Team: a, b" in head
    assert "X-Token: token-1" in head
    assert not {"Proxy-Authorization", "X-Team", "X-Token"} & {
        line.partition(":")[0] for line in receiver.requests[0].splitlines()
    }
    assert not any(each in repr(config) for each in ("hunter22", "user", "token-1"))


def test_connect_headers_are_for_tunnels_only(serve, post):
    proxy = serve()
    config = ProxyConfiguration(proxy_url=proxy.url(""), proxy_connect_header={"X-Team": "a"})
    assert post("http://receiver.test/write", proxy=config).kind is Kind.ACCEPTED
    assert "X-Team" not in proxy.requests[0]


def test_a_connect_header_that_cannot_be_read_is_named(serve, post, context, trusted):
    proxy = serve(tunnel_to(serve(tls=context)))
    config = ProxyConfiguration(proxy_url=proxy.url(""), proxy_connect_header={"X-Token": Secret.file("/missing")})
    outcome = post("https://receiver.test/write", proxy=config, tls=trusted)
    assert (outcome.kind, proxy.requests) == (Kind.FATAL, [])
    assert outcome.message.startswith("check the secret in file '/missing'")


def test_a_proxy_may_speak_tls_and_is_trusted_as_the_receiver_is(serve, post, context, trusted):
    receiver = serve(tls=context)
    proxy = serve(tunnel_to(receiver), tls=context)
    config = ProxyConfiguration(proxy_url=proxy.url("", scheme="https"))
    assert post("https://receiver.test/write", proxy=config, tls=trusted).kind is Kind.ACCEPTED
    assert len(receiver.requests) == 1
    outcome = post("https://receiver.test/write", proxy=config, tls=TlsConfiguration())
    assert outcome.kind is Kind.FATAL
    assert "set ca_file" in outcome.message


def test_plain_requests_may_go_to_a_proxy_that_speaks_tls(serve, post, context, trusted):
    proxy = serve(tls=context)
    config = ProxyConfiguration(proxy_url=proxy.url("", scheme="https"))
    assert post("http://receiver.test/write", proxy=config, tls=trusted).kind is Kind.ACCEPTED
    assert proxy.requests[0].startswith("POST http://receiver.test/write HTTP/1.1")
    assert post("http://receiver.test/write", proxy=config, tls=TlsConfiguration()).kind is Kind.FATAL


def test_the_environment_does_not_except_hosts_from_a_proxy_that_is_set(serve, post, monkeypatch):
    proxy = serve()
    monkeypatch.setenv("NO_PROXY", "*")
    config = ProxyConfiguration(proxy_url=proxy.url(""))
    assert post("http://receiver.test/write", proxy=config).kind is Kind.ACCEPTED
    assert len(proxy.requests) == 1


def test_messages_name_the_setting(serve, post, trusted):
    proxy = serve(response(407))
    config = ProxyConfiguration(proxy_url=proxy.url(""))
    outcome = post("https://receiver.test/write", proxy=config, tls=trusted)
    assert outcome.kind is Kind.FATAL
    assert outcome.message.startswith("set the proxy's user name and password in proxy_url (http://user:")


def test_without_settings_in_the_configuration_no_proxy_is_used(serve, post, monkeypatch):
    receiver = serve()
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    assert post(receiver.url()).kind is Kind.RETRYABLE
    assert post(receiver.url(), proxy=ProxyConfiguration()).kind is Kind.ACCEPTED


def test_the_environment_is_used_if_it_is_asked_for(serve, post, monkeypatch):
    proxy = serve()
    monkeypatch.setenv("HTTP_PROXY", proxy.url(""))
    outcome = post("http://receiver.test/write", proxy=ProxyConfiguration(proxy_from_environment=True))
    assert (outcome.kind, len(proxy.requests)) == (Kind.ACCEPTED, 1)


def test_what_no_proxy_excepts_is_reached_directly(serve, post):
    receiver, proxy = serve(), serve()
    config = ProxyConfiguration(proxy_url=proxy.url(""), no_proxy="receiver.test,127.0.0.0/8")
    assert post(receiver.url(), proxy=config).kind is Kind.ACCEPTED
    assert (len(receiver.requests), len(proxy.requests)) == (1, 0)


@pytest.mark.parametrize(
    ("url", "no_proxy", "excepted"),
    [
        ("http://receiver.test/", "receiver.test", True),
        ("http://a.receiver.test/", "receiver.test", True),
        ("http://a.receiver.test/", ".receiver.test", True),
        ("http://a.receiver.test/", "*.receiver.test", True),
        ("http://receiver.test/", ".receiver.test", False),
        ("http://myreceiver.test/", "receiver.test", False),
        ("http://RECEIVER.test/", "other.test, Receiver.Test", True),
        ("http://receiver.test/", "receiver.test:8080", False),
        ("http://receiver.test:8080/", "receiver.test:8080", True),
        ("https://receiver.test/", "receiver.test:443", True),
        ("http://10.1.2.3/", "10.0.0.0/8", True),
        ("http://11.1.2.3/", "10.0.0.0/8", False),
        ("http://10.1.2.3/", "10.1.2.3:80", True),
        ("http://10.1.2.3/", "2.3", False),
        ("http://[fd00::1]/", "fd00::/8", True),
        ("http://[fd00::1]/", "fd00::1", True),
        ("http://receiver.test/", "*", True),
        ("http://localhost/", "other", True),
        ("http://127.0.0.1/", "other", True),
        ("http://receiver.test/", ",, 10.0.0.0/99", False),
    ],
)
def test_no_proxy_means_what_it_means_in_go(url, no_proxy, excepted):
    assert is_excepted(url, no_proxy) is excepted


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"proxy_url": "http://p:1", "proxy_from_environment": True}, "it cannot be combined with proxy_url"),
        ({"no_proxy": "a", "proxy_from_environment": True}, "it cannot be combined with no_proxy"),
        ({"no_proxy": "a"}, "no_proxy: set proxy_url as well"),
        ({"proxy_connect_header": {"A": "b"}}, "set proxy_url or proxy_from_environment as well"),
        ({"proxy_url": "ftp://user:hunter22@p"}, "the value may hold a password and is not shown"),
        ({"proxy_url": "http://user:hunter22@p:port"}, "the value may hold a password and is not shown"),
        (
            {"proxy_url": "http://p", "proxy_connect_header": {"A": "b\r\nC: d"}},
            "the value of 'A' contains a line break",
        ),
    ],
)
def test_settings_that_cannot_be_used_are_refused(settings, problem):
    with pytest.raises(ValueError, match=problem) as caught:
        ProxyConfiguration(**settings)
    assert "hunter22" not in str(caught.value)


def socks(receiver, asked):
    """Return a SOCKS5 proxy's function (RFC 1928, 1929) that makes a tunnel, whatever host is requested."""

    def read(connection, count):
        received = b""
        while len(received) < count:
            received += connection.recv(count - len(received))
        return received

    def respond(connection):
        read(connection, read(connection, 2)[1])
        connection.sendall(b"\x05\x02")
        user = read(connection, read(connection, 2)[1])
        password = read(connection, read(connection, 1)[0])
        connection.sendall(b"\x01\x00")
        kind = read(connection, 4)[3]
        host = read(connection, read(connection, 1)[0] if kind == 3 else 4)
        port = struct.unpack("!H", read(connection, 2))[0]
        asked.append((user, password, host, port))
        connection.sendall(b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x00")
        piped(connection, receiver.port)

    return respond


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("socks_scheme", ["socks5", "socks5h"])
def test_a_socks_proxy_resolves_the_name_and_makes_a_tunnel(serve, post, context, trusted, scheme, socks_scheme):
    pytest.importorskip("socks")
    receiver = serve(tls=context if scheme == "https" else None)
    asked: list[tuple[bytes, bytes, bytes, int]] = []
    proxy = serve(socks(receiver, asked), reads=False)
    config = ProxyConfiguration(proxy_url=f"{socks_scheme}://user:hunter22@127.0.0.1:{proxy.port}")
    outcome = post(f"{scheme}://receiver.test/write", proxy=config, tls=trusted)
    assert outcome.kind is Kind.ACCEPTED
    assert asked == [(b"user", b"hunter22", b"receiver.test", {"http": 80, "https": 443}[scheme])]
    assert len(receiver.requests) == 1


def test_each_connection_goes_to_one_of_the_addresses_if_that_is_set(serve, post, monkeypatch, authority, trusted):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("receiver.test").configure_cert(context)  # not for the address
    receiver = serve(tls=context)
    resolved = socket.getaddrinfo
    names = []

    def resolve(host, port, *args, **kwargs):
        names.append(host)
        address = "127.0.0.1" if host == "receiver.test" else host
        return resolved(address, port, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    url = f"https://receiver.test:{receiver.port}/write"
    assert post(url, tls=trusted, round_robin_dns=True).kind is Kind.ACCEPTED
    assert names == ["receiver.test", "127.0.0.1"]
