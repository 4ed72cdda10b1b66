"""
TLS settings of the sink, against receivers with private certificates and receivers that demand a client certificate.

1.0 and 2.0 leave TLS to the sender; the settings are those of Prometheus's `tls_config`.
"""

from __future__ import annotations

import datetime
import os
import ssl
from pathlib import Path

import pytest
import trustme
from raw_server import RawServer, response

from pyflink_prometheus.config import SinkConfig
from pyflink_prometheus.http.outcome import Kind
from pyflink_prometheus.http.tls import TlsConfiguration, TlsContext
from pyflink_prometheus.http.transport import RequestsTransport
from pyflink_prometheus.secret import Secret

HEADERS = {"Content-Encoding": "snappy"}
NAME = "receiver.test"


class Files:
    """The files of one worker."""

    def __init__(self, folder: Path) -> None:
        self.ca = str(folder / "ca.pem")
        self.cert = str(folder / "cert.pem")
        self.key = str(folder / "key.pem")

    def issue(self, authority: trustme.CA, **settings) -> trustme.LeafCert:
        leaf = authority.issue_cert("client@receiver.test", **settings)
        Path(self.cert).write_bytes(b"".join(each.bytes() for each in leaf.cert_chain_pems))
        leaf.private_key_pem.write_to_path(self.key)
        return leaf

    def settings(self, **more) -> TlsConfiguration:
        return TlsConfiguration(ca_file=self.ca, cert_file=self.cert, key_file=self.key, **more)


@pytest.fixture
def files(authority, tmp_path):
    """Return the worker's files, with a valid client certificate."""
    files = Files(tmp_path)
    authority.cert_pem.write_to_path(files.ca)
    files.issue(authority)
    return files


@pytest.fixture(params=[ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def demanding(authority, request):
    """Start a receiver that demands a client certificate: in TLS 1.2 it refuses in the handshake, in 1.3 after it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = context.maximum_version = request.param
    context.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(context)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with RawServer(response(204, "Connection: close"), tls=context) as server:
        yield server


@pytest.fixture
def serve(authority):
    """Return a function that starts a receiver with a certificate for the given names."""
    servers = []

    def start(*names, by=authority, version=None):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if version is not None:
            context.minimum_version = context.maximum_version = version
        by.issue_cert(*names).configure_cert(context)
        servers.append(RawServer(response(204, "Connection: close"), tls=context))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def transport():
    """Return a function that makes the transport to a server with the given TLS settings."""
    transports = []

    def make(server, tls):
        config = SinkConfig(prometheus_remote_write_url=server.url(scheme="https"), tls=tls)
        transports.append(RequestsTransport(config))
        return transports[-1]

    yield make
    for each in transports:
        each.close()


@pytest.fixture
def post(transport):
    """Return a function that makes one attempt."""
    return lambda server, tls: transport(server, tls).post(b"body", HEADERS)


def test_the_right_client_certificate_is_accepted(demanding, files, post):
    assert post(demanding, files.settings()).kind is Kind.ACCEPTED


def test_certificate_and_key_may_be_given_by_value(demanding, files, post):
    ca, cert, key = (Path(each).read_text() for each in (files.ca, files.cert, files.key))
    tls = TlsConfiguration(ca=ca, cert=cert, key=Secret.value(key))
    assert post(demanding, tls).kind is Kind.ACCEPTED
    assert "BEGIN" not in repr(tls)


def test_one_without_a_client_certificate_is_fatal_with_advice(demanding, files, post):
    outcome = post(demanding, TlsConfiguration(ca_file=files.ca))
    assert outcome.kind is Kind.FATAL
    assert "set a client certificate that the receiver accepts, with cert_file and key_file" in outcome.message


def test_a_client_certificate_of_another_authority_is_fatal_with_advice(demanding, files, post):
    files.issue(trustme.CA())
    outcome = post(demanding, files.settings())
    assert outcome.kind is Kind.FATAL
    assert outcome.message.startswith("set a client certificate that the receiver accepts")
    assert "unknown ca" in outcome.message


EXPIRED = datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc)


def test_an_expired_client_certificate_is_fatal_with_advice(demanding, files, post, authority):
    files.issue(authority, not_after=EXPIRED)
    outcome = post(demanding, files.settings())
    assert outcome.kind is Kind.FATAL
    assert "certificate expired" in outcome.message


def test_a_client_certificate_that_expires_later_is_retried_until_it_is_rotated(demanding, files, transport, authority):
    to_receiver = transport(demanding, files.settings())
    assert to_receiver.post(b"body", HEADERS).kind is Kind.ACCEPTED
    files.issue(authority, not_after=EXPIRED)
    outcome = to_receiver.post(b"body", HEADERS)
    assert outcome.kind is Kind.RETRYABLE
    assert "certificate expired" in outcome.message
    files.issue(authority)
    assert to_receiver.post(b"body", HEADERS).kind is Kind.ACCEPTED


def test_a_rotated_certificate_is_used_from_the_next_request_on_even_with_a_kept_connection(
    files, transport, authority
):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(context)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    seen = []

    def respond(connection):
        seen.append(connection.getpeercert()["serialNumber"])
        connection.sendall(response(200, "Content-Length: 0"))

    with RawServer(respond, tls=context, keep=True) as server:
        to_receiver = transport(server, files.settings())
        for _ in range(2):
            assert to_receiver.post(b"body", HEADERS).kind is Kind.ACCEPTED
        assert server.connections == 1
        files.issue(authority)
        assert to_receiver.post(b"body", HEADERS).kind is Kind.ACCEPTED
        assert server.connections == 2
    assert seen[0] == seen[1] != seen[2]


def test_a_half_written_rotation_leaves_the_previous_certificate_in_use(demanding, files, transport, caplog):
    to_receiver = transport(demanding, files.settings())
    assert to_receiver.post(b"body", HEADERS).kind is Kind.ACCEPTED
    trustme.CA().issue_cert("other@receiver.test").private_key_pem.write_to_path(files.key)
    for _ in range(2):
        assert to_receiver.post(b"body", HEADERS).kind is Kind.ACCEPTED
    Path(files.cert).unlink()
    assert to_receiver.post(b"body", HEADERS).kind is Kind.ACCEPTED
    first, second = [each.getMessage() for each in caplog.records]
    assert first == (
        f"check key_file {files.key!r}: it is not the key of cert_file {files.cert!r}; the previous TLS settings "
        "stay in use"
    )
    assert second.startswith(f"check the secret in file {files.cert!r}: it cannot be read on this worker")


def broken(files, part):
    """Return settings with one unusable file, and the beginning of the message."""
    if part == "missing":
        os.unlink(files.ca)
        return files.settings(), f"check the secret in file {files.ca!r}: it cannot be read"
    if part == "ca":
        Path(files.ca).write_text("no certificate")
        return files.settings(), f"check ca_file {files.ca!r}: it is not a certificate in PEM format"
    if part == "cert":
        Path(files.cert).write_text("no certificate")
        message = f"check cert_file {files.cert!r} and key_file {files.key!r}: one of them is not in PEM format"
        return files.settings(), message
    other = trustme.CA().issue_cert("other@receiver.test")
    other.private_key_pem.write_to_path(files.key)
    return files.settings(), f"check key_file {files.key!r}: it is not the key of cert_file {files.cert!r}"


@pytest.mark.parametrize("part", ["missing", "ca", "cert", "key"])
def test_a_file_that_cannot_be_used_is_fatal_and_named(demanding, files, post, part):
    tls, message = broken(files, part)
    outcome = post(demanding, tls)
    assert outcome.kind is Kind.FATAL
    assert outcome.message.startswith(message)


def test_an_encrypted_key_is_refused_and_never_asks_for_a_password(files):
    from cryptography.hazmat.primitives import serialization

    key = serialization.load_pem_private_key(Path(files.key).read_bytes(), None)
    encryption = serialization.BestAvailableEncryption(b"hunter22")
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    Path(files.key).write_bytes(pem)
    with pytest.raises(Exception, match="it is encrypted; only unencrypted keys can be used"):
        TlsContext(files.settings()).current()


def test_an_authority_that_is_not_configured_is_not_trusted(serve, files, post):
    outcome = post(serve("127.0.0.1", by=trustme.CA()), TlsConfiguration(ca_file=files.ca))
    assert outcome.kind is Kind.FATAL
    assert outcome.message.startswith("if the certificate is from a private authority, set ca_file to that authority's")


def test_without_ca_the_authorities_of_the_environment_are_trusted(serve, files, post, monkeypatch):
    server = serve("127.0.0.1")
    assert post(server, TlsConfiguration()).kind is Kind.FATAL
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", files.ca)
    assert post(server, TlsConfiguration()).kind is Kind.ACCEPTED


def test_with_ca_those_of_the_environment_are_not_trusted(serve, files, post, monkeypatch, tmp_path):
    other = trustme.CA()
    other.cert_pem.write_to_path(str(tmp_path / "other.pem"))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", files.ca)
    assert post(serve("127.0.0.1"), TlsConfiguration(ca_file=str(tmp_path / "other.pem"))).kind is Kind.FATAL


def test_the_certificate_must_cover_server_name_if_it_is_set(serve, files, post):
    server = serve(NAME)
    assert post(server, TlsConfiguration(ca_file=files.ca)).kind is Kind.FATAL
    assert post(server, TlsConfiguration(ca_file=files.ca, server_name=NAME)).kind is Kind.ACCEPTED
    assert post(serve("127.0.0.1"), TlsConfiguration(ca_file=files.ca, server_name=NAME)).kind is Kind.FATAL


def test_any_certificate_is_accepted_only_without_verification(serve, post):
    server = serve(NAME, by=trustme.CA())
    assert post(server, TlsConfiguration()).kind is Kind.FATAL
    assert post(server, TlsConfiguration(insecure_skip_verify=True)).kind is Kind.ACCEPTED


@pytest.mark.parametrize("versions", [{"min_version": "TLS13"}, {"max_version": "TLS11"}, {"max_version": "TLS10"}])
def test_a_receiver_without_an_allowed_version_gets_nothing(serve, files, post, versions):
    server = serve("127.0.0.1", version=ssl.TLSVersion.TLSv1_2)
    assert post(server, TlsConfiguration(ca_file=files.ca)).kind is Kind.ACCEPTED
    outcome = post(server, TlsConfiguration(ca_file=files.ca, **versions))
    assert outcome.kind is Kind.FATAL
    assert outcome.message.startswith("change min_version or max_version")
    assert server.requests[1:] == []


@pytest.mark.parametrize("legacy", ["TLS10", "TLS11"])
def test_versions_that_python_no_longer_offers_can_be_allowed(files, legacy):
    context = TlsContext(TlsConfiguration(ca_file=files.ca, min_version=legacy)).current()
    assert context.minimum_version.name == {"TLS10": "TLSv1", "TLS11": "TLSv1_1"}[legacy]


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"ca": "pem", "ca_file": "f"}, "set ca or ca_file, not both"),
        ({"cert_file": "f"}, "set key or key_file with a client certificate"),
        ({"key_file": "f"}, "set cert or cert_file with a client key"),
        ({"min_version": "TLS14"}, "min_version: expected one of TLS10, TLS11, TLS12, TLS13, got 'TLS14'"),
        ({"min_version": "TLS13", "max_version": "TLS12"}, "min_version: expected at most max_version"),
        ({"ca": " "}, "ca: expected PEM text"),
    ],
)
def test_settings_that_exclude_each_other_are_refused(settings, problem):
    with pytest.raises(ValueError, match=problem):
        TlsConfiguration(**settings)
