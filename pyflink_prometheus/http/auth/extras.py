"""Libraries that come with extras of this package, imported where they are first used."""

from __future__ import annotations

import importlib
import logging
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pyflink_prometheus.errors import SecretError

_NOWHERE = logging.NullHandler()
_thread = threading.local()


def required(module: str, *, package: str, extra: str) -> Any:
    """
    Return a module of a library that an extra installs.

    :raises SecretError: if it is not installed on this worker; the message has the command that installs it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        problem = type(error).__name__
    raise SecretError(
        f"run pip install 'pyflink-prometheus[{extra}]' in the workers' Python environment: {package} cannot be "
        f"imported ({problem})"
    )


def is_untrusted(error: BaseException | None) -> bool:
    """Return whether an error was caused by a certificate that is not trusted."""
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        seen.append(error)
        if "CERTIFICATE_VERIFY_FAILED" in str(error) or isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False


@contextmanager
def quiet(*libraries: str) -> Iterator[None]:
    """
    Keep messages that libraries log in this thread out of the log.

    Their messages quote requests and responses with the secrets in them; their exceptions hold everything that a user
    has to know. Other threads, with the user's own calls to these libraries, are not affected.
    """
    for name in libraries:
        logger = logging.getLogger(name)
        if not isinstance(logger, _Gate):
            logger.__class__ = type("GatedLogger", (_Gate, type(logger)), {})
    before, _thread.is_quiet = _is_quiet(), True
    try:
        yield
    finally:
        _thread.is_quiet = before


def _is_quiet() -> bool:
    return getattr(_thread, "is_quiet", False)


class _Gate:
    """
    The logger of a library that drops the messages of a quiet thread, including those of child loggers created later.

    It still has a handler, because otherwise logging would print warnings to the console.
    """

    @property
    def handlers(self) -> list[logging.Handler]:
        own: list[logging.Handler] = self.__dict__["handlers"]
        return [_NOWHERE] if _is_quiet() else own

    @handlers.setter
    def handlers(self, handlers: list[logging.Handler]) -> None:
        self.__dict__["handlers"] = handlers

    @property
    def propagate(self) -> bool:
        return bool(self.__dict__["propagate"]) and not _is_quiet()

    @propagate.setter
    def propagate(self, propagate: bool) -> None:
        self.__dict__["propagate"] = propagate
