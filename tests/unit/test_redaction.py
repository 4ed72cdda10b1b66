"""Secrets in texts from elsewhere."""

from __future__ import annotations

import pytest

from pyflink_prometheus.http.redaction import redacted

SECRET = "s3cret/of&mine"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"bad token {SECRET}, sorry", "bad token ***, sorry"),
        ("bad token s3cret/of&amp;mine", "bad token ***"),
        ("bad token s3cret%2Fof%26mine", "bad token ***"),
        (f"bad token {SECRET[:-1]}", "bad token ***"),
        (f"bad token {SECRET[:6]}", "bad token ***"),
        (f"bad token {SECRET[:5]}", "bad token s3cre"),  # too short: many words contain it
        (f"(HTTP 401: bad token {SECRET[:9]}...)", "(HTTP 401: bad token ***...)"),
        ("bad token s3cret%2Fof%2", "bad token ***"),
        (f"token {SECRET[:12]}... is bad", "token ***... is bad"),
        (f"token {SECRET[:13]}\x7f, {SECRET[:12]} and {SECRET}", "token ***\x7f, *** and ***"),
        (f"token {SECRET[:11]}, sorry", f"token {SECRET[:11]}, sorry"),  # too short as well: other words may contain it
        (f"token \ufffd{SECRET[1:13]}\x7f", "token \ufffd***\x7f"),
        ("no token", "no token"),
        ("", ""),
        ("...", "..."),
    ],
)
def test_a_secret_is_hidden_also_where_the_text_is_cut_off(text, shown):
    assert redacted(text, [SECRET, ""]) == shown
