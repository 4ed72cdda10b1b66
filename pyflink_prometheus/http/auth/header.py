"""The base class of signers that set the Authorization header from secrets only."""

from __future__ import annotations

from abc import abstractmethod

import requests

from pyflink_prometheus.http.auth.signer import Signer


class AuthorizationHeader(Signer):
    """The base of signers that read secrets for each attempt and set the Authorization header."""

    @abstractmethod
    def header(self) -> str:
        """
        Return the value of the Authorization header.

        :raises SecretError: if a secret cannot be read or sent.
        """

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """
        Add the credentials to one attempt.

        :raises SecretError: if a secret cannot be read or sent.
        """
        request.headers["Authorization"] = self.header()
        return request

    def renew(self, request: requests.PreparedRequest, status: int) -> bool:
        """Return whether the secrets have changed since they signed a request that was refused with this status."""
        return status == 401 and self.header() != request.headers.get("Authorization")
