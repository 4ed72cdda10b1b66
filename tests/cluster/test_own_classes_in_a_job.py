"""Operators in real workers keep instances of classes that only the job's own file knows."""

from __future__ import annotations

import json
from typing import Any

import pytest
from local_job import run_job_file


@pytest.fixture(scope="module")
def found() -> dict[str, list[Any]]:
    """Return the output of ``own_classes.py``."""
    job = run_job_file("own_classes.py")
    results: dict[str, list[Any]] = json.loads(job.stdout.splitlines()[-1])
    return results


def test_reorder_holds_them(found):
    for device in "ab":
        of_device = [each for each in found["ordered"] if each[0] == device]
        assert of_device == sorted(of_device, key=lambda each: each[1])
        assert sorted(value for _, _, value in of_device) == [n for n in range(20) if "ab"[n % 2] == device]


def test_references_are_such(found):
    assert len(found["placed"]) == 20
    assert {tuple(each) for each in found["placed"]} <= {("a", "roof"), ("b", "cellar"), ("a", "?"), ("b", "?")}


def test_a_side_output_has_the_type_of_the_stream(found):
    assert found["matched"] == ["a"] * 10
    assert found["unmatched"] == ["b"] * 10
