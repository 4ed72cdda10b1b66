"""
Signatures match Amazon's test suite for Signature Version 4 (Apache License 2.0), which is in sigv4_vectors.json.

https://github.com/awslabs/aws-c-auth/tree/v0.3.15/tests/aws-sig-v4-test-suite
"""

from __future__ import annotations

import datetime
import json
import pickle
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import botocore.auth
import pytest
import requests
from sigv4_verifier import signature

from pyflink_prometheus import Secret, SecretError, SigV4Auth

VECTORS = json.loads((Path(__file__).parent / "sigv4_vectors.json").read_text(encoding="utf-8"))
NOW = datetime.datetime(2015, 8, 30, 12, 36, tzinfo=datetime.timezone.utc)
KEYS: dict[str, Any] = {"access_key": "AKIDEXAMPLE", "secret_key": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"}
URL = "https://aps-workspaces.eu-central-1.amazonaws.com/workspaces/ws-1/api/v1/remote_write"


@pytest.fixture(autouse=True)
def _in_2015(monkeypatch):
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda: NOW)


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch, tmp_path):
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))


def prepared(vector):
    url = f"https://example.amazonaws.com{vector['target']}"
    request = requests.Request(vector["method"], url).prepare()
    # The suite's paths are not encoded, but its signatures are for paths that are encoded once.
    request.url = urlsplit(str(request.url))._replace(path=vector["target"].partition("?")[0]).geturl()
    request.headers.clear()
    request.headers.update(vector["headers"])
    request.body = vector["body"].encode()
    return request


@pytest.mark.parametrize("vector", VECTORS, ids=lambda each: each["name"])
def test_a_request_gets_the_published_signature(vector):
    signer = SigV4Auth("us-east-1", session_token=vector.get("token"), service="service", **KEYS)
    assert signer(prepared(vector)).headers["Authorization"] == (
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
        f"SignedHeaders={vector['signed_headers']}, Signature={vector['signature']}"
    )


@pytest.mark.parametrize("vector", VECTORS, ids=lambda each: each["name"])
def test_the_receiver_of_our_tests_would_accept_them(vector):
    request = prepared(vector)
    headers = {name.lower(): value for name, value in request.headers.items()}
    headers |= {"host": "example.amazonaws.com", "x-amz-date": "20150830T123600Z"}
    headers |= {"x-amz-security-token": vector.get("token", "")}
    parts = urlsplit(request.url)
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    assert vector["signature"] == signature(
        request.method,
        target,
        headers,
        request.body,
        secret_key=KEYS["secret_key"],
        scope="20150830/us-east-1/service/aws4_request",
        signed_headers=vector["signed_headers"],
    )


def scope(signer, url=URL):
    request = signer(requests.Request("POST", url, data=b"x").prepare())
    return request.headers["Authorization"].partition("Credential=AKIDEXAMPLE/20150830/")[2].partition(",")[0]


@pytest.mark.parametrize(
    ("host", "region"),
    [
        ("aps-workspaces.eu-central-1.amazonaws.com", "eu-central-1"),
        ("aps-workspaces-fips.us-gov-west-1.amazonaws.com", "us-gov-west-1"),
        ("aps-workspaces.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        ("aps-workspaces.us-east-2.api.aws", "us-east-2"),
        ("vpce-0a-1b.aps-workspaces.ap-south-1.vpce.amazonaws.com", "ap-south-1"),
        ("APS-WORKSPACES.US-WEST-2.AMAZONAWS.COM:443", "us-west-2"),
    ],
)
def test_the_region_is_that_of_the_url(host, region, monkeypatch):
    monkeypatch.setenv("AWS_REGION", "mars-north-1")
    assert scope(SigV4Auth(**KEYS), f"https://{host}/workspaces/ws-1") == f"{region}/aps/aws4_request"
    assert scope(SigV4Auth("moon-1", **KEYS), f"https://{host}/workspaces/ws-1") == "moon-1/aps/aws4_request"


def test_or_else_the_region_is_that_of_the_environment_or_the_profile(monkeypatch, tmp_path):
    url = "https://metrics.example/api/v1/remote_write"
    with pytest.raises(SecretError, match="^set region in SigV4Auth: there is none in the URL, AWS_REGION or"):
        scope(SigV4Auth(**KEYS), url)
    (tmp_path / "config").write_text("[default]\nregion = from-profile\n")
    assert scope(SigV4Auth(**KEYS), url).startswith("from-profile/")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "from-default")
    assert scope(SigV4Auth(**KEYS), url).startswith("from-default/")
    monkeypatch.setenv("AWS_REGION", "from-environment")
    assert scope(SigV4Auth(**KEYS), url).startswith("from-environment/")


def test_keys_in_files_are_read_for_each_attempt(tmp_path):
    for name in ("access", "secret"):
        (tmp_path / name).write_text("one")
    signer = SigV4Auth(access_key=Secret.file(tmp_path / "access"), secret_key=Secret.file(tmp_path / "secret"))
    request = signer(requests.Request("POST", URL, data=b"x").prepare())
    assert "Credential=one/" in request.headers["Authorization"]
    assert not signer.renew(request, 403)
    (tmp_path / "access").write_text("two")
    assert signer.renew(request, 403)
    assert not signer.renew(request, 400)
    assert "Credential=two/" in signer(request).headers["Authorization"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"access_key": "a"}, "set both access_key and secret_key"),
        ({"secret_key": "s"}, "set both access_key and secret_key"),
        ({"session_token": "t"}, "set both access_key and secret_key"),
        ({**KEYS, "profile": "p"}, "set either access_key and secret_key, or profile"),
        ({"external_id": "e"}, "external_id: set role_arn as well"),
        ({"region": ""}, "region: expected a non-empty line"),
        ({"role_arn": "a\nb"}, "role_arn: expected a non-empty line"),
    ],
)
def test_settings_that_do_not_fit_are_refused_when_they_are_given(settings, message):
    with pytest.raises(ValueError, match=message):
        SigV4Auth(**settings)


def test_nothing_of_it_is_shown():
    signer = SigV4Auth(
        access_key="hunter2", secret_key="hunter2", session_token="hunter2", role_arn="r", external_id="hunter2"
    )
    assert "hunter2" not in repr(signer)
    assert repr(SigV4Auth(profile="p", role_arn="arn:r")) == "SigV4Auth(the role arn:r, assumed with the profile 'p')"


def test_it_travels_as_it_was_given():
    signer = pickle.loads(pickle.dumps(SigV4Auth(**KEYS)))
    assert scope(signer) == "eu-central-1/aps/aws4_request"
