"""A job whose sink is from a prometheus.yml writes to a receiver that demands certificates, while they are rotated."""

from __future__ import annotations

import json
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography import x509
from local_job import run_job_file

from pyflink_prometheus.testing import ReceivedRequest, Receiver

COUNT = 400


def issue(authority: trustme.CA, folder: Path) -> int:
    """Issue another client certificate, and return its serial number."""
    leaf = authority.issue_cert("client@receiver.test")
    leaf.private_key_pem.write_to_path(str(folder / "client.key"))
    leaf.cert_chain_pems[0].write_to_path(str(folder / "client.pem"))
    return x509.load_pem_x509_certificate(leaf.cert_chain_pems[0].bytes()).serial_number


class DemandingReceiver(Receiver):
    """A receiver that demands a client certificate, and records its serial number for each connection."""

    def __init__(self, authority: trustme.CA, decide) -> None:
        super().__init__(decide)
        self.serials: list[int] = []
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.verify_mode = ssl.CERT_REQUIRED
        authority.configure_trust(context)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        accept = self._server.get_request

        def get_request():
            connection, address = accept()
            secured = context.wrap_socket(connection, server_side=True)
            certificate: Any = secured.getpeercert()
            self.serials.append(int(certificate["serialNumber"], 16))
            return secured, address

        self._server.get_request = get_request  # type: ignore[method-assign]


@pytest.mark.once
def test_certificates_are_rotated_while_the_job_runs(tmp_path: Path, authority: trustme.CA) -> None:
    first = issue(authority, tmp_path)
    rotated: list[int] = []

    def rotate_after_some(request: ReceivedRequest) -> None:
        if not rotated and len(request.samples):
            rotated.append(issue(authority, tmp_path))

    (tmp_path / "password").write_text("hunter22")
    receiver = DemandingReceiver(authority, rotate_after_some)
    with receiver:
        entry = {
            "name": "mine",
            "url": receiver.url.replace("http://", "https://"),
            "basic_auth": {"username": "flink", "password_file": "password"},
            "headers": {"X-Scope-OrgID": "tenant"},
            "tls_config": {"ca_file": "ca.pem", "cert_file": "client.pem", "key_file": "client.key"},
            "queue_config": {"max_shards": 1, "min_shards": 1, "max_samples_per_send": 50},
        }
        other = {"name": "other", "url": "http://127.0.0.1:1/"}
        (tmp_path / "prometheus.yml").write_text(f"remote_write: {json.dumps([other, entry])}\n")
        run = run_job_file("configured.py", str(tmp_path / "prometheus.yml"), "mine", str(COUNT), "100")
        (samples,) = receiver.samples("numbers").values()
        assert [value for value, _ in samples] == [float(number) for number in range(COUNT)]
        assert set(receiver.serials) == {first, *rotated}
        assert receiver.serials[-1] == rotated[0]
        headers = receiver.requests[-1].headers
    assert headers["x-scope-orgid"] == "tenant"
    assert "hunter22" not in run.stdout + run.stderr


@pytest.fixture
def authority(tmp_path: Path) -> trustme.CA:
    """Return a certificate authority, whose certificate is in the folder of the configuration."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return authority
