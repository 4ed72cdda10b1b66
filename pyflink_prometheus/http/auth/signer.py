"""What all signers of this package share."""

from __future__ import annotations

from abc import abstractmethod

import requests


class Signer(requests.auth.AuthBase):
    """The base of signers that can have other credentials after a receiver has refused some."""

    @abstractmethod
    def renew(self, request: requests.PreparedRequest, status: int) -> bool:
        """
        Return whether there are other credentials than those of a request that was refused, so that it is sent again.

        :param request: the request as it was signed.
        :param status: the status with which the receiver refused it: 401 or 403.
        :raises SecretError: if there are none any more.
        :raises CredentialsUnavailableError: if there are none at the moment.
        """
