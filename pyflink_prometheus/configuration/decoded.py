"""The conversion of nodes into typed values of sections; it refuses what Prometheus's YAML parser refuses."""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass
from typing import Any

from pyflink_prometheus.configuration.document import Node, shown_name
from pyflink_prometheus.configuration.fields import FILE, TEXT, ListOf, MapOf, Scalar, Section, Use
from pyflink_prometheus.errors import InvalidConfigurationError
from pyflink_prometheus.secret import Secret


@dataclass(frozen=True, slots=True)
class Decoded:
    """
    The values of a section. As in Prometheus, a field without a value has its default, or is an empty string.

    :param section: the section.
    :param node: the section's node.
    :param values: the value of each field that has one.
    """

    section: Section
    node: Node
    values: dict[str, Any]

    def get(self, field: str, default: Any = None) -> Any:
        """Return the value of a field."""
        return self.values.get(field, default)

    def count(self, *fields: str) -> int:
        """Return how many of some fields have a value that is not empty."""
        return sum(bool(self.values.get(field)) for field in fields)

    def error(self, field: str, advice: str, words: str = "") -> InvalidConfigurationError:
        """Return the error of a field, or of the whole section if ``field`` is ``""``."""
        return self.node.error(advice, words, field)

    def plain(self) -> dict[str, Any]:
        """Return the values as a mapping, without empty ones, which mean the same as no value."""
        return {name: value for name, value in self.values.items() if value not in ("", [], {})}

    def fields(self, use: Use) -> list[tuple[str, str]]:
        """Return the path and the note of each field with this use and a value, including those of inner sections."""
        found = []
        for name, value in self.values.items():
            field = self.section.fields[name]
            if field.use is use:
                found.append((f"{self.node.path}.{name}" if self.node.path else name, field.note))
            elif isinstance(value, Decoded):
                found += value.fields(use)
        return found


def decoded(section: Section, node: Node, folder: str | None) -> Decoded:
    """
    Return the values of a section.

    :param folder: the folder that relative paths of files start from; ``None`` to leave them unchanged.
    :raises InvalidConfigurationError: if a field is unknown, is duplicated, or has the wrong type.
    """
    if not isinstance(node.value, tuple):
        raise node.error(f"write the fields of {section.name} below it", _cannot(node, section.go_type))
    values: dict[str, Any] = {}
    seen = set()
    for name, inner in node.value:
        field = section.fields.get(name)
        if field is None:
            close = difflib.get_close_matches(name, section.fields, n=1)
            advice = f"write {close[0]}" if close else "remove it"
            words = f"field {shown_name(name)} not found in type {section.go_type}"
            raise inner.error(f"{advice}: {section.name} has no such field", words)
        if name in seen:
            raise inner.error("write it once", f"field {name} already set in type {section.go_type}")
        seen.add(name)
        if inner.value is not None:
            values[name] = _value(field.kind, inner, folder)
        elif field.kind is TEXT:
            values[name] = ""
    return Decoded(section, node, values)


def _value(kind: Any, node: Node, folder: str | None) -> Any:
    if isinstance(kind, Section):
        return decoded(kind, node, folder)
    if isinstance(kind, ListOf):
        if not isinstance(node.value, list):
            raise node.error("write a list", _cannot(node, kind.go_type))
        return [_item(kind.kind, each, folder) for each in node.value]
    if isinstance(kind, MapOf):
        return _mapping(kind, node, folder)
    value = kind.read(node)
    if kind is FILE and value and folder is not None:
        return os.path.normpath(os.path.join(folder, value))
    return value


def _mapping(kind: MapOf, node: Node, folder: str | None) -> dict[str, Any]:
    if not isinstance(node.value, tuple):
        raise node.error("write a mapping", _cannot(node, kind.go_type))
    values: dict[str, Any] = {}
    for name, inner in node.value:
        if name in values:
            raise inner.error("write it once", f'key "{shown_name(name)}" already set in map')
        values[name] = _item(kind.kind, inner, folder)
    return values


def _item(kind: Any, node: Node, folder: str | None) -> Any:
    """Return an item of a list or mapping; without a value, it is an empty string, or ``None`` if it is a section."""
    if node.value is None:
        return "" if isinstance(kind, Scalar) else None
    return _value(kind, node, folder)


def _cannot(node: Node, go_type: str) -> str:
    """Return the YAML parser's words for a value of the wrong kind, which is not shown: it may be a secret."""
    if isinstance(node.value, (str, Secret)):
        return f"into {go_type}"
    return f"cannot unmarshal {'!!map' if isinstance(node.value, tuple) else '!!seq'} into {go_type}"
