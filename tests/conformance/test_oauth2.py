"""
Tokens of OAuth 2.0, from a token endpoint that fails, delays, rotates and expires them.

RFC 6749 (4.4, 5) for client credentials, RFC 7523 (2.1) for the JWT bearer grant, and Prometheus's use of both.
"""

from __future__ import annotations

import base64
import contextlib
import itertools
import pickle
import sys
import threading

import jwt
import pytest
import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from web_service import WebService
from wire_receiver import V1, Reply, T

from pyflink_prometheus import (
    CredentialsUnavailableError,
    JwtBearerAuth,
    OAuth2Auth,
    RemoteWriteFatalError,
    RetriesExhaustedError,
    RetryConfiguration,
    Secret,
    SecretError,
)

ONE = ("m", {"a": "1"}, ((1.0, T),))
CLIENT, SECRET = "a client/1", "p ä&ss"
BASIC = "Basic " + base64.b64encode(b"a+client%2F1:p+%C3%A4%26ss").decode()


def issue(life_s=3600, prefix="t"):
    """Return a token endpoint's response: another token each time."""
    numbers = itertools.count(1)
    return lambda asked: {"access_token": f"{prefix}{next(numbers)}", "token_type": "bearer", "expires_in": life_s}


@pytest.fixture
def endpoint():
    with WebService(issue()) as service:
        yield service


@pytest.fixture
def auth(endpoint, clock):
    def make(**settings):
        return OAuth2Auth(endpoint.url("/token"), CLIENT, SECRET, clock=clock, **settings)

    return make


def signed(signer):
    request = requests.Request("POST", "http://receiver/write").prepare()
    return signer(request).headers["Authorization"]


def test_a_token_is_fetched_for_the_client_and_sent(sent, auth, endpoint):
    signer = auth(
        scopes=["metrics.write", "more"], endpoint_params={"audience": "https://receiver", "key": Secret.value("k")}
    )
    assert sent(V1, ONE, request_signer=signer).headers["authorization"] == "Bearer t1"
    (asked,) = endpoint.requests
    assert asked.form == {
        "grant_type": "client_credentials",
        "scope": "metrics.write more",
        "audience": "https://receiver",
        "key": "k",
    }
    assert asked.headers["authorization"] == BASIC
    assert asked.headers["content-type"] == "application/x-www-form-urlencoded"
    assert (asked.method, asked.path) == ("POST", "/token")


def test_a_token_is_kept_until_shortly_before_its_end(auth, endpoint, clock):
    signer = auth()
    assert [signed(signer) for _ in range(3)] == ["Bearer t1"] * 3
    clock.advance(3600 - 61)
    assert signed(signer) == "Bearer t1"
    clock.advance(2)
    assert [signed(signer) for _ in range(2)] == ["Bearer t2"] * 2
    assert len(endpoint.requests) == 2


def test_a_short_token_is_used_for_most_of_its_life(auth, endpoint, clock):
    endpoint.decide = issue(life_s=10)
    signer = auth()
    signed(signer)
    clock.advance(7)
    assert signed(signer) == "Bearer t1"
    clock.advance(1.5)
    assert signed(signer) == "Bearer t2"


@pytest.mark.parametrize(
    ("life", "kept"), [("3600", True), (None, True), (0, True), ("soon", True), (1e300, True), ("5", False)]
)
def test_the_life_may_be_written_as_text_and_without_one_a_token_is_kept(auth, endpoint, clock, life, kept):
    endpoint.script += [{"access_token": "first", "expires_in": life}]
    signer = auth()
    signed(signer)
    clock.advance(60)
    assert (signed(signer) == "Bearer first") is kept


def test_one_shard_fetches_a_token_for_all(auth, endpoint):
    signer = auth()
    gate, issued = threading.Event(), issue()

    def slowly(asked):
        gate.wait(60)
        return issued(asked)

    endpoint.decide = slowly
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(signed(signer))) for _ in range(8)]
    for thread in threads:
        thread.start()
    gate.set()
    for thread in threads:
        thread.join(60)
    assert found == ["Bearer t1"] * 8
    assert len(endpoint.requests) == 1


def test_a_token_that_the_receiver_no_longer_accepts_is_replaced_once(write, receiver, auth, endpoint):
    receiver.decide = lambda seen: 204 if seen.headers["authorization"] == "Bearer t2" else Reply(401, "expired")
    writer = write(V1, ONE, request_signer=auth())
    assert [seen.headers["authorization"] for seen in receiver.requests] == ["Bearer t1", "Bearer t2"]
    assert (writer.ledger.samples_accepted, writer.ledger.requests_retried) == (1, 0)


def test_a_receiver_that_accepts_no_token_fails_the_job(start, receiver, auth):
    receiver.decide = lambda seen: Reply(401, "never")
    writer = start(V1, request_signer=auth())
    writer.add(ONE)
    with pytest.raises(RemoteWriteFatalError, match="HTTP 401: never"):
        writer.flush()
    assert len(receiver.requests) == 2


@pytest.mark.parametrize("status", [403, 404, 400])
def test_a_token_is_kept_whatever_else_is_refused(start, receiver, auth, endpoint, status):
    receiver.decide = lambda seen: status if seen.samples else 204
    writer = start(V1, request_signer=auth())
    writer.add(ONE)
    with contextlib.suppress(RemoteWriteFatalError):
        writer.flush()
    assert len(endpoint.requests) == 1


def test_a_token_that_another_shard_has_replaced_is_not_dropped(auth, endpoint):
    signer = auth()
    first, second = (requests.Request("POST", "http://receiver/write").prepare() for _ in range(2))
    signer(first), signer(second)
    assert signer.renew(first, 401)
    assert signed(signer) == "Bearer t2"
    assert signer.renew(second, 401)
    assert signed(signer) == "Bearer t2"


@pytest.mark.parametrize(
    "response",
    [(500, "no"), (503, "no"), (429, ""), (408, ""), (400, {"error": "temporarily_unavailable"}), None],
    ids=str,
)
def test_an_endpoint_that_fails_is_asked_again(write, receiver, auth, endpoint, response):
    endpoint.script += [response] * 3
    writer = write(V1, ONE, request_signer=auth())
    assert (writer.ledger.samples_accepted, writer.ledger.requests_retried) == (1, 3)
    assert len(receiver.requests) == 1
    assert len(endpoint.requests) == 4


def test_an_endpoint_that_does_not_respond_is_given_up_and_asked_again(write, auth, endpoint, monkeypatch):
    monkeypatch.setattr("pyflink_prometheus.http.auth.token_endpoint.TIMEOUT_S", 0.1)
    done, issued = threading.Event(), issue()

    def decide(asked):
        if len(endpoint.requests) == 1:
            done.wait(60)
        return issued(asked)

    endpoint.decide = decide
    writer = write(V1, ONE, request_signer=auth())
    done.set()
    assert writer.ledger.samples_accepted == 1
    assert writer.ledger.requests_retried >= 1


def test_an_endpoint_may_say_how_long_to_wait(write, receiver, auth, endpoint, clock):
    endpoint.script += [(429, "slow down", {"Retry-After": "7"})]
    write(V1, ONE, request_signer=auth())
    assert 7 in clock.sleeps


def test_an_endpoint_that_is_not_there_is_named_when_the_retries_end(start, clock):
    with WebService() as service:
        url = service.url("/token?key=c4nary")
    writer = start(V1, request_signer=OAuth2Auth(url, "client", "secret", clock=clock))
    writer.add(ONE)
    with pytest.raises(RetriesExhaustedError, match="could not be signed in 11 attempts") as error:
        writer.flush()
    assert f"no token from {url.partition('?')[0]}: the connection failed" in str(error.value)
    assert "check the URL" not in str(error.value)
    assert "c4nary" not in str(error.value)


def test_a_token_is_used_until_it_ends_if_no_other_can_be_had(auth, endpoint, clock, caplog):
    signer = auth()
    signed(signer)
    endpoint.decide = lambda asked: (503, "down")
    clock.advance(3600 - 30)
    assert [signed(signer) for _ in range(5)] == ["Bearer t1"] * 5
    assert len(endpoint.requests) == 2  # not asked again at each request
    assert "the current token stays in use until it expires, because it cannot be replaced: " in caplog.text
    clock.advance(6)
    signed(signer)
    assert len(endpoint.requests) == 3
    clock.advance(30)
    with pytest.raises(CredentialsUnavailableError, match="HTTP 503: down"):
        signed(signer)


@pytest.mark.parametrize(
    ("status", "body", "advice"),
    [
        (401, {"error": "invalid_client", "error_description": "no such client"}, "check client_id and client_secret"),
        (400, {"error": "invalid_scope"}, "check scopes"),
        (400, {"error": "unauthorized_client"}, "allow this client to use this grant"),
        (400, {"error": "unsupported_grant_type"}, "check token_url and the grant"),
        (400, {"error": "invalid_request"}, "check token_url, the client and the parameters"),
        (403, "forbidden", "check client_id and client_secret"),
        (404, "not here", "check token_url"),
        (200, "<html>welcome</html>", "check token_url: .* responded without an access_token"),
        (200, {"token": "t"}, "check token_url: .* responded without an access_token"),
        (200, [1], "check token_url: .* responded without an access_token"),
        (200, {"access_token": "t\nu"}, "the token from .* contains a line break"),
    ],
)
def test_what_a_retry_cannot_help_fails_the_job_with_advice(start, receiver, auth, endpoint, status, body, advice):
    endpoint.decide = lambda asked: (status, body)
    writer = start(V1, request_signer=auth())
    writer.add(ONE)
    with pytest.raises(RemoteWriteFatalError, match=f"cannot work: .*{advice}") as error:
        writer.flush()
    assert endpoint.url("/token") in str(error.value)
    assert "\n" not in str(error.value)
    assert receiver.requests == []


def test_a_redirect_is_not_followed_and_named(auth, endpoint):
    endpoint.decide = lambda asked: (302, "", {"Location": "https://login.example/token?x=1"})
    with pytest.raises(
        SecretError, match="^set token_url to the URL that it redirects to: https://login.example/token: "
    ):
        signed(auth())
    assert {asked.path for asked in endpoint.requests} == {"/token"}


def in_body(issued):
    return lambda asked: issued(asked) if "client_secret" in asked.form else (400, {"error": "invalid_request"})


def test_a_client_authenticates_in_the_body_where_the_server_wants_that(auth, endpoint, clock):
    endpoint.decide = in_body(issue())
    signer = auth()
    signed(signer)
    clock.advance(3600)
    signed(signer)
    ways = ["authorization" in asked.headers for asked in endpoint.requests]
    assert ways == [True, False, False]
    assert endpoint.requests[1].form == {
        "grant_type": "client_credentials",
        "client_id": CLIENT,
        "client_secret": SECRET,
    }


def test_a_scope_that_is_refused_is_not_asked_for_in_the_other_way(auth, endpoint):
    endpoint.decide = lambda asked: (400, {"error": "invalid_scope"})
    with pytest.raises(SecretError, match="^check scopes"):
        signed(auth())
    assert len(endpoint.requests) == 1


def test_a_secret_that_is_rotated_is_read_for_the_next_token(endpoint, clock, tmp_path):
    (tmp_path / "secret").write_text("one\n")
    signer = OAuth2Auth(endpoint.url(), "c", Secret.file(tmp_path / "secret"), clock=clock)
    signed(signer)
    (tmp_path / "secret").write_text("two\n")
    clock.advance(3600)
    signed(signer)
    pairs = [base64.b64decode(asked.headers["authorization"].partition(" ")[2]) for asked in endpoint.requests]
    assert pairs == [b"c:one", b"c:two"]


def test_a_missing_secret_is_named_by_its_source(start, endpoint, tmp_path):
    writer = start(V1, request_signer=OAuth2Auth(endpoint.url(), "c", Secret.file(tmp_path / "secret")))
    writer.add(ONE)
    with pytest.raises(RemoteWriteFatalError, match=r"check the secret in file '.*/secret': it cannot be read"):
        writer.flush()
    assert endpoint.requests == []


def test_the_type_of_the_token_is_the_scheme(auth, endpoint):
    for kind, scheme in {"Bearer": "Bearer", "mac": "MAC", "DPoP": "DPoP", "": "Bearer", None: "Bearer"}.items():
        endpoint.script += [{"access_token": "t", "token_type": kind}]
        assert signed(auth()) == f"{scheme} t"


def test_a_signer_travels_without_its_token(auth, endpoint):
    signer = OAuth2Auth(endpoint.url("/token"), CLIENT, SECRET)
    endpoint.decide = issue(prefix="c4nary-")
    signed(signer)
    travelled = pickle.dumps(signer)
    assert b"c4nary" not in travelled
    assert signed(pickle.loads(travelled)) == "Bearer c4nary-2"


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"token_url": "login.example/token"}, ValueError, "token_url: expected a URL .* does not begin with http"),
        ({"token_url": "https://u:p#w@login.example"}, ValueError, "token_url: expected a URL"),
        ({"token_url": None}, ValueError, "token_url: expected a URL .*; got nothing"),
        ({"client_id": ""}, ValueError, "client_id: expected a non-empty line of text, got empty text"),
        ({"client_id": 7}, TypeError, "client_id"),
        ({"scopes": "write"}, TypeError, "scopes: expected a list of strings, got a string"),
        (
            {"scopes": ["a"], "endpoint_params": {"scope": "b"}},
            ValueError,
            "endpoint_params: scope is set by the grant",
        ),
        ({"endpoint_params": {"a": 1}}, TypeError, "endpoint_params: expected strings"),
        ({"client_secret": ""}, TypeError, "expected a Secret or a non-empty string"),
    ],
)
def test_a_setting_that_is_not_valid_is_refused_when_it_is_given(settings, error, message):
    with pytest.raises(error, match=message):
        OAuth2Auth(**{"token_url": "https://login.example/token", "client_id": "c", "client_secret": "s", **settings})


def test_the_grant_type_may_be_another_as_in_prometheus(auth, endpoint):
    signer = auth(endpoint_params={"grant_type": "password", "username": "u", "password": Secret.value("p")})
    signed(signer)
    assert endpoint.forms() == [{"grant_type": "password", "username": "u", "password": "p"}]


@pytest.fixture(scope="module")
def key():
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def pem(key, encryption=None):
    encryption = encryption or serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption).decode()


@pytest.mark.parametrize("algorithm", ["RS256", "RS384", "RS512"])
def test_an_assertion_is_signed_by_the_key(sent, endpoint, clock, key, algorithm):
    url = endpoint.url("/token")
    signer = JwtBearerAuth(
        url,
        "client",
        pem(key),
        client_certificate_key_id="k1",
        signature_algorithm=algorithm,
        claims={"tenant": "t", "deep": {"er": [1]}},
        scopes=["a", "b"],
        endpoint_params={"resource": "r"},
        clock=clock,
    )
    assert sent(V1, ONE, request_signer=signer).headers["authorization"] == "Bearer t1"
    (form,) = endpoint.forms()
    assertion = form.pop("assertion")
    grant = "urn:ietf:params:oauth:grant-type:jwt-bearer"
    assert form == {"grant_type": grant, "scope": "a b", "resource": "r"}
    assert jwt.get_unverified_header(assertion) == {"alg": algorithm, "typ": "JWT", "kid": "k1"}
    claims = jwt.decode(
        assertion,
        key.public_key(),
        algorithms=[algorithm],
        audience=url,
        options={"verify_exp": False, "verify_iat": False},
    )
    assert claims.pop("jti")
    now = int(clock.time())
    assert claims == {
        "iss": "client",
        "sub": "client",
        "aud": url,
        "scope": "a b",
        "iat": now,
        "exp": now + 600,
        "tenant": "t",
        "deep": {"er": [1]},
    }


def test_issuer_and_audience_may_be_others_and_claims_replace_those_there_are(endpoint, clock, key):
    signer = JwtBearerAuth(endpoint.url(), "client", pem(key), iss="i", audience="a", claims={"sub": "s"}, clock=clock)
    signed(signer)
    claims = jwt.decode(endpoint.forms()[0]["assertion"], options={"verify_signature": False})
    assert (claims["iss"], claims["aud"], claims["sub"]) == ("i", "a", "s")


@pytest.mark.parametrize("kind", ["no key", "encrypted", "another kind"])
def test_a_key_that_cannot_sign_is_named_by_its_source(start, endpoint, tmp_path, key, kind):
    text = {
        "no key": "c4nary",
        "encrypted": pem(key, serialization.BestAvailableEncryption(b"c4nary")),
        "another kind": pem(ec.generate_private_key(ec.SECP256R1())),
    }[kind]
    (tmp_path / "key").write_text(text)
    writer = start(V1, request_signer=JwtBearerAuth(endpoint.url(), "c", Secret.file(tmp_path / "key")))
    writer.add(ONE)
    with pytest.raises(
        RemoteWriteFatalError, match="check the secret in file '.*/key': it cannot sign with RS256"
    ) as error:
        writer.flush()
    assert "c4nary" not in str(error.value)
    assert endpoint.requests == []


def test_an_assertion_that_is_refused_says_what_to_check(start, endpoint, key):
    endpoint.decide = lambda asked: (
        400,
        {"error": "invalid_grant", "error_description": f"bad: {asked.form['assertion']}"},
    )
    writer = start(V1, request_signer=JwtBearerAuth(endpoint.url(), "c", pem(key)))
    writer.add(ONE)
    with pytest.raises(
        RemoteWriteFatalError, match=r"check the key, its ID, iss, audience .*invalid_grant: bad: \*\*\*"
    ):
        writer.flush()


def test_claims_that_cannot_be_written_are_refused():
    for claims in ({"a": object()}, [("a", 1)]):
        with pytest.raises(TypeError, match="claims: expected"):
            JwtBearerAuth("https://login.example", "c", "key", claims=claims)  # type: ignore[arg-type]


def test_a_missing_extra_is_named_with_the_command(monkeypatch, endpoint, key):
    for module, package in {"jwt": "pyjwt", "cryptography": "cryptography"}.items():
        with monkeypatch.context() as patched:
            patched.setitem(sys.modules, module, None)
            command = rf"run pip install 'pyflink-prometheus\[jwt\]' .* {package} cannot be imported"
            with pytest.raises(SecretError, match=command):
                signed(JwtBearerAuth(endpoint.url(), "c", pem(key)))


def test_an_algorithm_that_is_not_known_is_refused():
    with pytest.raises(ValueError, match="signature_algorithm: expected one of RS256, RS384, RS512"):
        JwtBearerAuth("https://login.example", "c", "key", signature_algorithm="none")


def test_retries_of_tokens_are_bounded_like_others(start, receiver, auth, endpoint):
    """An endpoint that goes away: the receiver has been reached before, so all retries are used."""
    signer = auth()
    writer = start(V1, request_signer=signer, retry=RetryConfiguration(max_retry_count=20))
    writer.add(ONE)
    writer.flush()
    receiver.decide = lambda seen: 401
    endpoint.decide = lambda asked: (500, "down")
    writer.add(("m", {"a": "1"}, ((1.0, T + 1),)))
    with pytest.raises(RetriesExhaustedError, match="failed 21 times .* the last failure was: .*HTTP 500: down"):
        writer.flush()
