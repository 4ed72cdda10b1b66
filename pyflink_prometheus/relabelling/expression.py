"""The regular expressions of rules, matched by RE2 if it is installed, else by Python's ``re`` where both agree."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from pyflink_prometheus.relabelling.syntax import Parsed, RegexSyntaxError

INSTALL = "pip install 'pyflink-prometheus[re2]'"

_MEMORY = 64 << 20


class NeedsRe2(Exception):  # noqa: N818  (the caller turns it into an error)
    """An expression that Python's ``re`` cannot match as RE2 does; the message names the part at fault."""


@dataclass(frozen=True)
class Expression:
    """
    A compiled expression.

    :param text: as the user wrote it.
    :param names: the name of each group, ``""`` if it has none; the first is the whole match.
    :param search: returns a match of the whole text, or ``None``.
    """

    text: str
    names: tuple[str, ...]
    search: Callable[[str], Any]

    def matches(self, text: str) -> bool:
        """Return whether the expression matches the whole text."""
        return self.search(text) is not None

    def groups(self, text: str) -> tuple[str | None, ...] | None:
        """Return the groups of a match of the whole text, the match itself first; ``None`` if there is none."""
        found = self.search(text)
        return None if found is None else (found[0], *found.groups())


def compiled(text: str, parsed: Parsed, used_groups: Collection[int] = ()) -> Expression:
    """
    Compile an expression.

    :param text: the expression, without anchors.
    :param parsed: the same expression, parsed.
    :param used_groups: the numbers of the groups whose contents matter.
    :raises RegexSyntaxError: if RE2 refuses it.
    :raises NeedsRe2: if RE2 is not installed, and Python's ``re`` might give other results.
    """
    re2 = _installed_re2()
    search = _python_search(parsed, used_groups) if re2 is None else _re2_search(re2, parsed)
    return Expression(text, parsed.names, search)


def _python_search(parsed: Parsed, used_groups: Collection[int]) -> Callable[[str], Any]:
    if parsed.only_re2 is not None:
        raise NeedsRe2(parsed.only_re2)
    repeated = parsed.repeated_groups.intersection(used_groups)
    if repeated:
        raise NeedsRe2(f"the group ${min(repeated)} in a repetition")
    try:
        return re.compile(parsed.python).search
    except (RecursionError, OverflowError, re.error) as error:
        raise NeedsRe2(f"such a large expression ({error})") from None


def _re2_search(re2: ModuleType, parsed: Parsed) -> Callable[[str], Any]:
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MEMORY
    try:
        search: Callable[[str], Any] = re2.compile(parsed.re2, options).search
    except re2.error as error:
        raise RegexSyntaxError(_words_of(error)) from None
    return search


def _words_of(error: Exception) -> str:
    """Return RE2's message as Go writes it; the words of the errors left to RE2 are the same, but not the quotes."""
    words = error.args[0]
    text = words.decode(errors="replace") if isinstance(words, bytes) else str(words)
    kind, colon, where = text.partition(": ")
    return f"error parsing regexp: {kind}: `{where}`" if colon else f"error parsing regexp: {kind}"


def _installed_re2() -> ModuleType | None:
    """Return Google's module; other packages on the package index use the same module name."""
    try:
        import re2  # noqa: PLC0415  (it may not be installed)
    except ImportError:
        return None
    return re2 if hasattr(re2, "Options") else None
