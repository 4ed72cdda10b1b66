"""An entry of ``remote_write`` as settings of the sink, from a file or a mapping."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pyflink_prometheus.configuration.decoded import Decoded, decoded
from pyflink_prometheus.configuration.document import Node, from_value, parsed, shown_name
from pyflink_prometheus.configuration.fields import GLOBAL, OTHER_PARTS, REMOTE_WRITE, Use
from pyflink_prometheus.configuration.prometheus_checks import check_entry, check_global
from pyflink_prometheus.configuration.scalars import expanded
from pyflink_prometheus.configuration.sink_settings import settings_of, without_effect
from pyflink_prometheus.errors import InvalidConfigurationError
from pyflink_prometheus.relabelling.relabelling import Relabelling
from pyflink_prometheus.relabelling.rule import RelabelConfigError
from pyflink_prometheus.secret import Secret

_log = logging.getLogger(__name__)

_MAPPING = "the mapping"


@dataclass(frozen=True)
class RemoteWriteSettings:
    """
    An entry of ``remote_write`` as settings of the sink.

    :param settings: the settings of :class:`~pyflink_prometheus.config.SinkConfig` that the entry has.
    :param name: the entry's name; "" for none.
    :param path: the entry's path, such as ``remote_write[0]``; "" if it is the whole configuration.
    """

    settings: dict[str, Any] = field(repr=False)
    name: str
    path: str


@dataclass(frozen=True)
class UnusableEntry:
    """
    An entry of ``remote_write`` that Prometheus accepts, but that asks for something the sink cannot do.

    :param url: its URL, which may hold credentials.
    :param name: the entry's name; "" for none.
    :param path: the entry's path.
    :param error: why the sink cannot use it.
    """

    url: str = field(repr=False)
    name: str
    path: str
    error: InvalidConfigurationError


def read_remote_write(
    config: str | os.PathLike[str] | Mapping[str, Any], name: str | None = None
) -> RemoteWriteSettings:
    """
    Return the settings of an entry; one log line names the fields that have no meaning for a sink.

    :param config: a file or a mapping: a whole ``prometheus.yml``, a part of it with ``remote_write``, or an entry.
    :param name: the entry's name; ``None`` for the only one.
    :raises InvalidConfigurationError: if Prometheus would refuse it, or the sink cannot do what it asks for.
    """
    root, folder = _root(config)
    external_labels, legacy_names, entries = _parts(root, folder)
    return _settings(root, _selected(root, entries, name), external_labels, legacy_names)


def read_each_remote_write(
    config: str | os.PathLike[str] | Mapping[str, Any],
) -> Iterator[RemoteWriteSettings | UnusableEntry]:
    """
    Yield the settings of each entry, or why the sink cannot use it.

    :param config: as for :func:`read_remote_write`.
    :raises InvalidConfigurationError: if Prometheus would refuse it.
    """
    root, folder = _root(config)
    external_labels, legacy_names, entries = _parts(root, folder)
    for entry in entries:
        try:
            yield _settings(root, entry, external_labels, legacy_names)
        except InvalidConfigurationError as error:
            yield UnusableEntry(entry.get("url"), entry.get("name", ""), entry.node.path, error)


def _settings(
    root: Node, entry: Decoded, external_labels: Mapping[str, str], legacy_names: bool
) -> RemoteWriteSettings:
    for path, note in entry.fields(Use.REFUSED):
        inner = path.removeprefix(f"{entry.node.path}.") if entry.node.path else path
        raise _error_at(entry.node, inner, f"remove it: {note}")
    settings = settings_of(entry)
    settings["relabelling"] = _relabelling(entry, external_labels, legacy_names)
    _log_ignored(root.source, [*entry.fields(Use.IGNORED), *without_effect(entry)])
    return RemoteWriteSettings(settings, entry.get("name", ""), entry.node.path)


def _root(config: str | os.PathLike[str] | Mapping[str, Any]) -> tuple[Node, str | None]:
    """Return the tree of a configuration, and the folder that its relative paths start from."""
    if isinstance(config, Mapping):
        return from_value(config, _MAPPING), None
    path = Path(config)
    try:
        content = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        problem = error.strerror if isinstance(error, OSError) and error.strerror else "it is not UTF-8 text"
    else:
        return parsed(content, str(path)), os.path.abspath(path.parent)
    raise InvalidConfigurationError(str(path), None, "", f"name a file that can be read here: {problem}")


def _parts(root: Node, folder: str | None) -> tuple[dict[str, str], bool, list[Decoded]]:
    """Return the external labels, whether only legacy names are allowed, and the checked entries."""
    if isinstance(root.value, list) or (root.get("url") is not None and root.get("remote_write") is None):
        nodes = root.value if isinstance(root.value, list) else [root]
        return {}, False, _entries(root, nodes, folder)
    if isinstance(root.value, (str, Secret)):
        raise root.error("write a mapping with remote_write in it", "into config.plain")
    settings = None
    seen = set()
    for key, node in root.value if isinstance(root.value, tuple) else ():
        if key in seen:
            raise node.error("write it once", f"field {key} already set in type config.plain")
        seen.add(key)
        if key == "global" and node.value is not None:
            settings = decoded(GLOBAL, node, folder)
            check_global(settings)
        elif key not in {"global", "remote_write", *OTHER_PARTS}:
            words = f"field {shown_name(key)} not found in type config.plain"
            raise node.error("remove it: Prometheus has no such section", words)
    written = root.get("remote_write")
    if written is None or written.value in (None, []):
        raise root.error("add an entry of remote_write: there is none")
    if not isinstance(written.value, list):
        raise written.error("write a list: - url: ...", "into []*config.RemoteWriteConfig")
    legacy_names = settings is not None and settings.get("metric_name_validation_scheme") == "legacy"
    return _external_labels(settings), legacy_names, _entries(root, written.value, folder, legacy_names=legacy_names)


def _entries(root: Node, nodes: list[Node], folder: str | None, *, legacy_names: bool = False) -> list[Decoded]:
    entries: list[Decoded] = []
    names = set()
    for node in nodes:
        if node.value is None:
            raise node.error("remove the empty entry", "empty or null remote write config section")
        entry = decoded(REMOTE_WRITE, node, folder)
        check_entry(entry)
        name = entry.get("name", "")
        if name and name in names:
            words = f'found multiple remote write configs with job name "{name}"'
            raise entry.error("name", "give each entry a unique name", words)
        names.add(name)
        try:
            _relabelling(entry, {}, legacy_names)
        except InvalidConfigurationError as error:
            if error.words:  # otherwise it matters only if this entry is used
                raise
        entries.append(entry)
    if not entries:
        raise root.error("add an entry of remote_write: there is none")
    return entries


def _selected(root: Node, entries: list[Decoded], name: str | None) -> Decoded:
    names = ", ".join(repr(each.get("name")) for each in entries if each.get("name"))
    if name is None:
        if len(entries) > 1:
            first = "" if names else "give each a name, and "
            names = f" (names: {names})" if names else ""
            advice = f"{first}pass the name of one of the {len(entries)} entries of remote_write{names}"
            raise InvalidConfigurationError(root.source, None, "", advice)
        return entries[0]
    for entry in entries:
        if entry.get("name") == name:
            return entry
    advice = f"pass the name of an entry of remote_write: there is no {name!r} (names: {names or 'none'})"
    raise InvalidConfigurationError(root.source, None, "", advice)


def _external_labels(settings: Decoded | None) -> dict[str, str]:
    labels = {}
    for name, value in ({} if settings is None else settings.get("external_labels", {})).items():
        labels[name], missing = expanded(value)
        for each in missing:
            _log.warning("set the environment variable %s: it is used in external_labels but is empty", each)
    return labels


def _relabelling(entry: Decoded, external_labels: Mapping[str, str], legacy_names: bool) -> Relabelling:
    rules = [rule.values for rule in entry.get("write_relabel_configs", [])]
    try:
        return Relabelling(rules, external_labels=external_labels, legacy_names=legacy_names)
    except RelabelConfigError as error:
        where, at, advice, words = error.where, error.field, error.advice, error.words
    raise _error_at(entry.node, f"{where}.{at}" if at else where, advice, words)


def _log_ignored(source: str, ignored: Sequence[tuple[str, str]]) -> None:
    """Log the fields without meaning in one line, grouped by their notes."""
    fields: dict[str, list[str]] = {}
    for path, note in ignored:
        fields.setdefault(note, []).append(path)
    if fields:
        named = "; ".join(f"{', '.join(paths)} ({note})" for note, paths in fields.items())
        _log.info("%s: these fields have no meaning for a sink: %s", source, named)


def _error_at(node: Node, path: str, advice: str, words: str = "") -> InvalidConfigurationError:
    """Return the error of a field at any depth below a node."""
    at = node
    for part in path.replace("[", ".[").split("."):
        inner = at.get(part)
        if part.startswith("[") and isinstance(at.value, list):
            inner = at.value[int(part[1:-1])]
        if inner is None:
            break
        at = inner
    full = f"{node.path}.{path}".lstrip(".")
    return InvalidConfigurationError(node.source, at.line, full, advice, words)
