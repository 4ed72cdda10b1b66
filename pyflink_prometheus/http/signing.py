"""Signing of requests by the user's signer, with a check of its result before it reaches the HTTP library."""

from __future__ import annotations

import base64
import binascii
import functools
import os
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any

import requests

from pyflink_prometheus.config import header_problem, is_header_name
from pyflink_prometheus.errors import CredentialsUnavailableError, SecretError
from pyflink_prometheus.http.auth.signer import Signer
from pyflink_prometheus.http.outcome import Kind, Outcome


class CannotSignError(Exception):
    """A request that cannot be signed; the message says what to do and shows nothing of the request."""

    def __init__(self, message: str, *, kind: Kind = Kind.FATAL, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        #: The outcome of the attempt.
        self.outcome = Outcome(kind, message, retry_after_s=retry_after_s, unsigned=True)


def sign(request: requests.PreparedRequest, signer: Any) -> requests.PreparedRequest:
    """
    Return the signed request.

    :param signer: an ``AuthBase`` of requests, or a function (headers, body) -> headers.
    :raises CannotSignError: if the signer fails or its request cannot be sent. The signer's exception may hold a
        secret, so only its type and place are shown, and it is neither the cause nor the context of this error.
    """
    signed: Any = _guarded(signer, lambda: signer(request) if _is_auth(signer) else _call(signer, request))
    problem = _problem(signed, _name_of(signer))
    if problem:
        raise CannotSignError(problem)
    return signed  # type: ignore[no-any-return]


def renews(signer: Any, request: requests.PreparedRequest, status: int) -> bool:
    """
    Return whether to sign and resend a refused request, because the signer has or obtains different credentials.

    :param signer: any signer; only this package's own signers are asked.
    :param request: the request as it was signed.
    :param status: the receiver's status.
    :raises CannotSignError: if the signer fails.
    """
    return isinstance(signer, Signer) and bool(_guarded(signer, lambda: signer.renew(request, status)))


def _guarded(signer: Any, action: Callable[[], Any]) -> Any:
    """
    Return what a signer returns.

    :raises CannotSignError: if it raises. Its exception is neither the cause nor the context of this error.
    """
    kind, retry_after_s = Kind.FATAL, None
    try:
        return action()
    except CredentialsUnavailableError as error:
        kind, retry_after_s, problem = Kind.RETRYABLE, error.retry_after_s, str(error)
    except SecretError as error:
        problem = str(error)
    except BaseException as error:  # whatever it is, it concerns the request, not this thread
        problem = (
            f"call the request signer {_name_of(signer)} on its own to see the error: it raised "
            f"{type(error).__name__} {place_of(error.__traceback__)} (its text may hold a secret and is not shown)"
        )
    raise CannotSignError(problem, kind=kind, retry_after_s=retry_after_s)


def _problem(signed: Any, name: str) -> str:
    """Return why a signed request cannot be sent, "" if it can."""
    if isinstance(signed, _NotHeaders):
        return f"return the headers from the request signer {name}, as a mapping of strings: it returned {signed.kind}"
    if not isinstance(signed, requests.PreparedRequest):
        return f"return the request from the request signer {name}: it returned {_kind(signed)}"
    if not isinstance(signed.url, str):
        return f"keep the request's URL a string in the request signer {name}: it is {_kind(signed.url)}"
    for header, value in signed.headers.items():
        if not is_header_name(header):
            return f"use letters, digits and hyphens for header names in the request signer {name}: one is not valid"
        if not isinstance(value, (str, bytes)):
            return f"set the header {header} to a string in the request signer {name}: it is {_kind(value)}"
        problem = header_problem(value.decode("latin-1") if isinstance(value, bytes) else value)
        if problem is not None:
            return f"check the value that the request signer {name} gives the header {header}: it {problem}"
    return ""


def secrets_of(headers: Mapping[str, Any], before: Mapping[str, Any]) -> Iterator[str]:
    """Yield the header values that a signer has set, whole and in parts."""
    for name, value in headers.items():
        text = value.decode("latin-1") if isinstance(value, bytes) else value
        if text == before.get(name):
            continue
        yield text
        scheme, _, credentials = text.partition(" ")
        yield credentials
        if scheme == "Basic":
            try:
                pair = base64.b64decode(credentials).decode("utf-8", errors="replace")
            except binascii.Error:
                continue
            username, _, password = pair.partition(":")
            yield pair
            yield password or username


def place_of(trace: TracebackType | None) -> str:
    """Return the file and line where something was raised."""
    if trace is None:
        return "in an unknown place"
    while trace.tb_next is not None:
        trace = trace.tb_next
    return f"in {os.path.basename(trace.tb_frame.f_code.co_filename)}, line {trace.tb_lineno}"


class _NotHeaders:
    """A signing function's return value that is not a mapping of headers."""

    def __init__(self, kind: str) -> None:
        self.kind = kind


def _is_auth(signer: Any) -> bool:
    return isinstance(signer, requests.auth.AuthBase)


def _call(function: Any, request: requests.PreparedRequest) -> requests.PreparedRequest | _NotHeaders:
    body = request.body if isinstance(request.body, bytes) else b""
    headers = function(dict(request.headers), body)
    if not isinstance(headers, Mapping):
        return _NotHeaders(_kind(headers))
    if not all(isinstance(name, str) for name in headers):
        return _NotHeaders("a mapping with names that are not strings")
    request.headers.update(headers)
    return request


def _name_of(signer: Any) -> str:
    while isinstance(signer, functools.partial):
        signer = signer.func
    return str(getattr(signer, "__qualname__", None) or type(signer).__qualname__)


def _kind(value: object) -> str:
    return "None" if value is None else f"a {type(value).__name__}"
