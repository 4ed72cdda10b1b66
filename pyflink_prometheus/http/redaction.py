"""Texts from elsewhere without the secrets that they may echo."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable
from urllib.parse import quote

#: What is shorter is part of too many words to be taken out of a text.
SHORTEST_HIDDEN = 6

_HIDDEN = "***"


def redacted(text: str, secrets: Iterable[str]) -> str:
    """
    Return a text with each secret in it replaced, as it is and as HTML, JSON and URLs write it.

    Receivers, and what stands before them, quote requests in their answers: a query, an Authorization header.
    """
    for secret in sorted({each for each in secrets if len(each) >= SHORTEST_HIDDEN}, key=len, reverse=True):
        quoted = (quote(secret, safe=safe, errors="replace") for safe in ("/", ""))
        for written in (secret, html.escape(secret), json.dumps(secret)[1:-1], *quoted):
            text = text.replace(written, _HIDDEN)
    return text
