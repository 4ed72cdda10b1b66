"""Protocol: method, headers, compression and connection, as a receiver on a real socket sees them (1.0 "Protocol")."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests
import trustme

from pyflink_prometheus._version import __version__
from pyflink_prometheus.config import SinkConfig
from pyflink_prometheus.http.outcome import Kind
from pyflink_prometheus.http.transport import RequestsTransport
from pyflink_prometheus.testing import Answer, Receiver
from pyflink_prometheus.wire.encoder_v1 import compress
from pyflink_prometheus.writer.writer import RemoteWriter

T = 1_700_000_000_000


@pytest.fixture
def write():
    """Return a function that writes one sample to a receiver and returns the writer."""
    writers = []

    def write_one(receiver, **settings):
        url = settings.pop("url", receiver.url)
        writer = RemoteWriter(SinkConfig(prometheus_remote_write_url=url, **settings))
        writers.append(writer)
        writer.add(("m", {"a": "1"}, ((1.0, T),)))
        writer.flush()
        return writer

    yield write_one
    for writer in writers:
        writer.close()


@pytest.fixture
def post():
    """Return a function that makes one POST to a receiver that decides, and returns the outcome and the requests."""

    def post_once(decide, **settings):
        with Receiver(decide) as receiver:
            transport = RequestsTransport(SinkConfig(prometheus_remote_write_url=receiver.url, **settings))
            outcome = transport.post(compress(b""), {"Content-Encoding": "snappy"})
            transport.close()
            return outcome, receiver.requests

    return post_once


def test_sender_must_send_the_headers_of_the_specification(write):
    with Receiver() as receiver:
        write(receiver)
    headers = receiver.requests[0].headers
    assert headers["content-encoding"] == "snappy"
    assert headers["content-type"] == "application/x-protobuf"
    assert headers["x-prometheus-remote-write-version"] == "0.1.0"
    assert headers["user-agent"] == f"pyflink-prometheus/{__version__}"


def test_users_headers_are_sent_beside_those_of_the_protocol(write):
    with Receiver() as receiver:
        write(receiver, http_headers={"X-Scope-OrgID": "tenant"}, http_user_agent="mine/1")
    headers = receiver.requests[0].headers
    assert (headers["x-scope-orgid"], headers["user-agent"]) == ("tenant", "mine/1")
    assert headers["content-type"] == "application/x-protobuf"


def test_the_connection_is_kept_alive():
    ports = set()

    with Receiver() as receiver:
        inner = receiver._server.finish_request
        receiver._server.finish_request = lambda request, address: (ports.add(address), inner(request, address))
        writer = RemoteWriter(SinkConfig(prometheus_remote_write_url=receiver.url))
        for number in range(5):
            writer.add(("m", {}, ((1.0, T + number),)))
            writer.flush()
        writer.close()
        assert len(receiver.requests) == 5
    assert len(ports) == 1


def test_redirects_are_not_followed(post):
    with Receiver() as elsewhere:
        outcome, requests_seen = post(lambda request: Answer(307, headers={"Location": elsewhere.url}))
        assert outcome.kind is Kind.FATAL
        assert elsewhere.url in outcome.message
        assert elsewhere.requests == []
    assert len(requests_seen) == 1


def test_the_answers_body_is_read_only_up_to_a_limit(post):
    outcome, _ = post(lambda request: Answer(400, "x" * 1_000_000))
    assert outcome.kind is Kind.REJECTED
    assert 0 < len(outcome.body_excerpt) <= 10_000


def test_retry_after_is_read(post):
    outcome, _ = post(lambda request: Answer(429, headers={"Retry-After": "17"}))
    assert (outcome.kind, outcome.retry_after_s) == (Kind.RETRYABLE, 17.0)


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


def test_credentials_in_the_url_become_basic_auth(write):
    with Receiver() as receiver:
        write(receiver, url=receiver.url.replace("http://", "http://user:hunter2@"))
    assert receiver.requests[0].headers["authorization"] == requests.auth._basic_auth_str("user", "hunter2")


def closed_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def attempt(url, **settings):
    return RequestsTransport(SinkConfig(prometheus_remote_write_url=url, **settings)).post(b"", {})


def test_a_refused_connection_is_retryable_and_shows_no_secret():
    outcome = attempt(f"http://user:hunter2@127.0.0.1:{closed_port()}/api/v1/write?token=hunter2")
    assert (outcome.kind, outcome.status) == (Kind.RETRYABLE, None)
    assert "Connection refused" in outcome.message
    assert "hunter2" not in outcome.message


def test_a_name_that_does_not_resolve_is_retryable():
    outcome = attempt("http://no-such-host.invalid/api/v1/write")
    assert outcome.kind is Kind.RETRYABLE
    assert "no-such-host.invalid" in outcome.message


def serve_once(answer):
    """Listen for one connection, send those bytes, and hang up (or stay silent for ``None``)."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        connection, _ = listener.accept()
        connection.recv(65536)
        if answer is None:
            stop.wait(10)
        else:
            connection.sendall(answer)
        connection.close()

    stop = threading.Event()
    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    return listener, thread, stop


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 2", b"garbage\r\n\r\n"])
def test_an_answer_that_breaks_off_before_its_status_is_retryable(answer):
    listener, thread, _ = serve_once(answer)
    outcome = attempt(f"http://127.0.0.1:{listener.getsockname()[1]}/")
    thread.join(10)
    listener.close()
    assert (outcome.kind, outcome.status) == (Kind.RETRYABLE, None)


def test_an_answer_that_breaks_off_after_its_status_counts_by_its_status():
    listener, thread, _ = serve_once(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 1000\r\n\r\nout of")
    outcome = attempt(f"http://127.0.0.1:{listener.getsockname()[1]}/")
    thread.join(10)
    listener.close()
    assert (outcome.kind, outcome.status) == (Kind.REJECTED, 400)


def test_a_receiver_that_stays_silent_is_given_up_after_the_timeout():
    listener, thread, stop = serve_once(None)
    outcome = attempt(f"http://127.0.0.1:{listener.getsockname()[1]}/", socket_timeout_ms=50)
    stop.set()
    thread.join(10)
    listener.close()
    assert (outcome.kind, outcome.message) == (Kind.RETRYABLE, "no answer within 0.05 s")


def test_a_body_that_drips_is_given_up_after_the_timeout():
    listener = socket.create_server(("127.0.0.1", 0))
    stop = threading.Event()

    def drip():
        connection, _ = listener.accept()
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 100000\r\n\r\n")
        with contextlib.suppress(OSError):
            while not stop.wait(0.02):
                connection.sendall(b"x")
        connection.close()

    thread = threading.Thread(target=drip, daemon=True)
    thread.start()
    outcome = attempt(f"http://127.0.0.1:{listener.getsockname()[1]}/", socket_timeout_ms=200)
    assert not stop.is_set()  # the answer was still coming
    stop.set()
    thread.join(10)
    listener.close()
    assert (outcome.kind, outcome.status) == (Kind.REJECTED, 400)
    assert 0 < len(outcome.body_excerpt) < 1000


def test_no_credentials_come_from_a_netrc(write, tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login user password hunter2\n")
    monkeypatch.setenv("NETRC", str(netrc))
    with Receiver() as receiver:
        write(receiver)
    assert "authorization" not in receiver.requests[0].headers


@pytest.fixture
def authority():
    return trustme.CA()


@pytest.fixture
def https_url(authority):
    """Give the URL of a receiver whose certificate only that authority vouches for; it answers 204 to all."""

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


def test_a_certificate_that_is_not_trusted_is_fatal_with_advice(https_url):
    outcome = attempt(https_url)
    assert outcome.kind is Kind.FATAL
    assert "REQUESTS_CA_BUNDLE" in outcome.message


def test_an_authority_of_the_environment_is_trusted(https_url, authority, tmp_path, monkeypatch):
    bundle = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(bundle))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
    assert attempt(https_url).kind is Kind.ACCEPTED
