"""A configuration as a tree of nodes that know their place, from YAML or from Python's own values."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, ReusedAnchorWarning, YAMLError
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode

from pyflink_prometheus._validation import shown
from pyflink_prometheus.errors import InvalidConfigurationError
from pyflink_prometheus.secret import Secret

#: Far more than any configuration has: aliases may repeat a node endlessly.
_MOST_NODES = 100_000
_MOST_DEPTH = 100

_NULLS = ("", "~", "null", "Null", "NULL")
_MERGE_KEY = "<<"
# The name may be an unquoted password that begins with * or !.
_PROBLEM_WITH_NAME = re.compile(r"((?:undefined|duplicate) (?:alias|tag handle)) .*", re.DOTALL)
#: The name of a field, header or label. If punctuation is missing, a password may be in place of a name.
_NAME = re.compile(r"[A-Za-z_][\w.-]{0,63}", re.ASCII)
_MOST_DIGITS = 4


@dataclass(frozen=True, slots=True)
class Node:
    """
    A value of a configuration, with its place.

    :param value: a string, pairs of key and node, a list of nodes, a :class:`~pyflink_prometheus.Secret`, or ``None``.
    :param source: the file's name, or another name for messages.
    :param path: the fields that lead to it, such as ``remote_write[0].queue_config``.
    :param line: the line, from 1; ``None`` if it is not from a file.
    :param is_plain: whether a string is written without quotes, so that it may be a number or similar.
    """

    value: str | tuple[tuple[str, Node], ...] | list[Node] | Secret | None
    source: str
    path: str
    line: int | None
    is_plain: bool = False

    def get(self, key: str) -> Node | None:
        """Return the last node under a key of pairs; ``None`` if there is none."""
        found = None
        if isinstance(self.value, tuple):
            for name, node in self.value:
                found = node if name == key else found
        return found

    def error(self, advice: str, words: str = "", field: str = "") -> InvalidConfigurationError:
        """
        Return the error of this place.

        :param advice: what to change, without secrets.
        :param words: Prometheus's words; "" if it would accept this.
        :param field: the field of this node that is at fault.
        """
        at = self.get(field) if field else None
        path = ".".join(each for each in (self.path, field) if each)
        return InvalidConfigurationError(self.source, self.line if at is None else at.line, path, advice, words)


def parsed(text: str, source: str) -> Node:
    """
    Return the first document of a YAML text.

    :raises InvalidConfigurationError: if it is not valid YAML.
    """
    problem, line = "", None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ReusedAnchorWarning)  # Prometheus allows it; it would quote the text
            root = next(iter(YAML(typ="safe", pure=True).compose_all(text)), None)
    except MarkedYAMLError as error:  # the error's text quotes the line, which may hold a secret
        mark = error.problem_mark or error.context_mark
        problem, line = _PROBLEM_WITH_NAME.sub(r"\1", error.problem or ""), None if mark is None else mark.line + 1
        problem = problem or "it is not valid"
    except (YAMLError, ValueError) as error:
        problem = type(error).__name__
    if problem:
        raise InvalidConfigurationError(source, line, "", f"correct the YAML: {problem}", "yaml: ")
    if root is None:
        return Node(None, source, "", 1)
    return _Composer(source).node(root, "", 0)


def from_value(value: Any, source: str) -> Node:
    """
    Return the tree of a mapping that consists of Python's own values.

    :raises InvalidConfigurationError: if it holds other values.
    """
    return _node_of(value, source, "", 0)


def shown_name(name: str) -> str:
    """Return the name of a field for a message, unless it may not be a name."""
    is_name = _NAME.fullmatch(name) and sum(map(str.isdigit, name)) <= _MOST_DIGITS
    return name if is_name else "(not shown)"


def _below(path: str, name: str) -> str:
    return f"{path}.{shown_name(name)}" if path else shown_name(name)


class _Composer:
    """The conversion of ruamel.yaml's nodes."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._count = 0

    def node(self, composed: Any, path: str, depth: int) -> Node:
        self._count += 1
        line = composed.start_mark.line + 1
        if self._count > _MOST_NODES or depth > _MOST_DEPTH:
            raise InvalidConfigurationError(self._source, line, path, "use fewer aliases", "yaml: ")
        if isinstance(composed, ScalarNode):
            is_plain = composed.style is None
            is_null = is_plain and composed.value in _NULLS
            return Node(None if is_null else composed.value, self._source, path, line, is_plain)
        if isinstance(composed, SequenceNode):
            items = [self.node(each, f"{path}[{number}]", depth + 1) for number, each in enumerate(composed.value)]
            return Node(items, self._source, path, line)
        pairs: list[tuple[str, Node, bool]] = []
        for key, value in composed.value:
            self._add(pairs, key, value, path, depth)
        return Node(tuple((key, node) for key, node, _ in pairs), self._source, path, line)

    def _add(self, pairs: list[tuple[str, Node, bool]], key: Any, value: Any, path: str, depth: int) -> None:
        line = key.start_mark.line + 1
        if not isinstance(key, ScalarNode):
            raise InvalidConfigurationError(self._source, line, path, "use strings as keys", "yaml: ")
        if key.value == _MERGE_KEY and key.style is None:
            merged = value.value if isinstance(value, SequenceNode) else [value]
            if not all(isinstance(each, MappingNode) for each in merged):
                words = "yaml: map merge requires map or sequence of maps as the value"
                raise InvalidConfigurationError(self._source, line, path, "merge mappings only", words)
            for each in reversed(merged):
                node = self.node(each, path, depth + 1)
                for name, inner in node.value if isinstance(node.value, tuple) else ():
                    pairs[:] = [pair for pair in pairs if pair[0] != name]
                    pairs.append((name, inner, True))
            return
        node = self.node(value, _below(path, key.value), depth + 1)
        pairs[:] = [pair for pair in pairs if pair[0] != key.value or not pair[2]]
        # The key's line: a missing value, or a block, begins on another line.
        pairs.append((key.value, Node(node.value, node.source, node.path, line, node.is_plain), False))


def _node_of(value: Any, source: str, path: str, depth: int) -> Node:
    def node(content: Any, *, is_plain: bool = False) -> Node:
        return Node(content, source, path, None, is_plain)

    def inner(content: Any, place: str) -> Node:
        return _node_of(content, source, place, depth + 1)

    converters: tuple[tuple[Any, Callable[[Any], Node]], ...] = (
        (type(None), node),
        ((str, Secret), node),
        (bool, lambda given: node(str(given).lower(), is_plain=True)),
        ((int, float), lambda given: node(shown(given), is_plain=True)),
        (Mapping, lambda given: node(_pairs_of(given, source, path, inner))),
        (Sequence, lambda given: node([inner(each, f"{path}[{at}]") for at, each in enumerate(given)])),
    )
    if depth > _MOST_DEPTH:
        raise InvalidConfigurationError(source, None, "", "use fewer levels: no configuration has this many")
    for kinds, converter in converters:
        if isinstance(value, kinds):
            return converter(value)
    raise InvalidConfigurationError(
        source, None, path, f"use a string, number, boolean, mapping or list, not {type(value).__name__}"
    )


def _pairs_of(
    value: Mapping[Any, Any], source: str, path: str, inner: Callable[[Any, str], Node]
) -> tuple[tuple[str, Node], ...]:
    if not all(isinstance(key, str) for key in value):
        raise InvalidConfigurationError(source, None, path, "use strings as keys")
    return tuple((key, inner(each, _below(path, key))) for key, each in value.items())
