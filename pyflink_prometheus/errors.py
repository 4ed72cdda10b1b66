"""
Every exception that this package raises::

    PrometheusSinkError
    ├── InvalidTimeSeriesError      a record or a sample cannot be written: names the field and what was expected
    ├── SecretError                 a secret cannot be read or sent: names where it is and what is wrong, not the secret
    └── RemoteWriteError            the receiver did not take a request: status, excerpt of its answer, sample count
        ├── RemoteWriteFatalError   trying again cannot help (401, 403, 404, no receiver): says what to change
        └── RetriesExhaustedError   it kept failing for as long as the retry configuration allows

A wrong option raises ``ValueError`` or ``TypeError`` when the sink is built. All of these survive pickling, because
Flink carries them across processes, and the first line of each says all that matters, because PyFlink prints it in the
middle of some two hundred others.
"""

from __future__ import annotations

from typing import Any


class PrometheusSinkError(Exception):
    """Be the root of this package's exceptions. Keyword arguments of the subclasses are attributes."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (type(self), self.args, self.__dict__)


def _restore(cls: type[PrometheusSinkError], args: tuple[Any, ...], attributes: dict[str, Any]) -> PrometheusSinkError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(attributes)
    return error


class InvalidTimeSeriesError(PrometheusSinkError, ValueError):
    """
    Say which field of a record cannot be written to Prometheus, and what was expected there.

    :param field: the field's name as the user knows it: ``metric_name``, ``labels`` or ``samples``.
    :param problem: what is wrong with it, with the offending value.
    """

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field


class SecretError(PrometheusSinkError):
    """Report a secret that cannot be read or sent: where it comes from and what is wrong with it, never its content."""


class RemoteWriteError(PrometheusSinkError):
    """
    Report a write request that the receiver did not take.

    :param message: one line for a person.
    :param url: the endpoint, without credentials.
    :param status: the HTTP status, ``None`` where no answer came.
    :param body_excerpt: the beginning of the receiver's answer, as it came.
    :param samples: how many samples the request held.
    """

    def __init__(
        self, message: str, *, url: str = "", status: int | None = None, body_excerpt: str = "", samples: int = 0
    ) -> None:
        super().__init__(message)
        self.url = url
        self.status = status
        self.body_excerpt = body_excerpt
        self.samples = samples


class RemoteWriteFatalError(RemoteWriteError):
    """Report an answer that repeating the request cannot change; the message says what to change."""


class RetriesExhaustedError(RemoteWriteError):
    """Report a request that failed in a retryable way more often than the retry configuration allows."""
