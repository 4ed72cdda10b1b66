"""Credentials that are read where they are used and never shown."""

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
    The source of a secret, which is read on the worker at each use, so that a rotated secret is picked up.

    White space around the secret is stripped. Prefer :meth:`file`: a value given by :meth:`value` travels inside the
    job, and Beam logs the environment of a worker when a job ends.
    """

    def __init__(self, kind: str, content: str) -> None:
        self._kind = kind
        self._content = content

    @staticmethod
    def value(value: str) -> Secret:
        """Use this value itself as the secret."""
        if not isinstance(value, str) or not value.strip():
            raise TypeError(f"expected a Secret or a non-empty string as the secret, got {_kind_of(value)}")
        return Secret("value", value)

    @staticmethod
    def environment(name: str) -> Secret:
        """Use an environment variable of the worker (the TaskManager's, which its Python workers inherit)."""
        return Secret("environment", name)

    @staticmethod
    def file(path: str) -> Secret:
        """Use a file on the worker."""
        return Secret("file", os.fspath(path))

    @property
    def source(self) -> str:
        """The source of the secret, for messages."""
        if self._kind == "value":
            return "the secret given as a value"
        return f"the secret in {self._kind} {self._content!r}"

    def read(self) -> str:
        """
        Return the secret.

        :raises SecretError: if the secret cannot be read, is empty or is not text; the message names the source.
        """
        secret, problem = self._read_source()
        if not problem:
            secret = secret.strip()
            problem = "it is empty" if not secret else "" if _is_text(secret) else "it is not UTF-8 text"
        if problem:
            # Not inside an except block: the handled error would become this one's context, and may quote the secret.
            raise SecretError(f"check {self.source}: {problem}")
        return secret

    def _read_source(self) -> tuple[str, str]:
        """Return the content of the source, or an empty string and the reason why it cannot be read."""
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
    Basic authentication with user name and password.

    :param username: the user's name.
    :param password: a :class:`Secret`, or the password itself.
    :raises ValueError: if the user name cannot be sent.
    """

    def __init__(self, username: str, password: Secret | str) -> None:
        if not isinstance(username, str):
            raise TypeError(f"expected a string as the user name, got a {type(username).__name__}")
        problem = "contains a colon" if ":" in username else _text_problem(username)
        if problem is not None:
            raise ValueError(f"the user name {problem}, which basic authentication cannot carry")
        self._username = username
        self._password = _as_secret(password)

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """
        Add the credentials to one attempt.

        :raises SecretError: if the password cannot be read or sent.
        """
        password = self._password.read()
        if (problem := _text_problem(password)) is not None:
            raise SecretError(f"check {self._password.source}: it {problem}")
        request.headers["Authorization"] = basic_credentials(self._username.encode(), password.encode())
        return request

    def __repr__(self) -> str:
        return f"BasicAuth({self._password!r})"  # without the user name: for some services it is a key


class BearerAuth(requests.auth.AuthBase):
    """
    Bearer authentication with a token.

    :param token: a :class:`Secret`, or the token itself.
    """

    def __init__(self, token: Secret | str) -> None:
        self._token = _as_secret(token)

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """
        Add the credentials to one attempt.

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
    Return a URL without user and password, the user (``None`` if the URL has none), and the password.

    Both may be percent-encoded in the URL; non-ASCII characters become UTF-8, as in browsers.
    """
    parts = urlsplit(url)
    userinfo, at, host = parts.netloc.rpartition("@")
    username, _, password = userinfo.partition(":")
    without = urlunsplit(parts._replace(netloc=host))
    return without, unquote_to_bytes(username) if at else None, unquote_to_bytes(password)


def _as_secret(secret: Secret | str) -> Secret:
    return secret if isinstance(secret, Secret) else Secret.value(secret)


def _text_problem(text: str) -> str | None:
    """Return why basic authentication cannot carry a text (RFC 7617, 2), as the end of a sentence."""
    if "\n" in text or "\r" in text:
        return "contains a line break"
    if any(character < " " or character == "\x7f" for character in text):
        return "contains a control character"
    return None if _is_text(text) else "contains a character that is not Unicode (a surrogate)"


def _is_text(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _kind_of(value: object) -> str:
    return "an empty string" if isinstance(value, str) else f"a {type(value).__name__}"
