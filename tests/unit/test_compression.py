"""Snappy comes from python-snappy, or from pyarrow if that is missing."""

from __future__ import annotations

import pickle
import subprocess
import sys

import pyarrow
import pytest
import snappy

from pyflink_prometheus.wire.compression import installed_snappy

MESSAGES = (b"", b"a", b"temperature" * 20_000, bytes(range(256)) * 3)


@pytest.fixture(params=["snappy", "pyarrow"])
def library(request, monkeypatch):
    if request.param == "pyarrow":
        monkeypatch.setitem(sys.modules, "snappy", None)
    found = installed_snappy()
    assert found.library == request.param
    return found


@pytest.mark.parametrize("message", MESSAGES, ids=len)
def test_what_one_library_compresses_each_uncompresses(library, message):
    body = library.compress(message)
    assert type(body) is bytes
    assert snappy.uncompress(body) == library.uncompress(body) == message
    assert library.uncompress(snappy.compress(message)) == message
    assert pyarrow.decompress(body, len(message), codec="snappy", asbytes=True) == message


@pytest.mark.parametrize("body", [b"", b"\xff", b"\x05ab", snappy.compress(b"temperature" * 99)[:-1]])
def test_what_is_not_snappy_raises(library, body):
    with pytest.raises(Exception):  # noqa: B017 - each library has its own
        library.uncompress(body)


def test_without_either_the_message_names_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "snappy", None)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError) as raised:
        installed_snappy()
    message = str(raised.value)
    assert message.startswith("install python-snappy (or PyFlink's pyarrow) for the workers' Python: ")
    assert "pyarrow halted" in message
    assert "\n" not in message
    assert isinstance(pickle.loads(pickle.dumps(raised.value)), ImportError)


def test_the_sink_needs_no_library_that_pyflink_does_not_bring():
    """On a worker, the zip finds only what apache-flink requires, directly or through apache-beam."""
    brought = {"snappy": None, "cramjam": None}
    code = (
        f"import sys; sys.modules.update({brought}); import pyflink_prometheus as p; "
        "[getattr(p, name) for name in p.__all__]; import pyflink_prometheus.testing; "
        "from pyflink_prometheus.wire import compression; print(compression.compress.keywords)"
    )
    ran = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    assert "'codec': 'snappy'" in ran.stdout


def test_pyarrow_is_not_imported_where_python_snappy_is_installed():
    code = "import sys, pyflink_prometheus.wire.request; print('pyarrow' in sys.modules, 'snappy' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["False", "True"]
