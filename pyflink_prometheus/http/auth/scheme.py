"""Schemes of the Authorization header that carry one secret."""

from __future__ import annotations

from pyflink_prometheus.config import header_problem, is_header_name
from pyflink_prometheus.errors import SecretError
from pyflink_prometheus.http.auth.header import AuthorizationHeader
from pyflink_prometheus.secret import Secret


class SchemeAuth(AuthorizationHeader):
    """
    Authentication with any scheme: ``Authorization: scheme credentials``.

    :param scheme: the scheme, such as ``Token`` or ``GenieKey``; for ``Basic`` use :class:`BasicAuth`.
    :param credentials: a :class:`Secret`, or the credentials themselves.
    :raises ValueError: if the scheme cannot be sent, or is Basic.
    """

    def __init__(self, scheme: str, credentials: Secret | str) -> None:
        if not is_header_name(scheme):  # a scheme is a token of RFC 9110; not shown: it may be the credentials
            raise ValueError("expected a scheme of letters, digits and hyphens, such as Token (RFC 9110, 11.1)")
        if scheme.lower() == "basic":
            raise ValueError("use BasicAuth for the scheme Basic: its credentials are a user name and a password")
        self._scheme = scheme
        self._credentials = Secret.of(credentials)

    def header(self) -> str:
        """
        Return the value of the Authorization header.

        :raises SecretError: if the credentials cannot be read or sent.
        """
        credentials = self._credentials.read()
        if (problem := header_problem(credentials)) is not None:
            raise SecretError(f"check {self._credentials.source}: it {problem}")
        return f"{self._scheme} {credentials}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._credentials!r})"  # without the scheme, in case the two were swapped


class BearerAuth(SchemeAuth):
    """
    Bearer authentication with a token.

    :param token: a :class:`Secret`, or the token itself.
    """

    def __init__(self, token: Secret | str) -> None:
        super().__init__("Bearer", token)
