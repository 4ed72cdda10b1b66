"""Removal of secrets from texts that may echo them."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable
from urllib.parse import quote

#: A shorter secret occurs in too many words to be replaced.
SHORTEST_HIDDEN = 6

#: So much of a secret is hidden anywhere, and less of its beginning only where the text ends.
_LONG = 12

_HIDDEN = "***"
# What follows a text that was cut off, in a message that quotes it.
_AFTER_A_CUT = " .)]}'\""


def redacted(text: str, secrets: Iterable[str]) -> str:
    """
    Return a text with each secret replaced, also where it is escaped for HTML, JSON or URLs, or where it is cut off.

    So is each long part of a secret. Receivers and proxies quote requests in their responses: a query, an Authorization
    header. A broken response may have lost a part of it.
    """
    hidden = sorted({each for each in secrets if len(each) >= SHORTEST_HIDDEN}, key=len, reverse=True)
    forms = [form for secret in hidden for form in _written(secret)]
    for form in forms:
        text = _without_parts(text.replace(form, _HIDDEN), form)
    whole = text.rstrip(_AFTER_A_CUT)
    cut = max((_cut_off(whole, form) for form in forms), default=0)
    return whole[:-cut] + _HIDDEN + text[len(whole) :] if cut else text


def _without_parts(text: str, secret: str) -> str:
    """Return a text without long parts of a secret, whatever is around them."""
    parts = {secret[start : start + _LONG] for start in range(len(secret) - _LONG + 1)}
    kept: list[str] = []
    place = 0
    while place < len(text):
        end = place + _LONG
        if text[place:end] in parts:
            while end < len(text) and text[place : end + 1] in secret:
                end += 1
            kept.append(_HIDDEN)
            place = end
        else:
            kept.append(text[place])
            place += 1
    return "".join(kept)


def _written(secret: str) -> tuple[str, ...]:
    """Return a secret as responses may quote it."""
    quoted = (quote(secret, safe=safe, errors="replace") for safe in ("/", ""))
    return secret, html.escape(secret), json.dumps(secret)[1:-1], *quoted


def _cut_off(text: str, secret: str) -> int:
    """Return how much of a secret's beginning a text ends with, if it is enough to be hidden."""
    longest = min(len(secret) - 1, len(text))
    return next((size for size in range(longest, SHORTEST_HIDDEN - 1, -1) if text.endswith(secret[:size])), 0)
