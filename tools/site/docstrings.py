"""
Support for the reStructuredText in this project's docstrings that mkdocstrings lacks: roles and literal blocks.

Roles such as ``:class:`Secret``` become links to the reference if they name something public, and code otherwise.
"""

from __future__ import annotations

import re
import textwrap
from typing import Any

import griffe

_ROLE = re.compile(r":(?:class|meth|func|data|attr|exc):`~?([\w.]+)`")
_LITERAL = re.compile(r"(^|\S)::[ ]*\n\n((?:(?:[ ]{4}.*)?\n)*(?:[ ]{4}.*)(?:\n|$))", re.MULTILINE)


class ReStructuredText(griffe.Extension):
    """Converts the docstrings of public names to Markdown once a package is loaded."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Rewrite the docstrings of the names that the package and its ``testing`` export."""
        public: dict[str, str] = {}
        exported = []
        for module in (pkg, pkg.members.get("testing")):
            if module is None or not module.exports:
                continue
            for name in sorted(str(each) for each in module.exports):
                found = target(module[name])
                exported.append(found)
                public.setdefault(name, f"{module.path}.{name}")
                public[found.path] = f"{module.path}.{name}"
        for found in exported:
            self._rewrite(found, found, public)

    def _rewrite(self, found: griffe.Object, owner: griffe.Object, public: dict[str, str]) -> None:
        if found.docstring is not None:
            text = _LITERAL.sub(_fenced, found.docstring.value)
            found.docstring.value = _ROLE.sub(lambda role: _link(role[1], owner, public), text)
        if isinstance(found, griffe.Class):
            _give_parameters(found)
            for member in found.members.values():
                if isinstance(member, griffe.Object):
                    self._rewrite(member, found, public)


def _give_parameters(named_tuple: griffe.Class) -> None:
    """Give a NamedTuple the ``__init__`` that Python makes from its fields, as griffe does for dataclasses."""
    if not any(str(base).endswith("NamedTuple") for base in named_tuple.bases) or "__init__" in named_tuple.members:
        return
    members = named_tuple.members.values()
    fields = [member for member in members if isinstance(member, griffe.Attribute) and member.annotation]
    parameters = [griffe.Parameter("self", kind=griffe.ParameterKind.positional_or_keyword)] + [
        griffe.Parameter(
            field.name,
            annotation=field.annotation,
            kind=griffe.ParameterKind.positional_or_keyword,
            default=field.value,
        )
        for field in fields
    ]
    named_tuple.set_member("__init__", griffe.Function("__init__", parameters=griffe.Parameters(*parameters)))


def target(found: griffe.Object | griffe.Alias) -> griffe.Object:
    """Return the object that an imported name refers to."""
    return found.final_target if isinstance(found, griffe.Alias) else found


def _fenced(block: re.Match[str]) -> str:
    before = f"{block[1]}:\n\n" if block[1] else ""
    return f"{before}```python\n{textwrap.dedent(block[2]).rstrip()}\n```\n"


def _link(named: str, owner: griffe.Object, public: dict[str, str]) -> str:
    short = named.rpartition(".")[2]
    within = owner.members.get(named) if owner.is_class else None
    if within is not None and owner.path in public:
        place = f"{public[owner.path]}.{named}" if within.docstring is not None else ""
    else:
        place = public.get(named) or (named if named in public.values() else "")
    return f"[`{short}`][{place}]" if place else f"`{short}`"
