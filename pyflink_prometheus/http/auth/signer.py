"""The base class of all signers of this package."""

from __future__ import annotations

from abc import abstractmethod

import requests


class Signer(requests.auth.AuthBase):
    """The base of signers that may obtain new credentials after a receiver has refused the current ones."""

    @abstractmethod
    def renew(self, request: requests.PreparedRequest, status: int) -> bool:
        """
        Return whether there are credentials other than those of a refused request, so that it is sent again.

        :param request: the request as it was signed.
        :param status: the status with which the receiver refused it: 401 or 403.
        :raises SecretError: if there are no longer any credentials.
        :raises CredentialsUnavailableError: if there are none at the moment.
        """
