"""The outcome of one POST, decided in one place from a status or from the absence of any."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import NamedTuple


class Kind(Enum):
    """What the sender does next."""

    #: Count the samples as written.
    ACCEPTED = "accepted"
    #: Send the same request again, later.
    RETRYABLE = "retryable"
    #: Send the same samples in smaller requests.
    TOO_LARGE = "too large"
    #: Send the same samples in the other version of the protocol.
    UNSUPPORTED = "unsupported"
    #: Some of the samples are at fault: find them, and never send them again.
    REJECTED = "rejected"
    #: The request itself is at fault, whatever samples it holds: fail the job.
    FATAL = "fatal"


class Written(NamedTuple):
    """
    How much of a 2.0 request the receiver says that it has written ("Required Written Response Headers").

    A header that is missing among others means that nothing of its kind was written.
    """

    samples: int = 0
    histograms: int = 0
    exemplars: int = 0


@dataclass(frozen=True)
class Outcome:
    """
    The outcome of one POST.

    :param kind: what to do about it.
    :param message: one line for a person, without secrets: advice where there is any, then what happened, with up to
        1000 characters of the receiver's words.
    :param status: the HTTP status, ``None`` where no response came.
    :param body_excerpt: the beginning of the response, as it came. Never interpreted: "Senders MUST NOT" read meaning
        into it (Remote-Write 2.0, "Invalid samples").
    :param retry_after_s: what the receiver asked for in Retry-After, in seconds.
    :param written: what the receiver says that it has written; ``None`` where it does not say. It means something
        only in the response to a 2.0 request.
    :param timed_out: whether there was a connection, but no complete response in time.
    """

    kind: Kind
    message: str
    status: int | None = None
    body_excerpt: str = ""
    retry_after_s: float | None = None
    written: Written | None = None
    timed_out: bool = False


# Enough of the receiver's words to see what is meant ("Senders ... SHOULD log it as is").
_LONGEST_SHOWN = 1000

_WRITTEN_KINDS = ("Samples", "Histograms", "Exemplars")

# At these a single sample can be at fault. 409 is Thanos's, 422 is what some gateways make of 400.
_SAMPLES_AT_FAULT = (400, 409, 422)
# 408 and 425 speak of the moment, not of the request: GreptimeDB answers 408 under load. The specifications forbid to
# retry 4xx so that malformed data does not come back forever; what is not malformed would be lost by that rule.
_RETRYABLE_4XX = (408, 425, 429)

_ADVICE = {
    401: "the receiver wants credentials: give them with set_request_signer",
    403: "the credentials may not write here: check them and the receiver's access rules",
    404: "nothing receives at this URL: check its path (/api/v1/write on Prometheus) and start Prometheus with "
    "--web.enable-remote-write-receiver",
    405: "this URL does not accept POST, so it is not a Remote-Write receiver: check its path",
    407: "a proxy on the way wants credentials: put them into the proxy's URL (HTTP_PROXY, HTTPS_PROXY) on the workers",
    411: "something on the way wants another kind of HTTP request: check the URL and the proxies on the way",
    421: "the server does not serve this host name: check the URL's host and the proxies on the way",
    426: "the server wants another protocol: check whether the URL must begin with https://",
    431: "the request's headers are too large: check set_http_headers and the length of the token",
}
_GENERIC_ADVICE = (
    "the endpoint refuses the request itself, whatever samples it holds: check the URL, the credentials and the "
    "proxies on the way"
)
_REDIRECT_ADVICE = "the sink does not follow redirects, which can turn a POST into a GET: use the URL that it points to"
_WEB_PAGE_ADVICE = (
    "the URL returns a web page, so it is not a Remote-Write receiver, or a login page stands in front of one: check "
    "its path and the credentials"
)


def classify(status: int, body_excerpt: str, headers: Mapping[str, str], now_s: float) -> Outcome:
    """
    Return the outcome that a response means. Pure.

    :param headers: the response's, found by their names in any case.
    :param now_s: seconds since 1970, to subtract from an HTTP date.
    """
    outcome = classify_status(status, body_excerpt, headers.get("Retry-After"), headers.get("Location"), now_s)
    is_html = headers.get("Content-Type", "").lower().startswith("text/html")
    if outcome.kind is Kind.ACCEPTED and is_html and body_excerpt:  # some frameworks call no body at all HTML
        return Outcome(Kind.FATAL, _with_words(_WEB_PAGE_ADVICE, status, body_excerpt), status, body_excerpt)
    return replace(outcome, written=parse_written(headers))


def classify_status(
    status: int, body_excerpt: str = "", retry_after: str | None = None, location: str | None = None, now_s: float = 0.0
) -> Outcome:
    """
    Return the outcome that a status means (Remote-Write 1.0 "Retries & Backoff", 2.0 "Response").

    Pure. 2xx is accepted; 408, 425, 429 and 5xx are retryable; 413 asks for smaller requests and 415 for another
    version; 400, 409 and 422 are the receiver's last word on some of the samples. Every other status is about the
    request itself, and fatal: no sample can cause it, and dropping samples would not end it.

    :param retry_after: the header of that name: seconds or an HTTP date.
    :param location: the header of that name.
    :param now_s: seconds since 1970, to subtract from an HTTP date.
    """
    plain = _with_words("", status, body_excerpt)
    if 200 <= status < 300:
        return Outcome(Kind.ACCEPTED, f"HTTP {status}", status, body_excerpt)
    if status in _RETRYABLE_4XX or 500 <= status < 600:
        return Outcome(Kind.RETRYABLE, plain, status, body_excerpt, parse_retry_after(retry_after, now_s))
    if status == 413:
        return Outcome(Kind.TOO_LARGE, plain, status, body_excerpt)
    if status == 415:
        return Outcome(Kind.UNSUPPORTED, plain, status, body_excerpt)
    if status in _SAMPLES_AT_FAULT:
        return Outcome(Kind.REJECTED, plain, status, body_excerpt)
    if 300 <= status < 400:
        target = f" to {one_line(location)}" if location else ""
        return Outcome(Kind.FATAL, f"{_REDIRECT_ADVICE} (HTTP {status}{target})", status, body_excerpt)
    advice = _ADVICE.get(status, _GENERIC_ADVICE)
    return Outcome(Kind.FATAL, _with_words(advice, status, body_excerpt), status, body_excerpt)


def parse_written(headers: Mapping[str, str]) -> Written | None:
    """Return what the three headers say, ``None`` if none of them says anything."""
    said = [headers.get(f"X-Prometheus-Remote-Write-{kind}-Written", "").strip() for kind in _WRITTEN_KINDS]
    numbers = [int(text) if text.isascii() and text.isdigit() else None for text in said]
    return None if all(number is None for number in numbers) else Written(*[number or 0 for number in numbers])


def parse_retry_after(header: str | None, now_s: float) -> float | None:
    """
    Return the seconds that a Retry-After header asks for (RFC 9110, 10.2.3), ``None`` where it makes no sense.

    :param now_s: seconds since 1970.
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
    """Return someone's words on one line of bounded length: line breaks folded, tags of a web page left out."""
    if re.search(r"<(!doctype|html|head|body)\b", text, re.IGNORECASE):
        text = " ".join(re.sub(r"(?is)<(script|style)\b.*?(</\1>|$)|<[^>]*(>|$)", " ", text).split())
    # Blanks within a line stay as they are, but for those of a line that was broken.
    folded = " ".join(line.strip() for line in text.splitlines() if line.strip())
    folded = "".join(each if each.isprintable() or each == "\t" else repr(each)[1:-1] for each in folded)
    return folded if len(folded) <= _LONGEST_SHOWN else folded[: _LONGEST_SHOWN - 3] + "..."


def _with_words(advice: str, status: int, body_excerpt: str) -> str:
    words = one_line(body_excerpt)
    what = f"HTTP {status}: {words}" if words else f"HTTP {status}"
    return f"{advice} ({what})" if advice else what
