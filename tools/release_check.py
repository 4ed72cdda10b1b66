"""
Check the release with each Flink version.

    release_check.py FLINK_VERSION...

Builds wheel, source distribution and zip, and checks their contents. Installs the wheel beside Flink, and runs a job
with it. Starts a cluster whose environment has only apache-flink, and runs a job there that brings the zip.

The environments are kept in .cache/release; the built files are in dist/.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

from make_zip import zip_of

ROOT = Path(__file__).resolve().parents[1]
DIST = ROOT / "dist"
CACHE = ROOT / ".cache" / "release"
JOB = ROOT / "tools" / "release_job.py"
ZIP_JOB = ROOT / "tools" / "zip_job.py"
PACKAGE = "pyflink_prometheus"
# Flink 1.20 pins libraries that have no wheels for later ones.
NEWEST_PYTHON = {"1": (3, 11)}


def run(*command: str | Path, **options: object) -> None:
    """Run a command, and exit with a line that names it if it fails."""
    try:
        status = subprocess.run([str(part) for part in command], check=False, **options).returncode  # type: ignore[call-overload]
    except subprocess.TimeoutExpired:
        status = None
    if status != 0:
        sys.exit(f"release-check: failed: {' '.join(map(str, command))}")


def build() -> Path:
    """Build wheel and source distribution, check their metadata and contents, and return the wheel."""
    shutil.rmtree(DIST, ignore_errors=True)
    run(sys.executable, "-m", "build", "--installer", "uv", "-qq", "--outdir", DIST, ROOT)
    (wheel,), (sdist,) = DIST.glob("*.whl"), DIST.glob("*.tar.gz")
    run(sys.executable, "-m", "twine", "--no-color", "check", "--strict", wheel, sdist)
    with zipfile.ZipFile(wheel) as archive:
        check_wheel(archive)
    with tarfile.open(sdist) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    needed = {"LICENSE", "README.md", "CHANGELOG.md", "pyproject.toml", f"{PACKAGE}/__init__.py"}
    if missing := needed - inside:
        sys.exit(f"release-check: {sdist.name} lacks {', '.join(sorted(missing))}")
    return wheel


def check_wheel(archive: zipfile.ZipFile) -> None:
    """Fail unless the wheel has exactly the package's files in the tree, and metadata about its authors and URLs."""
    names = set(archive.namelist())
    (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
    packed = {name for name in names if not name.startswith(f"{metadata.partition('/')[0]}/")}
    tree = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / PACKAGE).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    if packed != tree:
        sys.exit(f"release-check: wheel and tree differ: {', '.join(sorted(packed ^ tree))}")
    if f"{PACKAGE}/py.typed" not in packed:
        sys.exit("release-check: the wheel lacks py.typed")
    text = archive.read(metadata).decode()
    for field in ("Author", "License-Expression", "License-File", "Requires-Python", "Project-URL"):
        if not re.search(rf"^{field}: .", text, re.MULTILINE):
            sys.exit(f"release-check: the wheel's metadata lacks {field}")
    if relative := re.findall(r"\]\((?!https?://|#)([^)]*)\)", text):
        sys.exit(f"release-check: the wheel's description has relative links: {', '.join(relative)}")


def environment(name: str, *requirements: str, has_just_been_fetched: bool = False) -> Path:
    """Return the Python of an environment that has the requirements, and nothing from the tree."""
    folder = CACHE / name
    python = folder / "bin" / "python"
    if not python.exists():
        run(sys.executable, "-m", "venv", "--clear", "--without-pip", folder)
    uv = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", str(python)]
    uv += ["--reinstall-package", PACKAGE.replace("_", "-"), *requirements]
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--quiet", "--disable-pip-version-check"]
    # With some indexes, uv would fetch and build everything again.
    offline = (
        has_just_been_fetched
        and subprocess.run([*uv, "--offline"], check=False, stderr=subprocess.DEVNULL).returncode == 0
    )
    if not offline and subprocess.run(uv, check=False).returncode != 0:
        run(*pip, "install", "--force-reinstall", *requirements)  # if only pip has an index set up
    run(*pip, "check")
    return python


def run_job(python: Path) -> None:
    """Run the job with this Python in a folder outside the tree, with no import path into the tree."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    environment["PATH"] = f"{python.parent}{os.pathsep}{environment['PATH']}"
    environment["PYTHONWARNINGS"] = "ignore"  # Flink's own libraries warn
    environment["_python_worker_execution_mode"] = "process"  # real workers, as on a cluster
    with tempfile.TemporaryDirectory() as elsewhere:
        job = shutil.copy(JOB, elsewhere)
        run(python, job, cwd=elsewhere, env=environment, timeout=900)


def run_out_of_the_zip(python: Path, archive: Path) -> None:
    """Run the job on a cluster of this Python, which has only apache-flink, and compare the samples that arrive."""
    sys.path[:0] = [str(ROOT / "tests" / "cluster"), str(ZIP_JOB.parent)]
    from flink_cluster import FlinkCluster
    from zip_job import READINGS

    from pyflink_prometheus.testing import Receiver

    with tempfile.TemporaryDirectory() as folder, Receiver() as receiver:
        nothing_of_the_tree = {"PYTHONPATH": "", "VIRTUAL_ENV": "", "PYTHONWARNINGS": "ignore"}
        with FlinkCluster(Path(folder), slots=1, python=python, environment=nothing_of_the_tree) as cluster:
            cluster.run_job(ZIP_JOB, receiver.url, options=("-pyfs", str(archive)))
        arrived = sorted((dict(labels)["room"], *each) for labels, of in receiver.samples().items() for each in of)
    if arrived != sorted(READINGS):
        sys.exit(f"release-check: {len(arrived)} of {len(READINGS)} samples from the zip's job arrived")
    print(f"{archive.name}, beside only apache-flink: {len(arrived)} of {len(READINGS)} samples arrived")


def main() -> None:
    """Check the release with each Flink."""
    wheel = build()
    archive = zip_of(wheel)
    for flink in sys.argv[1:]:
        newest = NEWEST_PYTHON.get(flink.partition(".")[0])
        if newest is not None and sys.version_info[:2] > newest:
            print(f"SKIPPED: Flink {flink}, which does not run on Python 3.{sys.version_info.minor}")
            continue
        print(f"Flink {flink}: ", end="", flush=True)
        run_job(environment(f"flink-{flink}", str(wheel), f"apache-flink=={flink}"))
        print(f"Flink {flink}: ", end="", flush=True)
        alone = environment(f"flink-{flink}-alone", f"apache-flink=={flink}", has_just_been_fetched=True)
        run_out_of_the_zip(alone, archive)


if __name__ == "__main__":
    main()
