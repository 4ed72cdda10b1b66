"""Credentials that are read where they are used, and shown nowhere."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from urllib.parse import unquote_to_bytes, urlsplit, urlunsplit

import requests

from pyflink_prometheus.config import header_problem
from pyflink_prometheus.errors import SecretError


class Secret:
    """
    The name of a secret, which is read on the worker each time it is used, so that a rotated one is picked up.

    White space around it is left out, whatever it is read from. Prefer :meth:`file`: a value given by :meth:`value`
    travels inside the job, and Beam logs the environment of a worker when a job ends.
    """

    def __init__(self, kind: str, content: str) -> None:
        self._kind = kind
        self._content = content

    @staticmethod
    def value(value: str) -> Secret:
        """Give the secret itself."""
        if not isinstance(value, str) or not value.strip():
            raise TypeError(f"expected a Secret or a non-empty string as the secret, got {_kind_of(value)}")
        return Secret("value", value)

    @staticmethod
    def environment(name: str) -> Secret:
        """Name an environment variable of the worker (the TaskManager's, which its Python workers inherit)."""
        return Secret("environment", name)

    @staticmethod
    def file(path: str) -> Secret:
        """Name a file on the worker."""
        return Secret("file", os.fspath(path))

    @property
    def source(self) -> str:
        """Where it comes from, for messages."""
        if self._kind == "value":
            return "the secret that was given as a value"
        return f"the secret in {self._kind} {self._content!r}"

    def read(self) -> str:
        """
        Return the secret.

        :raises SecretError: if it is not there, is empty or is not text, saying where it was looked for.
        """
        secret, problem = self._look()
        if not problem:
            secret = secret.strip()
            problem = "it is empty" if not secret else "" if _is_text(secret) else "it is not UTF-8 text"
        if problem:
            # Not where something is being handled: that would be the new error's context, and may quote the secret.
            raise SecretError(f"check {self.source}: {problem}")
        return secret

    def _look(self) -> tuple[str, str]:
        """Return what is there, and why nothing is."""
        try:
            if self._kind == "environment":
                return os.environ[self._content], ""
            if self._kind == "file":
                return Path(self._content).read_text(encoding="utf-8"), ""
        except UnicodeDecodeError:
            return "", "it is not UTF-8 text"
        except (KeyError, OSError, ValueError) as error:
            return "", f"it cannot be read on this worker: {type(error).__name__}"
        return self._content, ""

    def __repr__(self) -> str:
        return f"Secret({self._kind}{'' if self._kind == 'value' else ' ' + repr(self._content)})"


class BasicAuth(requests.auth.AuthBase):
    """
    Authentication with user name and password.

    :param username: the user's name.
    :param password: a :class:`Secret`, or the password itself.
    :raises ValueError: if the name cannot be sent.
    """

    def __init__(self, username: str, password: Secret | str) -> None:
        if not isinstance(username, str):
            raise TypeError(f"expected a string as the user name, got a {type(username).__name__}")
        problem = "has a colon inside" if ":" in username else _text_problem(username)
        if problem is not None:
            raise ValueError(f"the user name {problem}, which basic authentication cannot carry")
        self._username = username
        self._password = _as_secret(password)

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """
        Sign one attempt.

        :raises SecretError: if the password cannot be read or sent.
        """
        password = self._password.read()
        if (problem := _text_problem(password)) is not None:
            raise SecretError(f"check {self._password.source}: it {problem}")
        request.headers["Authorization"] = basic_credentials(self._username.encode(), password.encode())
        return request

    def __repr__(self) -> str:
        return f"BasicAuth({self._password!r})"  # without the name: some services have a key in its place


class BearerAuth(requests.auth.AuthBase):
    """
    Authentication with a token.

    :param token: a :class:`Secret`, or the token itself.
    """

    def __init__(self, token: Secret | str) -> None:
        self._token = _as_secret(token)

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """
        Sign one attempt.

        :raises SecretError: if the token cannot be read or sent.
        """
        token = self._token.read()
        if (problem := header_problem(token)) is not None:
            raise SecretError(f"check {self._token.source}: it {problem}")
        request.headers["Authorization"] = f"Bearer {token}"
        return request

    def __repr__(self) -> str:
        return f"BearerAuth({self._token!r})"


def basic_credentials(username: bytes, password: bytes) -> str:
    """Return the value of an Authorization header (RFC 7617)."""
    return "Basic " + base64.b64encode(username + b":" + password).decode("ascii")


def split_userinfo(url: str) -> tuple[str, bytes | None, bytes]:
    """
    Return a URL without user and password, the user (``None`` where it names none), and the password.

    Both may be percent-encoded there; what is beyond ASCII becomes UTF-8, as in browsers.
    """
    parts = urlsplit(url)
    userinfo, at, host = parts.netloc.rpartition("@")
    username, _, password = userinfo.partition(":")
    without = urlunsplit(parts._replace(netloc=host))
    return without, unquote_to_bytes(username) if at else None, unquote_to_bytes(password)


def _as_secret(secret: Secret | str) -> Secret:
    return secret if isinstance(secret, Secret) else Secret.value(secret)


def _text_problem(text: str) -> str | None:
    """Say why basic authentication cannot carry a text (RFC 7617, 2), as the end of a sentence."""
    if "\n" in text or "\r" in text:
        return "has a line break inside"
    if any(character < " " or character == "\x7f" for character in text):
        return "has a control character inside"
    return None if _is_text(text) else "has a character that is not Unicode (a surrogate)"


def _is_text(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _kind_of(value: object) -> str:
    return "an empty one" if isinstance(value, str) else f"a {type(value).__name__}"
