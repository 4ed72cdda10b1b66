"""Amazon's Signature Version 4."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import requests

from pyflink_prometheus import _validation
from pyflink_prometheus.errors import SecretError
from pyflink_prometheus.http.auth.aws_chain import AwsChain, ChainSettings, KeySecrets, botocore
from pyflink_prometheus.http.auth.extras import quiet
from pyflink_prometheus.http.auth.signer import Signer
from pyflink_prometheus.secret import Secret

# Hosts of Amazon Managed Service for Prometheus: public, FIPS, dual-stack, China and VPC endpoints.
_HOST = re.compile(r"(?:^|\.)aps-workspaces(?:-fips)?\.([a-z0-9-]+)\.(?:vpce\.)?(?:amazonaws|api)\.")


class SigV4Auth(Signer):
    """
    Amazon's Signature Version 4, for Amazon Managed Service for Prometheus.

    The workers need the extra ``aws``: ``pip install 'pyflink-prometheus[aws]'``. Without settings, credentials come
    from botocore's chain: environment variables, a role to assume with a web identity, the shared files of profiles,
    and the container's and the instance's metadata service. They are refreshed before they expire, and looked up again
    if the receiver no longer accepts them. For a FIPS endpoint of the receiver, use its URL.

    :param region: the region. Default: the URL's, else that of the environment or the profile.
    :param access_key: the access key's ID, or a :class:`Secret` that holds it.
    :param secret_key: a :class:`Secret`, or the secret access key itself.
    :param session_token: the token of temporary keys, likewise.
    :param profile: a profile of the shared files.
    :param role_arn: a role to assume with these credentials.
    :param external_id: the external ID for assuming the role.
    :param service: the service that the signature is for. Default ``aps``.
    :param use_fips_sts_endpoint: whether to assume the role at a FIPS endpoint of STS. Default False.
    :raises ValueError: if settings exclude each other.
    """

    def __init__(
        self,
        region: str | None = None,
        *,
        access_key: Secret | str | None = None,
        secret_key: Secret | str | None = None,
        session_token: Secret | str | None = None,
        profile: str | None = None,
        role_arn: str | None = None,
        external_id: str | None = None,
        service: str = "aps",
        use_fips_sts_endpoint: bool = False,
    ) -> None:
        for name, value in (("region", region), ("profile", profile), ("role_arn", role_arn), ("service", service)):
            if value is not None:
                _validation.line(name, value, hidden=True)
        _validation.instance("use_fips_sts_endpoint", use_fips_sts_endpoint, bool)
        keys = None
        if access_key is not None and secret_key is not None:
            token = None if session_token is None else Secret.of(session_token)
            keys = KeySecrets(Secret.of(access_key), Secret.of(secret_key), token)
        elif access_key is not None or secret_key is not None or session_token is not None:
            raise ValueError("set both access_key and secret_key, or neither; session_token needs both")
        if keys is not None and profile is not None:
            raise ValueError("set either access_key and secret_key, or profile, not both")
        if external_id is not None and role_arn is None:
            raise ValueError("external_id: set role_arn as well; the ID is only for assuming a role")
        self._region = region
        self._service = service
        self._settings = ChainSettings(keys, profile, role_arn, external_id, use_fips_sts_endpoint)
        self._chain = AwsChain(self._settings)

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """
        Sign one attempt.

        :raises SecretError: if there are no credentials.
        :raises CredentialsUnavailableError: if they are not available at the moment.
        """
        signers = botocore("auth")
        messages = botocore("awsrequest")
        region = self._region_for(str(request.url))
        signer = signers.SigV4Auth(self._chain.get(region), self._service, region)
        signed = messages.AWSRequest(
            method=request.method, url=request.url, headers=dict(request.headers), data=request.body
        )
        with quiet("botocore"):
            signer.add_auth(signed)
        request.headers.update(signed.headers.items())
        return request

    def renew(self, request: requests.PreparedRequest, status: int) -> bool:
        """
        Return whether there are credentials other than those that signed a refused request.

        They are looked up again: keys in files may have been rotated, and roles may have been changed.
        """
        if status not in (401, 403):
            return False
        self._chain.forget()
        keys = self._chain.get(self._region_for(str(request.url)))
        used = str(request.headers.get("Authorization", "")).partition("Credential=")[2].partition("/")[0]
        return (keys.access_key, keys.token) != (used, request.headers.get("X-Amz-Security-Token"))

    def _region_for(self, url: str) -> str:
        """
        Return the region that a request to a URL is signed for.

        :raises SecretError: if none is known.
        """
        if self._region is not None:
            return self._region
        found = _HOST.search(urlsplit(url).hostname or "")
        region = found[1] if found else self._chain.region()
        if region is None:
            raise SecretError("set region in SigV4Auth: there is none in the URL, AWS_REGION or the profile")
        return region

    def __repr__(self) -> str:
        return f"SigV4Auth({self._settings})"
