"""Credentials that are read where they are used, and shown nowhere."""

from __future__ import annotations

import os
from pathlib import Path

import requests

from pyflink_prometheus.errors import PrometheusSinkError


class Secret:
    """
    Name a secret, and read it on the worker each time it is used, so that a rotated one is picked up.

    Prefer :meth:`file`: a value given by :meth:`value` travels inside the job, and Beam logs the environment of a
    worker when a job ends.
    """

    def __init__(self, kind: str, content: str) -> None:
        self._kind = kind
        self._content = content

    @staticmethod
    def value(value: str) -> Secret:
        """Give the secret itself."""
        return Secret("value", value)

    @staticmethod
    def environment(name: str) -> Secret:
        """Name an environment variable of the worker (the TaskManager's, which its Python workers inherit)."""
        return Secret("environment", name)

    @staticmethod
    def file(path: str) -> Secret:
        """Name a file on the worker; white space at its end is left out."""
        return Secret("file", os.fspath(path))

    def read(self) -> str:
        """
        Return the secret.

        :raises PrometheusSinkError: if it is not there, saying where it was looked for.
        """
        if self._kind == "value":
            return self._content
        try:
            if self._kind == "environment":
                return os.environ[self._content]
            return Path(self._content).read_text(encoding="utf-8").rstrip()
        except (KeyError, OSError, UnicodeDecodeError) as error:
            raise PrometheusSinkError(
                f"the secret in {self._kind} {self._content!r} cannot be read on this worker: {type(error).__name__}"
            ) from None

    def __repr__(self) -> str:
        return f"Secret({self._kind}{'' if self._kind == 'value' else ' ' + repr(self._content)})"


class BasicAuth(requests.auth.AuthBase):
    """
    Authenticate with user name and password.

    :param username: the user's name.
    :param password: a :class:`Secret`, or the password itself.
    """

    def __init__(self, username: str, password: Secret | str) -> None:
        self._username = username
        self._password = _as_secret(password)

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Sign one attempt."""
        requests.auth.HTTPBasicAuth(self._username.encode(), self._password.read().encode())(request)
        return request

    def __repr__(self) -> str:
        return f"BasicAuth({self._username!r}, {self._password!r})"


class BearerAuth(requests.auth.AuthBase):
    """
    Authenticate with a token.

    :param token: a :class:`Secret`, or the token itself.
    """

    def __init__(self, token: Secret | str) -> None:
        self._token = _as_secret(token)

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Sign one attempt."""
        request.headers["Authorization"] = f"Bearer {self._token.read()}"
        return request

    def __repr__(self) -> str:
        return f"BearerAuth({self._token!r})"


def _as_secret(secret: Secret | str) -> Secret:
    if isinstance(secret, Secret):
        return secret
    if isinstance(secret, str) and secret:
        return Secret.value(secret)
    raise TypeError(f"expected a Secret or a non-empty string as the secret, got a {type(secret).__name__}")
