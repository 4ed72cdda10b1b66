"""A wrong set-up fails the job with advice, after a few requests, whatever responds there."""

from __future__ import annotations

import contextlib
import http.server
import re
import ssl
import threading

import pytest
import trustme
from workload import AUTO, V1, V2, workload

from pyflink_prometheus import PrometheusSinkError, RemoteWriteFatalError
from pyflink_prometheus.config import SinkConfig
from pyflink_prometheus.http.transport import RequestsTransport
from pyflink_prometheus.testing import FakeClock, Receiver, Response
from pyflink_prometheus.writer.writer import RemoteWriter

BATCH = 500
# This many requests may go out before the job fails: one in each version, one without samples, and a few to make sure.
FEW = 10

LOGIN_PAGE = Response(
    200,
    "<!DOCTYPE html><html><body>Please log in</body></html>",
    {"Content-Type": "text/html; charset=utf-8"},
    says_written=False,
)


def always(response):
    return lambda request: response


def refuses(*statuses_by_version):
    statuses = dict(statuses_by_version)
    return lambda request: Response(statuses.get(request.version, 204), "no", says_written=False)


def write(url, clock, version=AUTO, samples=BATCH, batch=BATCH):
    """Write to a URL until it fails; return the writer and the error."""
    config = SinkConfig(
        prometheus_remote_write_url=url,
        remote_write_version=version,
        max_batch_size_in_samples=batch,
        max_in_flight_requests=1,
    )
    writer = RemoteWriter(
        config,
        new_transport=lambda config: RequestsTransport(config, clock_time=clock.time),
        clock=clock,
        draw=lambda: 1.0,
    )
    try:
        with pytest.raises(PrometheusSinkError) as raised:
            for each in workload(1, poison=0.0, batches=1, batch=samples):
                writer.add(each.record)
            writer.flush()
    finally:
        writer.close()
    assert writer.ledger.samples_accepted == 0
    assert "\n" not in str(raised.value)
    return writer, raised.value


@pytest.fixture
def clock():
    return FakeClock()


# What responds, to which version of the sink, and the advice that the message must contain.
SETUPS = {
    "TLS port, as Go's servers respond": (
        always(Response(400, "Client sent an HTTP request to an HTTPS server.", says_written=False)),
        [AUTO, V1, V2],
        "https://",
    ),
    "path that refuses all": (
        always(Response(400, "unsupported path requested", says_written=False)),
        [AUTO, V1, V2],
        "path",
    ),
    "path that does not exist": (always(Response(404, says_written=False)), [AUTO, V1, V2], "path"),
    "proxy that wants a password": (always(Response(407, "who are you?", says_written=False)), [AUTO, V1, V2], "proxy"),
    "login page": (always(LOGIN_PAGE), [AUTO, V1], "URL"),
    "2.0 alone, set to V1": (refuses((V1, 415)), [V1], "set_remote_write_version"),
    "1.0 alone, set to V2": (refuses((V2, 415)), [V2], "set_remote_write_version"),
    "neither version": (refuses((V1, 415), (V2, 415)), [AUTO], "URL"),
    **{
        f"HTTP {status}": (always(Response(status, "no", says_written=False)), [AUTO, V1, V2], ".")
        for status in (406, 411, 421, 426, 431)
    },
}


@pytest.mark.parametrize(
    ("decide", "version", "advice"),
    [
        pytest.param(decide, version, advice, id=f"{name}-{version.value}")
        for name, (decide, versions, advice) in SETUPS.items()
        for version in versions
    ],
)
def test_a_wrong_setup_fails_with_advice(clock, decide, version, advice):
    with Receiver(decide) as receiver:
        _, error = write(receiver.url, clock, version)
    assert isinstance(error, RemoteWriteFatalError)
    assert re.search(advice, str(error))
    assert len(receiver.requests) <= FEW
    assert receiver.url in str(error)


@pytest.mark.parametrize("version", [AUTO, V1], ids=lambda version: version.value)
def test_a_login_page_that_comes_after_a_redirect_is_not_followed(clock, version):
    response = Response(302, headers={"Location": "https://login.invalid/"}, says_written=False)
    with Receiver(always(response)) as receiver:
        _, error = write(receiver.url, clock, version)
    assert isinstance(error, RemoteWriteFatalError)
    assert len(receiver.requests) == 1


@pytest.mark.parametrize("version", [AUTO, V1, V2], ids=lambda version: version.value)
def test_a_path_of_another_protocol_that_takes_nothing_but_an_empty_body(clock, version):
    """As /write of VictoriaMetrics and InfluxDB, the path of their line protocol, does: measured."""

    def decide(request):
        return Response(400 if request.decoded_bytes else 204, "cannot parse 'm': missing fields", says_written=False)

    with Receiver(decide) as receiver:
        _, error = write(receiver.url, clock, version)
    assert isinstance(error, RemoteWriteFatalError)
    assert len(receiver.requests) <= 100


@pytest.mark.parametrize("samples", [1, 2, 50])
@pytest.mark.parametrize("version", [AUTO, V1, V2], ids=lambda version: version.value)
def test_however_little_is_sent(clock, samples, version):
    with Receiver(always(Response(400, "unsupported path requested", says_written=False))) as receiver:
        _, error = write(receiver.url, clock, version, samples=samples)
    assert isinstance(error, RemoteWriteFatalError)
    assert len(receiver.requests) <= FEW


@pytest.mark.parametrize("version", [AUTO, V1, V2], ids=lambda version: version.value)
def test_plain_http_to_a_port_that_speaks_tls(clock, version):
    """Python's server closes the connection on it; others respond with 400."""
    with tls_server() as port:
        writer, error = write(f"http://127.0.0.1:{port}/api/v1/write", clock, version)
    assert re.search("URL", str(error))
    assert writer.ledger.requests_attempted <= FEW + 1  # the first one, and the retries of a first contact


@pytest.mark.parametrize("status", [408, 425, 429, 500, 503])
def test_a_receiver_that_is_not_ready_is_no_wrong_setup(clock, status):
    responses = iter([status] * 5)

    def decide(request):
        return Response(next(responses, 204), says_written=False)

    with Receiver(decide) as receiver:
        config = SinkConfig(
            prometheus_remote_write_url=receiver.url,
            remote_write_version=V1,
            max_in_flight_requests=1,
            max_batch_size_in_samples=BATCH,
        )
        writer = RemoteWriter(config, clock=clock, draw=lambda: 1.0)
        for each in workload(1, poison=0.0, batches=1, batch=100):
            writer.add(each.record)
        writer.flush()
        writer.close()
    assert writer.ledger.samples_accepted == 100
    assert len(receiver.requests) == 6


@contextlib.contextmanager
def tls_server():
    """Listen with TLS on loopback; yield the port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)

    class Server(http.server.ThreadingHTTPServer):
        def handle_error(self, request, client_address):
            pass  # each connection fails, as it should

        def get_request(self):
            connection, address = super().get_request()
            return context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False), address

    server = Server(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
