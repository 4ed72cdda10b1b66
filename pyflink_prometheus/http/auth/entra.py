"""Microsoft Entra ID, formerly Azure AD."""

from __future__ import annotations

from pyflink_prometheus.clock import Clock
from pyflink_prometheus.http.auth.token_auth import TokenAuth
from pyflink_prometheus.http.auth.token_store import Token
from pyflink_prometheus.secret import Secret

CLOUDS = ("AzurePublic", "AzureChina", "AzureGovernment")


class EntraAuth(TokenAuth):
    """
    Microsoft Entra ID, for Azure Monitor's managed Prometheus. Use one of the static methods.

    It needs the extra ``azure`` on the workers: ``pip install 'pyflink-prometheus[azure]'``.
    """

    @staticmethod
    def managed_identity(
        client_id: str | None = None,
        *,
        cloud: str = "AzurePublic",
        scope: str | None = None,
        clock: Clock | None = None,
    ) -> EntraAuth:
        """Use a managed identity: the one with this client ID, or the machine's own."""
        raise NotImplementedError

    @staticmethod
    def workload_identity(
        client_id: str,
        tenant_id: str,
        token_file_path: str | None = None,
        *,
        cloud: str = "AzurePublic",
        scope: str | None = None,
        authority: str | None = None,
        clock: Clock | None = None,
    ) -> EntraAuth:
        """Use a workload identity of Kubernetes."""
        raise NotImplementedError

    @staticmethod
    def application(
        client_id: str,
        tenant_id: str,
        client_secret: Secret | str,
        *,
        cloud: str = "AzurePublic",
        scope: str | None = None,
        authority: str | None = None,
        clock: Clock | None = None,
    ) -> EntraAuth:
        """Use an application with a client secret (``oauth`` in Prometheus)."""
        raise NotImplementedError

    @staticmethod
    def certificate(
        client_id: str,
        tenant_id: str,
        certificate_path: str,
        *,
        certificate_key_path: str | None = None,
        certificate_password: Secret | str | None = None,
        send_certificate_chain: bool = False,
        cloud: str = "AzurePublic",
        scope: str | None = None,
        authority: str | None = None,
        clock: Clock | None = None,
    ) -> EntraAuth:
        """Use an application with a certificate."""
        raise NotImplementedError

    @staticmethod
    def default(
        tenant_id: str | None = None,
        *,
        cloud: str = "AzurePublic",
        scope: str | None = None,
        authority: str | None = None,
        clock: Clock | None = None,
    ) -> EntraAuth:
        """Use the chain of credentials of Azure's SDK (``sdk`` in Prometheus)."""
        raise NotImplementedError

    def fetch(self) -> Token:
        """Fetch a token."""
        raise NotImplementedError
