"""What became of one POST, decided in one place from a status or from the absence of any."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import NamedTuple


class Kind(Enum):
    """Say what the sender does next."""

    ACCEPTED = "accepted"
    RETRYABLE = "retryable"
    TOO_LARGE = "too large"
    REJECTED = "rejected"
    FATAL = "fatal"


class Written(NamedTuple):
    """
    Hold how much of a 2.0 request the receiver says that it has written ("Required Written Response Headers").

    A header that is missing among others means that nothing of its kind was written.
    """

    samples: int = 0
    histograms: int = 0
    exemplars: int = 0


@dataclass(frozen=True)
class Outcome:
    """
    Hold what one POST came to.

    :param kind: what to do about it.
    :param message: for a person, without secrets: what happened, with the receiver's words as they are, up to 1000
        characters.
    :param status: the HTTP status, ``None`` where no answer came.
    :param body_excerpt: the beginning of the answer, as it came. Never interpreted: "Senders MUST NOT" read meaning
        into it (Remote-Write 2.0, "Invalid samples").
    :param retry_after_s: what the receiver asked for in Retry-After, in seconds.
    :param written: what the receiver says that it has written; ``None`` where it says nothing of it. It means something
        only in answer to a 2.0 request.
    :param timed_out: whether no complete answer came in time, although there was a connection.
    """

    kind: Kind
    message: str
    status: int | None = None
    body_excerpt: str = ""
    retry_after_s: float | None = None
    written: Written | None = None
    timed_out: bool = False


# Of the receiver's words, which are shown as they are ("Senders ... SHOULD log it as is"): enough to see what is meant.
_LONGEST_SHOWN = 1000

_WRITTEN_KINDS = ("Samples", "Histograms", "Exemplars")

_ADVICE = {
    401: "the receiver wants credentials: give them with set_request_signer",
    403: "the credentials may not write here: check them and the receiver's access rules",
    404: "nothing receives at this URL: check its path (/api/v1/write on Prometheus) and start Prometheus with "
    "--web.enable-remote-write-receiver",
    405: "this URL does not take POST: it is no Remote-Write receiver, check its path",
}
_REDIRECT_ADVICE = "the sink follows no redirects, because they can turn a POST into a GET: use the URL it points at"


def classify(status: int, body_excerpt: str, headers: Mapping[str, str], now_s: float) -> Outcome:
    """
    Return the outcome that an answer means. Pure.

    :param headers: the answer's, found by their names in any case.
    :param now_s: seconds since 1970, to subtract from an HTTP date.
    """
    outcome = classify_status(status, body_excerpt, headers.get("Retry-After"), headers.get("Location"), now_s)
    return replace(outcome, written=parse_written(headers))


def classify_status(
    status: int, body_excerpt: str = "", retry_after: str | None = None, location: str | None = None, now_s: float = 0.0
) -> Outcome:
    """
    Return the outcome that a status means (Remote-Write 1.0 "Retries & Backoff", 2.0 "Response").

    Pure. 2xx is accepted; 429 and 5xx are retryable; 413 asks for smaller requests; what needs another configuration is
    fatal (401, 403, 404, 405 and redirects); any other 4xx is the receiver's last word on these samples.

    :param retry_after: the header of that name: seconds or an HTTP date.
    :param location: the header of that name.
    :param now_s: seconds since 1970, to subtract from an HTTP date.
    """
    said = f": {_cut(body_excerpt.strip())}" if body_excerpt.strip() else ""
    if 200 <= status < 300:
        return Outcome(Kind.ACCEPTED, f"HTTP {status}", status, body_excerpt)
    if status == 429 or status >= 500:
        wait_s = parse_retry_after(retry_after, now_s)
        return Outcome(Kind.RETRYABLE, f"HTTP {status}{said}", status, body_excerpt, wait_s)
    if status in _ADVICE:
        return Outcome(Kind.FATAL, f"HTTP {status}{said}; {_ADVICE[status]}", status, body_excerpt)
    if 300 <= status < 400:
        target = f" to {location}" if location else ""
        return Outcome(Kind.FATAL, f"HTTP {status}{target}; {_REDIRECT_ADVICE}", status, body_excerpt)
    if status == 413:
        return Outcome(Kind.TOO_LARGE, f"HTTP {status}{said}", status, body_excerpt)
    if 400 <= status < 500:
        return Outcome(Kind.REJECTED, f"HTTP {status}{said}", status, body_excerpt)
    return Outcome(Kind.FATAL, f"HTTP {status} is no answer to a POST; check the URL", status, body_excerpt)


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


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 3] + "..."
