"""Fixtures of the conformance tests: versions, a receiver on a real socket, and writers whose waits take no time."""

from __future__ import annotations

import os
import re
import socket
import threading

import pytest
import trustme
from snappy import compress
from wire_receiver import AUTO, V1, V2, WireReceiver

from pyflink_prometheus.config import SinkConfig
from pyflink_prometheus.http.transport import RequestsTransport
from pyflink_prometheus.testing import FakeClock, Receiver


@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    """Start each test without the environment's proxies and certificates."""
    for name in [*os.environ]:
        if name.lower().endswith("_proxy") or name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def authority():
    """Return the certificate authority of receivers, proxies and clients."""
    return trustme.CA()


@pytest.fixture(params=[V1, V2], ids=["1.0", "2.0"])
def version(request):
    """Return each version, for what both specifications require."""
    return request.param


@pytest.fixture(scope="session")
def _receiver_of_all_tests():
    receiver = WireReceiver()
    yield receiver
    receiver.close()


@pytest.fixture
def receiver(_receiver_of_all_tests):
    """Return a receiver without requests so far."""
    _receiver_of_all_tests.forget()
    return _receiver_of_all_tests


@pytest.fixture
def clock():
    """Return the clock of the test's writers: waits on it take no time and are recorded."""
    return FakeClock()


@pytest.fixture
def start(receiver, clock, open_writer):
    """Return a function that starts a writer to the receiver; backoff has no jitter unless a test draws it."""

    def start_one(version=AUTO, *, draw=lambda: 1.0, url=None, **settings):
        return open_writer(
            receiver.url if url is None else url,
            new_transport=lambda config: RequestsTransport(config, clock_time=clock.time),
            clock=clock,
            draw=draw,
            remote_write_version=version,
            **settings,
        )

    return start_one


@pytest.fixture
def write(start):
    """Return a function that writes records, waits until they are settled, and returns the writer."""

    def write_all(version, *records, **settings):
        writer = start(version, **settings)
        for record in records:
            writer.add(record)
        writer.flush()
        return writer

    return write_all


@pytest.fixture
def sent(write, receiver):
    """Return a function that writes records in one request, and returns the request as received."""

    def send(version, *records, **settings):
        before = len(receiver.requests)
        write(version, *records, **settings)
        assert len(receiver.requests) == before + 1
        return receiver.requests[-1]

    return send


@pytest.fixture
def attempt():
    """Return a function that makes one POST to a URL, and returns the outcome."""
    transports = []

    def post_once(url, **settings):
        transports.append(RequestsTransport(SinkConfig(prometheus_remote_write_url=url, **settings)))
        return transports[-1].post(compress(b""), {"Content-Encoding": "snappy"})

    yield post_once
    for transport in transports:
        transport.close()


@pytest.fixture
def post(attempt):
    """Return a function that makes one POST to a receiver that decides, and returns the outcome and the requests."""

    def post_once(decide, **settings):
        with Receiver(decide) as receiver:
            return attempt(receiver.url, **settings), receiver.requests

    return post_once


def _read_request(connection):
    """Read all of a request: closing a connection with unread bytes resets it, and the client may lose the response."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += connection.recv(65536)
    head, _, body = received.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    assert length is not None
    missing = int(length[1]) - len(body)
    while missing > 0:
        missing -= len(connection.recv(missing))


@pytest.fixture
def serve_once():
    """Return a function that listens for one connection, sends bytes and closes it (``None``: never responds)."""
    opened, stop = [], threading.Event()

    def listen(response):
        listener = socket.create_server(("127.0.0.1", 0))

        def serve():
            connection, _ = listener.accept()
            _read_request(connection)
            if response is None:
                stop.wait(10)
            else:
                connection.sendall(response)
            connection.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        opened.append((listener, thread))
        return f"http://127.0.0.1:{listener.getsockname()[1]}/"

    yield listen
    stop.set()
    for listener, thread in opened:
        thread.join(120)
        listener.close()
