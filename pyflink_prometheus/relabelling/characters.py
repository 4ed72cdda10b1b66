"""Sets of characters as sorted ranges of code points, for the translation of regular expressions."""

from __future__ import annotations

from collections.abc import Iterable

Ranges = tuple[tuple[int, int], ...]

LAST = 0x10FFFF

ALL: Ranges = ((0, LAST),)

# The only two non-ASCII letters that differ from an ASCII letter only in case: the Kelvin sign and the long s.
_KELVIN_SIGN = 0x212A
_LONG_S = 0x017F

_DIGIT = "09"
_UPPER = "AZ"
_LOWER = "az"

#: What ``\\d``, ``\\s`` and ``\\w`` mean in RE2: ASCII only, and no vertical tab among the spaces.
PERL_CLASSES: dict[str, Ranges] = {}

#: The classes that are written as ``[:name:]`` inside brackets.
POSIX_CLASSES: dict[str, Ranges] = {}


def ranges_of(pairs: Iterable[tuple[int, int]]) -> Ranges:
    """Return the ranges sorted, and merged where they touch."""
    merged: list[tuple[int, int]] = []
    for low, high in sorted(pairs):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return tuple(merged)


def negated(ranges: Ranges) -> Ranges:
    """Return every other code point."""
    others = []
    following = 0
    for low, high in ranges:
        if low > following:
            others.append((following, low - 1))
        following = high + 1
    if following <= LAST:
        others.append((following, LAST))
    return tuple(others)


def is_ascii(ranges: Ranges) -> bool:
    """Return whether all characters are ASCII."""
    return not ranges or ranges[-1][1] < 0x80


def folded(ranges: Ranges) -> Ranges:
    """Return ASCII characters in both cases."""
    found = [pair for low, high in ranges for code in range(low, high + 1) for pair in _cases(code)]
    return ranges_of(found)


def as_python(ranges: Ranges) -> str:
    """Return the set as part of an expression for Python's ``re``."""
    if len(ranges) == 1 and ranges[0][0] == ranges[0][1]:
        return _escaped(ranges[0][0])
    if not ranges:
        return r"(?!)"  # never matches
    return f"[{''.join(_escaped(low) if low == high else f'{_escaped(low)}-{_escaped(high)}' for low, high in ranges)}]"


def _cases(code: int) -> list[tuple[int, int]]:
    letter = chr(code)
    cases = {code, ord(letter.lower()), ord(letter.upper())}
    if letter in "kK":
        cases.add(_KELVIN_SIGN)
    if letter in "sS":
        cases.add(_LONG_S)
    return [(each, each) for each in cases]


def _escaped(code: int) -> str:
    letter = chr(code)
    return letter if letter.isascii() and letter.isalnum() else f"\\U{code:08x}"


def _named(*texts: str) -> Ranges:
    """Return a set from texts of one character, or of the first and last characters of a range."""
    return ranges_of((ord(text[0]), ord(text[-1])) for text in texts)


PERL_CLASSES.update(d=_named(_DIGIT), s=_named("\t\n", "\f\r", " "), w=_named(_DIGIT, _UPPER, _LOWER, "_"))
PERL_CLASSES.update({name.upper(): negated(ranges) for name, ranges in PERL_CLASSES.items()})
POSIX_CLASSES.update(
    alnum=_named(_DIGIT, _UPPER, _LOWER),
    alpha=_named(_UPPER, _LOWER),
    ascii=_named("\x00\x7f"),
    blank=_named("\t", " "),
    cntrl=_named("\x00\x1f", "\x7f"),
    digit=_named(_DIGIT),
    graph=_named("!~"),
    lower=_named(_LOWER),
    print=_named(" ~"),
    punct=_named("!/", ":@", "[`", "{~"),
    space=_named("\t\r", " "),
    upper=_named(_UPPER),
    word=PERL_CLASSES["w"],
    xdigit=_named(_DIGIT, "AF", "af"),
)
