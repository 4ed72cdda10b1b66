"""Amazon's Signature Version 4."""

from __future__ import annotations

import requests

from pyflink_prometheus.secret import Secret


class SigV4Auth(requests.auth.AuthBase):
    """
    Amazon's Signature Version 4, for Amazon Managed Service for Prometheus.

    It needs the extra ``aws`` on the workers: ``pip install 'pyflink-prometheus[aws]'``. Without settings, credentials
    come from botocore's chain: environment variables, a role to assume with a web identity, the shared files of
    profiles, the container's and the instance's metadata service. They are refreshed before they end.

    :param region: the region. Default: that of the URL, else that of the environment or the profile.
    :param access_key: the access key's ID, with ``secret_key``.
    :param secret_key: a :class:`Secret`, or the secret access key itself.
    :param session_token: the token of temporary keys, likewise.
    :param profile: a profile of the shared files.
    :param role_arn: a role to assume with these credentials.
    :param external_id: the external ID for that.
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
        raise NotImplementedError
