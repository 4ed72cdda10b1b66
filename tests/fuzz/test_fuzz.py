"""The first cases of each kind of fuzzing; ``make fuzz`` continues for as long as you like."""

from __future__ import annotations

import pytest
from fuzz import TARGETS
from watched import run

SEED = 1
CASES = {"responses": 30, "records": 60, "stanzas": 400, "files": 150, "text": 60, "resend": 30}


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_hangs_is_lost_or_shown(name):
    for number in range(CASES[name]):
        problem, _ = run(TARGETS[name], name, SEED, number)
        assert not problem, f"repeat it with: python tests/fuzz/fuzz.py --seed {SEED} --case {name}:{number}\n{problem}"
