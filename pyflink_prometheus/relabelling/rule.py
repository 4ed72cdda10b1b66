"""One rule of Prometheus's ``relabel_config``, checked as Prometheus checks it."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple, NoReturn

from pyflink_prometheus._validation import shown
from pyflink_prometheus.relabelling.expression import INSTALL, Expression, NeedsRe2, compiled
from pyflink_prometheus.relabelling.syntax import RegexSyntaxError, parse
from pyflink_prometheus.relabelling.template import Template

_LEGACY_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_LEGACY_TEMPLATE = re.compile(r"(?a:(?:[a-zA-Z_]|\$(?:\{\w+\}|\w))(?:\w|\$(?:\{\w+\}|\w))*)")

_MOST_MODULUS = (1 << 64) - 1


class Action(Enum):
    """What a rule does."""

    REPLACE = "replace"
    KEEP = "keep"
    DROP = "drop"
    KEEP_EQUAL = "keepequal"
    DROP_EQUAL = "dropequal"
    HASH_MOD = "hashmod"
    LABEL_MAP = "labelmap"
    LABEL_DROP = "labeldrop"
    LABEL_KEEP = "labelkeep"
    LOWERCASE = "lowercase"
    UPPERCASE = "uppercase"


_NEED_A_TARGET = {
    Action.REPLACE,
    Action.HASH_MOD,
    Action.LOWERCASE,
    Action.UPPERCASE,
    Action.KEEP_EQUAL,
    Action.DROP_EQUAL,
}
_EXPANDING = {Action.REPLACE, Action.LABEL_MAP}
_WITHOUT_REPLACEMENT = {Action.LOWERCASE, Action.UPPERCASE, Action.KEEP_EQUAL, Action.DROP_EQUAL}


class RelabelConfigError(ValueError):
    """
    A rule that is not valid, or that cannot be applied here.

    :param where: the list of rules and the number of this one, from 0, such as ``write_relabel_configs[2]``.
    :param field: the name of the field at fault; ``""`` for the rule as a whole.
    :param advice: what to change.
    :param words: Prometheus's words; ``""`` if Prometheus would accept the rule.
    """

    def __init__(self, where: str, field: str, advice: str, words: str = "") -> None:
        place = f"{where}.{field}" if field else where
        super().__init__(f"{place}: {advice} (Prometheus: {words})" if words else f"{place}: {advice}")
        self.where, self.field, self.advice, self.words = where, field, advice, words

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.where, self.field, self.advice, self.words)


class _Fields(NamedTuple):
    """The fields with Prometheus's defaults."""

    source_labels: tuple[str, ...] | None = None
    separator: str = ";"
    regex: str = "(.*)"
    modulus: int = 0
    target_label: str = ""
    replacement: str = "$1"
    action: str = "replace"


@dataclass(frozen=True)
class Rule:
    """
    A rule that can be applied. Create one with :meth:`from_config`.

    :param target: ``target_label`` as a template; only ``replace`` expands it.
    :param replacement: as a template, which ``replace`` and ``labelmap`` expand.
    :param legacy_names: whether ``replace`` writes only legacy label names.
    """

    action: Action
    source_labels: tuple[str, ...]
    separator: str
    expression: Expression
    modulus: int
    target_label: str
    target: Template
    replacement: Template
    legacy_names: bool

    @staticmethod
    def from_config(where: str, config: Any, *, legacy_names: bool = False) -> Rule:
        """
        Check a rule as written in a ``prometheus.yml``.

        :param where: the rule's name in messages, such as ``write_relabel_configs[0]``.
        :param config: the rule's fields by name. A field that is ``None`` is empty, as in YAML.
        :param legacy_names: whether only legacy label names are allowed.
        :raises RelabelConfigError: if it is not valid, or its expression needs RE2, which is not installed.
        """
        if config is None:
            words = f"empty or null relabeling rule in {_section(where)}"
            raise RelabelConfigError(where, "", "remove the empty rule", words)
        if not isinstance(config, Mapping):
            raise RelabelConfigError(where, "", f"write the rule as fields with values, not as {shown(config)}")
        return _Checks(where, config, legacy_names).rule()

    def value(self, labels: Mapping[str, str]) -> str:
        """Return the values of the source labels, joined."""
        return self.separator.join([labels.get(name, "") for name in self.source_labels])

    def allows(self, label_name: str) -> bool:
        """Return whether ``replace`` may write a label of this name."""
        return _is_label_name(label_name, self.legacy_names)


class _Checks:
    """The checks of one rule, in Prometheus's order: first single fields, then combinations of them."""

    def __init__(self, where: str, config: Mapping[Any, Any], legacy_names: bool) -> None:
        self._where = where
        self._legacy_names = legacy_names
        self._given = {name for name, value in config.items() if value is not None}
        self._fields = _Fields(**{name: self._read(name, value) for name, value in config.items()})
        self._action = self._read_action()

    def rule(self) -> Rule:
        """Return the rule if it is valid."""
        fields, action = self._fields, self._action
        try:
            parsed = parse(fields.regex)
        except RegexSyntaxError as problem:
            self._refuse("regex", "correct the regular expression, which follows RE2's syntax", str(problem))
        self._check()
        if not parsed.is_anchored:
            self._refuse("regex", f"match whole texts: the parentheses of {shown(fields.regex)} are not balanced")
        target = Template.parse(fields.target_label, parsed.names)
        replacement = Template.parse(fields.replacement, parsed.names)
        used: Collection[int] = target.groups | replacement.groups if action in _EXPANDING else ()
        try:
            expression = compiled(fields.regex, parsed, used)
        except RegexSyntaxError as problem:
            self._refuse("regex", "correct the regular expression, which follows RE2's syntax", str(problem))
        except NeedsRe2 as need:
            self._refuse(
                "regex", f"install RE2 here and on the workers with {INSTALL}: Python alone cannot match {need}"
            )
        return Rule(
            action,
            fields.source_labels or (),
            fields.separator,
            expression,
            fields.modulus,
            fields.target_label,
            target,
            replacement,
            self._legacy_names,
        )

    def _read(self, name: Any, value: Any) -> Any:
        """Return a field's value, and for ``None`` the zero value of its type, as Go's YAML parser does."""
        if name not in _Fields._fields:
            self._refuse(
                "", f"remove {shown(name)}, or correct its name", f"field {name} not found in type relabel.plain"
            )
        if name == "source_labels":
            return self._read_labels(value)
        if name == "modulus":
            return self._read_modulus(value)
        return "" if value is None else self._text(name, value)

    def _text(self, name: str, value: Any) -> str:
        if isinstance(value, int) and not isinstance(value, bool):
            value = shown(value, sys.maxsize)  # replacement: 8080
        if not isinstance(value, str):
            self._refuse(name, f"put the text in quotation marks; it is now {shown(value)}")
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            self._refuse(name, f"write text that UTF-8 can encode, not {shown(value)}")
        return value

    def _read_labels(self, value: Any) -> tuple[str, ...] | None:
        if value is None:
            return None
        if not isinstance(value, (list, tuple)):
            self._refuse("source_labels", f"write a list of label names, not {shown(value)}")
        # Prometheus refuses an empty name, but accepts an empty element, although that names no label either.
        return tuple("" if name is None else self._label_name(name) for name in value)

    def _label_name(self, value: Any) -> str:
        name = self._text("source_labels", value)
        if not name:
            self._refuse("source_labels", "remove the empty name", f"{_quoted(name)} is not a valid label name")
        return name

    def _read_modulus(self, value: Any) -> int:
        if value is None:
            return 0
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MOST_MODULUS:
            self._refuse("modulus", f"write an integer of at least 1 and at most 64 bits, not {shown(value)}")
        return value

    def _read_action(self) -> Action:
        if not self._fields.action:
            words = (
                f"unknown relabel action {_quoted('')}" if "action" in self._given else "relabel action cannot be empty"
            )
            self._refuse("action", "name an action, or omit the field for replace", words)
        try:
            return Action(self._fields.action.lower())
        except ValueError:
            known = ", ".join(action.value for action in Action)
            self._refuse("action", f"choose one of {known}", f"unknown relabel action {_quoted(self._fields.action)}")

    def _check(self) -> None:
        action, fields = self._action, self._fields
        if action is Action.HASH_MOD and fields.modulus == 0:
            words = "relabel configuration for hashmod requires non-zero modulus"
            self._refuse("modulus", "set it to 1 or more", words)
        if action in _NEED_A_TARGET and not fields.target_label:
            words = f"relabel configuration for {action.value} action requires 'target_label' value"
            self._refuse("target_label", "name the label to write" if _writes(action) else "name a label", words)
        if action in _NEED_A_TARGET and not self._is_target(fields.target_label):
            words = f"{_quoted(fields.target_label)} is invalid 'target_label' for {action.value} action"
            self._refuse("target_label", "begin with a letter, and use letters, digits and underscores only", words)
        if action in _WITHOUT_REPLACEMENT and fields.replacement != _default("replacement"):
            self._refuse("replacement", "remove it", f"'replacement' can not be set for {action.value} action")
        if action is Action.LABEL_MAP and not self._is_template(fields.replacement):
            words = f"{_quoted(fields.replacement)} is invalid 'replacement' for {action.value} action"
            self._refuse("replacement", "write a label name, which may contain groups such as ${1}", words)
        if action in (Action.KEEP_EQUAL, Action.DROP_EQUAL):
            words = f"{action.value} action requires only 'source_labels' and `target_label`, and no other fields"
            self._refuse_others(("regex", "modulus", "separator", "replacement"), words)
        if action in (Action.LABEL_DROP, Action.LABEL_KEEP):
            words = f"{action.value} action requires only 'regex', and no other fields"
            self._refuse_others(("source_labels", "target_label", "modulus", "separator", "replacement"), words)

    def _is_target(self, name: str) -> bool:
        if self._action is Action.REPLACE and "$" in name:
            return self._is_template(name)
        return _is_label_name(name, self._legacy_names)

    def _is_template(self, name: str) -> bool:
        return _LEGACY_TEMPLATE.fullmatch(name) is not None if self._legacy_names else bool(name)

    def _refuse_others(self, names: Collection[str], words: str) -> None:
        """Refuse fields that an action does not use; an expression even if it is the default one."""
        for name in names:
            differs = getattr(self._fields, name) != _default(name)
            if differs or (name == "regex" and name in self._given):
                self._refuse(name, "remove it", words)

    def _refuse(self, field: str, advice: str, words: str = "") -> NoReturn:
        raise RelabelConfigError(self._where, field, advice, words)


def _writes(action: Action) -> bool:
    return action not in (Action.KEEP_EQUAL, Action.DROP_EQUAL)


def _default(name: str) -> Any:
    return _Fields._field_defaults[name]


def _section(where: str) -> str:
    return "remote write config" if where.startswith("write_relabel_configs") else "config"


def _is_label_name(name: str, legacy: bool) -> bool:
    return _LEGACY_NAME.fullmatch(name) is not None if legacy else bool(name)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
