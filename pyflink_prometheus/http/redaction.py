"""Removal of secrets from texts that may echo them."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable
from urllib.parse import quote

#: A shorter secret occurs in too many words to be replaced.
SHORTEST_HIDDEN = 6

_HIDDEN = "***"


def redacted(text: str, secrets: Iterable[str]) -> str:
    """
    Return a text with each secret replaced, also where it is escaped for HTML, JSON or URLs.

    Receivers and proxies quote requests in their responses: a query, an Authorization header.
    """
    for secret in sorted({each for each in secrets if len(each) >= SHORTEST_HIDDEN}, key=len, reverse=True):
        quoted = (quote(secret, safe=safe, errors="replace") for safe in ("/", ""))
        for written in (secret, html.escape(secret), json.dumps(secret)[1:-1], *quoted):
            text = text.replace(written, _HIDDEN)
    return text
