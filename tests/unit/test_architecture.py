"""Imports go one way, and the public API is what `__all__` says."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import pyflink_prometheus
from pyflink_prometheus.__main__ import COMMANDS

PACKAGE = Path(pyflink_prometheus.__file__).parent
# Each layer may import the layers in the rows above it, and itself, but no other layer in its row.
LAYERS = [
    {"_version", "errors", "clock", "_validation"},
    {"model", "relabelling", "secret"},
    {"guards"},
    {"config"},
    {"wire", "http", "transforms"},
    {"writer", "configuration"},
    {"preflight", "rescue", "verification"},
    {"flink", "commands"},
    {"__main__"},
]
# The same holds for the writer's modules: the path of a sample, from shared modules to the one that begins it.
ROOMS = [
    {"ledger", "retry", "endpoint", "batch", "family", "digest_files"},
    {"tenants", "written_digests", "turnover"},
    {"pace", "rejected", "delivery", "admission"},
    {"backlog", "rejected_files", "intake", "series_cache"},
    {"isolation", "settlement", "row_series"},
    {"prepared"},
    {"lanes"},
    {"shard"},
    {"writer", "destination"},
    {"mapped_records", "mapped_columns", "best_effort"},
    {"fan_out"},
]
OUTSIDE = {
    "pyflink": {"flink"},
    "py4j": set(),
    "requests": {"http"},
    "urllib3": {"http"},
    "ruamel": {"configuration"},
    "re2": {"relabelling"},
    # wire/compression.py loads the one that is installed.
    "snappy": set(),
    "pyarrow": set(),
    # These come with extras, and are imported where they are first used.
    "botocore": set(),
    "azure": set(),
    "jwt": set(),
    "cryptography": set(),
}
# Other layers import a layer only through these modules.
DOORS = {"wire": {"request", "point", "series", "table"}}


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


def row_of(rows, name):
    return next(number for number, row in enumerate(rows) if name in row)


def assert_goes_down(rows, path, importing, imported):
    if importing != imported:
        assert row_of(rows, imported) < row_of(rows, importing), f"{path}: {importing} must not import {imported}"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_layer_imports_a_higher_one(path):
    layer = layer_of(path)
    for name in imports(path):
        root, *rest = name.split(".")
        if root == "pyflink_prometheus" and layer != "testing":
            if not rest:
                assert "from pyflink_prometheus import _validation" in path.read_text(), f"{path}: import the module"
                continue
            assert_goes_down(LAYERS, path, layer, rest[0])
            if rest[0] in DOORS and layer != rest[0]:
                assert rest[1] in DOORS[rest[0]], f"{path}: {name} is internal to {rest[0]}"
            if layer == rest[0] == "writer":
                assert_goes_down(ROOMS, path, path.stem, rest[1])
        elif root in OUTSIDE:
            assert layer in OUTSIDE[root], f"{layer} must not import {root}"


def test_each_module_has_a_place_in_the_drawing():
    layers = {layer_of(path) for path in modules()} - {"testing"}
    assert layers == set().union(*LAYERS)
    rooms = {path.stem for path in (PACKAGE / "writer").glob("*.py")} - {"__init__"}
    assert rooms == set().union(*ROOMS)


def test_no_two_files_have_one_name():
    names = [path.name for path in modules() if path.name != "__init__.py"]
    assert sorted(names) == sorted(set(names))


def test_all_is_the_public_surface():
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    typed = {
        alias.name: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("pyflink_prometheus.")
        for alias in node.names
    }
    assert len(set(pyflink_prometheus.__all__)) == len(pyflink_prometheus.__all__)  # its order is for the linter
    assert set(pyflink_prometheus.__all__) == set(typed) <= set(dir(pyflink_prometheus))
    for name, module in typed.items():
        assert getattr(pyflink_prometheus, name) is getattr(importlib.import_module(module), name)
    with pytest.raises(AttributeError, match="has no attribute 'PrometheusSnik'"):
        _ = pyflink_prometheus.PrometheusSnik  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "package",
    [
        "",
        ".wire",
        ".wire._pb",
        ".http",
        ".http.auth",
        ".writer",
        ".transforms",
        ".model",
        ".relabelling",
        ".configuration",
        ".guards",
        ".flink",
        ".flink.operators",
        ".flink.tables",
        ".commands",
        ".preflight",
        ".verification",
        ".rescue",
    ],
)
def test_a_package_imports_none_of_its_modules(package):
    """Otherwise threads that import different modules at once, as PyFlink's workers do, would deadlock."""
    name = f"pyflink_prometheus{package}"
    code = f"import sys, {name}; print(*(each for each in sys.modules if each.startswith('pyflink_prometheus.')))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    parents = {"pyflink_prometheus", name, name.rpartition(".")[0]}
    assert set(run.stdout.split()) <= parents


def test_all_names_can_be_imported_without_any_extra():
    extras = ("botocore", "azure", "jwt", "cryptography", "msal")
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({extras!r})); import pyflink_prometheus as p; "
        "[getattr(p, name) for name in p.__all__]; p.SigV4Auth(); p.EntraAuth.default(); "
        "p.JwtBearerAuth('https://login.example', 'client', 'key')"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_client_that_builds_a_sink_does_not_load_what_runs_functions():
    code = (
        "import sys; from pyflink_prometheus import PrometheusSink; "
        "PrometheusSink.builder().set_prometheus_remote_write_url('http://localhost/').build(); "
        "print(*({'apache_beam', 'pandas', 'pyarrow'} & sys.modules.keys()))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "\n"


def test_commands_run_without_pyflink():
    code = (
        "import sys; sys.modules.update(dict.fromkeys(('pyflink', 'py4j', 'apache_beam'))); "
        "from pyflink_prometheus.__main__ import main; main(sys.argv[1:])"
    )
    for command in COMMANDS:
        run = subprocess.run(
            [sys.executable, "-c", code, command, "--help"], capture_output=True, text=True, check=True
        )
        assert command in run.stdout
