"""Removal of secrets from texts that may echo them."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable
from itertools import takewhile
from operator import eq
from urllib.parse import quote

#: A shorter secret occurs in too many words to be replaced.
SHORTEST_HIDDEN = 6

#: So much of a secret's beginning is hidden anywhere, and less of it only where the text ends.
_LONG = 12

_HIDDEN = "***"
# What follows a text that was cut off, in a message that quotes it.
_AFTER_A_CUT = " .)]}'\""


def redacted(text: str, secrets: Iterable[str]) -> str:
    """
    Return a text with each secret replaced, also where it is escaped for HTML, JSON or URLs, or where it is cut off.

    Receivers and proxies quote requests in their responses: a query, an Authorization header.
    """
    hidden = sorted({each for each in secrets if len(each) >= SHORTEST_HIDDEN}, key=len, reverse=True)
    forms = [form for secret in hidden for form in _written(secret)]
    for form in forms:
        text = _without_beginnings(text.replace(form, _HIDDEN), form)
    whole = text.rstrip(_AFTER_A_CUT)
    cut = max((_cut_off(whole, form) for form in forms), default=0)
    return whole[:-cut] + _HIDDEN + text[len(whole) :] if cut else text


def _without_beginnings(text: str, secret: str) -> str:
    """Return a text without parts that are a long beginning of a secret, whatever follows them."""
    start = text.find(secret[:_LONG]) if len(secret) > _LONG else -1
    while start >= 0:
        length = len(list(takewhile(bool, map(eq, text[start:], secret))))
        text = text[:start] + _HIDDEN + text[start + length :]
        start = text.find(secret[:_LONG], start)
    return text


def _written(secret: str) -> tuple[str, ...]:
    """Return a secret as responses may quote it."""
    quoted = (quote(secret, safe=safe, errors="replace") for safe in ("/", ""))
    return secret, html.escape(secret), json.dumps(secret)[1:-1], *quoted


def _cut_off(text: str, secret: str) -> int:
    """Return how much of a secret's beginning a text ends with, if it is enough to be hidden."""
    longest = min(len(secret) - 1, len(text))
    return next((size for size in range(longest, SHORTEST_HIDDEN - 1, -1) if text.endswith(secret[:size])), 0)
