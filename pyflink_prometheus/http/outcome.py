"""The outcome of one POST, classified in one place by its status or the lack of one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import NamedTuple


class Kind(Enum):
    """The kind of an outcome, which decides what the sender does next."""

    #: Count the samples as written.
    ACCEPTED = "accepted"
    #: Retry the same request later.
    RETRYABLE = "retryable"
    #: Send the same samples in smaller requests.
    TOO_LARGE = "too large"
    #: Send the same samples in the other version of the protocol.
    UNSUPPORTED = "unsupported"
    #: Some of the samples are at fault: find them and do not retry them.
    REFUSED = "refused"
    #: The request itself is at fault, whatever its samples: fail the job.
    FATAL = "fatal"


class Written(NamedTuple):
    """
    The counts in the Written headers of a response to a 2.0 request ("Required Written Response Headers").

    If only some of the headers are present, a missing one means 0.
    """

    samples: int = 0
    histograms: int = 0
    exemplars: int = 0


@dataclass(frozen=True)
class Outcome:
    """
    The outcome of one POST.

    :param kind: what the sender does next.
    :param message: one line for people, without secrets: advice if there is any, then what happened, with up to 1000
        characters of the response body.
    :param status: the HTTP status; ``None`` if there was no response.
    :param body_excerpt: the beginning of the response body, unchanged. Never interpreted: Remote-Write 2.0 forbids that
        ("Senders MUST NOT", in "Invalid samples").
    :param retry_after_s: the Retry-After header, in seconds.
    :param written: the counts in the Written headers; ``None`` if there are none. Meaningful only for a 2.0 request.
    :param timed_out: whether there was a connection, but no complete response in time.
    :param unsigned: whether nothing was sent, because there were no credentials to sign the request with.
    """

    kind: Kind
    message: str
    status: int | None = None
    body_excerpt: str = ""
    retry_after_s: float | None = None
    written: Written | None = None
    timed_out: bool = False
    unsigned: bool = False


# Enough of the response body to understand it ("Senders ... SHOULD log it as is").
_LONGEST_SHOWN = 1000

_WRITTEN_KINDS = ("Samples", "Histograms", "Exemplars")
# A 64-bit count; Python refuses to parse an integer of thousands of digits.
_COUNT = re.compile(r"[0-9]{1,19}")

# A single sample can cause these. Thanos uses 409; some gateways turn 400 into 422.
_SAMPLES_AT_FAULT = (400, 409, 422)
# 408 and 425 are about the moment, not the request: GreptimeDB responds with 408 under load. The specifications forbid
# retries of 4xx so that malformed data is not sent forever; here, that rule would lose data that is not malformed.
_RETRYABLE_4XX = (408, 425, 429)

_ADVICE = {
    401: "the receiver requires credentials, or different ones: set them with set_request_signer",
    403: "the credentials have no permission to write: check them and the receiver's access rules",
    404: "there is no receiver at this URL: check its path (/api/v1/write on Prometheus) and start Prometheus with "
    "--web.enable-remote-write-receiver",
    405: "this URL does not accept POST, so it is not a Remote-Write receiver: check its path",
    407: "a proxy requires credentials: put them into the proxy's URL (HTTP_PROXY, HTTPS_PROXY) on the workers",
    411: "a server or proxy requires a different kind of HTTP request: check the URL and the proxies",
    421: "the server does not serve this host name: check the URL's host and the proxies",
    426: "the server requires a different protocol: check whether the URL must begin with https://",
    431: "the request's headers are too large: check set_http_headers and the length of the token",
}
_GENERIC_ADVICE = (
    "the endpoint refuses the request itself, whatever its samples: check the URL, the credentials and the proxies"
)
_REDIRECT_ADVICE = "the sink does not follow redirects, which can turn a POST into a GET: set the URL it redirects to"
_WEB_PAGE_ADVICE = (
    "the URL returns a web page, so it is not a Remote-Write receiver, or it is behind a login page: check its path "
    "and the credentials"
)


def classify(status: int, body_excerpt: str, headers: Mapping[str, str], now_s: float) -> Outcome:
    """
    Classify a response. Pure.

    :param headers: the headers of the response, in a mapping that ignores the case of names.
    :param now_s: the time in seconds since 1970, for a Retry-After header with a date.
    """
    outcome = classify_status(status, body_excerpt, headers.get("Retry-After"), headers.get("Location"), now_s)
    is_html = headers.get("Content-Type", "").lower().startswith("text/html")
    if outcome.kind is Kind.ACCEPTED and is_html and body_excerpt:  # some frameworks label an empty body as HTML
        return Outcome(Kind.FATAL, _with_words(_WEB_PAGE_ADVICE, status, body_excerpt), status, body_excerpt)
    return replace(outcome, written=parse_written(headers))


def classify_status(
    status: int, body_excerpt: str = "", retry_after: str | None = None, location: str | None = None, now_s: float = 0.0
) -> Outcome:
    """
    Classify a status (Remote-Write 1.0 "Retries & Backoff", 2.0 "Response").

    Pure. 2xx is accepted; 408, 425, 429 and 5xx are retryable; 413 asks for smaller requests and 415 for the other
    version; 400, 409 and 422 refuse some of the samples for good. Every other status concerns the request itself and is
    fatal: no sample can cause it, and dropping samples would not help.

    :param retry_after: the Retry-After header: seconds or an HTTP date.
    :param location: the Location header.
    :param now_s: the time in seconds since 1970, for a Retry-After header with a date.
    """
    plain = _with_words("", status, body_excerpt)
    if 200 <= status < 300:
        return Outcome(Kind.ACCEPTED, f"HTTP {status}", status, body_excerpt)
    if is_retryable(status):
        return Outcome(Kind.RETRYABLE, plain, status, body_excerpt, parse_retry_after(retry_after, now_s))
    if status == 413:
        return Outcome(Kind.TOO_LARGE, plain, status, body_excerpt)
    if status == 415:
        return Outcome(Kind.UNSUPPORTED, plain, status, body_excerpt)
    if status in _SAMPLES_AT_FAULT:
        return Outcome(Kind.REFUSED, plain, status, body_excerpt)
    if 300 <= status < 400:
        target = f" to {one_line(location)}" if location else ""
        return Outcome(Kind.FATAL, f"{_REDIRECT_ADVICE} (HTTP {status}{target})", status, body_excerpt)
    advice = _ADVICE.get(status, _GENERIC_ADVICE)
    return Outcome(Kind.FATAL, _with_words(advice, status, body_excerpt), status, body_excerpt)


def is_retryable(status: int) -> bool:
    """Return whether a status is temporary, so that the same request may be accepted later."""
    return status in _RETRYABLE_4XX or 500 <= status < 600


def parse_written(headers: Mapping[str, str]) -> Written | None:
    """Return the counts of the three Written headers, ``None`` if none of them holds a number."""
    texts = [headers.get(f"X-Prometheus-Remote-Write-{kind}-Written", "").strip() for kind in _WRITTEN_KINDS]
    numbers = [int(text) if _COUNT.fullmatch(text) else None for text in texts]
    return None if all(number is None for number in numbers) else Written(*[number or 0 for number in numbers])


def parse_retry_after(header: str | None, now_s: float) -> float | None:
    """
    Return the seconds that a Retry-After header asks for (RFC 9110, 10.2.3), ``None`` if it is not valid.

    :param now_s: the time in seconds since 1970.
    """
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now_s)
    except (TypeError, ValueError, OverflowError):
        return None


def one_line(text: str) -> str:
    """Return text on one line of bounded length, without line breaks and without the tags of a web page."""
    if re.search(r"<(!doctype|html|head|body)\b", text, re.IGNORECASE):
        text = " ".join(re.sub(r"(?is)<(script|style)\b.*?(</\1>|$)|<[^>]*(>|$)", " ", text).split())
    # Spaces within a line are kept, spaces around a line break are not.
    folded = " ".join(line.strip() for line in text.splitlines() if line.strip())
    folded = "".join(each if each.isprintable() or each == "\t" else repr(each)[1:-1] for each in folded)
    return folded if len(folded) <= _LONGEST_SHOWN else folded[: _LONGEST_SHOWN - 3] + "..."


def _with_words(advice: str, status: int, body_excerpt: str) -> str:
    words = one_line(body_excerpt)
    what = f"HTTP {status}: {words}" if words else f"HTTP {status}"
    return f"{advice} ({what})" if advice else what
