"""Where Python's re matches expressions, its results are RE2's."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from relabelling_cases import expressions, texts

from pyflink_prometheus.relabelling.syntax import parse

re2 = pytest.importorskip("re2", reason="needs google-re2, which the extra test has")


@settings(max_examples=300)
@given(expressions(), st.lists(texts, min_size=1, max_size=8))
@example("a$", ["a", "a\n"])
@example(r"\B", ["", "a"])
@example("(?i)k", ["k", "K", "\u212a"])
@example("(?i)[^s]", ["s", "S", "\u017f"])
@example(r"\d", ["1", "٣"])
@example(r"\s", ["\v", " ", "\x85"])
@example(r"(a)|b(?:(c)d|ce)", ["bce", "a", "bcd"])
def test_both_find_the_same_groups(expression, values):
    parsed = parse(expression)
    if parsed.only_re2 is not None:
        return
    ours, theirs = re.compile(parsed.python), re2.compile(parsed.re2)
    for value in values:
        found, expected = ours.search(value), theirs.search(value)
        assert (found is None) == (expected is None), (parsed.python, value)
        if found is not None:
            assert found[0] == expected[0] == value
            for number in set(range(1, len(parsed.names))) - parsed.repeated_groups:
                assert found[number] == expected[number], (parsed.python, value, number)
