"""docs/examples: configurations pasted from there are accepted, and do what the page says."""

from __future__ import annotations

import re
from pathlib import Path

import cloudpickle
import pytest
import requests
from receiver_examples import FOLDER, examples

from pyflink_prometheus import PrometheusSink, SecretError
from pyflink_prometheus.configuration.stanza import read_remote_write
from pyflink_prometheus.errors import InvalidConfigurationError
from pyflink_prometheus.guards.limits import RECEIVER_LIMITS

INDEX = (FOLDER / "README.md").read_text(encoding="utf-8")
ROWS = [
    [cell.strip() for cell in row.split("|")[1:-1]]
    for row in re.findall(r"^\| \[.*\]\([\w-]+\.md\).*$", INDEX, re.MULTILINE)
]
ROOT = FOLDER.parents[1]

each_example = pytest.mark.parametrize("example", examples(), ids=lambda example: example.path.stem)


@pytest.fixture
def stanza(example, tmp_path, monkeypatch):
    """Write the example's entry to the file that its Python reads."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "prometheus.yml"
    path.write_text(example.stanza, encoding="utf-8")
    return path


def signer_of(stanza):
    return read_remote_write(stanza).settings.get("request_signer")


@each_example
def test_the_stanza_and_the_python_build_the_same_sink(example, stanza):
    sinks = []
    for block in example.blocks:
        names: dict[str, object] = {}
        exec(block, names)
        sinks.append(names["sink"])
    assert all(isinstance(sink, PrometheusSink) for sink in sinks)
    from_the_stanza, without_it = map(cloudpickle.dumps, sinks)
    assert from_the_stanza == without_it


@each_example
def test_nothing_of_the_stanza_is_without_meaning(stanza, caplog):
    caplog.set_level("INFO")
    read_remote_write(stanza)
    assert caplog.messages == []


@each_example
def test_secrets_are_in_files_and_one_that_is_missing_is_named(example, stanza):
    paths = re.findall(r"_file: (.*)", example.stanza)
    assert not re.search(r"\b(password|credentials|bearer_token|secret_key|client_secret): ", example.stanza)
    for path in paths:
        request = requests.Request("POST", "https://receiver.example/").prepare()
        with pytest.raises(SecretError, match=re.escape(f"check the secret in file '{path}'")):
            signer_of(stanza)(request)


@each_example
def test_a_field_that_is_misspelled_is_named_with_its_line(example, stanza):
    lines = example.stanza.splitlines()
    for number, line in enumerate(lines, 1):
        found = re.fullmatch(r"( +(?:- )?)([a-z_]+)(:.*)", line)
        if found is None or "headers:" in lines[number - 2]:
            continue
        wrong = [*lines[: number - 1], f"{found[1]}{found[2]}x{found[3]}", *lines[number:]]
        stanza.write_text("\n".join(wrong), encoding="utf-8")
        with pytest.raises(InvalidConfigurationError) as caught:
            read_remote_write(stanza)
        assert str(caught.value).startswith(f"{stanza}, line {number}: remote_write[0].")
        assert f"write {found[2]}: " in str(caught.value)
        assert f"(Prometheus: field {found[2]}x not found in type " in str(caught.value)


@each_example
def test_a_page_says_what_happens_to_samples_and_where_that_is_from(example):
    points = [" ".join(point.split()) for point in re.split(r"^- \*\*", example.text, flags=re.MULTILINE)[1:]]
    (refusals,) = (point for point in points if "hen it refuses samples**: " in point)
    assert "([Receivers](../receivers.md#" in refusals
    assert re.fullmatch(r"Source\*\*: .*\]\(https://.*, [A-Z][a-z]+ 20\d\d\.", points[-1])


def test_the_index_has_each_page_and_no_other():
    assert sorted(re.findall(r"\]\((.*)\)", row[0])[0] for row in ROWS) == sorted(each.path.name for each in examples())


@each_example
def test_the_index_names_the_extra_and_the_preset(example, stanza):
    (row,) = (row for row in ROWS if f"({example.path.name})" in row[0])
    needed = {"SigV4Auth": "`aws`", "EntraAuth": "`azure`"}.get(type(signer_of(stanza)).__name__, "")
    assert row[1] == needed
    calls = [re.findall(r'\.set_sending_limits\("(.*)"\)', block) for block in example.blocks]
    assert calls == [[preset] if (preset := row[2].strip("`")) else []] * 2
    if needed:
        assert f"pip install 'pyflink-prometheus[{needed.strip('`')}]'" in example.text


def test_the_index_names_each_preset():
    assert {row[2].strip("`") for row in ROWS} - {""} == set(RECEIVER_LIMITS)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.md")), ids=lambda path: path.stem)
def test_links_lead_to_sections_that_exist(path: Path):
    for target, anchor in re.findall(r"\]\(([^):#]+\.md)(?:#([^)]+))?\)", path.read_text(encoding="utf-8")):
        file = (path.parent / target).resolve()
        assert file.is_relative_to(ROOT)
        headings = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), re.MULTILINE)
        anchors = {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}
        assert not anchor or anchor in anchors
