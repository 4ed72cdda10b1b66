"""A stanza's credential that cannot be read is named by its place, and never shown."""

from __future__ import annotations

import pytest
import requests

from pyflink_prometheus import SecretError
from pyflink_prometheus.configuration.fields import FILE, SECTIONS, ListOf, Section
from pyflink_prometheus.configuration.stanza import read_remote_write
from pyflink_prometheus.http.tls import TlsContext

ID = "11111111-2222-3333-4444-555555555555"
TOKEN = {"client_id": "flink", "token_url": "http://127.0.0.1:9/token"}
JWT = {**TOKEN, "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer"}


# Each field for a file, in each section; the file that Azure reads is also a string in Prometheus.
WAYS = {
    ("basic_auth", "username_file"): lambda path: {"basic_auth": {"username_file": path, "password": "c4nary"}},
    ("basic_auth", "password_file"): lambda path: {"basic_auth": {"username": "flink", "password_file": path}},
    ("authorization", "credentials_file"): lambda path: {"authorization": {"credentials_file": path}},
    ("remote_write", "bearer_token_file"): lambda path: {"bearer_token_file": path},
    ("oauth2", "client_secret_file"): lambda path: {"oauth2": {**TOKEN, "client_secret_file": path}},
    ("oauth2", "client_certificate_key_file"): lambda path: {"oauth2": {**JWT, "client_certificate_key_file": path}},
    ("tls_config", "ca_file"): lambda path: {"tls_config": {"ca_file": path}},
    ("tls_config", "cert_file"): lambda path: {"tls_config": {"key": "c4nary", "cert_file": path}},
    ("tls_config", "key_file"): lambda path: {"tls_config": {"cert": "c4nary", "key_file": path}},
    ("http_header", "files"): lambda path: {"http_headers": {"X-API-Key": {"files": [path]}}},
    ("azure_certificate", "certificate_path"): lambda path: {
        "azuread": {"certificate": {"client_id": ID, "tenant_id": ID, "certificate_path": path}}
    },
    ("workload_identity", "token_file_path"): lambda path: {
        "azuread": {"workload_identity": {"client_id": ID, "tenant_id": ID, "token_file_path": path}}
    },
}


def use_credentials(stanza):
    """Read an entry's credentials, as a request does."""
    settings = read_remote_write({"url": "https://receiver.example/api/v1/write", **stanza}).settings
    for header in settings.get("http_headers", {}).values():
        header.read()
    if "tls" in settings:
        TlsContext(settings["tls"]).current()
    if "request_signer" in settings:
        settings["request_signer"](requests.Request("POST", "https://receiver.example/", data=b"").prepare())


def chain(error):
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


@pytest.mark.parametrize("field", WAYS, ids=".".join)
def test_a_file_that_is_missing_is_named(field, tmp_path):
    path = str(tmp_path / "missing")
    with pytest.raises(SecretError, match="No such file or directory") as caught:
        use_credentials(WAYS[field](path))
    assert path in str(caught.value)


@pytest.mark.parametrize("field", WAYS, ids=".".join)
def test_a_file_with_unusable_content_is_named_and_its_content_is_not_shown(field, tmp_path, caplog):
    caplog.set_level("DEBUG")
    path = tmp_path / "secret"
    path.write_bytes(b"c4nary\xff")
    with pytest.raises(SecretError) as caught:
        use_credentials(WAYS[field](str(path)))
    assert str(path) in str(caught.value)
    assert not any("c4nary" in f"{each!r} {each}" for each in chain(caught.value))
    assert "c4nary" not in caplog.text


def test_each_field_for_a_file_is_tried():
    fields = {
        (section.name, name)
        for section in SECTIONS
        for name, field in section.fields.items()
        if not isinstance(field.kind, Section)
        and FILE in (field.kind, isinstance(field.kind, ListOf) and field.kind.kind)
    }
    assert fields <= set(WAYS)
    assert len(fields) >= 10
