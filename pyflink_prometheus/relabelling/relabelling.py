"""Rules applied to the labels of a series, with the same result as in Prometheus."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pyflink_prometheus._validation import shown
from pyflink_prometheus.relabelling.rule import Action, RelabelConfigError, Rule


class Relabelling:
    """
    The rules of a ``write_relabel_configs``. Immutable and thread-safe.

    Its pickle holds the rules as they were given. They are compiled again where the pickle is loaded, so that RE2 is
    used wherever it is installed.

    :param configs: the rules in order, each as a mapping like an entry of ``write_relabel_configs``.
        Default: none.
    :param external_labels: labels that a series gets before the rules, unless it already has a label of that name.
    :param legacy_names: whether rules may write only legacy label names, as with
        ``metric_name_validation_scheme: legacy``.
    :param where: the list's name in messages.
    :raises RelabelConfigError: if a rule is not valid, or its expression needs RE2, which is not installed.
    """

    def __init__(
        self,
        configs: Iterable[Mapping[str, Any]] = (),
        *,
        external_labels: Mapping[str, str] | None = None,
        legacy_names: bool = False,
        where: str = "write_relabel_configs",
    ) -> None:
        if isinstance(configs, (str, bytes, Mapping)) or not isinstance(configs, Iterable):
            raise RelabelConfigError(where, "", f"write a list of rules, not {shown(configs)}")
        given = list(configs)
        self._rules = tuple(
            Rule.from_config(f"{where}[{number}]", config, legacy_names=legacy_names)
            for number, config in enumerate(given)
        )
        self._configs = tuple(dict(config) for config in given)
        self._external_labels = dict(sorted((external_labels or {}).items()))
        self._legacy_names = legacy_names
        self._where = where

    @staticmethod
    def from_configs(configs: Iterable[Mapping[str, Any]], **options: Any) -> Relabelling:
        """Return the relabelling by these rules; the options are those of the class."""
        return Relabelling(configs, **options)

    def apply(self, labels: Mapping[str, str]) -> dict[str, str] | None:
        """
        Return the labels that the rules make of a series' labels, sorted by name; ``None`` if they drop the series.

        As in Prometheus, a receiver may not accept the result: rules may remove the metric's name, or all labels.

        :param labels: the labels, including ``__name__``; one with an empty value counts as missing. Not changed.
        """
        state = _LabelState(labels)
        for name, value in self._external_labels.items():
            if not state.get(name):
                state[name] = value
        for rule in self._rules:
            if not _ACTIONS[rule.action](rule, state):
                return None
        return dict(sorted(state.items()))

    def __len__(self) -> int:
        """Return the number of rules."""
        return len(self._rules)

    def __bool__(self) -> bool:
        """Return whether it changes anything."""
        return bool(self._rules or self._external_labels)

    def __eq__(self, other: object) -> bool:
        """Return whether another has the same rules."""
        return isinstance(other, Relabelling) and self._content == other._content

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Relabelling({list(self._configs)!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (*self._content, self._where)

    @property
    def _content(self) -> tuple[tuple[dict[str, Any], ...], dict[str, str], bool]:
        return self._configs, self._external_labels, self._legacy_names


def _restore(
    configs: tuple[dict[str, Any], ...], external_labels: dict[str, str], legacy_names: bool, where: str
) -> Relabelling:
    return Relabelling(configs, external_labels=external_labels, legacy_names=legacy_names, where=where)


class _LabelState(dict[str, str]):
    """
    The labels of a series between two rules, in the order in which Prometheus walks them.

    Unchanged labels come first, by name, then those that rules have set, in the order in which they were set. The order
    matters where ``labelmap`` gives several labels the same name: the last one wins.
    """

    def __init__(self, labels: Mapping[str, str]) -> None:
        super().__init__(sorted((name, value) for name, value in labels.items() if value))
        self._set: set[str] = set()

    def __setitem__(self, name: str, value: str) -> None:
        if not value or name not in self._set:
            self.pop(name, None)
        if value:
            self._set.add(name)
            super().__setitem__(name, value)


def _replace(rule: Rule, labels: _LabelState) -> bool:
    groups = rule.expression.groups(rule.value(labels))
    if groups is not None:
        target = rule.target.expand(groups)
        if rule.allows(target):
            labels[target] = rule.replacement.expand(groups)
    return True


def _keep(rule: Rule, labels: _LabelState) -> bool:
    return rule.expression.matches(rule.value(labels))


def _drop(rule: Rule, labels: _LabelState) -> bool:
    return not rule.expression.matches(rule.value(labels))


def _keep_equal(rule: Rule, labels: _LabelState) -> bool:
    return labels.get(rule.target_label, "") == rule.value(labels)


def _drop_equal(rule: Rule, labels: _LabelState) -> bool:
    return labels.get(rule.target_label, "") != rule.value(labels)


def _hash_mod(rule: Rule, labels: _LabelState) -> bool:
    digest = hashlib.md5(rule.value(labels).encode("utf-8"), usedforsecurity=False).digest()
    labels[rule.target_label] = str(int.from_bytes(digest[8:], "big") % rule.modulus)
    return True


def _label_map(rule: Rule, labels: _LabelState) -> bool:
    for name, value in list(labels.items()):
        groups = rule.expression.groups(name)
        if groups is not None:
            labels[rule.replacement.expand(groups)] = value
    return True


def _label_drop(rule: Rule, labels: _LabelState) -> bool:
    for name in [name for name in labels if rule.expression.matches(name)]:
        del labels[name]
    return True


def _label_keep(rule: Rule, labels: _LabelState) -> bool:
    for name in [name for name in labels if not rule.expression.matches(name)]:
        del labels[name]
    return True


def _lowercase(rule: Rule, labels: _LabelState) -> bool:
    labels[rule.target_label] = "".join([_lower(character) for character in rule.value(labels)])
    return True


def _uppercase(rule: Rule, labels: _LabelState) -> bool:
    labels[rule.target_label] = "".join([_upper(character) for character in rule.value(labels)])
    return True


def _lower(character: str) -> str:
    """Return the lower case of a character as in Go: a single character."""
    return character.lower()[0]  # only İ has two, and Go has the first one


def _upper(character: str) -> str:
    """Return the upper case of a character as in Go: a single character, so ß stays as it is."""
    for changed in (character.upper(), character.title()):
        if len(changed) == 1:
            return changed
    return character


_ACTIONS: dict[Action, Callable[[Rule, _LabelState], bool]] = {
    Action.REPLACE: _replace,
    Action.KEEP: _keep,
    Action.DROP: _drop,
    Action.KEEP_EQUAL: _keep_equal,
    Action.DROP_EQUAL: _drop_equal,
    Action.HASH_MOD: _hash_mod,
    Action.LABEL_MAP: _label_map,
    Action.LABEL_DROP: _label_drop,
    Action.LABEL_KEEP: _label_keep,
    Action.LOWERCASE: _lowercase,
    Action.UPPERCASE: _uppercase,
}
