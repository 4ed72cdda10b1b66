"""docs/operations.md has each reason why a sample is not written, and each counter."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pyflink_prometheus import RejectionReason

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
METRICS = (ROOT / "pyflink_prometheus" / "flink" / "metrics.py").read_text(encoding="utf-8")
COUNTERS = re.findall(r'^ +"(\w+)": lambda', METRICS, re.MULTILINE)


@pytest.mark.parametrize("reason", RejectionReason, ids=lambda reason: reason.name)
def test_each_reason_is_explained(reason):
    assert re.search(rf"^\| .*`{reason.name}`.* \| `num\w+`.* \| .+ \| .+ \|$", DOCUMENT, re.MULTILINE)


@pytest.mark.parametrize("counter", COUNTERS)
def test_each_counter_is_explained(counter):
    shortened = f"…{counter.removeprefix('numSamples')}"
    assert f"`{counter}`" in DOCUMENT or f"`{shortened}`" in DOCUMENT


def test_there_is_something_to_check():
    assert len(COUNTERS) > 20
