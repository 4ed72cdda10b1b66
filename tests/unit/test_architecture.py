"""Imports go one way, and the public surface is what `__all__` says."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import pyflink_prometheus

PACKAGE = Path(pyflink_prometheus.__file__).parent
# Each may import those before it, and itself.
LAYERS = ["_version", "errors", "clock", "timeseries", "config", "wire", "http", "writer", "flink"]
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


def test_all_is_sorted_and_is_the_public_surface():
    public = {
        name
        for name, value in vars(pyflink_prometheus).items()
        if not name.startswith("_") and getattr(value, "__module__", "").startswith("pyflink_prometheus.")
    }
    assert pyflink_prometheus.__all__ == sorted(pyflink_prometheus.__all__)
    assert public == set(pyflink_prometheus.__all__) - {"__version__"}
