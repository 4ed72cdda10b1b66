"""Removal of secrets from texts that may echo them."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable
from urllib.parse import quote

#: A shorter secret is not replaced: it would match too many words.
SHORTEST_HIDDEN = 6

#: Parts of a secret of this length are hidden anywhere; shorter beginnings only at the end of the text.
_LONG = 12

_HIDDEN = "***"
# The characters that follow a cut-off text in a message that quotes it.
_AFTER_A_CUT = " .)]}'\""


def redacted(text: str, secrets: Iterable[str]) -> str:
    """
    Return a text with each secret replaced, even if it is escaped for HTML, JSON or URLs, or cut off.

    Long parts of a secret are replaced as well. Receivers and proxies quote requests in their responses, such as a
    query or an Authorization header, and a broken response may have lost a part of the quotation.
    """
    hidden = sorted({each for each in secrets if len(each) >= SHORTEST_HIDDEN}, key=len, reverse=True)
    forms = [form for secret in hidden for form in _written(secret)]
    for form in forms:
        text = _without_parts(text.replace(form, _HIDDEN), form)
    whole = text.rstrip(_AFTER_A_CUT)
    cut = max((_cut_off(whole, form) for form in forms), default=0)
    return whole[:-cut] + _HIDDEN + text[len(whole) :] if cut else text


def _without_parts(text: str, secret: str) -> str:
    """Return a text without long parts of a secret, whatever surrounds them."""
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
    """Return how much of a secret's beginning a text ends with, if it is long enough to be hidden."""
    longest = min(len(secret) - 1, len(text))
    return next((size for size in range(longest, SHORTEST_HIDDEN - 1, -1) if text.endswith(secret[:size])), 0)
