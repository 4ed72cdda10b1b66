"""
Make the zip that `flink run -pyfs` ships to workers where only PyFlink is installed; `make zip` runs this.

A wheel is already a zip, with the packages at its top level. It only needs the extension that Flink and Python expect.
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
    """Copy a wheel to a zip beside it, and return the zip."""
    name, version, *_ = wheel.name.split("-")
    return Path(shutil.copyfile(wheel, wheel.with_name(f"{name}-{version}.zip")))


def main() -> None:
    """Build a wheel, keep its zip in dist/, and print the zip's path."""
    with tempfile.TemporaryDirectory() as folder:
        build = [sys.executable, "-m", "build", "--wheel", "--installer", "uv", "-qq", "--outdir", folder, str(ROOT)]
        if subprocess.run(build, check=False).returncode != 0:
            sys.exit("make zip: the wheel could not be built")
        (wheel,) = Path(folder).glob("*.whl")
        DIST.mkdir(exist_ok=True)
        print(shutil.copy(zip_of(wheel), DIST))


if __name__ == "__main__":
    main()
