"""
Protocol: method, path, headers, compression and connection.

1.0: "Protocol", "Backward and forward compatibility", "Authentication & Encryption". 2.0: "Protocol".
"""

from __future__ import annotations

import re
import ssl
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests
import snappy
from wire_receiver import AUTO, V1, V2, Reply, T

from pyflink_prometheus import Exemplar, Metadata, NativeHistogram
from pyflink_prometheus._version import __version__
from pyflink_prometheus.config import SinkConfig
from pyflink_prometheus.http.outcome import Kind
from pyflink_prometheus.wire.compression import installed_snappy

ONE = ("m", {"a": "1"}, ((1.0, T),))
OF_EVERYTHING = (
    ("m", {"a": "1"}, ((1.0, T, T - 9),), Metadata("counter", "a help", "seconds"), (Exemplar({"b": "2"}, 1.0, T),)),
    ("m", {"a": "2"}, ((NativeHistogram(schema=0, sum=3.0, positive={1: 2}), T, T - 9),)),
)


def test_senders_must_send_a_post_to_the_url_that_they_were_given(version, sent, receiver):
    request = sent(version, ONE, url=f"{receiver.root}/any/path?of=mine")
    assert (request.method, request.path) == ("POST", "/any/path?of=mine")


def test_the_body_must_be_a_protobuf_message_of_the_versions_schema(version, sent):
    request = sent(version, *OF_EVERYTHING)
    assert sorted(request.samples) == [("m", T), ("m", T)]
    assert request.unknown_bytes == 0


@pytest.mark.parametrize("library", ["snappy", "pyarrow"])
def test_the_message_must_be_compressed_in_snappys_block_format(version, library, sent, monkeypatch):
    """The block format begins with the message's length; the framed format, in chunks of 64 KiB, with a name."""
    if library == "pyarrow":
        monkeypatch.setitem(sys.modules, "snappy", None)
    assert installed_snappy().library == library
    monkeypatch.setattr("pyflink_prometheus.wire.request.compress", installed_snappy().compress)
    request = sent(version, *[(f"metric_{number:05}", {"a": "b" * 50}, ((1.0, T),)) for number in range(2000)])
    message = snappy.uncompress(request.body)
    length = sum((byte & 0x7F) << 7 * place for place, byte in enumerate(request.body[:3]))
    assert length == len(message) > 1 << 16
    assert len(request.body) < length
    assert request.headers["content-encoding"] == "snappy"
    assert b"sNaPpY" not in request.body[:16]


HEADERS = {
    V1: ("application/x-protobuf", "0.1.0"),
    V2: ("application/x-protobuf;proto=io.prometheus.write.v2.Request", "2.0.0"),
}


def test_sender_must_send_the_headers_of_the_specification(version, sent):
    headers = sent(version, ONE).headers
    assert headers["content-encoding"] == "snappy"
    assert (headers["content-type"], headers["x-prometheus-remote-write-version"]) == HEADERS[version]
    assert headers["user-agent"] == f"pyflink-prometheus/{__version__}"


def test_the_headers_must_be_those_of_1_x_to_receivers_of_1_x(start, receiver):
    receiver.script += [Reply(415)]
    writer = start(AUTO)
    for number in range(2):
        writer.add(("m", {}, ((1.0, T + number),)))
        writer.flush()
    of_version = [
        (each.headers["content-type"], each.headers["x-prometheus-remote-write-version"]) for each in receiver.requests
    ]
    assert of_version == [HEADERS[V2], HEADERS[V1], HEADERS[V1]]


def test_senders_should_use_2_0_when_possible(sent):
    assert sent(AUTO, ONE).version is V2


def test_the_user_agent_should_have_the_format_of_rfc_9110(version, sent):
    """RFC 9110, 10.1.5: a product, which is a token, a slash, and its version, which is also a token."""
    token = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
    assert re.fullmatch(f"{token}/{token}", sent(version, ONE).headers["user-agent"])


def test_each_reserved_header_must_be_there_once(version, sent):
    """With two headers of one name, the receiver could use either; here they would be joined by a comma."""
    headers = sent(version, ONE, http_headers={"X-Scope-OrgID": "tenant"}).headers
    reserved = ("content-encoding", "content-type", "x-prometheus-remote-write-version", "user-agent")
    assert all("," not in headers[name] for name in reserved)


@pytest.mark.parametrize(
    "name", ["Content-Encoding", "Content-Type", "X-Prometheus-Remote-Write-Version", "User-Agent", "Content-Length"]
)
@pytest.mark.parametrize(
    "written_as", [str, str.lower, str.upper, "{} ".format], ids=["plain", "lower", "upper", "space"]
)
def test_users_must_not_be_able_to_set_reserved_headers(name, written_as):
    with pytest.raises(ValueError, match="http_headers"):
        SinkConfig(prometheus_remote_write_url="http://127.0.0.1/", http_headers={written_as(name): "mine"})


RESERVED = {"Content-Encoding": "gzip", "content-type": "text/plain", "X-Prometheus-Remote-Write-Version": "9.0.0"}


class _AuthThatMeddles(requests.auth.AuthBase):
    def __call__(self, request):
        request.headers.update(RESERVED)
        return request


@pytest.mark.parametrize(
    "signer", [lambda headers, body: {**headers, **RESERVED}, _AuthThatMeddles()], ids=["function", "auth"]
)
def test_a_signer_must_not_be_able_to_change_reserved_headers(version, sent, signer):
    headers = sent(version, ONE, request_signer=signer).headers
    assert headers["content-encoding"] == "snappy"
    assert (headers["content-type"], headers["x-prometheus-remote-write-version"]) == HEADERS[version]


def test_users_headers_are_sent_beside_those_of_the_protocol(version, sent):
    headers = sent(version, ONE, http_headers={"X-Scope-OrgID": "tenant"}, http_user_agent="mine/1").headers
    assert (headers["x-scope-orgid"], headers["user-agent"]) == ("tenant", "mine/1")
    assert headers["content-type"] == HEADERS[version][0]


def test_the_connection_is_kept_alive(version, start, receiver):
    writer = start(version)
    for number in range(5):
        writer.add(("m", {}, ((1.0, T + number),)))
        writer.flush()
    assert len(receiver.requests) == 5
    assert len({request.connection for request in receiver.requests}) == 1


def test_an_auth_of_requests_signs_each_attempt(post):
    class Counting(requests.auth.AuthBase):
        calls = 0

        def __call__(self, request):
            Counting.calls += 1
            request.headers["Authorization"] = f"Bearer {Counting.calls}"
            return request

    _, seen = post(lambda request: None, request_signer=Counting())
    assert seen[0].headers["authorization"] == "Bearer 1"


def test_a_function_signs_headers_and_body(post):
    def sign(headers, body):
        return {**headers, "X-Signature": str(len(body))}

    _, seen = post(lambda request: None, request_signer=sign)
    assert seen[0].headers["x-signature"] == "1"
    assert seen[0].headers["content-encoding"] == "snappy"


def test_credentials_in_the_url_become_basic_auth(sent, receiver):
    headers = sent(AUTO, ONE, url=receiver.url.replace("http://", "http://user:hunter2@")).headers
    assert headers["authorization"] == requests.auth._basic_auth_str("user", "hunter2")


def test_no_credentials_come_from_a_netrc(sent, tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login user password hunter2\n")
    monkeypatch.setenv("NETRC", str(netrc))
    assert "authorization" not in sent(AUTO, ONE).headers


@pytest.fixture
def https_url(authority):
    """Yield the URL of a receiver with a certificate of that authority; it always responds with 204."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format, *args):
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, request, client_address):
            pass  # a client that does not trust us hangs up

    server = Server(("127.0.0.1", 0), Handler)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield f"https://127.0.0.1:{server.server_address[1]}/api/v1/write"
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_certificate_that_is_not_trusted_is_fatal_with_advice(https_url, attempt):
    outcome = attempt(https_url)
    assert outcome.kind is Kind.FATAL
    assert "REQUESTS_CA_BUNDLE" in outcome.message


def test_an_authority_of_the_environment_is_trusted(https_url, attempt, authority, tmp_path, monkeypatch):
    bundle = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(bundle))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
    assert attempt(https_url).kind is Kind.ACCEPTED
