"""The package does not require PyFlink: a missing or too old version is reported on first use."""

from __future__ import annotations

import subprocess
import sys

import pytest

# Modules that stand in for PyFlink's, created before the package is imported.
WITH_VERSION = (
    "import sys, types; pyflink = types.ModuleType('pyflink'); pyflink.__path__ = []; version = "
    "types.ModuleType('pyflink.version'); version.__version__ = {version!r}; "
    "sys.modules.update({{'pyflink': pyflink, 'pyflink.version': version}})"
)
WITHOUT = "import sys; sys.modules['pyflink'] = None"


def run(before: str, then: str) -> subprocess.CompletedProcess[str]:
    code = f"{before}\nimport pyflink_prometheus\n{then}"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", ["PrometheusSink", "Reorder", "aggregate_table", "PrometheusTimeSeriesKeySelector"])
def test_without_pyflink_the_first_name_that_needs_it_says_what_to_install(name):
    ran = run(WITHOUT, f"from pyflink_prometheus import {name}")
    last = ran.stderr.strip().splitlines()[-1]
    assert last == (
        f"ModuleNotFoundError: install PyFlink 1.20 or 2.x for {sys.executable}, in your cluster's version or with "
        "pip install 'pyflink-prometheus[flink]': the module pyflink was not found"
    )


def test_without_pyflink_all_else_works():
    ran = run(
        WITHOUT,
        "from pyflink_prometheus import PrometheusTimeSeries, BasicAuth, read_rejected_samples, TlsConfiguration\n"
        "from pyflink_prometheus.writer.writer import RemoteWriter\n"
        "from pyflink_prometheus.configuration.stanza import read_remote_write\n"
        "import pyflink_prometheus.testing",
    )
    assert (ran.returncode, ran.stderr) == (0, "")


@pytest.mark.parametrize("version", ["1.19.3", "1.9.0", "0.1"])
def test_a_pyflink_that_is_too_old_is_refused(version):
    ran = run(WITH_VERSION.format(version=version), "import pyflink_prometheus.flink")
    assert ran.stderr.strip().splitlines()[-1].endswith(f": found PyFlink {version}")
    assert "ImportError: install PyFlink 1.20 or 2.x for " in ran.stderr


@pytest.mark.parametrize(
    "version", ["1.20.0", "1.20.5", "2.0.0", "2.3.0", "2.2.0.3", "1.20+vvr.11.9.0", "1.20.0-amzn-7", "unknown"]
)
def test_a_pyflink_of_a_supported_or_unknown_version_is_taken(version):
    ran = run(WITH_VERSION.format(version=version), "import pyflink_prometheus.flink")
    assert (ran.returncode, ran.stderr) == (0, "")


def test_a_pyflink_of_an_untested_version_is_taken_with_a_warning():
    ran = run(WITH_VERSION.format(version="3.0.0"), "import pyflink_prometheus.flink")
    assert ran.returncode == 0
    assert ran.stderr.startswith("test your job's recovery from failures with PyFlink 3.0.0: ")
    assert len(ran.stderr.splitlines()) == 1


def test_a_pyflink_that_is_broken_raises_its_own_error():
    broken = (
        "import sys, importlib.abc\nclass Broken(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path, target=None):\n"
        "        if name == 'pyflink': raise ModuleNotFoundError('no py4j', name='py4j')\n"
        "sys.meta_path.insert(0, Broken())"
    )
    ran = run(broken, "import pyflink_prometheus.flink")
    assert ran.stderr.strip().splitlines()[-1] == "ModuleNotFoundError: no py4j"
