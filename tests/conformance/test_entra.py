"""
Tokens of Microsoft Entra, from a metadata service or an authority on loopback that fails, rotates and expires them.

The requests are those of Prometheus's azuread.
"""

from __future__ import annotations

import itertools
import os
import pickle
import ssl
import sys
import threading
from typing import Any

import jwt
import pytest
import requests
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs12
from web_service import WebService
from wire_receiver import V1, Reply, T

from pyflink_prometheus import (
    EntraAuth,
    RemoteWriteFatalError,
    RetriesExhaustedError,
    Secret,
    SecretError,
)
from pyflink_prometheus.http.auth import entra

ONE = ("m", {"a": "1"}, ((1.0, T),))
CLIENT = "11111111-2222-3333-4444-555555555555"
TENANT = "66666666-7777-8888-9999-000000000000"


@pytest.fixture(autouse=True)
def azure(monkeypatch):
    """Remove this machine's Azure settings."""
    for name in [*os.environ]:
        if name.startswith(("AZURE_", "IDENTITY_", "MSI_", "IMDS_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    return monkeypatch.setenv


def issue(life_s=86_400, prefix="t"):
    """Return the response of a metadata service, which writes numbers as text."""
    numbers = itertools.count(1)

    def decide(asked):
        return {
            "access_token": f"{prefix}{next(numbers)}",
            "expires_in": str(life_s),
            "resource": asked.form["resource"],
            "token_type": "Bearer",
        }

    return decide


@pytest.fixture
def metadata(azure):
    with WebService(issue()) as service:
        azure("AZURE_POD_IDENTITY_AUTHORITY_HOST", service.url())
        yield service


@pytest.fixture(scope="module")
def authority_ca():
    return trustme.CA()


@pytest.fixture
def authority(authority_ca, azure, tmp_path):
    """Return an Entra, which speaks only TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority_ca.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    authority_ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    azure("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    with WebService(tls=context) as service:
        numbers = itertools.count(1)

        def decide(asked):
            if asked.path.endswith("/openid-configuration"):
                root = service.url(f"/{TENANT}")
                return {
                    "issuer": f"{root}/v2.0",
                    "authorization_endpoint": f"{root}/oauth2/v2.0/authorize",
                    "token_endpoint": f"{root}/oauth2/v2.0/token",
                }
            return service.tokens(asked)

        service.tokens = lambda asked: {
            "access_token": f"t{next(numbers)}",
            "expires_in": 3600,
            "token_type": "Bearer",
        }
        service.decide = decide
        service.host = service.url().partition("//")[2]
        yield service


def token_forms(authority):
    return [asked.form for asked in authority.requests if asked.path.endswith("/token")]


def signed(signer):
    request = requests.Request("POST", "http://receiver/write").prepare()
    return signer(request).headers["Authorization"]


@pytest.mark.parametrize(
    ("settings", "resource"),
    [
        ({}, "https://monitor.azure.com/"),
        ({"cloud": "AzureChina"}, "https://monitor.azure.cn/"),
        ({"cloud": "azuregovernment"}, "https://monitor.azure.us/"),
        ({"scope": "api://mine/.default"}, "api://mine"),
    ],
)
def test_a_managed_identity_gets_a_token_for_azure_monitor(sent, metadata, clock, settings, resource):
    signer = EntraAuth.managed_identity(CLIENT, clock=clock, **settings)
    assert sent(V1, ONE, request_signer=signer).headers["authorization"] == "Bearer t1"
    (asked,) = metadata.requests
    assert (asked.method, asked.path) == ("GET", "/metadata/identity/oauth2/token")
    assert asked.headers["metadata"] == "true"
    assert (asked.form["resource"], asked.form["client_id"]) == (resource, CLIENT)


def test_the_machine_s_own_identity_needs_no_client_id(metadata):
    assert signed(EntraAuth.managed_identity()) == "Bearer t1"
    assert "client_id" not in metadata.requests[0].form


def test_an_identity_of_app_service_is_found_in_the_environment(azure):
    with WebService() as service:
        service.decide = lambda asked: {
            "access_token": "t",
            "expires_on": "4000000000",
            "resource": "r",
            "token_type": "Bearer",
        }
        azure("IDENTITY_ENDPOINT", service.url("/msi/token"))
        azure("IDENTITY_HEADER", "header-secret")
        assert signed(EntraAuth.managed_identity()) == "Bearer t"
        assert service.requests[0].headers["x-identity-header"] == "header-secret"


def test_a_token_is_kept_until_shortly_before_its_end(metadata):
    """By the machine's clock, which azure-identity uses for the expiry."""
    signer = EntraAuth.managed_identity()
    assert [signed(signer) for _ in range(3)] == ["Bearer t1"] * 3
    metadata.decide = issue(life_s=1)
    signer = EntraAuth.managed_identity()
    signed(signer)
    assert len(metadata.requests) == 2


def test_a_token_that_the_receiver_no_longer_accepts_is_replaced_once(write, receiver, metadata):
    receiver.decide = lambda seen: 204 if seen.headers["authorization"] == "Bearer t2" else Reply(401, "expired")
    write(V1, ONE, request_signer=EntraAuth.managed_identity())
    assert [seen.headers["authorization"] for seen in receiver.requests] == ["Bearer t1", "Bearer t2"]
    assert len(metadata.requests) == 2


@pytest.mark.parametrize(
    "response", [(500, "down"), (503, {"error": "busy"}), (429, {}), (410, ""), (404, ""), None], ids=str
)
def test_a_metadata_service_that_fails_is_asked_again_by_the_sink_alone(write, metadata, response):
    metadata.script += [response] * 3
    writer = write(V1, ONE, request_signer=EntraAuth.managed_identity())
    assert (writer.ledger.samples_accepted, writer.ledger.requests_retried) == (1, 3)
    assert len(metadata.requests) == 4


def test_a_metadata_service_may_say_how_long_to_wait(write, metadata, clock):
    metadata.script += [(429, {}, {"Retry-After": "7"})]
    write(V1, ONE, request_signer=EntraAuth.managed_identity())
    assert 7 in clock.sleeps


def test_a_metadata_service_that_does_not_respond_is_given_up_and_asked_again(write, metadata, monkeypatch):
    monkeypatch.setitem(entra._CLIENT, "read_timeout", 0.3)
    done, issued = threading.Event(), issue()

    def decide(asked):
        if len(metadata.requests) == 1:
            done.wait(60)
        return issued(asked)

    metadata.decide = decide
    writer = write(V1, ONE, request_signer=EntraAuth.managed_identity())
    done.set()
    assert writer.ledger.samples_accepted == 1
    assert writer.ledger.requests_retried >= 1


def test_a_metadata_service_that_is_not_there_is_named_when_the_retries_end(start, azure):
    with WebService() as service:
        azure("AZURE_POD_IDENTITY_AUTHORITY_HOST", service.url())
    writer = start(V1, request_signer=EntraAuth.managed_identity())
    writer.add(ONE)
    with pytest.raises(
        RetriesExhaustedError, match="could not be signed in 11 attempts: no token from the managed ident"
    ):
        writer.flush()


def test_an_identity_that_the_machine_does_not_have_fails_the_job(start, receiver, metadata):
    metadata.decide = lambda asked: (400, {"error": "invalid_request", "error_description": "Identity not found"})
    writer = start(V1, request_signer=EntraAuth.managed_identity(CLIENT))
    writer.add(ONE)
    with pytest.raises(
        RemoteWriteFatalError, match=f"check the identity, its tenant .*the managed identity {CLIENT}: "
    ):
        writer.flush()
    assert len(metadata.requests) == 1
    assert receiver.requests == []


def test_an_application_sends_its_secret_read_for_each_token(sent, authority, tmp_path, clock):
    (tmp_path / "secret").write_text("one\n")
    signer = EntraAuth.application(
        CLIENT, TENANT, Secret.file(tmp_path / "secret"), authority=authority.host, clock=clock
    )
    assert sent(V1, ONE, request_signer=signer).headers["authorization"] == "Bearer t1"
    (tmp_path / "secret").write_text("two\n")
    signer.renew(requests.Request("POST", "http://r/", headers={"Authorization": "Bearer t1"}).prepare(), 401)
    signed(signer)
    first, second = token_forms(authority)
    assert first["grant_type"] == "client_credentials"
    assert first["scope"] == "https://monitor.azure.com//.default"
    assert [first["client_secret"], second["client_secret"]] == ["one", "two"]
    assert first["client_id"] == CLIENT


def test_a_secret_that_is_refused_fails_the_job_and_is_not_shown(start, authority):
    authority.tokens = lambda asked: (
        401,
        {
            "error": "invalid_client",
            "error_description": f"AADSTS7000215: Invalid secret {asked.form['client_secret']}",
        },
    )
    writer = start(V1, request_signer=EntraAuth.application(CLIENT, TENANT, "c4nary-of-mine", authority=authority.host))
    writer.add(ONE)
    with pytest.raises(RemoteWriteFatalError, match="check the identity.*AADSTS7000215: Invalid secret") as error:
        writer.flush()
    assert "c4nary" not in str(error.value)


@pytest.mark.parametrize("response", [(500, "down"), (503, {"error": "temporarily_unavailable"}), None], ids=str)
def test_an_authority_that_fails_is_asked_again(write, authority, response):
    tokens, responses = authority.tokens, [response] * 2
    authority.tokens = lambda asked: responses.pop() if responses else tokens(asked)
    writer = write(V1, ONE, request_signer=EntraAuth.application(CLIENT, TENANT, "s3cret", authority=authority.host))
    assert writer.ledger.samples_accepted == 1
    assert writer.ledger.requests_retried == 2


def test_an_authority_that_is_not_trusted_fails_the_job(start, authority, monkeypatch):
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    writer = start(V1, request_signer=EntraAuth.application(CLIENT, TENANT, "s3cret", authority=authority.host))
    writer.add(ONE)
    with pytest.raises(RemoteWriteFatalError, match="set REQUESTS_CA_BUNDLE on the workers"):
        writer.flush()


def test_a_workload_identity_sends_the_token_of_its_service_account(azure, authority, tmp_path):
    (tmp_path / "token").write_text("of-the-account")
    signer = EntraAuth.workload_identity(CLIENT, TENANT, str(tmp_path / "token"), authority=authority.host)
    assert signed(signer) == "Bearer t1"
    azure("AZURE_FEDERATED_TOKEN_FILE", str(tmp_path / "token"))
    (tmp_path / "token").write_text("rotated")
    signed(EntraAuth.workload_identity(CLIENT, TENANT, authority=authority.host))
    forms = token_forms(authority)
    assert [form["client_assertion"] for form in forms] == ["of-the-account", "rotated"]
    assert forms[0]["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def test_a_workload_identity_without_its_token_says_where_it_was_looked_for(authority):
    signer = EntraAuth.workload_identity(CLIENT, TENANT, authority=authority.host)
    with pytest.raises(
        SecretError, match="check the secret in file '/var/run/secrets/azure/tokens/azure-identity-token'"
    ):
        signed(signer)


@pytest.fixture(scope="module")
def certificate():
    return trustme.CA(key_type=trustme.KeyType.RSA).issue_cert("client.example", key_type=trustme.KeyType.RSA)


def in_one_file(certificate, tmp_path):
    (tmp_path / "both.pem").write_bytes(certificate.private_key_and_cert_chain_pem.bytes())
    return {"certificate_path": str(tmp_path / "both.pem")}


def in_two_files(certificate, tmp_path):
    (tmp_path / "cert.pem").write_bytes(certificate.cert_chain_pems[0].bytes())
    (tmp_path / "key.pem").write_bytes(certificate.private_key_pem.bytes())
    return {"certificate_path": str(tmp_path / "cert.pem"), "certificate_key_path": str(tmp_path / "key.pem")}


def as_pfx(certificate, tmp_path):
    key: Any = serialization.load_pem_private_key(certificate.private_key_pem.bytes(), None)
    cert = x509.load_pem_x509_certificate(certificate.cert_chain_pems[0].bytes())
    encryption = serialization.BestAvailableEncryption(b"p4ssword")
    (tmp_path / "it.pfx").write_bytes(pkcs12.serialize_key_and_certificates(b"it", key, cert, None, encryption))
    return {"certificate_path": str(tmp_path / "it.pfx"), "certificate_password": "p4ssword"}


@pytest.mark.parametrize("files", [in_one_file, in_two_files, as_pfx])
@pytest.mark.parametrize("chain", [True, False])
def test_a_certificate_signs_an_assertion(authority, certificate, tmp_path, files, chain):
    settings = {**files(certificate, tmp_path), "send_certificate_chain": chain, "authority": authority.host}
    assert signed(EntraAuth.certificate(CLIENT, TENANT, **settings)) == "Bearer t1"
    (form,) = token_forms(authority)
    key: Any = serialization.load_pem_private_key(certificate.private_key_pem.bytes(), None).public_key()
    header = jwt.get_unverified_header(form["client_assertion"])
    claims = jwt.decode(form["client_assertion"], key, algorithms=[header["alg"]], options={"verify_aud": False})
    assert (claims["iss"], claims["sub"]) == (CLIENT, CLIENT)
    assert ("x5c" in header) is chain


def test_a_certificate_that_cannot_be_used_is_named(tmp_path, certificate):
    (tmp_path / "it").write_text("c4nary")
    for settings, message in [
        ({"certificate_path": str(tmp_path / "no")}, "check the file '.*/no': .* on this worker: No such file"),
        (
            {"certificate_path": str(tmp_path / "it")},
            "check the certificate '.*/it': expected a certificate with its RSA",
        ),
        ({**as_pfx(certificate, tmp_path), "certificate_password": "c4nary"}, "certificate_password if the file has a"),
    ]:
        with pytest.raises(SecretError, match=message) as error:
            signed(EntraAuth.certificate(CLIENT, TENANT, **settings))
        assert "c4nary" not in str(error.value)
        assert error.value.__context__ is None


def test_the_chain_of_the_sdk_finds_what_there_is(azure, authority, metadata):
    signer = EntraAuth.default(authority=authority.host)
    assert signed(signer) == "Bearer t1"
    assert metadata.requests
    for name, value in {"CLIENT_ID": CLIENT, "TENANT_ID": TENANT, "CLIENT_SECRET": "s3cret"}.items():
        azure(f"AZURE_{name}", value)
    assert signed(EntraAuth.default(authority=authority.host)) == "Bearer t1"
    assert token_forms(authority)[0]["client_secret"] == "s3cret"


def test_a_signer_travels_without_its_token(metadata):
    metadata.decide = issue(prefix="c4nary-")
    signer = EntraAuth.managed_identity(CLIENT)
    signed(signer)
    travelled = pickle.dumps(signer)
    assert b"c4nary" not in travelled
    assert signed(pickle.loads(travelled)) == "Bearer c4nary-2"


def test_a_missing_extra_is_named_with_the_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "azure.identity", None)
    with pytest.raises(SecretError, match=r"run pip install 'pyflink-prometheus\[azure\]' .* azure-identity cannot be"):
        signed(EntraAuth.managed_identity())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: EntraAuth.managed_identity("c4nary"), "client_id: expected a UUID"),
        (lambda: EntraAuth.managed_identity(cloud="AzureMars"), "cloud: expected AzurePublic, AzureChina or"),
        (lambda: EntraAuth.managed_identity(scope="a;b"), "scope: expected"),
        (lambda: EntraAuth.application("c4nary", TENANT, "s"), "client_id: expected a UUID"),
        (lambda: EntraAuth.application(CLIENT, "c4nary/", "s"), "tenant_id: expected a UUID or a domain"),
        (lambda: EntraAuth.workload_identity(CLIENT, "c4nary.example"), "tenant_id: expected a UUID"),
        (lambda: EntraAuth.certificate(CLIENT, "", "f"), "tenant_id: expected a non-empty line"),
    ],
)
def test_a_setting_that_is_not_valid_is_refused_when_it_is_given(make, message):
    with pytest.raises(ValueError, match=message) as error:
        make()
    assert "c4nary" not in str(error.value)


def test_no_repr_shows_a_secret():
    signer = EntraAuth.application(CLIENT, TENANT, "hunter2")
    assert repr(signer) == f"EntraAuth(the application {CLIENT})"
