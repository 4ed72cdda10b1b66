"""docs/receivers.md points at existing tests."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import pyflink_prometheus
from pyflink_prometheus import PrometheusSinkBuilder, testing

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "receivers.md").read_text(encoding="utf-8")
TESTS = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(test_\w+)`", TEXT))))
def test_a_test_that_is_named_exists(name):
    assert f"\ndef {name}(" in TESTS


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(([^)#]+\.(?:py|md))", TEXT))))
def test_a_file_that_is_linked_exists(target):
    assert (ROOT / "docs" / target).is_file()


@pytest.mark.parametrize("anchor", sorted(set(re.findall(r"\]\(#([^)]+)\)", TEXT))))
def test_a_section_that_is_linked_exists(anchor):
    headings = re.findall(r"^#+ (.*)$", TEXT, re.MULTILINE)
    assert anchor in {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(set_\w+)", TEXT))))
def test_a_setting_that_is_named_exists(name):
    assert hasattr(PrometheusSinkBuilder, name)


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(\w+(?:Model|Auth))`", TEXT))))
def test_a_class_that_is_named_exists(name):
    assert name in {*pyflink_prometheus.__all__, *testing.__all__}


def test_there_is_something_to_check():
    assert len(re.findall(r"`test_\w+`", TEXT)) > 30
