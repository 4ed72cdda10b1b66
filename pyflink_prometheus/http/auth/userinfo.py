"""User name and password, in a URL and in an Authorization header."""

from __future__ import annotations

import base64
from urllib.parse import unquote_to_bytes, urlsplit, urlunsplit


def basic_credentials(username: bytes, password: bytes) -> str:
    """Return the value of an Authorization header (RFC 7617)."""
    return "Basic " + base64.b64encode(username + b":" + password).decode("ascii")


def split_userinfo(url: str) -> tuple[str, bytes | None, bytes]:
    """
    Return a URL without user and password, the user (``None`` if the URL has none), and the password.

    Both may be percent-encoded in the URL; non-ASCII characters become UTF-8, as in browsers.
    """
    parts = urlsplit(url)
    userinfo, at, host = parts.netloc.rpartition("@")
    username, _, password = userinfo.partition(":")
    without = urlunsplit(parts._replace(netloc=host))
    return without, unquote_to_bytes(username) if at else None, unquote_to_bytes(password)
