"""Libraries that come with extras of this package, imported where they are first used."""

from __future__ import annotations

import importlib
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pyflink_prometheus.errors import SecretError

_quiet = threading.local()


def required(module: str, *, package: str, extra: str) -> Any:
    """
    Return a module of a library that an extra brings.

    :raises SecretError: if it is not installed on this worker, with the command that installs it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        problem = type(error).__name__
    raise SecretError(
        f"run pip install 'pyflink-prometheus[{extra}]' for the Python of the workers: {package} cannot be imported "
        f"({problem})"
    )


@contextmanager
def quiet(*libraries: str) -> Iterator[None]:
    """
    Keep what libraries log of this thread out of the log, except for warnings without a traceback.

    Their debug messages quote requests and responses with the secrets in them. Other threads, with the user's own calls
    of these libraries, are not affected.
    """
    for name in [*logging.root.manager.loggerDict]:
        if name.partition(".")[0] in libraries:
            logger = logging.getLogger(name)
            if _is_shown not in logger.filters:
                logger.addFilter(_is_shown)
    before = getattr(_quiet, "on", False)
    _quiet.on = True
    try:
        yield
    finally:
        _quiet.on = before


def _is_shown(record: logging.LogRecord) -> bool:
    return not getattr(_quiet, "on", False) or (record.levelno >= logging.WARNING and not record.exc_info)
