"""
Requests signed for Amazon, with credentials from every source, to a receiver that verifies each signature.

Metadata services and STS are on loopback; they fail, rotate keys and expire them.
"""

from __future__ import annotations

import json
import os
import ssl
import sys
import threading
from datetime import datetime, timedelta, timezone
from typing import Any

import botocore.utils
import pytest
import trustme
from raw_server import RawServer, response
from sigv4_verifier import problem_of
from web_service import WebService
from wire_receiver import AUTO, V1, Reply, T

from pyflink_prometheus import (
    RemoteWriteFatalError,
    RetriesExhaustedError,
    RetryConfiguration,
    Secret,
    SigV4Auth,
)

ONE = ("m", {"a": "1"}, ((1.0, T),))
REGION = "eu-central-1"
ROLE = "arn:aws:iam::123456789012:role/writer"
STATIC: dict[str, Any] = {"access_key": "AKIA1", "secret_key": "secret-of-AKIA1"}
QUICK = RetryConfiguration(max_retry_count=2, initial_retry_delay_ms=1)


def secret_of(access_key):
    return f"secret-of-{access_key}"


def until(**ahead):
    return (datetime.now(timezone.utc) + timedelta(**ahead)).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.fixture(autouse=True)
def aws(monkeypatch, tmp_path):
    """Remove this machine's AWS settings."""
    for name in [*os.environ]:
        if name.startswith("AWS_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setattr(botocore.utils.ContainerMetadataFetcher, "SLEEP_TIME", 0)
    return monkeypatch.setenv


@pytest.fixture
def verifying(receiver):
    """Return the receiver, which refuses each request that is not signed with a key that it knows."""
    receiver.keys = {("AKIA1", None): "secret-of-AKIA1"}

    def decide(seen):
        problem = problem_of(seen.method, seen.path, seen.headers, seen.body, receiver.keys)
        return Reply(403, json.dumps({"message": problem})) if problem else 204

    receiver.decide = decide
    return receiver


def keys_of(receiver):
    return [seen.headers["authorization"].partition("Credential=")[2].partition("/")[0] for seen in receiver.requests]


def test_each_request_is_signed_retries_too(version, write, verifying):
    verifying.script += [503, 429]
    signer = SigV4Auth(REGION, **STATIC)
    url = f"{verifying.url}?tenant=a%20b&x=&b=2&a=1"
    writer = write(version, ONE, url=url, request_signer=signer, http_headers={"X-Scope-OrgID": "a  b"})
    assert writer.ledger.samples_accepted == 1
    assert [seen.headers.get("retry-attempt") for seen in verifying.requests] == [None, "1", "2"]
    scope = f"/{REGION}/aps/aws4_request"
    assert all(scope in seen.headers["authorization"] for seen in verifying.requests)


def test_temporary_keys_are_sent_with_their_token(write, verifying):
    verifying.keys = {("AKIA1", "token"): "secret-of-AKIA1"}
    assert write(AUTO, ONE, request_signer=SigV4Auth(REGION, session_token="token", **STATIC)).ledger.samples_accepted


def test_a_wrong_secret_key_fails_the_job(start, verifying):
    writer = start(V1, request_signer=SigV4Auth(REGION, access_key="AKIA1", secret_key="another"))
    writer.add(ONE)
    with pytest.raises(RemoteWriteFatalError, match="HTTP 403: .*InvalidSignatureException"):
        writer.flush()
    assert len(verifying.requests) == 1


def test_keys_come_from_the_environment(write, verifying, aws):
    aws("AWS_ACCESS_KEY_ID", "AKIA1")
    aws("AWS_SECRET_ACCESS_KEY", "secret-of-AKIA1")
    assert write(V1, ONE, request_signer=SigV4Auth(REGION)).ledger.samples_accepted == 1


def profile(tmp_path, name, access_key):
    (tmp_path / "credentials").write_text(
        f"[{name}]\naws_access_key_id = {access_key}\naws_secret_access_key = {secret_of(access_key)}\n"
    )


def test_keys_of_a_profile_are_found_anew_when_the_receiver_refuses_them(start, verifying, tmp_path):
    profile(tmp_path, "mine", "AKIA1")
    writer = start(V1, request_signer=SigV4Auth(REGION, profile="mine"))
    writer.add(ONE)
    writer.flush()
    profile(tmp_path, "mine", "AKIA2")
    verifying.keys = {("AKIA2", None): secret_of("AKIA2")}
    writer.add(("m", {"a": "1"}, ((1.0, T + 1),)))
    writer.flush()
    assert writer.ledger.samples_accepted == 2
    assert keys_of(verifying) == ["AKIA1", "AKIA1", "AKIA2"]
    verifying.keys = {}
    writer.add(("m", {"a": "1"}, ((1.0, T + 2),)))
    with pytest.raises(RemoteWriteFatalError, match="UnrecognizedClientException"):
        writer.flush()
    assert keys_of(verifying)[3:] == ["AKIA2"]  # no others were found


class Metadata:
    """A metadata service with keys that last this long, new ones each time."""

    def __init__(self, receiver, lasting):
        self.receiver, self.lasting, self.count = receiver, lasting, 0

    def keys(self):
        self.count += 1
        access_key = f"ASIA{self.count}"
        self.receiver.keys[access_key, f"token{self.count}"] = secret_of(access_key)
        return {
            "Code": "Success",
            "AccessKeyId": access_key,
            "SecretAccessKey": secret_of(access_key),
            "Token": f"token{self.count}",
            "Expiration": until(**self.lasting),
        }

    def instance(self, asked):
        if asked.path == "/latest/api/token":
            return (200, "imds-token") if asked.method == "PUT" else (405, "")
        if asked.headers.get("x-aws-ec2-metadata-token") != "imds-token":
            return 401, ""
        root = "/latest/meta-data/iam/security-credentials/"
        return (200, "a-role") if asked.path == root else self.keys() if asked.path == f"{root}a-role" else (404, "")

    def container(self, asked):
        return self.keys() if asked.headers.get("authorization") == "pod-token" else (401, "")

    def sts(self, asked):
        keys = self.keys()
        action = asked.form["Action"]
        return 200, (
            f'<{action}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><{action}Result><Credentials>'
            f"<AccessKeyId>{keys['AccessKeyId']}</AccessKeyId><SecretAccessKey>{keys['SecretAccessKey']}"
            f"</SecretAccessKey><SessionToken>{keys['Token']}</SessionToken><Expiration>{keys['Expiration']}"
            f"</Expiration></Credentials><AssumedRoleUser><Arn>{ROLE}</Arn><AssumedRoleId>a:b</AssumedRoleId>"
            f"</AssumedRoleUser></{action}Result></{action}Response>"
        )


def samples(writer, count):
    for number in range(count):
        writer.add(("m", {"a": "1"}, ((1.0, T + number),)))
        writer.flush()


def at_the_instance(service, aws, tmp_path):
    aws("AWS_EC2_METADATA_DISABLED", "false")
    aws("AWS_EC2_METADATA_SERVICE_ENDPOINT", service.url("/"))
    return {}


def in_a_container(service, aws, tmp_path):
    aws("AWS_CONTAINER_CREDENTIALS_FULL_URI", service.url("/v1/credentials"))
    (tmp_path / "pod-token").write_text("pod-token")
    aws("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(tmp_path / "pod-token"))
    return {}


def with_a_web_identity(service, aws, tmp_path):
    aws("AWS_ENDPOINT_URL_STS", service.url())
    (tmp_path / "identity").write_text("identity-token")
    aws("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "identity"))
    aws("AWS_ROLE_ARN", ROLE)
    return {}


def with_a_role(service, aws, tmp_path):
    aws("AWS_ENDPOINT_URL_STS", service.url())
    return {"role_arn": ROLE, "external_id": "of-a-customer", **STATIC}


def with_a_role_of_a_profile(service, aws, tmp_path):
    aws("AWS_ENDPOINT_URL_STS", service.url())
    profile(tmp_path, "base", "AKIA1")
    (tmp_path / "config").write_text(f"[profile mine]\nrole_arn = {ROLE}\nsource_profile = base\n")
    return {"profile": "mine"}


PLACES = {
    at_the_instance: "instance",
    in_a_container: "container",
    with_a_web_identity: "sts",
    with_a_role: "sts",
    with_a_role_of_a_profile: "sts",
}
OF_STS = [place for place, kind in PLACES.items() if kind == "sts"]


@pytest.fixture
def place(request, verifying, aws, tmp_path):
    """Return the service, the metadata and the signer for the source of credentials in the parameter."""
    with WebService() as service:
        metadata = Metadata(verifying, {"hours": 6})
        service.decide = getattr(metadata, PLACES[request.param])
        signer = SigV4Auth(REGION, **request.param(service, aws, tmp_path))
        yield service, metadata, signer


everywhere = pytest.mark.parametrize("place", PLACES, indirect=True, ids=lambda each: each.__name__)


@everywhere
def test_keys_that_last_are_fetched_once(start, verifying, place):
    _, metadata, signer = place
    writer = start(V1, request_signer=signer)
    samples(writer, 3)
    assert keys_of(verifying) == ["ASIA1"] * 3
    assert metadata.count == 1


@pytest.mark.parametrize("place", [in_a_container, *OF_STS], indirect=True, ids=lambda each: each.__name__)
def test_keys_that_are_about_to_end_are_replaced(start, verifying, place):
    """An instance's keys are also replaced, but botocore extends them at random, in case the service is in trouble."""
    _, metadata, signer = place
    metadata.lasting = {"minutes": 5}
    writer = start(V1, request_signer=signer)
    samples(writer, 3)
    assert writer.ledger.samples_accepted == 3
    assert len({*keys_of(verifying)}) == 3


@everywhere
def test_keys_that_the_receiver_refuses_are_fetched_anew(start, verifying, place):
    _, _, signer = place
    writer = start(V1, request_signer=signer)
    samples(writer, 1)
    verifying.keys.clear()
    verifying.keys["AKIA1", None] = "secret-of-AKIA1"
    writer.add(("m", {"a": "1"}, ((1.0, T + 1),)))
    writer.flush()
    assert writer.ledger.samples_accepted == 2
    assert keys_of(verifying) == ["ASIA1", "ASIA1", "ASIA2"]


@everywhere
@pytest.mark.parametrize("response", [(500, "down"), (503, "down"), None], ids=str)
def test_a_service_that_fails_is_asked_again(start, clock, verifying, place, response):
    service, _, signer = place
    service.script += [response] * 8  # botocore asks a container's or instance's service several times in a row
    writer = start(V1, request_signer=signer, retry=RetryConfiguration(max_retry_count=20))
    samples(writer, 1)
    assert writer.ledger.samples_accepted == 1
    assert writer.ledger.requests_retried >= 1
    assert len(verifying.requests) == 1


@everywhere
def test_a_service_that_does_not_respond_is_given_up_and_asked_again(start, place, aws, monkeypatch):
    service, _, signer = place
    monkeypatch.setattr("pyflink_prometheus.http.auth.aws_chain._READ_TIMEOUT_S", 0.3)
    monkeypatch.setattr(botocore.utils.ContainerMetadataFetcher, "TIMEOUT_SECONDS", 0.3)
    aws("AWS_METADATA_SERVICE_TIMEOUT", "1")
    done, decide = threading.Event(), service.decide

    def slowly(asked):
        if len(service.requests) == 1:
            done.wait(60)
        return decide(asked)

    service.decide = slowly
    writer = start(V1, request_signer=signer)
    samples(writer, 1)
    done.set()
    assert writer.ledger.samples_accepted == 1


@pytest.mark.parametrize("place", [with_a_role], indirect=True, ids=["role"])
def test_sts_is_asked_for_the_role_with_the_external_id_by_a_signed_request(start, place):
    service, _, signer = place
    samples(start(V1, request_signer=signer), 1)
    (asked,) = service.requests
    assert asked.form == {
        "Action": "AssumeRole",
        "Version": "2011-06-15",
        "RoleArn": ROLE,
        "RoleSessionName": "pyflink-prometheus",
        "ExternalId": "of-a-customer",
    }
    assert f"Credential=AKIA1/{asked.headers['x-amz-date'][:8]}/{REGION}/sts/" in asked.headers["authorization"]
    body = asked.body.encode("latin-1")
    assert problem_of("POST", asked.target, asked.headers, body, {("AKIA1", None): "secret-of-AKIA1"}) == ""


@pytest.mark.parametrize("place", [with_a_web_identity], indirect=True, ids=["web identity"])
def test_a_web_identity_is_read_for_each_role(start, place, tmp_path):
    service, metadata, signer = place
    metadata.lasting = {"minutes": 5}
    writer = start(V1, request_signer=signer)
    samples(writer, 1)
    (tmp_path / "identity").write_text("rotated")
    samples(writer, 1)
    assert [form["WebIdentityToken"] for form in service.forms()] == ["identity-token", "rotated"]
    assert {form["RoleArn"] for form in service.forms()} == {ROLE}


def refusal(code, message):
    return f"<ErrorResponse><Error><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>"


@pytest.mark.parametrize("place", OF_STS, indirect=True, ids=lambda each: each.__name__)
def test_a_role_that_is_refused_fails_the_job_with_advice(start, verifying, place):
    service, _, signer = place
    service.decide = lambda asked: (403, refusal("AccessDenied", f"not for {asked.form.get('WebIdentityToken')}"))
    writer = start(V1, request_signer=signer)
    writer.add(ONE)
    with pytest.raises(
        RemoteWriteFatalError, match="check the role, its trust policy .*AccessDenied.*not for"
    ) as error:
        writer.flush()
    assert "identity-token" not in str(error.value)
    assert verifying.requests == []


@pytest.mark.parametrize("place", [with_a_role], indirect=True, ids=["role"])
def test_throttling_is_retried(start, place):
    service, _, signer = place
    service.script += [(400, refusal("Throttling", "Rate exceeded"))] * 2
    writer = start(V1, request_signer=signer)
    samples(writer, 1)
    assert writer.ledger.requests_retried == 2


@pytest.mark.parametrize("place", [in_a_container], indirect=True, ids=["container"])
def test_a_service_that_stays_down_is_named_but_not_quoted(start, place):
    service, _, signer = place
    service.decide = lambda asked: (500, f"c4nary {asked.headers['authorization']}")
    writer = start(V1, request_signer=signer)
    writer.add(ONE)
    with pytest.raises(RetriesExhaustedError, match="could not be signed in 11 attempts") as error:
        writer.flush()
    message = str(error.value)
    assert "no AWS credentials from the chain of botocore: container-role: Received non 200 response 500" in message
    assert "c4nary" not in message
    assert "pod-token" not in message


def test_no_credentials_at_all_fail_the_job_and_name_where_they_were_looked_for(start, verifying):
    writer = start(V1, request_signer=SigV4Auth(REGION))
    writer.add(ONE)
    with pytest.raises(RemoteWriteFatalError, match="give this worker AWS credentials: there are none in environment"):
        writer.flush()


@pytest.mark.parametrize("status", [500, 404])
def test_an_instance_without_a_role_fails_the_job_when_the_retries_end(start, aws, tmp_path, status):
    with WebService(lambda asked: (status, "")) as service:
        at_the_instance(service, aws, tmp_path)
        writer = start(V1, request_signer=SigV4Auth(REGION))
        writer.add(ONE)
        with pytest.raises(RetriesExhaustedError, match="in 11 attempts: give this worker AWS credentials"):
            writer.flush()
        assert service.requests


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"config profile \(mine\) could not be found"),
        ("[mine]\naws_access_key_id = AKIA1\n", "aws_secret_access_key"),
        ("c4nary\n", "check the settings, the environment and the shared files of AWS"),
    ],
)
def test_a_profile_that_cannot_be_used_fails_the_job(start, tmp_path, content, message):
    if content is not None:
        (tmp_path / "credentials").write_text(content)
    writer = start(V1, request_signer=SigV4Auth(REGION, profile="mine"))
    writer.add(ONE)
    with pytest.raises(RemoteWriteFatalError, match=message) as error:
        writer.flush()
    assert "c4nary" not in str(error.value)


@pytest.mark.parametrize(("fips", "host"), [(True, "sts-fips.us-east-1"), (False, "sts.us-east-1")])
def test_a_role_is_assumed_at_a_fips_endpoint_where_that_is_set(start, aws, fips, host):
    with RawServer(response(503)) as proxy:
        aws("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        signer = SigV4Auth("us-east-1", role_arn=ROLE, use_fips_sts_endpoint=fips, **STATIC)
        writer = start(V1, request_signer=signer, retry=QUICK)
        writer.add(ONE)
        with pytest.raises(RetriesExhaustedError, match="no AWS credentials from the role arn:"):
            writer.flush()
    assert proxy.requests[0].startswith(f"CONNECT {host}.amazonaws.com:443 ")


def test_an_sts_that_is_not_trusted_fails_the_job(start, aws, tmp_path):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    with WebService(tls=context) as service:
        writer = start(V1, request_signer=SigV4Auth(REGION, **with_a_role(service, aws, tmp_path)))
        writer.add(ONE)
        with pytest.raises(RemoteWriteFatalError, match="check AWS_CA_BUNDLE on the workers: .*certificate"):
            writer.flush()


def test_a_missing_extra_is_named_with_the_command(start, monkeypatch):
    monkeypatch.setitem(sys.modules, "botocore.auth", None)
    writer = start(V1, request_signer=SigV4Auth(REGION, **STATIC))
    writer.add(ONE)
    with pytest.raises(
        RemoteWriteFatalError, match=r"run pip install 'pyflink-prometheus\[aws\]' .* botocore cannot be"
    ):
        writer.flush()


def test_a_missing_key_is_named_by_its_source(start, tmp_path):
    signer = SigV4Auth(REGION, access_key="AKIA1", secret_key=Secret.file(tmp_path / "key"), role_arn=ROLE)
    writer = start(V1, request_signer=signer)
    writer.add(ONE)
    with pytest.raises(RemoteWriteFatalError, match=r"check the secret in file '.*/key': it cannot be read"):
        writer.flush()
