"""Secrets that are read where they are used and never shown."""

from __future__ import annotations

import os
from pathlib import Path

from pyflink_prometheus.errors import SecretError


class Secret:
    """
    The source of a secret, which is read on the worker at each use, so that a rotated secret is picked up.

    White space around the secret is stripped. Prefer :meth:`file`: a value given by :meth:`value` travels inside the
    job, and Beam logs the environment of a worker when a job ends.
    """

    def __init__(self, kind: str, content: str) -> None:
        self._kind = kind
        self._content = content

    @staticmethod
    def value(value: str) -> Secret:
        """Use this value itself as the secret."""
        if not isinstance(value, str) or not value.strip():
            raise TypeError(f"expected a Secret or a non-empty string as the secret, got {_kind_of(value)}")
        return Secret("value", value)

    @staticmethod
    def environment(name: str) -> Secret:
        """Use an environment variable of the worker (the TaskManager's, which its Python workers inherit)."""
        return Secret("environment", name)

    @staticmethod
    def file(path: str) -> Secret:
        """Use a file on the worker."""
        return Secret("file", os.fspath(path))

    @staticmethod
    def of(secret: Secret | str) -> Secret:
        """Return a secret unchanged, and a string as a secret with this value."""
        return secret if isinstance(secret, Secret) else Secret.value(secret)

    @property
    def source(self) -> str:
        """The source of the secret, for messages."""
        if self._kind == "value":
            return "the secret given as a value"
        return f"the secret in {self._kind} {self._content!r}"

    def read(self) -> str:
        """
        Return the secret.

        :raises SecretError: if the secret cannot be read, is empty or is not text; the message names the source.
        """
        secret, problem = self._read_source()
        if not problem:
            secret = secret.strip()
            problem = "it is empty" if not secret else "" if is_text(secret) else "it is not UTF-8 text"
        if problem:
            # Not inside an except block: the handled error would become this one's context, and may quote the secret.
            raise SecretError(f"check {self.source}: {problem}")
        return secret

    def _read_source(self) -> tuple[str, str]:
        """Return the content of the source, or an empty string and the reason why it cannot be read."""
        try:
            if self._kind == "environment":
                content = os.environ.get(self._content)
                return ("", "it is not set on this worker") if content is None else (content, "")
            if self._kind == "file":
                return Path(self._content).read_text(encoding="utf-8"), ""
        except UnicodeDecodeError:
            return "", "it is not UTF-8 text"
        except (OSError, ValueError) as error:
            return "", f"it cannot be read on this worker: {reason(error)}"
        return self._content, ""

    def __repr__(self) -> str:
        return f"Secret({self._kind}{'' if self._kind == 'value' else ' ' + repr(self._content)})"


def reason(error: OSError | ValueError) -> str:
    """Return why a file cannot be read, in the operating system's words if it has some, without the file's name."""
    return (isinstance(error, OSError) and error.strerror) or type(error).__name__


def is_text(text: str) -> bool:
    """Return whether a string is text that UTF-8 can carry."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _kind_of(value: object) -> str:
    return "an empty string" if isinstance(value, str) else f"a {type(value).__name__}"
