"""What all signers share that send a token which they fetch."""

from __future__ import annotations

from abc import abstractmethod

import requests

from pyflink_prometheus.clock import Clock
from pyflink_prometheus.http.auth.signer import Signer
from pyflink_prometheus.http.auth.token_store import Token, TokenStore


class TokenAuth(Signer):
    """
    The base of signers that fetch a token on the worker, keep it until shortly before its end, and send it.

    :param clock: the time by which tokens end.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self._store = TokenStore(clock)

    @abstractmethod
    def fetch(self) -> Token:
        """
        Fetch a token; one thread at a time.

        :raises SecretError: if that fails for good.
        :raises CredentialsUnavailableError: if it may succeed later.
        """

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """
        Add the token to one attempt.

        :raises SecretError: if no token can be had.
        :raises CredentialsUnavailableError: if none can be had at the moment.
        """
        request.headers["Authorization"] = self._store.get(self.fetch).header
        return request

    def renew(self, request: requests.PreparedRequest, status: int) -> bool:
        """Drop the token of a request that was refused with this status, if that is 401; return whether it was."""
        if status == 401:
            self._store.drop(request.headers.get("Authorization"))
        return status == 401
