"""One POST on a kept-alive connection, and its outcome; never a second attempt."""

from __future__ import annotations

import logging
import re
import ssl
import time
from collections.abc import Mapping
from typing import Any, Callable, Protocol

import requests
import urllib3

from pyflink_prometheus.config import SinkConfig
from pyflink_prometheus.http.outcome import Kind, Outcome, classify

_BODY_LIMIT = 8 * 1024  # of an answer's body: enough for any receiver's words, whatever it sends
_log = logging.getLogger(__name__)


class Transport(Protocol):
    """Make exactly one attempt to deliver a request body; one instance is used by one thread at a time."""

    def post(self, body: bytes, headers: Mapping[str, str]) -> Outcome:
        """Send the body and return what came of it; raises nothing that a network or a receiver can cause."""

    def close(self) -> None:
        """Let go of the connection."""


class RequestsTransport:
    """
    Deliver through a requests session of its own.

    Redirects are not followed, answers are read up to a limit, proxies and certificates come from the environment as
    in any program that uses requests, and credentials only from the URL or the signer (never from a .netrc).

    :param config: url, timeouts, headers and signer are read from it.
    """

    def __init__(self, config: SinkConfig, clock_time: Callable[[], float] = time.time) -> None:
        self._url = config.prometheus_remote_write_url
        self._shown_url = config.url_without_credentials
        self._timeout_s = config.socket_timeout_ms / 1000
        self._time = clock_time
        self._session = requests.Session()
        # Asked once: on every request it would cost more than the rest of it.
        self._environment = self._session.merge_environment_settings(self._url, {}, True, None, None)
        self._session.trust_env = False
        self._session.headers.clear()
        self._user_agent = {"User-Agent": config.http_user_agent}
        self._session.headers.update({**config.http_headers, **self._user_agent})
        if config.request_signer is not None:
            self._session.auth = _as_auth(config.request_signer)

    def post(self, body: bytes, headers: Mapping[str, str]) -> Outcome:
        """Send the body; the timeout bounds connecting and each wait for bytes of the answer."""
        try:
            request = self._session.prepare_request(requests.Request("POST", self._url, dict(headers), data=body))
            request.headers.update({**headers, **self._user_agent})  # which no signer may have replaced
            response = self._session.send(
                request, timeout=(self._timeout_s, self._timeout_s), allow_redirects=False, **self._environment
            )
        except requests.RequestException as error:
            return self._classify_exception(error)
        with response:
            excerpt = _read_excerpt(response, time.monotonic() + self._timeout_s)
            return classify(response.status_code, excerpt, response.headers, self._time())

    def close(self) -> None:
        """Close the session."""
        self._session.close()

    def _classify_exception(self, error: requests.RequestException) -> Outcome:
        # Most specific first: SSLError and ConnectTimeout are ConnectionErrors, too.
        cause = _innermost(error)
        if isinstance(cause, ssl.SSLCertVerificationError):
            return Outcome(
                Kind.FATAL,
                f"the certificate of {self._shown_url} was not accepted ({cause.verify_message}); if it is from an "
                "authority of your own, name that one's certificate file in REQUESTS_CA_BUNDLE on the workers",
            )
        if isinstance(error, requests.exceptions.ConnectTimeout):
            return Outcome(Kind.RETRYABLE, f"no connection within {self._timeout_s:g} s")
        if isinstance(error, requests.exceptions.Timeout):
            return Outcome(Kind.RETRYABLE, f"no answer within {self._timeout_s:g} s")
        if isinstance(error, (requests.exceptions.InvalidURL, requests.exceptions.InvalidHeader)):
            return Outcome(Kind.FATAL, f"the request cannot be made: {_shown(cause)}")
        return Outcome(Kind.RETRYABLE, f"the connection failed: {_shown(cause)}")


class _FunctionAuth(requests.auth.AuthBase):
    """Let a plain function (headers, body) -> headers sign each attempt."""

    def __init__(self, sign: Callable[[Mapping[str, str], bytes], Mapping[str, str]]) -> None:
        self._sign = sign

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        body = request.body if isinstance(request.body, bytes) else b""
        request.headers.update(self._sign(dict(request.headers), body))
        return request


def _as_auth(signer: Any) -> requests.auth.AuthBase:
    return signer if isinstance(signer, requests.auth.AuthBase) else _FunctionAuth(signer)


def _read_excerpt(response: requests.Response, deadline: float) -> str:
    """
    Read what an answer says, up to a limit of bytes and of time; cut short, it has said its status already.

    Byte by byte, because a larger read waits for all of it, and a receiver may send one byte at a time.
    """
    content = bytearray()
    try:
        while byte := response.raw.read(1):
            content += byte
            if len(content) >= _BODY_LIMIT or time.monotonic() > deadline:
                response.raw.close()  # give up the connection rather than the time
                break
    except (urllib3.exceptions.HTTPError, OSError) as error:
        _log.debug("the answer's body broke off: %r", error)
    return content.decode("utf-8", errors="replace")


def _innermost(error: BaseException) -> BaseException:
    """Unwrap what requests and urllib3 put around the reason; they quote the whole URL, secrets and all."""
    while True:
        inner = next(
            (each for each in (getattr(error, "reason", None), *error.args) if isinstance(each, BaseException)), None
        )
        if inner is None:
            return error
        error = inner


def _shown(cause: BaseException) -> str:
    # urllib3 begins its texts with the connection's repr.
    return re.sub(r"^<[^>]*>: ", "", str(cause)) or type(cause).__name__
