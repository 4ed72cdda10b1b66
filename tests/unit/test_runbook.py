"""docs/runbook.md has an entry for each alert, and the alert links to it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[2]
RUNBOOK = "https://github.com/pyflink-prometheus/pyflink-prometheus/blob/main/docs/runbook.md"
ENTRIES = dict(
    re.findall(
        r"^## (\w+)\n\n(.*?)(?=^## |\Z)", (ROOT / "docs" / "runbook.md").read_text("utf-8"), re.DOTALL | re.MULTILINE
    )
)
ALERTS = {
    rule["alert"]: rule
    for group in YAML(typ="safe").load(ROOT / "cluster" / "rules" / "alerts.yml")["groups"]
    for rule in group["rules"]
}


@pytest.mark.parametrize("alert", ALERTS)
def test_each_alert_points_to_its_entry(alert):
    assert ALERTS[alert]["annotations"]["runbook_url"] == f"{RUNBOOK}#{alert.lower()}"
    assert alert in ENTRIES


@pytest.mark.parametrize("alert", ALERTS)
def test_an_entry_says_how_bad_it_is_how_to_find_out_and_what_to_do(alert):
    entry = ENTRIES[alert]
    assert entry.startswith(f"**{ALERTS[alert]['labels']['severity'].capitalize()}.** ")
    assert "\nHow to find out" in entry
    assert "\nWhat to do:" in entry


def test_no_entry_is_about_an_alert_that_does_not_exist():
    assert list(ENTRIES) == list(ALERTS)
