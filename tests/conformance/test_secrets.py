"""
No secret is shown, wherever a user puts it, however it is broken, and whatever happens to the request.

1.0 and 2.0: "Authentication & Encryption" leaves authentication to HTTP; keeping it secret is up to us.
"""

from __future__ import annotations

import base64
import functools
import html
import logging
import os
import socket
import sys
from collections.abc import Callable
from typing import Any

import botocore.utils
import cloudpickle
import pytest
import requests
from raw_server import RawServer, response
from shown_by import shown_by
from web_service import WebService
from wire_receiver import AUTO, V1, T

from pyflink_prometheus import (
    BasicAuth,
    BearerAuth,
    CredentialsUnavailableError,
    EntraAuth,
    JwtBearerAuth,
    OAuth2Auth,
    PrometheusSink,
    PrometheusSinkError,
    RemoteWriteFatalError,
    RetryConfiguration,
    SchemeAuth,
    Secret,
    SigV4Auth,
)
from pyflink_prometheus.config import SinkConfig

ONE = ("m", {"a": "1"}, ((1.0, T),))
CANARY = "c4nary-of-mine"
TENANT = "66666666-7777-8888-9999-000000000000"
RETRIES = RetryConfiguration(max_retry_count=1, initial_retry_delay_ms=1)

BREAKS = {
    "whole": CANARY,
    "white space around": f" \t{CANARY}\r\n",
    "line break inside": f"{CANARY}\n{CANARY}",
    "header inside": f"{CANARY}\r\nX-More: {CANARY}",
    "NUL": f"{CANARY}\0{CANARY}",
    "not ASCII": f"é{CANARY}",
    "not Latin-1": f"€{CANARY}",
    "surrogate": f"\ud800{CANARY}",
    "URL's characters": f"a/{CANARY}?{CANARY}#{CANARY}@{CANARY}:{CANARY}%",
    "percent-encoded": f"{CANARY}%0A%00%E9%E2%82%AC",
}


class Signer(requests.auth.AuthBase):
    """A user's signer that puts a secret into a header."""

    def __init__(self, secret, header="Authorization"):
        self.secret = secret
        self.header = header

    def __call__(self, request):
        request.headers[self.header] = self.secret
        return request


class Failing(Signer):
    """A user's signer that raises, with the secret in the text, and in the cause's text."""

    def __call__(self, request):
        try:
            raise KeyError(self.secret)
        except KeyError as error:
            raise OSError(f"cannot sign with {self.secret}") from error


class Exiting(Signer):
    def __call__(self, request):
        sys.exit(self.secret)


class Asking(Signer):
    """A user's signer that reads the response, and raises."""

    def __call__(self, request):
        def look(response, **_):
            raise requests.ConnectionError(f"{response} to {self.secret}")

        request.register_hook("response", look)
        return request


def in_a_file(secret, tmp_path):
    path = tmp_path / "secret"
    path.write_bytes(secret.encode("utf-8", errors="surrogatepass"))
    return Secret.file(path)


def in_the_environment(secret, monkeypatch):
    monkeypatch.setenv("SECRET_OF_THIS_TEST", os.fsdecode(secret.encode("utf-8", errors="surrogatepass")))
    return Secret.environment("SECRET_OF_THIS_TEST")


def raising(secret):
    def sign(headers, body):
        raise ValueError(secret)

    return sign


def in_the_proxy(url, secret, monkeypatch):
    for scheme in ("HTTP", "HTTPS"):
        monkeypatch.setenv(f"{scheme}_PROXY", f"http://user:{secret}@{url.split('/')[2]}")
    return {"url": url.replace("127.0.0.1", "receiver.invalid")}


def issued(service, secret):
    """Return the token endpoint whose tokens are the secret."""
    service.decide = lambda asked: {"access_token": secret, "expires_in": 3600, "token_type": "Bearer", "resource": "r"}
    return service.url()


def from_a_container(service, secret, monkeypatch):
    keys = {"AccessKeyId": "AKIA1", "SecretAccessKey": secret, "Token": secret, "Expiration": "2099-01-01T00:00:00Z"}
    service.decide = lambda asked: keys
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", service.url("/credentials"))
    return {"request_signer": SigV4Auth("us-east-1")}


def asking_a_container(url, secret, monkeypatch):
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", url)
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", os.fsdecode(secret.encode("utf-8", "surrogatepass")))
    return {"request_signer": SigV4Auth("us-east-1")}


def from_sts(service, secret, monkeypatch):
    service.decide = lambda asked: (
        200,
        '<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>'
        f"<AccessKeyId>ASIA1</AccessKeyId><SecretAccessKey>{html.escape(secret)}</SecretAccessKey><SessionToken>"
        f"{html.escape(secret)}</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials>"
        "</AssumeRoleResult></AssumeRoleResponse>",
    )
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", service.url())
    return {"request_signer": SigV4Auth("us-east-1", access_key="A", secret_key="s", role_arn="arn:aws:iam::1:role/r")}


def asking_sts(url, secret, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", url)
    role = {"role_arn": "arn:aws:iam::1:role/r", "external_id": secret}
    keys = {"access_key": "A", "secret_key": secret, "session_token": secret}
    return {"request_signer": SigV4Auth("us-east-1", **keys, **role)}


def from_azure(service, secret, monkeypatch):
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", issued(service, secret))
    return {"request_signer": EntraAuth.managed_identity()}


def asking_azure(url, secret, monkeypatch):
    monkeypatch.setenv("IDENTITY_ENDPOINT", url)
    monkeypatch.setenv("IDENTITY_HEADER", os.fsdecode(secret.encode("utf-8", "surrogatepass")))
    return {"request_signer": EntraAuth.managed_identity()}


# Functions that return the settings of a writer with the secret in one place.
PLACES: dict[str, Callable[..., dict[str, Any]]] = {
    "basic, value": lambda url, secret, **_: {"request_signer": BasicAuth("user", secret)},
    "basic, file": lambda url, secret, tmp_path, **_: {"request_signer": BasicAuth("u", in_a_file(secret, tmp_path))},
    "basic, environment": lambda url, secret, monkeypatch, **_: {
        "request_signer": BasicAuth("user", in_the_environment(secret, monkeypatch))
    },
    "basic, user name": lambda url, secret, **_: {"request_signer": BasicAuth(secret, "password")},
    "basic, user name in a file": lambda url, secret, tmp_path, **_: {
        "request_signer": BasicAuth(in_a_file(secret, tmp_path), None)
    },
    "scheme": lambda url, secret, **_: {"request_signer": SchemeAuth(secret, "Token")},
    "scheme, file": lambda url, secret, tmp_path, **_: {
        "request_signer": SchemeAuth("Token", in_a_file(secret, tmp_path))
    },
    "header, file": lambda url, secret, tmp_path, **_: {"http_headers": {"X-API-Key": in_a_file(secret, tmp_path)}},
    "header, value": lambda url, secret, **_: {"http_headers": {"X-API-Key": Secret.value(secret)}},
    "OAuth, secret": lambda url, secret, **_: {"request_signer": OAuth2Auth(url, "client", secret)},
    "OAuth, ID": lambda url, secret, **_: {"request_signer": OAuth2Auth(url, secret, "secret")},
    "OAuth, URL": lambda url, secret, **_: {"request_signer": OAuth2Auth(f"{url}?key={secret}", "client", "secret")},
    "OAuth, password in the URL": lambda url, secret, **_: {
        "request_signer": JwtBearerAuth(url.replace("://", f"://user:{secret}@"), "client", "key")
    },
    "OAuth, parameter": lambda url, secret, **_: {
        "request_signer": OAuth2Auth(url, "client", "secret", endpoint_params={"password": secret})
    },
    "OAuth, token": lambda url, secret, service, **_: {
        "request_signer": OAuth2Auth(issued(service, secret), "client", "secret")
    },
    "JWT, key": lambda url, secret, **_: {"request_signer": JwtBearerAuth(url, "client", secret)},
    "SigV4, keys": lambda url, secret, **_: {
        "request_signer": SigV4Auth("us-east-1", access_key="A", secret_key=secret, session_token=secret)
    },
    "SigV4, container": lambda url, secret, service, monkeypatch, **_: from_a_container(service, secret, monkeypatch),
    "SigV4, container's token": lambda url, secret, monkeypatch, **_: asking_a_container(url, secret, monkeypatch),
    "SigV4, STS": lambda url, secret, service, monkeypatch, **_: from_sts(service, secret, monkeypatch),
    "SigV4, STS's request": lambda url, secret, monkeypatch, **_: asking_sts(url, secret, monkeypatch),
    "Entra, ID": lambda url, secret, **_: {"request_signer": EntraAuth.application(secret, TENANT, "secret")},
    "Entra, tenant": lambda url, secret, **_: {"request_signer": EntraAuth.application(TENANT, secret, "secret")},
    "Entra, token": lambda url, secret, service, monkeypatch, **_: from_azure(service, secret, monkeypatch),
    "Entra, identity header": lambda url, secret, monkeypatch, **_: asking_azure(url, secret, monkeypatch),
    "bearer, value": lambda url, secret, **_: {"request_signer": BearerAuth(Secret.value(secret))},
    "bearer, file": lambda url, secret, tmp_path, **_: {"request_signer": BearerAuth(in_a_file(secret, tmp_path))},
    "bearer, environment": lambda url, secret, monkeypatch, **_: {
        "request_signer": BearerAuth(in_the_environment(secret, monkeypatch))
    },
    "URL, password": lambda url, secret, **_: {"url": url.replace("://", f"://user:{secret}@")},
    "URL, user": lambda url, secret, **_: {"url": url.replace("://", f"://{secret}@")},
    "URL, query": lambda url, secret, **_: {"url": f"{url}?token={secret}"},
    "URL, fragment": lambda url, secret, **_: {"url": f"{url}#{secret}"},
    "URL without a scheme": lambda url, secret, **_: {"url": url.replace("http://", f"user:{secret}@")},
    "header": lambda url, secret, **_: {"http_headers": {"X-API-Key": secret}},
    "header's name": lambda url, secret, **_: {"http_headers": {f"{secret} ": "X-API-Key"}},
    "function": lambda url, secret, **_: {
        "request_signer": lambda headers, body: {**headers, "Authorization": f"Token {secret}"}
    },
    "function, name": lambda url, secret, **_: {
        "request_signer": lambda headers, body: {f"{secret} ": "Authorization"}
    },
    "function, bytes": lambda url, secret, **_: {
        "request_signer": lambda headers, body: {"X-Key": secret.encode("utf-8", errors="surrogatepass")}
    },
    "function, list": lambda url, secret, **_: {"request_signer": lambda headers, body: {"X-Key": [secret]}},
    "function, text": lambda url, secret, **_: {"request_signer": lambda headers, body: secret},
    "function that raises": lambda url, secret, **_: {"request_signer": raising(secret)},
    "partial that raises": lambda url, secret, **_: {"request_signer": functools.partial(raising(secret))},
    "AuthBase": lambda url, secret, **_: {"request_signer": Signer(secret)},
    "AuthBase, name": lambda url, secret, **_: {"request_signer": Signer("value", f"{secret} ")},
    "AuthBase that raises": lambda url, secret, **_: {"request_signer": Failing(secret)},
    "AuthBase that exits": lambda url, secret, **_: {"request_signer": Exiting(secret)},
    "AuthBase that looks at the response": lambda url, secret, **_: {"request_signer": Asking(secret)},
    "proxy": lambda url, secret, monkeypatch, **_: in_the_proxy(url, secret, monkeypatch),
}


def echo(server, status, *headers):
    """Respond with the request's content, as some gateways do."""

    def send(connection):
        connection.sendall(response(status, *headers, body=server().requests[-1].encode("latin-1")))

    return send


def moved(server):
    """Redirect to the same target, including the query, as gateways that require TLS do."""

    def send(connection):
        target = server().requests[-1].split(" ")[1]
        connection.sendall(response(301, f"Location: https://user:{CANARY}@receiver.invalid{target}"))

    return send


def moved_into(server):
    """Redirect to a target that contains the whole request."""

    def send(connection):
        quoted = server().requests[-1].replace("\r\n", "/")
        connection.sendall(response(301, f"Location: https://receiver.invalid/{quoted}"))

    return send


def cut_off(server):
    """Respond with the request's content, without the secret's last letter, and hang up."""

    def send(connection):
        head = server().requests[-1]
        end = head.rfind(CANARY) + len(CANARY) - 1 if CANARY in head else len(head)
        connection.sendall(response(503, "Content-Length: 10000") + head[:end].encode("latin-1"))

    return send


ENDS = {
    "stored": lambda server: response(204, "X-Prometheus-Remote-Write-Samples-Written: 1"),
    "400 that echoes": lambda server: echo(server, 400, "X-Prometheus-Remote-Write-Samples-Written: 0"),
    "401 that echoes": lambda server: echo(server, 401),
    "407 that echoes": lambda server: echo(server, 407),
    "503 that echoes": lambda server: echo(server, 503),
    "redirect that echoes": moved,
    "redirect that echoes the request": moved_into,
    "503 that echoes and is cut off": cut_off,
    "headers that echo": lambda server: (
        lambda connection: connection.sendall(
            b"HTTP/1.1 503 No\r\n nonsense\r\n" + server().requests[-1].encode("latin-1") + b"\r\n\r\n"
        )
    ),
    "no HTTP that echoes": lambda server: (
        lambda connection: connection.sendall(server().requests[-1].encode("latin-1"))
    ),
    "headers that make no sense": lambda server: b"HTTP/1.1 503 No\r\nnonsense\r\nX: y\r\n\r\n",
    "hang up": lambda server: b"",
}


def closed_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(autouse=True)
def own_environment(monkeypatch):
    for name in [*os.environ]:
        if name.lower().endswith("_proxy") or name.startswith(("AWS_", "AZURE_", "IDENTITY_", "MSI_", "IMDS_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setattr(botocore.utils.ContainerMetadataFetcher, "SLEEP_TIME", 0)


@pytest.fixture(scope="module")
def service():
    with WebService() as service:
        yield service


@pytest.fixture
def assert_hidden(start, service, caplog, capfd, tmp_path, monkeypatch):
    """Return a function that writes with a secret in a place, and then looks for it in everything visible."""
    caplog.set_level(logging.DEBUG)

    def write(place, secret, url):
        shown = []
        sink: PrometheusSink | None = None
        config: SinkConfig | None = None
        try:
            settings = PLACES[place](url, secret, tmp_path=tmp_path, monkeypatch=monkeypatch, service=service)
            shown += [repr(each) for each in settings.values() if not isinstance(each, (str, dict))]
            config = SinkConfig(
                prometheus_remote_write_url=settings.pop("url", url),
                remote_write_version=AUTO,
                retry=RETRIES,
                **settings,
            )
            sink = PrometheusSink.builder().set_prometheus_remote_write_url(config.prometheus_remote_write_url).build()
            writer = start(url=config.prometheus_remote_write_url, retry=RETRIES, **settings)
            writer.add(ONE)
            writer.flush()
        except (PrometheusSinkError, ValueError, TypeError) as error:
            shown += shown_by(error)
        if config is not None:
            assert sink is not None
            shown += [
                repr(config),
                str(config),
                config.url_without_credentials,
                repr(sink),
                repr(sink.get_transformer()),
            ]
        for record in caplog.records:
            shown += [record.getMessage(), repr(record.args), record.exc_text or "", repr(vars(record))]
            if record.exc_info:
                shown += shown_by(record.exc_info[1])
        shown += capfd.readouterr()
        hidden = [
            CANARY[:-1],
            *(base64.b64encode(f"{user}:{CANARY}".encode()).decode() for user in ("u", "user", "client")),
        ]
        for text in shown:
            for each in hidden:
                assert each not in text, f"{place}: {text}"

    return write


# Secrets that no environment variable can hold.
IN_ENVIRONMENT = {place for place in PLACES if "environment" in place} | {
    "SigV4, container's token",
    "Entra, identity header",
}
IMPOSSIBLE = {(place, "NUL") for place in {*IN_ENVIRONMENT, "proxy"}} | {("proxy", "surrogate")}
BROKEN = [(place, how) for place in PLACES for how in BREAKS if (place, how) not in IMPOSSIBLE]


@pytest.mark.parametrize(("place", "how"), BROKEN)
def test_a_secret_that_is_broken_is_not_shown(assert_hidden, place, how):
    with RawServer(response(503, body=b"not now")) as server:
        assert_hidden(place, BREAKS[how], server.url())


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("place", PLACES)
def test_whatever_the_response_the_secret_is_not_shown(assert_hidden, place, end):
    server: RawServer
    with RawServer(ENDS[end](lambda: server)) as server:
        assert_hidden(place, CANARY, server.url())


@pytest.mark.parametrize("place", PLACES)
def test_the_secret_is_not_shown_where_there_is_no_connection(assert_hidden, place):
    with RawServer(response(400), reads=False) as server:
        assert_hidden(place, CANARY, f"http://127.0.0.1:{closed_port()}/api/v1/write")
        assert_hidden(place, CANARY, "http://no-such-host.invalid/api/v1/write")
        assert_hidden(place, CANARY, server.url(scheme="https"))


CANNOT_BE_SENT = {
    "line break inside": "contains a line break",
    "NUL": "contains a control character",
    "not Latin-1": "contains a character that headers cannot carry",
    "surrogate": "is not UTF-8 text",
}


@pytest.mark.parametrize(
    ("where", "how"),
    [
        (where, how)
        for where in ("value", "file", "environment")
        for how in CANNOT_BE_SENT
        if (where, how) != ("environment", "NUL")
    ],
)
def test_a_secret_that_cannot_be_sent_fails_the_job_and_is_named_by_its_source(
    start, tmp_path, monkeypatch, where, how
):
    secret = BREAKS[how]
    named = {
        "value": lambda: Secret.value(secret),
        "file": lambda: in_a_file(secret, tmp_path),
        "environment": lambda: in_the_environment(secret, monkeypatch),
    }[where]()
    with RawServer(response(204)) as server:
        writer = start(url=server.url(), request_signer=BearerAuth(named))
        writer.add(ONE)
        with pytest.raises(RemoteWriteFatalError) as failed:
            writer.flush()
        assert server.connections == 0
    source = {
        "value": "the secret given as a value",
        "file": f"the secret in file '{tmp_path / 'secret'}'",
        "environment": "the secret in environment 'SECRET_OF_THIS_TEST'",
    }[where]
    assert f"check {source}: it {CANNOT_BE_SENT[how]}" in str(failed.value)


@pytest.mark.parametrize("auth", [BearerAuth, functools.partial(BasicAuth, "user")])
@pytest.mark.parametrize("content", [None, "", " \n"])
def test_a_secret_that_is_missing_or_empty_fails_the_job(start, tmp_path, auth, content):
    if content is not None:
        (tmp_path / "secret").write_text(content)
    writer = start(request_signer=auth(Secret.file(tmp_path / "secret")))
    writer.add(ONE)
    problem = "it cannot be read on this worker: No such file or directory" if content is None else "it is empty"
    with pytest.raises(RemoteWriteFatalError, match=f"check the secret in file '.*/secret': {problem}"):
        writer.flush()


def test_an_api_key_in_a_header_is_read_for_each_attempt(start, receiver, tmp_path):
    (tmp_path / "key").write_text("one\n")
    writer = start(V1, http_headers={"X-API-Key": Secret.file(tmp_path / "key"), "X-Scope-OrgID": "a"})
    for key in ("one", "two"):
        (tmp_path / "key").write_text(f"{key}\n")
        writer.add(ONE)
        writer.flush()
    assert [seen.headers["x-api-key"] for seen in receiver.requests] == ["one", "two"]


@pytest.mark.parametrize(
    ("content", "problem"), [(None, "it cannot be read on this worker"), ("a\nb", "it contains a line break")]
)
def test_an_api_key_that_cannot_be_sent_is_named_by_its_source(start, receiver, tmp_path, content, problem):
    if content is not None:
        (tmp_path / "key").write_text(content)
    writer = start(V1, http_headers={"X-API-Key": Secret.file(tmp_path / "key")})
    writer.add(ONE)
    with pytest.raises(RemoteWriteFatalError, match=f"check the secret in file '.*/key': {problem}"):
        writer.flush()
    assert receiver.requests == []


def test_a_token_that_is_rotated_while_it_is_refused_is_sent_at_once(start, receiver, tmp_path):
    def decide(seen):
        (tmp_path / "token").write_text("two")
        return 204 if seen.headers["authorization"] == "Bearer two" else 401

    (tmp_path / "token").write_text("one")
    receiver.decide = decide
    writer = start(V1, request_signer=BearerAuth(Secret.file(tmp_path / "token")))
    writer.add(ONE)
    writer.flush()
    assert (writer.ledger.samples_accepted, writer.ledger.requests_retried) == (1, 0)


def test_a_signer_of_the_user_may_have_the_request_retried(start, receiver, clock):
    failures = [7.0, None]

    def sign(headers, body):
        if failures:
            raise CredentialsUnavailableError("no ticket yet", retry_after_s=failures.pop(0))
        return headers

    writer = start(V1, request_signer=sign)
    writer.add(ONE)
    writer.flush()
    assert (writer.ledger.samples_accepted, writer.ledger.requests_retried) == (1, 2)
    assert 7 in clock.sleeps
    assert len(receiver.requests) == 1


def test_a_signer_of_the_user_is_not_asked_for_other_credentials(start, receiver):
    class Renewing(Signer):
        def renew(self, reason):
            raise AssertionError

    receiver.decide = lambda seen: 401
    writer = start(V1, request_signer=Renewing("secret"))
    writer.add(ONE)
    with pytest.raises(RemoteWriteFatalError, match="HTTP 401"):
        writer.flush()


def test_a_password_in_the_url_may_be_any_text(sent, receiver):
    url = receiver.url.replace("://", "://j%C3%BCrgen:pä%3Ass€@")
    assert sent(AUTO, ONE, url=url).headers["authorization"] == "Basic asO8cmdlbjpww6Q6c3Pigqw="


def test_a_user_alone_in_the_url_is_sent_with_an_empty_password(sent, receiver):
    url = receiver.url.replace("://", "://a-token@")
    assert sent(AUTO, ONE, url=url).headers["authorization"] == requests.auth._basic_auth_str("a-token", "")


def test_a_signer_comes_after_the_credentials_in_the_url(sent, receiver):
    url = receiver.url.replace("://", "://user:password@")
    assert sent(AUTO, ONE, url=url, request_signer=BearerAuth("t")).headers["authorization"] == "Bearer t"


def test_a_signer_sees_the_query_which_it_may_have_to_sign(sent, receiver):
    seen = []

    class Looking(requests.auth.AuthBase):
        def __call__(self, request):
            seen.append(request.url)
            return request

    sent(AUTO, ONE, url=f"{receiver.url}?db=mine", request_signer=Looking())
    assert seen == [f"{receiver.url}?db=mine"]


@pytest.mark.parametrize(
    ("signer", "problem"),
    [
        (lambda headers, body: None, "return the headers from the request signer .*: it returned None"),
        (lambda headers, body: [("A", "b")], "return the headers from .* as a mapping of strings: it returned a list"),
        (
            lambda headers, body: {1: "b"},
            "return the headers from .*: it returned a mapping with names that are not strings",
        ),
        (lambda headers, body: {"X-A": 7}, "set the header X-A to a string in the request signer .*: it is a int"),
        (lambda headers, body: {"X-A": None}, "set the header X-A to a string in the request signer .*: it is None"),
        (lambda headers, body: {"X A": "b"}, "use letters, digits and hyphens for header names in the request signer"),
        (
            lambda headers, body: {"X-A": "b\nc"},
            "check the value that .* gives the header X-A: it contains a line break",
        ),
        (lambda headers, body: {"X-A": " b"}, "check the value .* the header X-A: it starts or ends with white space"),
        (
            raising(CANARY),
            r"call the request signer raising.<locals>.sign on its own .*: it raised ValueError in test_",
        ),
        (
            Failing(CANARY),
            r"call the request signer Failing on its own .*: it raised OSError in test_secrets.py, line \d",
        ),
    ],
)
def test_a_signer_that_does_not_do_its_work_fails_the_job_with_advice(start, receiver, signer, problem):
    writer = start(request_signer=signer)
    writer.add(ONE)
    with pytest.raises(RemoteWriteFatalError, match=problem):
        writer.flush()
    assert receiver.requests == []


def test_an_auth_of_requests_that_returns_nothing_fails_the_job_with_advice(start):
    class Forgetful(requests.auth.AuthBase):
        def __call__(self, request):
            request.headers["X-A"] = "b"

    writer = start(request_signer=Forgetful())
    writer.add(ONE)
    with pytest.raises(RemoteWriteFatalError, match="return the request from .*Forgetful: it returned None"):
        writer.flush()


def test_words_that_hold_no_secret_are_shown_as_they_are(start):
    """Names of tenants and short values are not secrets, and receivers name them in refusals."""
    text = "no team-a, 7 of ***, prometheus is unknown"
    with RawServer(response(401, body=text.encode())) as server:
        headers = {"X-Scope-OrgID": "prometheus", "X-Number": "7"}
        writer = start(url=server.url(), http_headers=headers, request_signer=BasicAuth("team-a", "secret-of-team-a"))
        writer.add(ONE)
        with pytest.raises(RemoteWriteFatalError) as failed:
            writer.flush()
    assert failed.value.body_excerpt == text


@pytest.mark.parametrize(
    "auth",
    [
        BearerAuth,
        functools.partial(BasicAuth, "user"),
        lambda secret: BasicAuth(secret, None),
        functools.partial(SchemeAuth, "Token"),
        lambda secret: SigV4Auth("us-east-1", access_key=secret, secret_key=secret, session_token=secret),
    ],
)
def test_the_pickle_of_a_sink_holds_no_secret_that_is_read_on_the_worker(tmp_path, monkeypatch, auth):
    for secret in (in_a_file(CANARY, tmp_path), in_the_environment(CANARY, monkeypatch)):
        signer = auth(secret)
        signer(requests.Request("POST", "http://receiver/").prepare())
        sink = PrometheusSink.builder().set_prometheus_remote_write_url("http://receiver/").set_request_signer(signer)
        assert CANARY.encode() not in cloudpickle.dumps(sink.build().get_transformer())
