"""The corpus of configurations, without promtool: tests/integration shows that promtool agrees."""

from __future__ import annotations

import pytest
from configuration_files import ACCEPTED, REFUSED, REFUSED_HERE, configuration_files

from pyflink_prometheus.config import SinkConfig
from pyflink_prometheus.configuration.stanza import read_remote_write
from pyflink_prometheus.errors import InvalidConfigurationError

SECRETS = ("hunter22", "pass/word", "pass word")


def test_the_corpus_is_large():
    assert sum(len(configuration_files(each)) for each in (ACCEPTED, REFUSED, REFUSED_HERE)) > 150


@pytest.mark.parametrize("file", configuration_files(ACCEPTED), ids=lambda file: file.path.stem)
def test_what_prometheus_accepts_becomes_settings(file, caplog):
    caplog.set_level("DEBUG")
    read = read_remote_write(file.path, file.entry)
    config = SinkConfig(**read.settings)
    assert not any(each in text for each in SECRETS for text in (repr(config), repr(read), caplog.text))


@pytest.mark.parametrize("file", configuration_files(REFUSED), ids=lambda file: file.path.stem)
def test_what_prometheus_refuses_is_refused_with_line_and_words(file):
    error = refusal(file)
    assert error.line is not None
    assert error.words
    assert str(error).startswith(f"{file.path}, line {error.line}: ")
    assert f"(Prometheus: {error.words}" in str(error)


@pytest.mark.parametrize("file", configuration_files(REFUSED_HERE), ids=lambda file: file.path.stem)
def test_what_the_sink_cannot_do_is_refused_with_a_reason(file):
    assert refusal(file).words == ""


def refusal(file):
    """Return the error, after checking that neither it nor its causes contain a secret."""
    with pytest.raises(InvalidConfigurationError) as caught:
        read_remote_write(file.path, file.entry)
    error: BaseException | None = caught.value
    while error is not None:
        assert not any(each in str(error) for each in SECRETS)
        assert "\n" not in str(error)
        error = error.__cause__ or error.__context__
    return caught.value
