"""Entries of remote_write on the wire: certificates, credentials, headers, a separate token endpoint."""

from __future__ import annotations

import json
import ssl
from pathlib import Path

import pytest
import trustme
from raw_server import RawServer, response

from pyflink_prometheus.config import SinkConfig
from pyflink_prometheus.configuration.stanza import read_remote_write
from pyflink_prometheus.http.outcome import Kind
from pyflink_prometheus.http.transport import RequestsTransport


@pytest.fixture
def authority(tmp_path):
    """Return an authority; its certificate and a client's are in the folder of the configuration."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    issue(authority, tmp_path)
    return authority


def issue(authority, folder):
    """Issue another client certificate."""
    leaf = authority.issue_cert("client@receiver.test")
    leaf.cert_chain_pems[0].write_to_path(str(folder / "client.pem"))
    leaf.private_key_pem.write_to_path(str(folder / "client.key"))


def demanding(authority):
    """Return the TLS context of a server that demands a client certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(context)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


@pytest.fixture
def transport(tmp_path):
    """Return a function that makes the transport of an entry."""
    transports = []

    def make(entry):
        path: Path = tmp_path / "prometheus.yml"
        path.write_text(f"remote_write:\n- {json.dumps(entry)}\n")  # JSON is YAML
        config = SinkConfig(**read_remote_write(path).settings)
        transports.append(RequestsTransport(config))
        return transports[-1]

    yield make
    for each in transports:
        each.close()


TLS = {"ca_file": "ca.pem", "cert_file": "client.pem", "key_file": "client.key"}


def test_files_of_an_entry_are_used_and_followed(authority, transport, tmp_path):
    (tmp_path / "password").write_text("hunter22")
    serials = []

    def respond(connection):
        serials.append(connection.getpeercert()["serialNumber"])
        connection.sendall(response(204, "Connection: close"))

    with RawServer(respond, tls=demanding(authority)) as server:
        to_receiver = transport(
            {
                "url": server.url(scheme="https"),
                "basic_auth": {"username": "user", "password_file": "password"},
                "headers": {"X-Scope-OrgID": "tenant"},
                "http_headers": {"X-Key": {"secrets": ["key-1"]}},
                "tls_config": TLS,
            }
        )
        assert to_receiver.post(b"body", {}).kind is Kind.ACCEPTED
        (tmp_path / "password").write_text("rotated")
        issue(authority, tmp_path)
        assert to_receiver.post(b"body", {}).kind is Kind.ACCEPTED
        first, second = server.requests
    assert "Authorization: Basic dXNlcjpodW50ZXIyMg==" in first
    assert "Authorization: Basic dXNlcjpyb3RhdGVk" in second
    assert "X-Scope-OrgID: tenant" in first
    assert "X-Key: key-1" in first
    assert serials[0] != serials[1]


def test_a_token_endpoint_has_tls_of_its_own(authority, transport):
    token = json.dumps({"access_token": "token-1", "token_type": "Bearer", "expires_in": 3600}).encode()
    head = response(200, "Connection: close", "Content-Type: application/json", f"Content-Length: {len(token)}")
    with (
        RawServer(head + token, tls=demanding(authority)) as login,
        RawServer(response(204, "Connection: close")) as server,
    ):
        oauth2 = {"client_id": "id", "client_secret": "hunter22", "token_url": login.url("/token", scheme="https")}
        refused = transport({"url": server.url(), "oauth2": oauth2}).post(b"body", {})
        assert (refused.kind, login.requests) == (Kind.FATAL, [])
        accepted = transport({"url": server.url(), "oauth2": {**oauth2, "tls_config": TLS}}).post(b"body", {})
        assert accepted.kind is Kind.ACCEPTED
        assert "Authorization: Bearer token-1" in server.requests[0]


def test_a_token_endpoint_has_a_proxy_of_its_own(transport):
    token = json.dumps({"access_token": "token-1", "token_type": "Bearer", "expires_in": 3600}).encode()
    head = response(200, "Connection: close", "Content-Type: application/json", f"Content-Length: {len(token)}")
    with RawServer(head + token) as proxy, RawServer(response(204, "Connection: close")) as server:
        oauth2 = {"client_id": "id", "token_url": "http://login.test/token", "proxy_url": proxy.url("")}
        assert transport({"url": server.url(), "oauth2": oauth2}).post(b"body", {}).kind is Kind.ACCEPTED
        assert proxy.requests[0].startswith("POST http://login.test/token HTTP/1.1")
        assert "Authorization: Bearer token-1" in server.requests[0]
