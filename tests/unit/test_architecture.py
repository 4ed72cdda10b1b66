"""Imports go one way, and the public surface is what `__all__` says."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import pyflink_prometheus

PACKAGE = Path(pyflink_prometheus.__file__).parent
# Each may import those before it, and itself.
LAYERS = [
    "_version",
    "errors",
    "clock",
    "arguments",
    "histogram_buckets",
    "histogram",
    "checks",
    "timeseries",
    "config",
    "operators",
    "wire",
    "http",
    "writer",
    "flink",
]
OUTSIDE = {
    "pyflink": {"flink"},
    "py4j": set(),
    "requests": {"http"},
    "urllib3": {"http"},
    "snappy": {"wire", "testing"},
}


def modules():
    return [path for path in PACKAGE.rglob("*.py") if "_pb" not in path.parts and path != PACKAGE / "__init__.py"]


def layer_of(path):
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def imports(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            yield node.module


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_layer_imports_a_higher_one(path):
    layer = layer_of(path)
    for name in imports(path):
        root, *rest = name.split(".")
        if root == "pyflink_prometheus" and layer != "testing":
            assert rest, f"{path}: import the module, not the package"
            assert LAYERS.index(rest[0]) <= LAYERS.index(layer), f"{layer} must not import {name}"
        elif root in OUTSIDE:
            assert layer in OUTSIDE[root], f"{layer} must not import {root}"


def test_all_is_the_public_surface():
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    typed = {
        alias.name: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module.startswith("pyflink_prometheus.")
        for alias in node.names
    }
    assert len(set(pyflink_prometheus.__all__)) == len(pyflink_prometheus.__all__)  # its order is for the linter
    assert set(pyflink_prometheus.__all__) == set(typed) <= set(dir(pyflink_prometheus))
    for name, module in typed.items():
        assert getattr(pyflink_prometheus, name) is getattr(importlib.import_module(module), name)
    with pytest.raises(AttributeError, match="has no attribute 'PrometheusSnik'"):
        _ = pyflink_prometheus.PrometheusSnik


@pytest.mark.parametrize(
    "package", ["", ".wire", ".wire._pb", ".http", ".writer", ".operators", ".flink", ".flink.operators"]
)
def test_a_package_imports_none_of_its_modules(package):
    """Or threads that import different modules at once, as PyFlink's workers do, would block each other."""
    name = f"pyflink_prometheus{package}"
    code = f"import sys, {name}; print(*(each for each in sys.modules if each.startswith('pyflink_prometheus.')))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    parents = {"pyflink_prometheus", name, name.rpartition(".")[0]}
    assert set(run.stdout.split()) <= parents
