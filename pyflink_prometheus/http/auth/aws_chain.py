"""Amazon's credentials, from settings or from botocore's chain, refreshed before they expire."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import parse_qs

from pyflink_prometheus.errors import CredentialsUnavailableError, PrometheusSinkError, SecretError
from pyflink_prometheus.http.auth.extras import is_untrusted, quiet, required
from pyflink_prometheus.http.auth.shared_call import SharedCall
from pyflink_prometheus.http.outcome import is_retryable, one_line
from pyflink_prometheus.http.redaction import redacted
from pyflink_prometheus.secret import Secret

# Limits for one call to STS, which the sink retries itself, and for the metadata service of an instance.
_CONNECT_TIMEOUT_S = 5
_READ_TIMEOUT_S = 10
_METADATA_ATTEMPTS = 3

_SESSION_NAME = "pyflink-prometheus"
# STS error codes of calls that may succeed later; the status is 400, as with most STS errors.
_RETRYABLE_CODES = {"Throttling", "ThrottlingException", "RequestLimitExceeded", "IDPCommunicationError"}
_NOT_200 = re.compile(r"Received non 200 response \d{3}")


class Keys(NamedTuple):
    """
    An access key.

    :param access_key: its ID.
    :param secret_key: the secret key.
    :param token: the session token of a temporary key, ``None`` for any other key.
    """

    access_key: str
    secret_key: str
    token: str | None = None

    def get_frozen_credentials(self) -> Keys:
        """Return the key itself, as botocore expects of credentials."""
        return self

    def __repr__(self) -> str:
        return "Keys()"


@dataclass(frozen=True)
class KeySecrets:
    """An access key that is read each time it is used."""

    access_key: Secret
    secret_key: Secret
    token: Secret | None

    def get_frozen_credentials(self) -> Keys:
        """
        Return the key.

        :raises SecretError: if a part of it cannot be read.
        """
        return Keys(self.access_key.read(), self.secret_key.read(), None if self.token is None else self.token.read())


@dataclass(frozen=True)
class ChainSettings:
    """
    Where credentials come from.

    :param keys: the access key; ``None`` for botocore's chain.
    :param profile: a profile of the shared files.
    :param role_arn: a role to assume.
    :param external_id: the external ID for assuming the role.
    :param use_fips_sts_endpoint: whether to assume the role at a FIPS endpoint.
    """

    keys: KeySecrets | None = None
    profile: str | None = None
    role_arn: str | None = None
    external_id: str | None = field(default=None, repr=False)
    use_fips_sts_endpoint: bool = False

    def __str__(self) -> str:
        source = "the chain of botocore" if self.profile is None else f"the profile {self.profile!r}"
        if self.keys is not None:
            source = f"access_key ({self.keys.access_key.source}) and secret_key ({self.keys.secret_key.source})"
        return source if self.role_arn is None else f"the role {self.role_arn}, assumed with {source}"


class AwsChain:
    """
    The credentials of a signer, shared by all shards of a writer. It is pickled without the credentials.

    :param settings: where the credentials come from.
    """

    def __init__(self, settings: ChainSettings) -> None:
        self._settings = settings
        self._call = SharedCall()
        self._searches = 1  # the first search, and one for each time that the credentials were forgotten
        self._found: tuple[int, Any] = (0, None)  # botocore's credentials, with the number of the search
        self._secrets: list[str] = []

    def get(self, region: str) -> Keys:
        """
        Return the key to sign with; it is refreshed before it expires, once for all threads.

        :param region: the region whose STS assumes the role.
        :raises SecretError: if there are no credentials.
        :raises CredentialsUnavailableError: if they are not available at the moment.
        """
        if self._settings.keys is not None and self._settings.role_arn is None:
            return self._settings.keys.get_frozen_credentials()
        return self._call.run(lambda: self._current(region))

    def _current(self, region: str) -> Keys:
        failure: PrometheusSinkError
        session_module = botocore("session")
        try:
            with quiet("botocore", "urllib3"):
                search, (found_by, credentials) = self._searches, self._found
                if found_by != search:
                    credentials = self._find(session_module, region)
                    self._found = search, credentials
                keys = credentials.get_frozen_credentials()
                return Keys(keys.access_key, keys.secret_key, keys.token)
        except PrometheusSinkError as error:
            failure = error
        except Exception as error:
            failure = self._failure(error)
        raise failure

    def region(self) -> str | None:
        """Return the region of the environment or the profile."""
        region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
        if region:
            return region
        failure: SecretError
        session_module = botocore("session")
        try:
            with quiet("botocore", "urllib3"):
                found = session_module.Session(profile=self._settings.profile).get_config_variable("region")
                return found if isinstance(found, str) else None
        except Exception as error:
            failure = SecretError(f"check the profile and the shared files of AWS: {type(error).__name__}")
        raise failure

    def forget(self) -> None:
        """Look up the credentials again when they are next needed: the shared files may have changed."""
        self._searches += 1

    def _find(self, session_module: Any, region: str) -> Any:
        """Return botocore's credentials, which refresh automatically."""
        settings = self._settings
        config = botocore("config").Config(
            connect_timeout=_CONNECT_TIMEOUT_S,
            read_timeout=_READ_TIMEOUT_S,
            retries={"total_max_attempts": 1},
            use_fips_endpoint=settings.use_fips_sts_endpoint or None,
        )
        session = session_module.Session(profile=settings.profile)
        session.set_default_client_config(config)
        session.set_config_variable("region", region)
        session.set_config_variable("sts_regional_endpoints", "regional")  # the default of newer versions
        session.set_config_variable("metadata_service_num_attempts", _METADATA_ATTEMPTS)
        session.register("before-send.sts", self._remember)
        source = session.get_credentials() if settings.keys is None else settings.keys
        if source is None:
            place = "the shared files" if settings.profile is None else f"the profile {settings.profile!r}"
            problem = (
                f"give this worker AWS credentials: there are none in environment variables, a web identity, {place}, "
                "the container's or the instance's metadata service"
            )
            # An instance's service that does not respond looks like no service at all; it may respond later.
            is_final = os.environ.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true"
            raise SecretError(problem) if is_final else CredentialsUnavailableError(problem)
        if settings.role_arn is None:
            return source
        module = botocore("credentials")
        more = {} if settings.external_id is None else {"ExternalId": settings.external_id}
        fetcher = module.AssumeRoleCredentialFetcher(
            session.create_client,
            source,
            settings.role_arn,
            extra_args={"RoleSessionName": _SESSION_NAME, **more},
        )
        return module.DeferredRefreshableCredentials(fetcher.fetch_credentials, "assume-role")

    def _remember(self, request: Any, **_: Any) -> None:
        """Remember the secrets that are sent to STS: its errors might quote them."""
        body = request.body if isinstance(request.body, str) else (request.body or b"").decode("utf-8", "replace")
        form = parse_qs(body)
        sent = [*form.get("WebIdentityToken", ()), *form.get("ExternalId", ())]
        for name in ("Authorization", "X-Amz-Security-Token"):
            value = request.headers.get(name)
            if value is not None:
                sent.append(value.decode("latin-1") if isinstance(value, bytes) else str(value))
        self._secrets = sent

    def _failure(self, error: BaseException) -> PrometheusSinkError:
        """Return the exception for an error of botocore."""
        module = botocore("exceptions")
        what = f"no AWS credentials from {self._settings}: {self._shown(error, module)}"
        if isinstance(error, module.ClientError):
            code = str(error.response.get("Error", {}).get("Code", ""))
            status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
            if is_retryable(status) or code in _RETRYABLE_CODES:
                return CredentialsUnavailableError(what)
            return SecretError(f"check the role, its trust policy and external_id, and this worker's clock: {what}")
        if is_untrusted(error):
            return SecretError(f"check AWS_CA_BUNDLE on the workers: {what}")
        if _may_pass(error, module):
            return CredentialsUnavailableError(what)
        return SecretError(f"check the settings, the environment and the shared files of AWS on this worker: {what}")

    def _shown(self, error: BaseException, module: Any) -> str:
        """Return the part of an error that may be shown: not the output of a metadata service or a command."""
        text = str(error)
        if isinstance(error, (module.CredentialRetrievalError, module.MetadataRetrievalError)):
            found = _NOT_200.search(text)
            provider = error.kwargs.get("provider", "the metadata service") if hasattr(error, "kwargs") else ""
            return f"{provider}: {found[0] if found else type(error).__name__}"
        if not isinstance(error, (module.BotoCoreError, module.ClientError)):
            return type(error).__name__
        return one_line(redacted(text, self._secrets))

    def __reduce__(self) -> tuple[object, ...]:
        return AwsChain, (self._settings,)


def botocore(module: str) -> Any:
    """
    Return a module of botocore.

    :raises SecretError: if it is not installed on this worker.
    """
    return required(f"botocore.{module}", package="botocore", extra="aws")


def _may_pass(error: BaseException, module: Any) -> bool:
    """Return whether an error is temporary: of the network, a metadata service, or a gateway in front of STS."""
    of_the_moment = (
        module.ConnectionError,
        module.HTTPClientError,
        module.IncompleteReadError,
        module.CredentialRetrievalError,
        module.MetadataRetrievalError,
        botocore("parsers").ResponseParserError,
        RuntimeError,  # for new credentials that have already expired
    )
    return isinstance(error, of_the_moment)
