"""Microsoft Entra ID, formerly Azure Active Directory."""

from __future__ import annotations

import os
import re
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from pyflink_prometheus import _validation
from pyflink_prometheus.clock import Clock
from pyflink_prometheus.config import header_problem
from pyflink_prometheus.errors import CredentialsUnavailableError, PrometheusSinkError, SecretError
from pyflink_prometheus.http.auth.extras import is_untrusted, quiet, required
from pyflink_prometheus.http.auth.token_auth import TokenAuth
from pyflink_prometheus.http.auth.token_store import Token
from pyflink_prometheus.http.outcome import is_retryable, one_line, parse_retry_after
from pyflink_prometheus.http.redaction import redacted
from pyflink_prometheus.secret import Secret, reason


class _Cloud(NamedTuple):
    """The host that issues a cloud's tokens, and the scope of the tokens."""

    authority: str
    scope: str


# As in Prometheus. The two slashes belong to the scope: the audience ends in one.
_CLOUDS = {
    "azurepublic": _Cloud("login.microsoftonline.com", "https://monitor.azure.com//.default"),
    "azurechina": _Cloud("login.chinacloudapi.cn", "https://monitor.azure.cn//.default"),
    "azuregovernment": _Cloud("login.microsoftonline.us", "https://monitor.azure.us//.default"),
}
_TOKEN_FILE = "/var/run/secrets/azure/tokens/azure-identity-token"  # noqa: S105  (as the webhook of AKS mounts it)
_TENANT = re.compile(r"[0-9A-Za-z.-]+")
_SCOPE = re.compile(r"[\w\s:/.\-]+")

# The sink retries. Without these settings, azure-identity waits up to 75 seconds between its own retries.
_CLIENT = {"retry_total": 0, "retry_status": 0, "connection_timeout": 5, "read_timeout": 30}
# The metadata service responds with these while it is being updated.
_RETRYABLE = {404, 410}
# The parts of a request that must not be shown if a response quotes them.
_SECRET_FIELDS = ("client_secret", "client_assertion", "assertion")
_SECRET_HEADERS = ("X-IDENTITY-HEADER", "Secret", "Authorization")


class EntraAuth(TokenAuth):
    """
    Microsoft Entra ID, for Azure Monitor's managed Prometheus. Create one with one of the static methods.

    The workers need the extra ``azure``: ``pip install 'pyflink-prometheus[azure]'``. The token is fetched on the
    worker when it is first needed, shared by all shards of a writer, and replaced a minute before it expires, or when
    the receiver no longer accepts it; secrets are read each time. All methods take ``cloud``, which is ``AzurePublic``,
    ``AzureChina`` or ``AzureGovernment``, ``scope``, which replaces the cloud's scope, and ``clock``, the clock for the
    expiry of tokens. Methods that query Entra itself also take ``authority``, the host of a private cloud.
    """

    def __init__(
        self,
        source: str,
        new_credential: Callable[[Any, Mapping[str, Any]], Any],
        *,
        cloud: str,
        scope: str | None,
        authority: str | None = None,
        token_tenant: str | None = None,
        clock: Clock | None = None,
    ) -> None:
        super().__init__(clock)
        if not isinstance(cloud, str) or cloud.lower() not in _CLOUDS:
            raise ValueError(
                f"cloud: expected AzurePublic, AzureChina or AzureGovernment, got {_validation.shown(cloud)}"
            )
        if scope is not None and (not isinstance(scope, str) or not _SCOPE.fullmatch(scope)):
            raise ValueError("scope: expected a scope such as https://monitor.azure.com/.default")
        self._source = source
        self._new_credential = new_credential
        of_cloud = _CLOUDS[cloud.lower()]
        self._scope = of_cloud.scope if scope is None else scope
        self._authority: dict[str, Any] = {"authority": of_cloud.authority}
        if authority is not None:
            _validation.line("authority", authority)
            # With its scheme, because Python 3.10 takes a host that begins with a digit for a scheme.
            url = authority if "://" in authority else f"https://{authority}"
            self._authority = {"authority": url, "disable_instance_discovery": True}
        self._token_tenant = token_tenant

    @staticmethod
    def managed_identity(
        client_id: str | None = None,
        *,
        cloud: str = "AzurePublic",
        scope: str | None = None,
        clock: Clock | None = None,
    ) -> EntraAuth:
        """Use a managed identity: the one with this client ID, or the machine's own."""
        if client_id is not None:
            _check_uuid("client_id", client_id)
        return EntraAuth(
            "the managed identity" if client_id is None else f"the managed identity {client_id}",
            _ManagedIdentity(client_id),
            cloud=cloud,
            scope=scope,
            clock=clock,
        )

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
        """
        Use a workload identity of Kubernetes.

        :param token_file_path: the file of the service account's token on the worker. Default: the file that
            AZURE_FEDERATED_TOKEN_FILE names, else the one that AKS mounts.
        """
        _check_uuid("client_id", client_id)
        _check_uuid("tenant_id", tenant_id)
        return EntraAuth(
            f"the workload identity {client_id}",
            _WorkloadIdentity(client_id, tenant_id, token_file_path),
            cloud=cloud,
            scope=scope,
            authority=authority,
            clock=clock,
        )

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
        """Use an application with a client secret; Prometheus calls this ``oauth``."""
        _check_uuid("client_id", client_id)
        _check_tenant(tenant_id)
        return EntraAuth(
            f"the application {client_id}",
            _Application(client_id, tenant_id, Secret.of(client_secret)),
            cloud=cloud,
            scope=scope,
            authority=authority,
            clock=clock,
        )

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
        """
        Use an application with a certificate.

        :param certificate_path: a file on the worker with the certificate and its RSA key, in PEM or PFX format.
        :param certificate_key_path: a file with the key, if the certificate's file does not contain it.
        :param certificate_password: the file's password.
        :param send_certificate_chain: whether to send the certificate's chain, for applications that trust an issuer.
        """
        _check_uuid("client_id", client_id)
        _check_tenant(tenant_id)
        _validation.instance("send_certificate_chain", send_certificate_chain, bool)
        password = None if certificate_password is None else Secret.of(certificate_password)
        return EntraAuth(
            f"the application {client_id} with the certificate {certificate_path!r}",
            _Certificate(
                client_id, tenant_id, certificate_path, certificate_key_path, password, send_certificate_chain
            ),
            cloud=cloud,
            scope=scope,
            authority=authority,
            clock=clock,
        )

    @staticmethod
    def default(
        tenant_id: str | None = None,
        *,
        cloud: str = "AzurePublic",
        scope: str | None = None,
        authority: str | None = None,
        clock: Clock | None = None,
    ) -> EntraAuth:
        """
        Use the chain of Azure's SDK; Prometheus calls this ``sdk``.

        It tries environment variables, a workload identity, a managed identity, and the command-line tools.
        """
        if tenant_id is not None:
            _check_tenant(tenant_id)
        return EntraAuth(
            "the chain of Azure's SDK",
            _Default(tenant_id),
            cloud=cloud,
            scope=scope,
            authority=authority,
            token_tenant=tenant_id,
            clock=clock,
        )

    def fetch(self) -> Token:
        """
        Fetch a token; called by one thread at a time.

        :raises SecretError: if that fails for good.
        :raises CredentialsUnavailableError: if it may succeed later.
        """
        identity = required("azure.identity", package="azure-identity", extra="azure")
        trace = _Trace()
        failure: PrometheusSinkError
        try:
            with quiet("azure", "msal", "urllib3"):
                hooks = {"raw_request_hook": trace.request, "raw_response_hook": trace.response}
                # A new credential each time: it holds no tokens in memory, and rereads certificates and files.
                credential = self._new_credential(identity, {**_CLIENT, **hooks, **self._authority})
                tenant = {} if self._token_tenant is None else {"tenant_id": self._token_tenant}
                try:
                    token = credential.get_token(self._scope, **tenant)
                finally:
                    credential.close()
            if (problem := header_problem(token.token)) is None:
                return Token(f"Bearer {token.token}", float(token.expires_on))
            failure = SecretError(f"check {self._source}: its token {problem}")
        except PrometheusSinkError as error:
            failure = error
        except Exception as error:
            failure = self._failure(error, trace)
        raise failure

    def _failure(self, error: BaseException, trace: _Trace) -> PrometheusSinkError:
        """Return the exception for an error of azure-identity."""
        words = one_line(redacted(str(error), trace.secrets))
        what = f"no token from {self._source}: {words or type(error).__name__}"
        if trace.has_no_response and not is_untrusted(error):
            return CredentialsUnavailableError(what)
        if trace.status is not None and (is_retryable(trace.status) or trace.status in _RETRYABLE):
            retry_after_s = parse_retry_after(trace.retry_after, time.time())
            return CredentialsUnavailableError(f"{what} (HTTP {trace.status})", retry_after_s=retry_after_s)
        if is_untrusted(error):
            return SecretError(f"set REQUESTS_CA_BUNDLE on the workers to the authority's certificate file: {what}")
        return SecretError(f"check the identity, its tenant and its credentials: {what}")

    def __repr__(self) -> str:
        return f"EntraAuth({self._source})"


class _Trace:
    """The latest request and response of a credential, and the secrets that it has sent."""

    def __init__(self) -> None:
        self.has_no_response = False
        self.status: int | None = None
        self.retry_after: str | None = None
        self.secrets: list[str] = []

    def request(self, request: Any) -> None:
        self.has_no_response = True
        http_request = request.http_request
        form = getattr(http_request, "_data", None) or getattr(http_request, "data", None)
        if isinstance(form, Mapping):
            self.secrets += [str(form[name]) for name in _SECRET_FIELDS if form.get(name)]
        self.secrets += [http_request.headers[name] for name in _SECRET_HEADERS if name in http_request.headers]

    def response(self, response: Any) -> None:
        self.has_no_response = False
        self.status = response.http_response.status_code
        self.retry_after = response.http_response.headers.get("Retry-After")


@dataclass(frozen=True)
class _ManagedIdentity:
    client_id: str | None

    def __call__(self, identity: Any, client: Mapping[str, Any]) -> Any:
        settings = {name: value for name, value in client.items() if name != "authority"}
        return identity.ManagedIdentityCredential(client_id=self.client_id, **settings)


@dataclass(frozen=True)
class _WorkloadIdentity:
    client_id: str
    tenant_id: str
    token_file_path: str | None

    def __call__(self, identity: Any, client: Mapping[str, Any]) -> Any:
        path = self.token_file_path or os.environ.get("AZURE_FEDERATED_TOKEN_FILE") or _TOKEN_FILE
        Secret.file(path).read()  # its error says what is wrong with the file
        return identity.WorkloadIdentityCredential(
            client_id=self.client_id, tenant_id=self.tenant_id, token_file_path=path, **client
        )


@dataclass(frozen=True)
class _Application:
    client_id: str
    tenant_id: str
    client_secret: Secret

    def __call__(self, identity: Any, client: Mapping[str, Any]) -> Any:
        return identity.ClientSecretCredential(self.tenant_id, self.client_id, self.client_secret.read(), **client)


@dataclass(frozen=True)
class _Certificate:
    client_id: str
    tenant_id: str
    certificate_path: str
    key_path: str | None
    password: Secret | None
    send_chain: bool

    def __call__(self, identity: Any, client: Mapping[str, Any]) -> Any:
        content = _read_file(self.certificate_path)
        if self.key_path is not None:
            content += b"\n" + _read_file(self.key_path)
        password = None if self.password is None else self.password.read()
        try:
            return identity.CertificateCredential(
                self.tenant_id,
                self.client_id,
                certificate_data=content,
                password=password,
                send_certificate_chain=self.send_chain,
                **client,
            )
        except (ValueError, TypeError) as error:  # from the parser; the text may quote the file
            problem = type(error).__name__
        raise SecretError(
            f"check the certificate {self.certificate_path!r}: expected a certificate with its RSA key, in PEM or PFX "
            f"format, and certificate_password if the file has a password ({problem})"
        )


@dataclass(frozen=True)
class _Default:
    tenant_id: str | None

    def __call__(self, identity: Any, client: Mapping[str, Any]) -> Any:
        # As in Go's SDK, which Prometheus uses: no credentials of editors and desktops.
        settings: dict[str, Any] = {
            "exclude_shared_token_cache_credential": True,
            "exclude_visual_studio_code_credential": True,
            "exclude_powershell_credential": True,
            "exclude_broker_credential": True,
            **client,
        }
        if self.tenant_id is not None:
            settings["workload_identity_tenant_id"] = self.tenant_id
            settings["additionally_allowed_tenants"] = [self.tenant_id]
        return identity.DefaultAzureCredential(**settings)


def _read_file(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except (OSError, ValueError) as error:
        problem = reason(error)
    raise SecretError(f"check the file {path!r}: it cannot be read on this worker: {problem}")


def _check_uuid(name: str, value: Any) -> None:
    _validation.line(name, value, hidden=True)
    try:
        uuid.UUID(value)
        return
    except ValueError:
        pass
    raise ValueError(f"{name}: expected a UUID, such as 12345678-90ab-cdef-1234-567890abcdef")


def _check_tenant(tenant_id: Any) -> None:
    _validation.line("tenant_id", tenant_id, hidden=True)
    if not _TENANT.fullmatch(tenant_id):
        raise ValueError("tenant_id: expected a UUID or a domain name (letters, digits, dots and hyphens)")
