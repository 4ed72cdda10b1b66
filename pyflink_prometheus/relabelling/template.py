"""Replacement templates as in Go's regexp.Expand: ``$1``, ``${1}``, ``$name``, ``${name}``, ``$$``."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Template:
    """
    A parsed template.

    :param parts: literal texts, and tuples of group numbers; the first group that has matched is inserted.
    """

    parts: tuple[str | tuple[int, ...], ...]

    @staticmethod
    def parse(text: str, names: Sequence[str]) -> Template:
        """
        Parse a template; malformed references are literal text, and a group that does not exist is empty.

        :param text: the template.
        :param names: the name of each group of the expression, ``""`` if it has none.
        """
        parts: list[str | tuple[int, ...]] = []
        literal, dollar, rest = text.partition("$")
        while dollar:
            name, after = _reference(rest)
            if rest.startswith("$"):
                literal, rest = literal + "$", rest[1:]
            elif not name:
                literal += "$"
            else:
                parts += [literal, _numbers(name, names)]
                literal, rest = "", after
            before, dollar, rest = rest.partition("$")
            literal += before
        return Template(tuple(part for part in (*parts, literal) if part))

    @property
    def groups(self) -> frozenset[int]:
        """The numbers of the groups that the template uses, except the whole match."""
        return frozenset(number for part in self.parts if not isinstance(part, str) for number in part if number)

    def expand(self, groups: Sequence[str | None]) -> str:
        """Return the text for these groups of a match, the whole match first."""
        return "".join(part if isinstance(part, str) else _first(groups, part) for part in self.parts)


def _first(groups: Sequence[str | None], numbers: Sequence[int]) -> str:
    return next((group for number in numbers if (group := groups[number]) is not None), "")


def _reference(text: str) -> tuple[str, str]:
    """Return the name that a text begins with, or ``{name}``, and the rest; an empty name if there is none."""
    braced = text.startswith("{")
    start = end = int(braced)
    while end < len(text) and _is_of_a_name(text[end]):
        end += 1
    if braced and not text.startswith("}", end):
        return "", text
    return text[start:end], text[end + braced :]


def _is_of_a_name(character: str) -> bool:
    category = unicodedata.category(character)
    return category[0] == "L" or category == "Nd" or character == "_"


def _numbers(name: str, names: Sequence[str]) -> tuple[int, ...]:
    """Return the numbers of the groups of a name or number; empty if there is no such group."""
    if name.isascii() and name.isdigit() and (name[0] != "0" or name == "0"):
        return (int(name),) if len(name) < 10 and int(name) < len(names) else ()
    return tuple(number for number, each in enumerate(names) if each == name)
