"""What a user's signer does to a request, checked before anything of it reaches the HTTP library."""

from __future__ import annotations

import base64
import binascii
import functools
import os
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any

import requests

from pyflink_prometheus.config import header_problem, is_header_name
from pyflink_prometheus.errors import SecretError


class CannotSignError(Exception):
    """Leave the signing of a request: the text says what to do about it, and holds nothing of what was signed."""


def sign(request: requests.PreparedRequest, signer: Any) -> requests.PreparedRequest:
    """
    Return the request as the signer has it.

    :param signer: an ``AuthBase`` of requests, or a function (headers, body) -> headers.
    :raises CannotSignError: if it cannot be sent so. What the signer raised may hold a secret, so nothing of it is
        shown, chained or the new error's context; only where it was raised is said.
    """
    signed: Any
    try:
        signed = signer(request) if isinstance(signer, requests.auth.AuthBase) else _update(request, signer)
        problem = _problem(signed, _name_of(signer))
    except SecretError as error:
        problem = str(error)
    except BaseException as error:  # whatever it is, it belongs to the request, and not to this thread
        problem = (
            f"call the request signer {_name_of(signer)} by itself to see what is wrong: it raised "
            f"{type(error).__name__} {place_of(error.__traceback__)} (its text may hold a secret and is not shown)"
        )
    if problem:
        raise CannotSignError(problem)
    return signed  # type: ignore[no-any-return]


def _problem(signed: Any, name: str) -> str:
    """Say why a request cannot be sent as the signer of that name signed it, "" if it can."""
    if isinstance(signed, _NoHeaders):
        return f"return the headers from the request signer {name}, as a mapping of strings: it returned {signed.kind}"
    if not isinstance(signed, requests.PreparedRequest):
        return f"return the request from the request signer {name}: it returned {_kind(signed)}"
    if not isinstance(signed.url, str):
        return f"leave the request's URL a string in the request signer {name}: it is {_kind(signed.url)}"
    for header, value in signed.headers.items():
        if not is_header_name(header):
            return f"give every header a name of letters, digits and hyphens in the request signer {name}: one has not"
        if not isinstance(value, (str, bytes)):
            return f"give the header {header} a string in the request signer {name}: it is {_kind(value)}"
        problem = header_problem(value.decode("latin-1") if isinstance(value, bytes) else value)
        if problem is not None:
            return f"check what the request signer {name} gives the header {header}: it {problem}"
    return ""


def secrets_of(headers: Mapping[str, Any], before: Mapping[str, Any]) -> Iterator[str]:
    """Give what a signer has put into headers, whole and in parts."""
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
    """Say in which file and line something was raised."""
    if trace is None:
        return "in an unknown place"
    while trace.tb_next is not None:
        trace = trace.tb_next
    return f"in {os.path.basename(trace.tb_frame.f_code.co_filename)}, line {trace.tb_lineno}"


class _NoHeaders:
    """What a function returned that are no headers."""

    def __init__(self, kind: str) -> None:
        self.kind = kind


def _update(request: requests.PreparedRequest, function: Any) -> requests.PreparedRequest | _NoHeaders:
    body = request.body if isinstance(request.body, bytes) else b""
    headers = function(dict(request.headers), body)
    if not isinstance(headers, Mapping):
        return _NoHeaders(_kind(headers))
    if not all(isinstance(name, str) for name in headers):
        return _NoHeaders("one with names that are not strings")
    request.headers.update(headers)
    return request


def _name_of(signer: Any) -> str:
    while isinstance(signer, functools.partial):
        signer = signer.func
    return str(getattr(signer, "__qualname__", None) or type(signer).__qualname__)


def _kind(value: object) -> str:
    return "None" if value is None else f"a {type(value).__name__}"
