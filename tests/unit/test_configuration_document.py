"""docs/configuration.md has a row for each field of Prometheus's configuration, as in the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pyflink_prometheus.configuration.fields import SECTIONS, ListOf, MapOf, Section

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "configuration.md"


def kind_of(kind):
    """Return a type as the document writes it."""
    if isinstance(kind, Section):
        return f"[{kind.name}](#{kind.name})"
    if isinstance(kind, ListOf):
        return f"list of {kind_of(kind.kind)}"
    return f"mapping to {kind_of(kind.kind)}" if isinstance(kind, MapOf) else kind.name


def table_of(section):
    """Return a section's table as the document has it."""
    rows = [f"### {section.name}", "", "| field | type | the sink | |", "|---|---|---|---|"]
    for name, field in section.fields.items():
        rows.append(f"| `{name}` | {kind_of(field.kind)} | {field.use.value} | {field.note} |")
    return "\n".join(rows).replace("|  |", "| |")


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.name)
def test_each_section_has_its_table(section):
    assert f"\n{table_of(section)}\n\n" in DOCUMENT.read_text() + "\n\n"


def test_there_is_no_other_table():
    tables = re.findall(r"^### (\w+)\n\n\| field", DOCUMENT.read_text(), re.MULTILINE)
    assert tables == [section.name for section in SECTIONS]


def test_each_field_that_is_not_honoured_says_why():
    for section in SECTIONS:
        for name, field in section.fields.items():
            assert field.note or field.use.value == "honoured", f"{section.name}.{name}"
