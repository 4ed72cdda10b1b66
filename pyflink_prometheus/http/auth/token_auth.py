"""The base class of signers that fetch a token and send it."""

from __future__ import annotations

from abc import abstractmethod

import requests

from pyflink_prometheus.clock import Clock
from pyflink_prometheus.http.auth.signer import Signer
from pyflink_prometheus.http.auth.token_store import Token, TokenStore


class TokenAuth(Signer):
    """
    The base of signers that fetch a token on the worker, keep it until shortly before it expires, and send it.

    :param clock: the clock for the expiry of tokens.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self._store = TokenStore(clock)

    @abstractmethod
    def fetch(self) -> Token:
        """
        Fetch a token; called by one thread at a time.

        :raises SecretError: if that fails for good.
        :raises CredentialsUnavailableError: if it may succeed later.
        """

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """
        Add the token to one attempt.

        :raises SecretError: if no token can be obtained.
        :raises CredentialsUnavailableError: if none is available at the moment.
        """
        request.headers["Authorization"] = self._store.get(self.fetch).header
        return request

    def renew(self, request: requests.PreparedRequest, status: int) -> bool:
        """Drop the token of a request that was refused with 401, and return whether the status is 401."""
        if status == 401:
            self._store.drop(request.headers.get("Authorization"))
        return status == 401
