"""TLS settings of connections, and their SSL context, which is updated when files change."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import ssl
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from pyflink_prometheus import _validation
from pyflink_prometheus.errors import SecretError
from pyflink_prometheus.secret import Secret

_log = logging.getLogger(__name__)

#: Prometheus's names for the versions.
TLS_VERSIONS = {
    "TLS10": ssl.TLSVersion.TLSv1,
    "TLS11": ssl.TLSVersion.TLSv1_1,
    "TLS12": ssl.TLSVersion.TLSv1_2,
    "TLS13": ssl.TLSVersion.TLSv1_3,
}
_LEGACY = {"TLS10", "TLS11"}


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsConfiguration:
    """
    TLS settings, named and combined as in Prometheus's ``tls_config``. All files are PEM files on the workers.

    Files are read again when they change, so certificates can be rotated while the job runs. A key given by value
    travels inside the job.

    :param ca: the trusted authorities, as text in PEM format or a :class:`~pyflink_prometheus.Secret`. Default: those
        of REQUESTS_CA_BUNDLE on the worker, else those of requests.
    :param ca_file: the same, as a file.
    :param cert: the client certificate, likewise, followed by any intermediate certificates.
    :param cert_file: the same, as a file.
    :param key: the client certificate's unencrypted key, likewise.
    :param key_file: the same, as a file.
    :param server_name: the host name that the receiver's certificate must cover, if it isn't the URL's.
    :param insecure_skip_verify: whether to accept any certificate. Each start then logs a warning. Default False.
    :param min_version: the lowest version: TLS10, TLS11, TLS12 or TLS13. Default: Python's, which is TLS12.
    :param max_version: the highest version, likewise. Default: the highest that both sides support.
    :raises ValueError: if settings exclude each other.
    """

    ca: Secret | str | None = field(default=None, repr=False)
    ca_file: str | None = None
    cert: Secret | str | None = field(default=None, repr=False)
    cert_file: str | None = None
    key: Secret | str | None = field(default=None, repr=False)
    key_file: str | None = None
    server_name: str | None = None
    insecure_skip_verify: bool = False
    min_version: str | None = None
    max_version: str | None = None

    def __post_init__(self) -> None:
        for part in ("ca", "cert", "key"):
            _check_part(part, getattr(self, part), getattr(self, f"{part}_file"))
        if self.secret("cert") is not None and self.secret("key") is None:
            raise ValueError("tls_config: set key or key_file with a client certificate")
        if self.secret("key") is not None and self.secret("cert") is None:
            raise ValueError("tls_config: set cert or cert_file with a client key")
        if self.server_name is not None:
            _validation.line("server_name", self.server_name)
        _validation.instance("insecure_skip_verify", self.insecure_skip_verify, bool)
        for name in ("min_version", "max_version"):
            version = getattr(self, name)
            if version is not None and version not in TLS_VERSIONS:
                raise ValueError(f"{name}: expected one of {', '.join(TLS_VERSIONS)}, got {_validation.shown(version)}")
        if self.min_version and self.max_version and self.min_version > self.max_version:
            raise ValueError(f"min_version: expected at most max_version, which is {self.max_version}")

    def secret(self, part: str) -> Secret | None:
        """Return where the ``ca``, ``cert`` or ``key`` is read from; ``None`` if it is not set."""
        value, path = getattr(self, part), getattr(self, f"{part}_file")
        if path is not None:
            return Secret.file(path)
        return value if value is None or isinstance(value, Secret) else Secret.value(value)


class TlsContext:
    """
    The SSL context of a configuration, recreated when the files or secrets change; used by one thread.

    :param config: the settings.
    :param authorities: the file or folder of trusted authorities if the configuration has none; ``None`` for those
        that requests uses.
    """

    def __init__(self, config: TlsConfiguration, authorities: str | None = None) -> None:
        self._config = config
        self._authorities = authorities
        self._digest: bytes | None = None
        self._problem = ""
        self._context: ssl.SSLContext | None = None

    def current(self) -> ssl.SSLContext:
        """
        Return the context, which stays the same while nothing changes.

        If a change cannot be used, for example because a certificate's key has not been written yet, the previous
        context stays in use, and a single warning says so.

        :raises SecretError: if there is no previous context.
        """
        try:
            contents = {part: "" if each is None else each.read() for part, each in self._parts()}
            digest = hashlib.sha256("\0".join(contents.values()).encode()).digest()
            if digest != self._digest or self._context is None:
                self._context = self._make(contents)
                self._digest = digest
            self._problem = ""
        except SecretError as error:
            if self._context is None:
                raise
            if self._problem != str(error):
                self._problem = str(error)
                _log.warning("%s; the previous TLS settings stay in use", error)
        return self._context

    @property
    def server_name(self) -> str | None:
        """The name that the certificate must cover; ``None`` for the URL's."""
        return self._config.server_name

    def _parts(self) -> Iterator[tuple[str, Secret | None]]:
        return ((part, self._config.secret(part)) for part in ("ca", "cert", "key"))

    def _make(self, contents: dict[str, str]) -> ssl.SSLContext:
        config = self._config
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if config.insecure_skip_verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        elif contents["ca"]:
            self._load_authorities(context, contents["ca"])
        else:
            self._load_default_authorities(context)
        if contents["cert"]:
            self._load_certificate(context, contents)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # for 1.0 and 1.1, which the user has requested
            if config.min_version is not None:
                context.minimum_version = TLS_VERSIONS[config.min_version]
            if config.max_version is not None:
                if config.max_version in _LEGACY and config.min_version is None:
                    context.minimum_version = TLS_VERSIONS[config.max_version]
                context.maximum_version = TLS_VERSIONS[config.max_version]
        if config.min_version in _LEGACY or config.max_version in _LEGACY:
            context.set_ciphers("DEFAULT:@SECLEVEL=0")  # at a higher level, OpenSSL 3 does not support these versions
        return context

    def _load_authorities(self, context: ssl.SSLContext, pem: str) -> None:
        try:
            context.load_verify_locations(cadata=pem)
            return
        except (ssl.SSLError, ValueError):
            pass
        raise SecretError(f"check {self._source('ca')}: it is not a certificate in PEM format")

    def _load_default_authorities(self, context: ssl.SSLContext) -> None:
        path = requests.utils.DEFAULT_CA_BUNDLE_PATH if self._authorities is None else self._authorities
        try:
            if Path(path).is_dir():
                context.load_verify_locations(capath=path)
            else:
                context.load_verify_locations(cafile=path)
        except OSError as error:
            raise SecretError(
                "set ca_file, or REQUESTS_CA_BUNDLE (or CURL_CA_BUNDLE), to a certificate file that this worker can "
                f"read: {path} cannot be used ({type(error).__name__})"
            ) from None

    def _load_certificate(self, context: ssl.SSLContext, contents: dict[str, str]) -> None:
        problem = ""
        try:
            with _files(self._config, contents) as (cert, key):
                context.load_cert_chain(cert, key, password=_no_password)
        except _EncryptedKeyError:
            problem = f"check {self._source('key')}: it is encrypted; only unencrypted keys can be used"
        except ssl.SSLError as error:
            if error.reason == "KEY_VALUES_MISMATCH":
                problem = f"check {self._source('key')}: it is not the key of {self._source('cert')}"
            else:
                problem = f"check {self._source('cert')} and {self._source('key')}: one of them is not in PEM format"
        except OSError as error:
            problem = f"check {self._source('cert')} and {self._source('key')}: {type(error).__name__}"
        if problem:
            raise SecretError(problem)

    def _source(self, part: str) -> str:
        path = getattr(self._config, f"{part}_file")
        return part if path is None else f"{part}_file {path!r}"


class _EncryptedKeyError(Exception):
    """A key that needs a password."""


def _no_password() -> str:
    raise _EncryptedKeyError


@contextlib.contextmanager
def _files(config: TlsConfiguration, contents: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the paths of certificate and key: Python's ssl reads them only from files."""
    with tempfile.TemporaryDirectory() as folder:  # only this user can read it, and it is removed at once
        paths = []
        for part in ("cert", "key"):
            path = getattr(config, f"{part}_file")
            if path is None:
                path = f"{folder}/{part}.pem"
                Path(path).write_text(contents[part] + "\n", encoding="utf-8")
            paths.append(path)
        yield paths[0], paths[1]


def _check_part(part: str, value: Any, path: Any) -> None:
    if value is not None and path is not None:
        raise ValueError(f"tls_config: set {part} or {part}_file, not both")
    if value is not None and not isinstance(value, (str, Secret)):
        raise TypeError(f"{part}: expected PEM text or a Secret, got {type(value).__name__}")
    if path is not None:
        _validation.line(f"{part}_file", path)
    if isinstance(value, str) and not value.strip():
        raise ValueError(f"{part}: expected PEM text, got an empty string")
