"""
Feed the package random and broken input for a while, and report failures; exit status 1 if there are any.

    python tests/fuzz/fuzz.py --seconds 3600 --seed 7
    python tests/fuzz/fuzz.py --seed 7 --case responses:123

The input: receivers' responses, records, configurations, files of rejected samples and their rescue. Nothing may take
longer than configured, every sample must be accounted for, and no secret may be shown. The second form repeats one
case.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

# The path is set by now.
import files  # noqa: E402
import records  # noqa: E402
import rescues  # noqa: E402
import responses  # noqa: E402
import stanzas  # noqa: E402
from watched import Target, run  # noqa: E402

TARGETS: dict[str, Target] = {
    "responses": responses.run,
    "records": records.run,
    "stanzas": stanzas.run,
    "files": files.run,
    "text": rescues.run_openmetrics,
    "resend": rescues.run_resend,
}
MOST_FINDINGS = 20


def main() -> int:
    """Run cases of all targets in turn, each for the same time."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=3600.0, help="duration (default: an hour)")
    parser.add_argument("--seed", type=int, help="default: random")
    parser.add_argument("--target", choices=TARGETS, action="append", help="default: all")
    parser.add_argument("--case", help="repeat one case of this seed, such as responses:123")
    options = parser.parse_args()
    seed = random.SystemRandom().randrange(10**6) if options.seed is None else options.seed
    if options.case:
        name, _, number = options.case.partition(":")
        problem, done = run(TARGETS[name], name, seed, int(number))
        print(problem or f"ok: {dict(done)}")
        return bool(problem)
    print(f"seed {seed}", flush=True)
    return _run_all(options.target or list(TARGETS), seed, options.seconds)


def _run_all(names: list[str], seed: int, seconds: float) -> int:
    began = time.monotonic()
    numbers, spent = Counter[str](), dict.fromkeys(names, 0.0)
    done: dict[str, Counter[str]] = {name: Counter() for name in names}
    findings = 0
    while time.monotonic() - began < seconds and findings < MOST_FINDINGS:
        name = min(names, key=spent.__getitem__)
        started = time.monotonic()
        problem, what = run(TARGETS[name], name, seed, numbers[name])
        spent[name] += time.monotonic() - started
        if problem:
            findings += 1
            print(f"\nFOUND: repeat it with --seed {seed} --case {name}:{numbers[name]}\n{problem}", flush=True)
        numbers[name] += 1
        done[name] += what
    for name in names:
        print(f"{name}: {numbers[name]} cases in {spent[name]:.0f} s; {dict(sorted(done[name].items()))}")
    print(f"{findings} findings, seed {seed}")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
