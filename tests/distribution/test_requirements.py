"""On a worker that has only PyFlink, the package runs from its zip."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from importlib.metadata import requires
from pathlib import Path

import pytest

from pyflink_prometheus import __version__

ROOT = Path(__file__).resolve().parents[2]
PYPROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")

# Run in isolation, with the zip before all installed packages, and without packages that PyFlink does not bring.
OUT_OF_THE_ZIP = """
import sys

sys.modules.update(dict.fromkeys(("snappy", "cramjam", "botocore", "azure", "jwt", "cryptography", "re2", "socks")))
archive = sys.argv[1]
sys.path.insert(0, archive)
import pyflink_prometheus

for name in pyflink_prometheus.__all__:
    getattr(pyflink_prometheus, name)

from pyflink_prometheus.testing import Receiver
from pyflink_prometheus.writer.writer import RemoteWriter
from pyflink_prometheus.config import SinkConfig

with Receiver() as receiver:
    writer = RemoteWriter(SinkConfig(receiver.url))
    writer.add(pyflink_prometheus.PrometheusTimeSeries("m", {"a": "1"}, ((1.5, 1_700_000_000_000),)))
    writer.flush()
    writer.close()
    assert [request.samples[0][1:] for request in receiver.requests] == [(1.5, 1_700_000_000_000)]

ours = [module for name, module in sys.modules.items() if name.partition(".")[0] == "pyflink_prometheus"]
elsewhere = [module.__name__ for module in ours if not module.__file__.startswith(archive)]
assert not elsewhere, elsewhere
print(pyflink_prometheus.__version__, len(ours))
"""


def names_of(requirements: list[str] | None) -> set[str]:
    """Return the packages that are always required, with their names as pip compares them."""
    found = [each for each in requirements or () if "extra ==" not in each]
    return {re.sub(r"[-_.]+", "-", re.split(r"[\s<>=!~;(\[]", each)[0]).lower() for each in found}


def test_pyflink_brings_all_that_is_required_but_snappy_for_which_it_brings_pyarrow():
    block = re.search(r"^dependencies = \[\n(.*?)^\]", PYPROJECT, re.MULTILINE | re.DOTALL)
    assert block is not None
    ours = names_of(re.findall(r'"(.*?)"', block[1]))
    brought = names_of(requires("apache-flink")) | names_of(requires("apache-beam"))
    assert ours - brought == {"python-snappy"}
    assert {"pyarrow", "protobuf", "cloudpickle", "pandas"} <= brought


def test_no_requirement_pulls_a_second_pyflink_over_a_vendors():
    block = PYPROJECT.partition("[project.optional-dependencies]")[0]
    assert "apache-flink" not in block
    assert 'flink = ["apache-flink>=1.20,<3"]' in PYPROJECT


@pytest.mark.parametrize("name", ["a.zip", "a folder/with-1.0.zip"])
def test_the_package_runs_out_of_a_zip_with_nothing_but_pyflink(name, tmp_path):
    archive = tmp_path / name
    archive.parent.mkdir(exist_ok=True)
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as made:
        for path in sorted((ROOT / "pyflink_prometheus").rglob("*.py")):
            made.write(path, path.relative_to(ROOT))
    command = [sys.executable, "-I", "-W", "ignore", "-c", OUT_OF_THE_ZIP, str(archive)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.split()[0] == __version__
