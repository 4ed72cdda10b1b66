"""Basic authentication."""

from __future__ import annotations

from pyflink_prometheus.errors import SecretError
from pyflink_prometheus.http.auth.header import AuthorizationHeader
from pyflink_prometheus.http.auth.userinfo import basic_credentials
from pyflink_prometheus.secret import Secret, is_text


class BasicAuth(AuthorizationHeader):
    """
    Basic authentication with user name and password.

    :param username: the user's name, or a :class:`Secret` that holds it.
    :param password: a :class:`Secret`, or the password itself; ``None`` for an empty one.
    :raises ValueError: if the user name cannot be sent.
    """

    def __init__(self, username: Secret | str, password: Secret | str | None) -> None:
        if not isinstance(username, (str, Secret)):
            raise TypeError(f"expected a string or a Secret as the user name, got {type(username).__name__}")
        problem = _username_problem(username) if isinstance(username, str) else None
        if problem is not None:
            raise ValueError(f"the user name {problem}, which basic authentication does not allow")
        self._username = username
        self._password = None if password is None else Secret.of(password)

    def header(self) -> str:
        """
        Return the value of the Authorization header.

        :raises SecretError: if user name or password cannot be read or sent.
        """
        username = self._username
        if isinstance(username, Secret):
            username = username.read()
            if (problem := _username_problem(username)) is not None and isinstance(self._username, Secret):
                raise SecretError(f"check {self._username.source}: the user name {problem}")
        password = "" if self._password is None else self._password.read()
        if (problem := _text_problem(password)) is not None and self._password is not None:
            raise SecretError(f"check {self._password.source}: it {problem}")
        return basic_credentials(username.encode(), password.encode())

    def __repr__(self) -> str:
        username = f"{self._username!r}, " if isinstance(self._username, Secret) else ""
        return f"BasicAuth({username}{self._password!r})"  # without a user name: for some services it is a key


def _username_problem(username: str) -> str | None:
    return "contains a colon" if ":" in username else _text_problem(username)


def _text_problem(text: str) -> str | None:
    """Return why basic authentication cannot carry a text (RFC 7617, 2), as the end of a sentence."""
    if "\n" in text or "\r" in text:
        return "contains a line break"
    if any(character < " " or character == "\x7f" for character in text):
        return "contains a control character"
    return None if is_text(text) else "contains a character that is not Unicode (a surrogate)"
