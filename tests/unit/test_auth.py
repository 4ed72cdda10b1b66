"""Credentials are read when they are used, and never shown."""

from __future__ import annotations

import pickle

import pytest
import requests

from pyflink_prometheus import (
    BasicAuth,
    BearerAuth,
    PrometheusSinkError,
    Secret,
)


def authorization(auth):
    return requests.Request("POST", "http://receiver/write", auth=auth).prepare().headers["Authorization"]


def test_basic_and_bearer_sign_a_request():
    assert authorization(BasicAuth("user", "hunter2")) == requests.auth._basic_auth_str("user", "hunter2")
    assert authorization(BearerAuth("hunter2")) == "Bearer hunter2"


def test_a_password_may_be_any_text():
    assert authorization(BasicAuth("jürgen", "pä:ss€")) == "Basic asO8cmdlbjpww6Q6c3Pigqw="


def test_a_file_is_read_for_each_attempt(tmp_path):
    token = tmp_path / "token"
    auth = pickle.loads(pickle.dumps(BearerAuth(Secret.file(token))))
    for value in ("one", "two"):
        token.write_text(value + "\n")
        assert authorization(auth) == f"Bearer {value}"


def test_an_environment_variable_is_read_where_it_is_used(monkeypatch):
    auth = BearerAuth(Secret.environment("TOKEN_FOR_THIS_TEST"))
    monkeypatch.setenv("TOKEN_FOR_THIS_TEST", "hunter2")
    assert authorization(auth) == "Bearer hunter2"


@pytest.mark.parametrize("secret", [Secret.environment("NO_SUCH_VARIABLE"), Secret.file("/no/such/file")])
def test_a_missing_secret_says_where_it_was_looked_for(secret):
    with pytest.raises(PrometheusSinkError, match=r"cannot be read on this worker: .*Error"):
        authorization(BearerAuth(secret))


def test_no_repr_shows_a_secret():
    assert "hunter2" not in repr([Secret.value("hunter2"), BasicAuth("user", "hunter2"), BearerAuth("hunter2")])
    assert repr(BearerAuth(Secret.file("/run/token"))) == "BearerAuth(Secret(file '/run/token'))"


@pytest.mark.parametrize("nothing", ["", None, 7])
def test_an_empty_secret_is_refused_when_it_is_given(nothing):
    with pytest.raises(TypeError, match="expected a Secret or a non-empty string"):
        BearerAuth(nothing)
