r"""
The syntax of regular expressions in Go, which is RE2's, and their translation for Python's ``re``.

Python's expressions look the same but often mean something else: ``$`` matches before a final line break, ``\d``,
``\s``, ``\w`` and ``\b`` match more than ASCII, ``\B`` does not match an empty text, and there are lookarounds and
backreferences. So nothing is passed on unchanged: an expression is parsed as Go parses it, and written for Python in
terms that mean the same to both. :attr:`Parsed.only_re2` names a part that cannot be written like this, or for which
it is not certain that both find the same submatches. Facts from Go's regexp/syntax.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple, NoReturn

from pyflink_prometheus.relabelling.characters import (
    ALL,
    LAST,
    PERL_CLASSES,
    POSIX_CLASSES,
    Ranges,
    as_python,
    folded,
    is_ascii,
    negated,
    ranges_of,
)

_MOST_REPETITIONS = 1000
# For repetitions of repetitions. With more, Python tries all ways to split the text among them, and may never finish.
_FEW_REPETITIONS = 10

_REPETITION = re.compile(r"\{(0|[1-9][0-9]*)(?:(,)(0|[1-9][0-9]*)?)?\}")
_GROUP_NAME = re.compile(r"[A-Za-z0-9_]+")
_OCTAL = re.compile(r"[1-7][0-7]{1,2}|0[0-7]{0,2}")
_HEXADECIMAL = re.compile(r"x(?:\{([0-9A-Fa-f]+)\}|([0-9A-Fa-f]{2}))")
_UNICODE_CLASS = re.compile(r"[CLMNPSZclmnpsz]|\{\^?[A-Za-z_]+\}")
_CONTROLS = {"a": 7, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11}

_SINGLE = {"*": (0, None), "+": (1, None), "?": (0, 1)}


class RegexSyntaxError(ValueError):
    """An expression that Go refuses; the message has Go's words."""


@dataclass(frozen=True)
class Parsed:
    """
    An expression that Go accepts.

    :param python: the expression for Python's ``re``, which matches the same unless ``only_re2`` says otherwise.
    :param re2: the expression for RE2, with its anchors and without names, which RE2 does not allow twice.
    :param names: the name of each group, ``""`` if it has none; the first is the whole match.
    :param is_anchored: whether it matches only whole texts. Go accepts ``a)|(b``, whose parts have one anchor each.
    :param repeated_groups: the groups in a repetition. RE2 and ``re`` do not always agree on which iteration they
        capture.
    :param only_re2: a part that ``re`` cannot match as RE2 does; ``None`` if there is none.
    """

    python: str
    re2: str
    names: tuple[str, ...]
    is_anchored: bool
    repeated_groups: frozenset[int]
    only_re2: str | None


def parse(expression: str) -> Parsed:
    """
    Parse an expression of a rule, anchored as Prometheus anchors it.

    :raises RegexSyntaxError: if Go refuses it.
    """
    return _Parser(f"^(?s:{expression})$").parse()


class _Flags(NamedTuple):
    fold_case: bool = False
    multi_line: bool = False
    dot_matches_newline: bool = False
    lazy: bool = False


_FLAG_NAMES = {"i": "fold_case", "m": "multi_line", "s": "dot_matches_newline", "U": "lazy"}


class _Part(NamedTuple):
    """
    A part of the expression in Python's syntax.

    :param nullable: whether it can match nothing.
    :param repetitions: how often counts repeat its innermost parts at most; Go bounds this number.
    :param groups: the numbers of the groups in it.
    :param is_endless: whether it has a repetition without a bound.
    """

    python: str
    nullable: bool
    repetitions: int = 1
    groups: frozenset[int] = frozenset()
    is_endless: bool = False


@dataclass
class _Group:
    """A group that is not closed yet."""

    prefix: str
    flags: _Flags
    number: int | None = None
    alternatives: list[list[_Part]] = field(default_factory=lambda: [[]])

    def closed(self) -> _Part:
        """Return the whole group as one part."""
        parts = [part for parts in self.alternatives for part in parts]
        groups = frozenset().union(*(part.groups for part in parts))
        return _Part(
            f"{self.prefix}{'|'.join(''.join(part.python for part in parts) for parts in self.alternatives)})",
            any(all(part.nullable for part in parts) for parts in self.alternatives),
            max((part.repetitions for part in parts), default=1),
            groups if self.number is None else groups | {self.number},
            any(part.is_endless for part in parts),
        )


class _Parser:
    """A parser of one expression."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._flags = _Flags()
        self._open = [_Group("(?:", self._flags)]
        self._names = [""]
        self._names_at: list[tuple[int, int]] = []
        self._repeated_groups: frozenset[int] = frozenset()
        self._only_re2: str | None = None
        self._end_of_repetition: tuple[int, int] | None = None
        self._first_closed_at: int | None = None

    def parse(self) -> Parsed:
        readers: dict[str, Callable[[], None]] = {
            "(": self._open_group,
            "|": self._alternate,
            ")": self._close_group,
            "^": lambda: self._assertion(1, "(?m:^)" if self._flags.multi_line else r"\A"),
            "$": lambda: self._assertion(1, "(?m:$)" if self._flags.multi_line else r"\Z"),
            ".": self._any,
            "[": self._class,
            "*": self._repeat,
            "+": self._repeat,
            "?": self._repeat,
            "{": self._repeat_or_brace,
            "\\": self._backslash,
        }
        while self._at < len(self._text):
            readers.get(self._text[self._at], self._character)()
        if len(self._open) > 1:
            self._fail("missing closing )", self._text)
        return Parsed(
            python=self._open[0].closed().python,
            re2=self._nameless(),
            names=tuple(self._names),
            is_anchored=self._first_closed_at == len(self._text) - 1,
            repeated_groups=self._repeated_groups,
            only_re2=self._only_re2,
        )

    def _nameless(self) -> str:
        """Return the text without the names of its groups."""
        text = self._text
        for start, end in reversed(self._names_at):
            text = text[:start] + text[end:]
        return text

    # Groups.

    def _open_group(self) -> None:
        if self._text.startswith("(?", self._at):
            self._perl_group()
            return
        self._at += 1
        self._capture("")

    def _capture(self, name: str) -> None:
        self._open.append(_Group("(", self._flags, len(self._names)))
        self._names.append(name)

    def _perl_group(self) -> None:
        start = self._at
        for opening in ("(?P<", "(?<"):
            if self._text.startswith(opening, start):
                end = self._text.find(">", start)
                if end < 0:
                    self._fail("invalid named capture", self._text[start:])
                name = self._text[start + len(opening) : end]
                if not _GROUP_NAME.fullmatch(name):
                    self._fail("invalid named capture", self._text[start : end + 1])
                self._at = end + 1
                self._names_at.append((start + 1, end + 1))
                self._capture(name)
                return
        self._flag_group(start)

    def _flag_group(self, start: int) -> None:
        """Read what follows ``(?``: flags, for a group or for the rest of this one."""
        flags = self._flags
        on, seen = True, False
        self._at += 2
        while self._at < len(self._text):
            letter = self._text[self._at]
            self._at += 1
            if letter in _FLAG_NAMES:
                flags = flags._replace(**{_FLAG_NAMES[letter]: on})
                seen = True
            elif letter == "-" and on:
                on, seen = False, False
            elif letter in ":)" and (on or seen):
                if letter == ":":
                    self._open.append(_Group("(?:", self._flags))
                self._flags = flags
                return
            else:
                break
        self._fail("invalid or unsupported Perl syntax", self._text[start : self._at])

    def _alternate(self) -> None:
        self._at += 1
        self._open[-1].alternatives.append([])

    def _close_group(self) -> None:
        if len(self._open) == 1:
            self._fail("unexpected )", self._text)
        self._at += 1
        group = self._open.pop()
        self._flags = group.flags
        self._add(group.closed())
        if len(self._open) == 1 and self._first_closed_at is None:
            self._first_closed_at = self._at

    # Repetitions.

    def _repeat(self) -> None:
        least, most = _SINGLE[self._text[self._at]]
        self._repeated(1, least, most)

    def _repeat_or_brace(self) -> None:
        found = _REPETITION.match(self._text, self._at)
        if found is None:
            self._character()
            return
        least = int(found[1])
        most = least if found[2] is None else None if found[3] is None else int(found[3])
        if least > _MOST_REPETITIONS or (most is not None and not least <= most <= _MOST_REPETITIONS):
            self._fail("invalid repeat count", found[0])
        self._repeated(len(found[0]), least, most)

    def _repeated(self, length: int, least: int, most: int | None) -> None:
        start = self._at
        self._at += length
        lazy = self._flags.lazy
        if self._text.startswith("?", self._at):
            self._at += 1
            lazy = not lazy
        written = self._text[start : self._at]
        if self._end_of_repetition is not None and self._end_of_repetition[1] == start:
            self._fail("invalid nested repetition operator", self._text[self._end_of_repetition[0] : self._at])
        parts = self._open[-1].alternatives[-1]
        if not parts:
            self._fail("missing argument to repetition operator", written)
        part = parts.pop()
        repetitions = part.repetitions
        if written[0] == "{":
            repetitions = 1 if most == 0 else max(1, least if most is None else most) * repetitions
            if repetitions > _MOST_REPETITIONS:
                self._fail("invalid repeat count", written)
        if most is None or most > 1:
            self._repeated_groups |= part.groups
            if part.nullable:
                self._needs_re2(f"the repetition {written} of a part that can match nothing")
            elif part.is_endless and (most is None or most > _FEW_REPETITIONS):
                self._needs_re2(f"the repetition {written} of another repetition")
        bounds = f"{{{least},{'' if most is None else most}}}{'?' if lazy else ''}"
        is_nullable, is_endless = least == 0 or part.nullable, most is None or part.is_endless
        self._add(_Part(f"(?:{part.python}){bounds}", is_nullable, repetitions, part.groups, is_endless))
        self._end_of_repetition = (start, self._at)

    # Characters.

    def _character(self) -> None:
        self._literal(ord(self._text[self._at]), self._at + 1)

    def _literal(self, code: int, end: int) -> None:
        self._set(self._cased(((code, code),), self._text[self._at : end]), end)

    def _any(self) -> None:
        self._set(ALL if self._flags.dot_matches_newline else negated(((10, 10),)), self._at + 1)

    def _set(self, ranges: Ranges, end: int) -> None:
        self._at = end
        self._add(_Part(as_python(ranges), nullable=False))

    def _cased(self, ranges: Ranges, written: str) -> Ranges:
        """Return characters in both cases if the flag ``i`` is set."""
        if not self._flags.fold_case:
            return ranges
        if not is_ascii(ranges):
            self._needs_re2(f"(?i) with {written}")
            return ranges
        return folded(ranges)

    def _assertion(self, length: int, python: str) -> None:
        self._at += length
        self._add(_Part(python, nullable=True))

    def _backslash(self) -> None:
        following = self._text[self._at + 1 : self._at + 2]
        if following == "A":
            self._assertion(2, r"\A")
        elif following == "z":
            self._assertion(2, r"\Z")
        elif following == "b":
            self._assertion(2, r"(?a:\b)")
        elif following == "B":
            self._assertion(2, r"(?a:(?!\b))")
        elif following == "Q":
            self._quoted()
        else:
            named, end = self._named_class(self._at)
            if named is not None:
                self._set(named, end)
            else:
                self._literal(*self._escape(self._at))

    def _quoted(self) -> None:
        r"""Read literal text between \Q and \E."""
        end = self._text.find(r"\E", self._at + 2)
        literal_end = len(self._text) if end < 0 else end
        self._at += 2
        while self._at < literal_end:
            self._character()
        self._at = literal_end if end < 0 else end + 2

    def _named_class(self, at: int) -> tuple[Ranges | None, int]:
        r"""Return the set of \d, \pL or a similar class, and its end; ``None`` for any other escape."""
        letter = self._text[at + 1 : at + 2]
        if letter in ("p", "P"):
            return self._unicode_class(at)
        ranges = PERL_CLASSES.get(letter)
        if ranges is None:
            return None, at
        if letter.isupper():
            return negated(self._cased(negated(ranges), letter)), at + 2
        return self._cased(ranges, letter), at + 2

    def _unicode_class(self, at: int) -> tuple[Ranges, int]:
        found = _UNICODE_CLASS.match(self._text, at + 2)
        if found is None:
            end = self._text.find("}", at) + 1 if self._text.startswith("{", at + 2) else at + 3
            self._fail("invalid character class range", self._text[at : end or None])
        self._needs_re2(self._text[at : found.end()])  # RE2 knows the names
        return ALL, found.end()

    def _escape(self, at: int) -> tuple[int, int]:
        """Return the character of an escape, and its end."""
        letter = self._text[at + 1 : at + 2]
        if (octal := _OCTAL.match(self._text, at + 1)) is not None:
            return int(octal[0], 8), octal.end()
        if (found := _HEXADECIMAL.match(self._text, at + 1)) is not None and int(found[1] or found[2], 16) <= LAST:
            return int(found[1] or found[2], 16), found.end()
        if letter in _CONTROLS:
            return _CONTROLS[letter], at + 2
        if not letter.isascii() or letter.isalnum():
            self._fail("invalid escape sequence", self._text[at : at + 2])
        return ord(letter), at + 2

    # Classes.

    def _class(self) -> None:
        start = self._at
        at = start + 1
        is_negated = self._text.startswith("^", at)
        at += is_negated
        first = at
        pairs: list[tuple[int, int]] = []
        while at == first or not self._text.startswith("]", at):
            ranges, at = self._class_item(start, at)
            pairs += ranges
        ranges = ranges_of(pairs)
        self._set(negated(ranges) if is_negated else ranges, at + 1)

    def _class_item(self, start: int, at: int) -> tuple[Ranges, int]:
        if self._text.startswith("[:", at) and (end := self._text.find(":]", at + 2)) >= 0:
            return self._posix_class(self._text[at : end + 2]), end + 2
        if self._text.startswith("\\", at):
            named, end = self._named_class(at)
            if named is not None:
                return named, end
        low, end = self._class_character(start, at)
        high = low
        if self._text.startswith("-", end) and end + 1 < len(self._text) and self._text[end + 1] != "]":
            high, end = self._class_character(start, end + 1)
            if high < low:
                self._fail("invalid character class range", self._text[at:end])
        return self._cased(((low, high),), self._text[at:end]), end

    def _posix_class(self, written: str) -> Ranges:
        inverted = written.startswith("[:^")
        ranges = POSIX_CLASSES.get(written[3 if inverted else 2 : -2])
        if ranges is None:
            self._fail("invalid character class range", written)
        ranges = self._cased(ranges, written)
        return negated(ranges) if inverted else ranges

    def _class_character(self, start: int, at: int) -> tuple[int, int]:
        if at >= len(self._text):
            self._fail("missing closing ]", self._text[start:])
        if self._text[at] == "\\":
            return self._escape(at)
        return ord(self._text[at]), at + 1

    # Shared by all of these.

    def _add(self, part: _Part) -> None:
        self._open[-1].alternatives[-1].append(part)

    def _needs_re2(self, written: str) -> None:
        if self._only_re2 is None:
            self._only_re2 = written

    def _fail(self, words: str, where: str) -> NoReturn:
        raise RegexSyntaxError(
            f"error parsing regexp: {words}: `{where}`" if where else f"error parsing regexp: {words}"
        )
