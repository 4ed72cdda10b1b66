"""
Every exception that this package raises.

::

    PrometheusSinkError
    ├── InvalidTimeSeriesError      a record or a sample cannot be written: names the field and what was expected
    ├── InvalidConfigurationError   Prometheus's configuration cannot be used: names line and field, quotes Prometheus
    ├── SecretError                 a secret cannot be read or sent: names where it is and what is wrong, not the secret
    ├── CredentialsUnavailableError no credentials available at the moment; the attempt counts as failed and is retried
    └── RemoteWriteError            a write request failed: status, excerpt of the response, sample count
        ├── RemoteWriteFatalError   a retry cannot help (401, 403, 404, not a receiver): says what to change
        └── RetriesExhaustedError   the request kept failing for as long as the retry configuration allows

An invalid option raises ``ValueError`` or ``TypeError`` when the sink is built. All of these exceptions survive
pickling, because Flink carries them across processes. The first line of each says all that matters, because PyFlink
prints it among about two hundred others.
"""

from __future__ import annotations

from typing import Any


class PrometheusSinkError(Exception):
    """The base class of this package's exceptions. Keyword arguments of the subclasses are attributes."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (type(self), self.args, self.__dict__)


def _restore(cls: type[PrometheusSinkError], args: tuple[Any, ...], attributes: dict[str, Any]) -> PrometheusSinkError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(attributes)
    return error


class InvalidTimeSeriesError(PrometheusSinkError, ValueError):
    """
    A field of a record that cannot be written to Prometheus.

    :param field: the name of the field, such as ``metric_name``, ``labels`` or ``samples``.
    :param problem: what is wrong with it, with the offending value.
    """

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field


class InvalidConfigurationError(PrometheusSinkError, ValueError):
    """
    A configuration of Prometheus that is not valid, or that this sink cannot carry out.

    :param source: the file, or what else was read.
    :param line: the line, from 1; ``None`` if there is none.
    :param field: the field, such as ``remote_write[0].queue_config.max_shards``; "" if no single one is at fault.
    :param advice: what to change.
    :param words: what Prometheus says; "" if it accepts the configuration.
    """

    def __init__(self, source: str, line: int | None, field: str, advice: str, words: str = "") -> None:
        place = source if line is None else f"{source}, line {line}"
        said = f" (Prometheus: {words})" if words else ""
        text = f"{place}: {field + ': ' if field else ''}{advice}{said}"
        # A key of a mapping may be any text.
        super().__init__("".join(each if each.isprintable() else repr(each)[1:-1] for each in text))
        self.source = source
        self.line = line
        self.field = field
        self.advice = advice
        self.words = words


class SecretError(PrometheusSinkError):
    """A secret that cannot be read or sent; the message says where it is from and what is wrong, never its content."""


class CredentialsUnavailableError(PrometheusSinkError):
    """
    Credentials that are not available at the moment, such as when a token endpoint is down: the request is retried.

    Your own signer may raise it, too. Its message is shown, so it must not hold a secret.

    :param message: one line for a person.
    :param retry_after_s: how many seconds to wait at least; ``None`` leaves that to the sink.
    """

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class RemoteWriteError(PrometheusSinkError):
    """
    A write request that failed.

    :param message: one line for a person.
    :param url: the endpoint, without credentials.
    :param status: the HTTP status; ``None`` if there was no response.
    :param body_excerpt: the beginning of the response body, unchanged.
    :param samples: the number of samples in the request.
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
    """A write request that no retry can save; the message says what to change."""


class RetriesExhaustedError(RemoteWriteError):
    """A write request that failed in a retryable way more often, or for longer, than the retry configuration allows."""
