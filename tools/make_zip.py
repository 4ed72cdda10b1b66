"""
Make the zip that `flink run -pyfs` ships to workers on which nothing but PyFlink is installed; `make zip` runs this.

A wheel is a zip already, with the packages at its top. What Flink and Python go by is the name.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DIST = ROOT / "dist"


def zip_of(wheel: Path) -> Path:
    """Copy a wheel beside itself as a zip, and return that."""
    name, version, *_ = wheel.name.split("-")
    return Path(shutil.copyfile(wheel, wheel.with_name(f"{name}-{version}.zip")))


def main() -> None:
    """Build a wheel, keep its zip in dist/, and print where that is."""
    with tempfile.TemporaryDirectory() as folder:
        build = [sys.executable, "-m", "build", "--wheel", "--installer", "uv", "-qq", "--outdir", folder, str(ROOT)]
        if subprocess.run(build, check=False).returncode != 0:
            sys.exit("make zip: the wheel could not be built")
        (wheel,) = Path(folder).glob("*.whl")
        DIST.mkdir(exist_ok=True)
        print(shutil.copy(zip_of(wheel), DIST))


if __name__ == "__main__":
    main()
