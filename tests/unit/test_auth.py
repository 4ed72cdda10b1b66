"""Credentials are read when they are used, and never shown."""

from __future__ import annotations

import pickle

import pytest
import requests

from pyflink_prometheus import (
    BasicAuth,
    BearerAuth,
    CredentialsUnavailableError,
    SchemeAuth,
    Secret,
    SecretError,
)
from pyflink_prometheus.http.redaction import redacted


def authorization(auth):
    return requests.Request("POST", "http://receiver/write", auth=auth).prepare().headers["Authorization"]


def test_basic_and_bearer_sign_a_request():
    assert authorization(BasicAuth("user", "hunter2")) == requests.auth._basic_auth_str("user", "hunter2")
    assert authorization(BearerAuth("hunter2")) == "Bearer hunter2"


def test_a_password_may_be_any_text():
    assert authorization(BasicAuth("jürgen", "pä:ss€")) == "Basic asO8cmdlbjpww6Q6c3Pigqw="


def test_a_user_name_may_be_in_a_file_and_a_password_may_be_empty(tmp_path):
    (tmp_path / "user").write_text("user\n")
    auth = BasicAuth(Secret.file(tmp_path / "user"), None)
    assert authorization(auth) == requests.auth._basic_auth_str("user", "")
    (tmp_path / "user").write_text("us:er")
    with pytest.raises(SecretError, match=r"^check the secret in file '.*/user': the user name contains a colon$"):
        authorization(auth)


def test_any_other_scheme_carries_its_credentials(tmp_path):
    assert authorization(SchemeAuth("Token", "hunter2")) == "Token hunter2"
    (tmp_path / "key").write_text("hunter2\n")
    assert authorization(SchemeAuth("GenieKey", Secret.file(tmp_path / "key"))) == "GenieKey hunter2"


@pytest.mark.parametrize("scheme", ["", "a b", "Token:", "Basic", "BASIC", None])
def test_a_scheme_that_cannot_be_sent_is_refused_when_it_is_given(scheme):
    with pytest.raises(ValueError, match="expected a scheme of letters|use BasicAuth"):
        SchemeAuth(scheme, "hunter2")


def test_secrets_that_have_changed_since_they_were_refused_are_sent_again(tmp_path):
    (tmp_path / "token").write_text("one")
    for auth in (BearerAuth(Secret.file(tmp_path / "token")), BasicAuth("user", Secret.file(tmp_path / "token"))):
        request = requests.Request("POST", "http://receiver/write", auth=auth).prepare()
        assert not auth.renew(request, 401)
        (tmp_path / "token").write_text(f"another for {auth}")
        assert auth.renew(request, 401)
        assert not auth.renew(request, 403)


def test_an_error_about_credentials_survives_pickling():
    error = pickle.loads(pickle.dumps(CredentialsUnavailableError("not now", retry_after_s=7.0)))
    assert (str(error), error.retry_after_s) == ("not now", 7.0)


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


def test_white_space_around_a_secret_is_left_out_whatever_it_is_read_from(tmp_path, monkeypatch):
    (tmp_path / "secret").write_text(" hunter2\r\n")
    monkeypatch.setenv("SECRET_FOR_THIS_TEST", "\thunter2\n")
    for secret in (
        Secret.value("hunter2 \n"),
        Secret.environment("SECRET_FOR_THIS_TEST"),
        Secret.file(tmp_path / "secret"),
    ):
        assert secret.read() == "hunter2"
        assert authorization(BearerAuth(secret)) == "Bearer hunter2"
        assert authorization(BasicAuth("user", secret)) == "Basic dXNlcjpodW50ZXIy"


@pytest.mark.parametrize(
    ("secret", "problem"),
    [
        (Secret.environment("NO_SUCH_VARIABLE"), "environment 'NO_SUCH_VARIABLE': it is not set on this worker"),
        (Secret.file("/no/such"), "file '/no/such': it cannot be read on this worker: No such file or directory"),
        (Secret.file("/"), "file '/': it cannot be read on this worker: Is a directory"),
        (Secret.file("/no/\0"), r"file '/no/\\x00': it cannot be read on this worker: ValueError"),
    ],
)
def test_a_missing_secret_says_where_it_was_looked_for(secret, problem):
    with pytest.raises(SecretError, match=f"^check the secret in {problem}$") as error:
        authorization(BearerAuth(secret))
    assert error.value.__context__ is None


def test_a_secret_that_is_not_text_says_so_and_shows_nothing(tmp_path):
    (tmp_path / "secret").write_bytes(b"hunter2\xff")
    with pytest.raises(SecretError, match=r"secret': it is not UTF-8 text$") as error:
        authorization(BasicAuth("user", Secret.file(tmp_path / "secret")))
    assert error.value.__context__ is None


@pytest.mark.parametrize("name", ["user:of", "us\ner", "us\0er", "\ud800"])
def test_a_user_name_that_cannot_be_sent_is_refused_when_it_is_given(name):
    with pytest.raises(ValueError, match="which basic authentication does not allow") as error:
        BasicAuth(name, "password")
    assert repr(name)[1:-1] not in str(error.value)
    assert error.value.__context__ is None


def test_no_repr_shows_a_secret():
    signers = [
        BasicAuth("user", "hunter2"),
        BasicAuth("hunter2", "password"),
        BearerAuth("hunter2"),
        SchemeAuth("Token", "hunter2"),
        SchemeAuth("hunter2", "Token"),
    ]
    assert "hunter2" not in repr([Secret.value("hunter2"), *signers])
    assert repr(BearerAuth(Secret.file("/run/token"))) == "BearerAuth(Secret(file '/run/token'))"


@pytest.mark.parametrize("nothing", ["", " \n", None, 7])
def test_an_empty_secret_is_refused_when_it_is_given(nothing):
    with pytest.raises(TypeError, match="expected a Secret or a non-empty string"):
        BearerAuth(nothing)
    with pytest.raises(TypeError, match="expected a Secret or a non-empty string"):
        Secret.value(nothing)


@pytest.mark.parametrize("written", ["to&ken/x<é", "to&amp;ken/x&lt;é", "to&ken/x<\\u00e9", "to%26ken/x%3C%C3%A9"])
def test_a_secret_is_taken_out_of_a_text_however_it_is_written_there(written):
    assert redacted(f"POST /?key={written} is unknown", ["to&ken/x<é"]) == "POST /?key=*** is unknown"


def test_what_is_too_short_to_be_told_from_a_word_stays_in_a_text():
    assert redacted("1 of 10 samples", ["1", "of", ""]) == "1 of 10 samples"
