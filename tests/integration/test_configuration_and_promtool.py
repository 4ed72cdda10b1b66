"""The sink accepts the files of the corpus that promtool accepts, and refuses the others in promtool's words."""

from __future__ import annotations

import re
import subprocess

import pytest
from configuration_files import ACCEPTED, REFUSED, REFUSED_HERE, ConfigurationFile, configuration_files
from receiver_examples import examples

from pyflink_prometheus.configuration.stanza import read_remote_write
from pyflink_prometheus.errors import InvalidConfigurationError

_ALL_WAYS = "oauth2, sigv4, azuread or google_iam"
_WAYS_OF_DEBIAN = "oauth2, or sigv4"


@pytest.fixture(scope="module")
def build(promtool):
    """Return promtool's version, and whether it is Debian's build, without Azure and Google."""
    run = subprocess.run([str(promtool), "--version"], capture_output=True, text=True, check=True)
    found = re.search(r"version (\d+)\.(\d+)\.\d+(\+ds)?", run.stdout + run.stderr)
    assert found is not None
    return (int(found[1]), int(found[2])), found[3] is not None


@pytest.fixture(scope="module")
def said(promtool, build):
    """Return a function from a file to promtool's verdict and output; it skips files that promtool is too old for."""

    def check(file):
        version, is_of_debian = build
        if file.since > version or (file.official and is_of_debian):
            pytest.skip(f"this promtool does not know it: {version}, {'Debian' if is_of_debian else 'official'}")
        command = [str(promtool), "check", "config", str(file.path)]
        run = subprocess.run(command, check=False, capture_output=True, text=True)
        return run.returncode == 0, _without_values(run.stdout + run.stderr)

    return check


def _without_values(text):
    """Return a text without the values that the YAML parser quotes: ours omits values that may be secrets."""
    return re.sub(r"(?:cannot unmarshal !!\w+ )?(?:`[^`]*` )?into ", "into ", text)


@pytest.mark.parametrize("file", configuration_files(ACCEPTED), ids=lambda file: file.path.stem)
def test_what_is_accepted_promtool_accepts(said, file):
    accepted, words = said(file)
    assert accepted, words
    read_remote_write(file.path, file.entry)


@pytest.mark.parametrize("file", configuration_files(REFUSED), ids=lambda file: file.path.stem)
def test_what_is_refused_promtool_refuses_in_the_same_words(said, build, file):
    accepted, words = said(file)
    assert not accepted
    with pytest.raises(InvalidConfigurationError) as caught:
        read_remote_write(file.path, file.entry)
    expected = _without_values(caught.value.words)
    if build[1]:
        expected = expected.replace(_ALL_WAYS, _WAYS_OF_DEBIAN)
    assert expected in words


@pytest.mark.parametrize("file", configuration_files(REFUSED_HERE), ids=lambda file: file.path.stem)
def test_what_the_sink_alone_refuses_promtool_accepts(said, file):
    accepted, words = said(file)
    assert accepted, words


@pytest.mark.parametrize("example", examples(), ids=lambda example: example.path.stem)
def test_the_stanza_of_an_example_is_accepted(said, example, tmp_path):
    path = tmp_path / "prometheus.yml"
    path.write_text(example.stanza, encoding="utf-8")
    accepted, words = said(ConfigurationFile(path, official="azuread:" in example.stanza))
    assert accepted, words
