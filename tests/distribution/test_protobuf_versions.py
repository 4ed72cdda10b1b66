"""The generated protobuf classes load with every protobuf that pyproject.toml allows, whichever one Flink pins."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache" / "protobuf"
# The oldest allowed version, which Flink 1.20 also allows, the one that it gets by default, and the newest of each
# later version. PyFlink brings protobuf, and only the decoding for tests uses it, so the sink does not require it.
VERSIONS = ("==3.20.3", "==4.23.4", "~=5.0", "~=6.0", "~=7.0")

# Run without site-packages: besides the standard library, only the folder in the first argument can be imported from.
ROUND_TRIP = """
import importlib.util, sys

folder, *files = sys.argv[1:]
sys.path.insert(0, folder)
import google.protobuf

assert google.protobuf.__file__.startswith(folder), google.protobuf.__file__


def load(file):
    spec = importlib.util.spec_from_file_location(file.rpartition("/")[2].removesuffix(".py"), file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


for file in files:
    module = load(file)
    message = getattr(module, "WriteRequest", None) or module.Request
    request = message()
    for value in (1.5, -2.0):
        series = request.timeseries.add()
        sample = series.samples.add()
        sample.value, sample.timestamp = value, 1_700_000_000_000
        histogram = series.histograms.add()
        histogram.count_int, histogram.sum, histogram.schema = 3, 4.5, -4
        histogram.positive_deltas.extend([1, 2, -1])
    if hasattr(request, "symbols"):
        request.symbols.extend(["", "__name__", "m"])
    again = message.FromString(request.SerializeToString())
    assert again == request and again.timeseries[1].samples[0].value == -2.0
print(google.protobuf.__version__, len(files))
"""


def installed(version: str) -> Path:
    """Return a folder that holds only this protobuf; skip the test where it is not available."""
    folder = CACHE / re.sub(r"\W+", "-", version).strip("-")
    if not folder.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as work:
            pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
            pip += ["--retries", "1", "--timeout", "10", "--target", f"{work}/it", f"protobuf{version}"]
            ran = subprocess.run(pip, capture_output=True, text=True, check=False)
            if ran.returncode != 0:
                message = f"pip cannot install protobuf{version}: is this machine online? {ran.stderr.strip()[-200:]}"
                (pytest.fail if os.environ.get("PROTOBUF") == "required" else pytest.skip)(message)
            Path(work, "it").rename(folder)
    return folder


@pytest.mark.parametrize("version", VERSIONS)
def test_the_generated_classes_load_and_round_trip_with(version):
    files = sorted(map(str, (ROOT / "pyflink_prometheus").rglob("*_pb2.py")))
    ran = subprocess.run(
        [sys.executable, "-I", "-S", "-c", ROUND_TRIP, str(installed(version)), *files],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    loaded, count = ran.stdout.split()
    assert int(count) == 2
    wanted = re.findall(r"\d+", version)
    assert loaded.split(".")[: 1 if version.startswith("~") else 3] == wanted[: 1 if version.startswith("~") else 3]


def test_the_versions_are_those_that_pyproject_allows():
    allowed = re.search(r'"protobuf>=([\d.]+),<(\d+)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert allowed is not None
    assert VERSIONS[0] == f"=={allowed[1]}"
    assert VERSIONS[-1] == f"~={int(allowed[2]) - 1}.0"
