"""
How an attempt handles connections, proxies and certificates, and how long it may take.

1.0 and 2.0 leave all of this to the sender; the timeout is Prometheus's own.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import socket
import ssl
import zlib

import pytest
import requests
from raw_server import RawServer, response

from pyflink_prometheus.config import SinkConfig
from pyflink_prometheus.http.outcome import Kind
from pyflink_prometheus.http.transport import RequestsTransport

HEADERS = {"Content-Encoding": "snappy", "Retry-Attempt": "3"}
ENDLESS = response(200, "Content-Length: 1000000")


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch):
    """Start each test without the environment's proxies and certificates."""
    for name in [*os.environ]:
        if name.lower().endswith("_proxy") or name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
            monkeypatch.delenv(name)


@pytest.fixture
def serve():
    """Return a function that starts a server of bytes."""
    servers = []

    def start(response, **settings):
        servers.append(RawServer(response, **settings))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def transport():
    """Return a function that makes the transport to a URL."""
    transports = []

    def make(url, **settings):
        transports.append(RequestsTransport(SinkConfig(prometheus_remote_write_url=url, **settings)))
        return transports[-1]

    yield make
    for each in transports:
        each.close()


@pytest.fixture
def post(transport):
    """Return a function that makes one attempt at a URL."""
    return lambda url, body=b"body", **settings: transport(url, **settings).post(body, HEADERS)


@pytest.fixture
def tls(authority):
    """Return a TLS context with a certificate for 127.0.0.1."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


@pytest.fixture
def trusted(authority, tmp_path, monkeypatch):
    """Make the sink trust the authority."""
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "authority.pem"))


def drip(server, first, then=b"x"):
    """Return a function that sends the first bytes one by one, and then keeps sending until the test is over."""

    def send(connection):
        for byte in first:
            connection.sendall(bytes([byte]))
        while not server().stop.wait(0.02):
            connection.sendall(then)

    return send


def closed_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


# How long it may take: the servers of these tests never stop on their own, so a test that ends proves the limit.


@pytest.mark.parametrize("first", [b"HTTP/1.1 2", b"HTTP/1.1 204 No Content\r\nX-A: "], ids=["status", "header"])
def test_a_response_whose_head_drips_is_given_up_after_the_timeout(serve, post, first):
    server: RawServer = serve(drip(lambda: server, first))
    outcome = post(server.url(), socket_timeout_ms=1_000)
    assert (outcome.kind, outcome.message, outcome.timed_out) == (Kind.RETRYABLE, "no response within 1 s", True)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_request_that_cannot_be_sent_is_given_up_after_the_timeout(serve, post, tls, trusted, scheme):
    """The receiver keeps reading a little, so no single wait is long."""

    def take(connection):
        while not server.stop.wait(0.02):
            connection.recv(1000)

    server = serve(take, reads=False, tls=tls if scheme == "https" else None)
    outcome = post(server.url(scheme=scheme), b"x" * 50_000_000, socket_timeout_ms=1_500)
    assert (outcome.kind, outcome.timed_out) == (Kind.RETRYABLE, True)
    assert outcome.message == "the request could not be sent within 1.5 s"


def test_a_handshake_that_does_not_end_is_no_connection(serve, post):
    server: RawServer = serve(lambda connection: server.stop.wait(30), reads=False)
    outcome = post(server.url(scheme="https"), socket_timeout_ms=1_000)
    assert (outcome.kind, outcome.message, outcome.timed_out) == (Kind.RETRYABLE, "no connection within 1 s", False)


@pytest.mark.parametrize("status", [200, 400, 503])
def test_a_body_that_drips_is_given_up_long_before_the_timeout(serve, post, status):
    sent: list[int] = []

    def send(connection):
        connection.sendall(response(status, "Content-Length: 1000000"))
        while not server.stop.wait(0.02):
            connection.sendall(b"x")
            sent.append(1)

    server = serve(send)
    outcome = post(server.url(), socket_timeout_ms=60_000)
    assert len(sent) < 2_000  # in a minute there are 3,000; on a busy machine they are fewer, not more
    assert outcome.status == status
    assert outcome.body_excerpt.strip("x") == ""


def test_a_success_whose_body_does_not_end_counts_and_costs_the_connection(serve, transport):
    server: RawServer = serve(
        lambda connection: (connection.sendall(ENDLESS + b"some"), server.stop.wait(30)), keep=True
    )
    client = transport(server.url(), socket_timeout_ms=60_000)
    assert [client.post(b"", HEADERS).kind for _ in range(2)] == [Kind.ACCEPTED] * 2
    assert server.connections == 2


# Connections.


@pytest.mark.parametrize(
    ("status", "connections"), [(200, 1), (204, 1), (400, 1), (413, 1), (429, 1), (500, 3), (503, 3), (504, 3)]
)
def test_a_connection_is_kept_unless_what_is_behind_it_fails(serve, transport, status, connections):
    """Otherwise a balancer would keep using the backend that is gone, and its name would not be resolved again."""
    server = serve(response(status, body=b"" if status == 204 else b"words"), keep=True)
    client = transport(server.url())
    for _ in range(3):
        assert client.post(b"body", HEADERS).status == status
    assert (len(server.requests), server.connections) == (3, connections)


@pytest.mark.parametrize(
    "response",
    [
        b"HTTP/1.0 400 Bad\r\n\r\nthe words",
        b"HTTP/1.1 400 Bad\r\nConnection: close\r\n\r\nthe words",
        response(400, "Transfer-Encoding: chunked", body=b"4\r\nthe \r\n5\r\nwords\r\n0\r\n\r\n"),
        response(400, "Transfer-Encoding: chunked", body=b"4\r\nthe \r\n9\r\nwords"),
        response(400, "Content-Length: 100", body=b"the words"),
        response(400, "Content-Length: nonsense", body=b"the words"),
        b"HTTP/1.1 100 Continue\r\n\r\n" + response(400, body=b"the words"),
    ],
)
def test_the_words_of_a_response_are_read_however_they_are_framed(serve, transport, response):
    outcome = transport(serve(response).url()).post(b"body", HEADERS)
    assert (outcome.kind, outcome.status, outcome.body_excerpt) == (Kind.REFUSED, 400, "the words")


WORDS = "out of order sample é".encode()


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", gzip.compress(WORDS)),
        ("GZip", gzip.compress(WORDS)),
        ("deflate", zlib.compress(WORDS)),
        ("deflate", zlib.compress(WORDS)[2:-4]),
        ("identity", WORDS),
        ("gzip", WORDS),
    ],
    ids=["gzip", "in any case", "deflate", "bare deflate", "identity", "not gzip at all"],
)
def test_the_words_of_a_response_are_read_although_they_are_compressed(serve, post, encoding, body):
    assert post(serve(response(400, f"Content-Encoding: {encoding}", body=body)).url()).body_excerpt == WORDS.decode()


def test_a_compressed_response_is_unpacked_up_to_a_limit(serve, post):
    bomb = gzip.compress(b"x" * 30_000_000)
    assert 0 < len(post(serve(response(400, "Content-Encoding: gzip", body=bomb)).url()).body_excerpt) <= 8192


def test_a_response_in_an_encoding_that_was_not_asked_for_is_said_to_be_one(serve, post):
    server = serve(response(400, "Content-Encoding: br", body=b"\x8b\x02\x80"))
    assert post(server.url()).body_excerpt == "(a body encoded as 'br')"
    assert "accept-encoding: identity" in server.requests[0].lower()


def test_cookies_are_not_kept(serve, transport):
    server = serve(response(204, "Set-Cookie: backend=7"), keep=True)
    client = transport(server.url())
    client.post(b"body", HEADERS)
    client.post(b"body", HEADERS)
    assert "cookie" not in server.requests[1].lower()


def test_the_writers_headers_and_the_query_go_out_as_they_are(serve, transport):
    server = serve(response(204), keep=True)
    client = transport(server.url("/write?db=a%20b&c=ü"))
    for _ in range(2):
        client.post(b"body", HEADERS)
    for head in server.requests:
        assert head.startswith("POST /write?db=a%20b&c=%C3%BC HTTP/1.1\r\n")
        assert "Retry-Attempt: 3" in head


def test_digest_authentication_of_requests_makes_its_second_attempt(serve, post):
    challenge = response(401, 'WWW-Authenticate: Digest realm="r", nonce="n", qop="auth"', body=b"no")
    server: RawServer = serve(
        lambda connection: connection.sendall(response(204) if "Digest" in server.requests[-1] else challenge),
        keep=True,
    )
    outcome = post(server.url(), request_signer=requests.auth.HTTPDigestAuth("user", "password"))
    assert outcome.kind is Kind.ACCEPTED
    assert 'uri="/api/v1/write"' in server.requests[1]


@pytest.mark.parametrize(
    ("response", "shown"),
    [
        (b"\x00\xff garbage\r\n\r\n", "\\x00ÿ garbage"),
        (b"HTTP/2 400 Bad\r\n\r\n", "HTTP/2"),
        (response(400, "X: " + "y" * 100_000), "65536 bytes"),
        (response(400, *["X: y"] * 200), "100 headers"),
        (response(400, "Content-Length: 1", "Content-Length: 2"), "Content-Length"),
    ],
    ids=["garbage", "another HTTP", "long header", "many headers", "two lengths"],
)
def test_what_is_no_http_response_is_retryable_and_said_to_be_none(serve, post, response, shown):
    outcome = post(serve(response).url())
    assert (outcome.kind, outcome.status) == (Kind.RETRYABLE, None)
    assert outcome.message.startswith("the response is not valid HTTP: ")
    assert shown in outcome.message


# Messages: the advice first, on one line, without the libraries' internal details.


def test_http_at_a_port_that_speaks_tls_is_fatal_where_that_is_certain(serve, post):
    outcome = post(serve(b"\x15\x03\x03\x00\x02\x02\x2f").url())
    assert outcome.kind is Kind.FATAL
    assert outcome.message.startswith("use https:// in the URL: ")


def test_http_at_a_port_that_hangs_up_is_retryable_with_advice_until_it_has_responded(serve, transport, tls):
    assert transport(serve(b"", tls=tls).url()).post(b"", HEADERS).message.startswith("use https:// in the URL if this")
    responses = iter([response(204), b""])
    client = transport(serve(lambda connection: connection.sendall(next(responses))).url())
    assert client.post(b"", HEADERS).kind is Kind.ACCEPTED
    outcome = client.post(b"", HEADERS)
    assert outcome.kind is Kind.RETRYABLE
    assert outcome.message.startswith("the connection failed: ")


def test_https_at_a_port_without_tls_is_fatal_with_advice(serve, post):
    outcome = post(serve(response(400), reads=False).url(scheme="https"))
    assert outcome.kind is Kind.FATAL
    assert outcome.message.startswith("use http:// in the URL: ")


def test_a_certificate_for_another_name_is_fatal_with_advice(serve, post, tls, trusted):
    server = serve(response(204), tls=tls)
    outcome = post(server.url(scheme="https").replace("127.0.0.1", "localhost"))
    assert outcome.kind is Kind.FATAL
    assert outcome.message.startswith("use a host name in the URL that the certificate covers: ")


@pytest.mark.parametrize("content", [None, "", "no certificate"], ids=["missing", "empty", "junk"])
def test_certificates_that_cannot_be_read_are_fatal_with_advice(serve, post, tls, tmp_path, monkeypatch, content):
    file = tmp_path / "authority.pem"
    if content is not None:
        file.write_text(content)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(file))
    outcome = post(serve(response(204), tls=tls).url(scheme="https"))
    assert outcome.kind is Kind.FATAL
    assert outcome.message.startswith(
        "set REQUESTS_CA_BUNDLE (or CURL_CA_BUNDLE) to a certificate file that this worker can read"
    )
    assert str(file) in outcome.message


@pytest.mark.parametrize("host", ["a..b", "a" * 64 + ".invalid", "*b"])
def test_a_host_that_cannot_be_one_is_fatal_with_advice(post, host):
    outcome = post(f"http://{host}/api/v1/write")
    assert outcome.kind is Kind.FATAL
    assert outcome.message.startswith(f"check the URL http://{host}/api/v1/write: ")


@pytest.mark.parametrize(
    "proxy",
    [
        "http://",
        "http://user:hunter22@",
        "http://host:port",
        "ftp://host:1",
        "http://[::1",
        "://",
        "http://us\uff0fer:hunter22@h:1",
    ],
)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_cannot_be_one_is_fatal_with_advice(post, monkeypatch, proxy, scheme):
    monkeypatch.setenv(f"{scheme.upper()}_PROXY", proxy)
    outcome = post(f"{scheme}://receiver.invalid/api/v1/write")
    assert outcome.kind is Kind.FATAL
    assert outcome.message.startswith("correct the proxy's URL in HTTPS_PROXY, HTTP_PROXY or ALL_PROXY on the workers")


def test_a_socks_proxy_without_its_library_is_fatal_with_advice(post, monkeypatch):
    with contextlib.suppress(ImportError):
        __import__("socks")
        pytest.skip("PySocks is installed")
    monkeypatch.setenv("HTTP_PROXY", "socks5://user:hunter22@127.0.0.1:1")
    outcome = post("http://receiver.invalid/api/v1/write")
    assert outcome.kind is Kind.FATAL
    assert outcome.message.startswith("run pip install 'pyflink-prometheus[socks]' on the workers")


@pytest.mark.parametrize(
    ("status", "kind", "advice"),
    [
        (407, Kind.FATAL, "set the proxy's user name and password in HTTPS_PROXY on the workers"),
        (403, Kind.FATAL, "allow the proxy http://127.0.0.1:"),
        (502, Kind.RETRYABLE, "no connection to the proxy http://127.0.0.1:"),
    ],
)
def test_a_proxy_that_makes_no_tunnel_is_named_with_advice(serve, post, monkeypatch, status, kind, advice):
    proxy = serve(response(status))
    monkeypatch.setenv("HTTPS_PROXY", proxy.url("").replace("http://", "http://user:hunter22@"))
    outcome = post("https://receiver.invalid/api/v1/write")
    assert outcome.kind is kind
    assert outcome.message.startswith(advice)
    assert f"Tunnel connection failed: {status}" in outcome.message
    assert proxy.requests[0].startswith("CONNECT receiver.invalid:443 ")


def test_https_in_the_url_of_a_proxy_without_tls_is_fatal_with_advice(serve, post, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", serve(response(400), reads=False).url("", scheme="https"))
    outcome = post("https://receiver.invalid/api/v1/write")
    assert outcome.kind is Kind.FATAL
    assert outcome.message.startswith("use http:// in the proxy's URL in HTTPS_PROXY on the workers: ")


def test_a_proxy_gets_its_credentials_as_utf_8_and_the_receivers_query(serve, post, monkeypatch):
    proxy = serve(response(204))
    monkeypatch.setenv("HTTP_PROXY", proxy.url("").replace("http://", "http://j%C3%BCrgen:p%C3%A4%3Ass%E2%82%AC@"))
    assert post("http://receiver.invalid/write?db=mine").kind is Kind.ACCEPTED
    assert proxy.requests[0].startswith("POST http://receiver.invalid/write?db=mine HTTP/1.1")
    assert "Proxy-Authorization: Basic asO8cmdlbjpww6Q6c3Pigqw=" in proxy.requests[0]


def test_a_tunnel_through_a_proxy_carries_requests_one_after_the_other(serve, transport, tls, trusted, monkeypatch):
    receiver = serve(response(204), tls=tls, keep=True)

    def forward(connection):
        connection.sendall(b"HTTP/1.1 200 Established\r\n\r\n")
        with socket.create_connection(("127.0.0.1", receiver.port)) as upstream:
            _pump(connection, upstream)

    proxy = serve(forward)
    monkeypatch.setenv("HTTPS_PROXY", proxy.url(""))
    client = transport(receiver.url("/write?db=mine", scheme="https"))
    assert [client.post(b"body", HEADERS).kind for _ in range(3)] == [Kind.ACCEPTED] * 3
    assert (len(receiver.requests), receiver.connections, proxy.connections) == (3, 1, 1)
    assert receiver.requests[2].startswith("POST /write?db=mine HTTP/1.1")


def _pump(one, other):
    """Forward bytes both ways until either side ends."""
    import selectors

    with selectors.DefaultSelector() as selector:
        selector.register(one, selectors.EVENT_READ, (one, other))
        selector.register(other, selectors.EVENT_READ, (other, one))
        while True:
            for key, _ in selector.select():
                source, target = key.data
                part = source.recv(65536)
                if not part:
                    return
                target.sendall(part)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_no_message_shows_objects_of_the_libraries(post, scheme):
    for host in ("127.0.0.1", "no-such-host.invalid"):
        outcome = post(f"{scheme}://{host}:{closed_port()}/api/v1/write")
        assert outcome.kind is Kind.RETRYABLE
        assert outcome.message.startswith("the connection failed: Failed to ")
        assert "HTTPConnection" not in outcome.message
        assert "0x" not in outcome.message
