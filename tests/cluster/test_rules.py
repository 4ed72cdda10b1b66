"""Prometheus's rules are valid, and each alert fires only when it should, as checked by promtool."""

from __future__ import annotations

import subprocess
from pathlib import Path

import fetched
import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parent.parent.parent
RULES = ROOT / "cluster" / "rules"
TESTS = RULES / "tests"

pytestmark = pytest.mark.once


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run promtool and return the result."""
    return subprocess.run([str(fetched.promtool()), *arguments], capture_output=True, text=True, check=False)


def test_rules_are_well_formed() -> None:
    run = promtool("check", "rules", "--lint=all", "--lint-fatal", *map(str, sorted(RULES.glob("*.yml"))))

    assert run.returncode == 0, run.stdout + run.stderr


def test_alerts_fire_when_they_should_and_only_then() -> None:
    run = promtool("test", "rules", *map(str, sorted(TESTS.glob("*.yml"))))

    assert run.returncode == 0, run.stdout + run.stderr


def test_each_alert_is_shown_to_fire() -> None:
    groups = YAML(typ="safe").load(RULES / "alerts.yml")["groups"]
    tests = YAML(typ="safe").load(TESTS / "alerts.yml")["tests"]
    expected = " ".join(
        sample["labels"]
        for test in tests
        for each in test["promql_expr_test"]
        for sample in each.get("exp_samples", ())
    )

    for rule in groups[0]["rules"]:
        assert f'alertname="{rule["alert"]}"' in expected, f"no test shows that {rule['alert']} fires"


def test_each_alert_says_how_bad_it_is_and_what_to_do() -> None:
    for rule in YAML(typ="safe").load(RULES / "alerts.yml")["groups"][0]["rules"]:
        assert rule["labels"]["severity"] in ("critical", "warning"), rule
        assert rule["annotations"]["summary"].endswith("."), rule
        assert rule["annotations"]["description"].endswith("."), rule
