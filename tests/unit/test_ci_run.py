"""`.ci/run` repeats the failures at the end, wherever in the output of two parallel layers they were."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

RUN = Path(__file__).resolve().parents[2] / ".ci" / "run"
HEADING = "======== FAILURES, repeated ========\n"
FAILING = """
import pytest

@pytest.fixture
def broken():
    raise OSError("no such cluster")

def test_one():
    assert "this" == "that"

def test_other(broken):
    pass
"""
MAKEFILE = """
.DEFAULT:
\t@echo $@ is fine
{target}:
\t@{recipe}
"""

pytestmark = pytest.mark.skipif(not RUN.exists() or not shutil.which("make"), reason="needs the repository, and make")


def run(folder: Path, target: str, recipe: str) -> tuple[int, str]:
    """Run a copy of the script where one target has this recipe; return its exit status and output."""
    (folder / ".ci").mkdir()
    script = shutil.copy(RUN, folder / ".ci")
    (folder / "Makefile").write_text(MAKEFILE.format(target=target, recipe=recipe))
    (folder / "test_failing.py").write_text(FAILING)
    # Its make must also be independent under `make test-fast`.
    environment = {
        name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")
    }
    done = subprocess.run(["bash", script], env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


@pytest.mark.parametrize("target", ["test-cluster", "coverage"])
def test_failed_tests_are_shown_whole(tmp_path: Path, target: str) -> None:
    tests = f"{sys.executable} -m pytest -p no:cacheprovider test_failing.py; status=$$?; seq 50; exit $$status"
    status, output = run(tmp_path, target, tests)
    _, heading, last = output.partition(HEADING)
    assert heading
    assert status != 0
    assert "E       AssertionError: assert 'this' == 'that'" in last
    assert "E       OSError: no such cluster" in last
    assert "= 1 failed, 1 error in " in last
    assert "test session starts" not in last


def test_of_what_else_failed_the_last_lines_are_shown(tmp_path: Path) -> None:
    status, output = run(tmp_path, "test-oldest", "seq 50; echo no such index; exit 3")
    _, heading, last = output.partition(HEADING)
    assert heading
    assert status != 0
    assert "\n50\nno such index\n" in last
    assert "\n10\n" not in last


def test_where_nothing_failed_nothing_is_repeated(tmp_path: Path) -> None:
    status, output = run(tmp_path, "test-oldest", "echo fine")
    assert status == 0
    assert HEADING not in output
