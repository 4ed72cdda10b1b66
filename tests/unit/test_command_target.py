"""The options that name a command's endpoint."""

from __future__ import annotations

import argparse

import pytest

from pyflink_prometheus.commands.target import add_target_arguments, target
from pyflink_prometheus.config import RemoteWriteVersion

URL = "http://localhost:9090/api/v1/write"


def parsed(*arguments):
    parser = argparse.ArgumentParser()
    add_target_arguments(parser)
    return target(parser.parse_args(arguments))


def test_a_url_alone_is_enough():
    config = parsed("--url", URL)
    assert config.prometheus_remote_write_url == URL
    assert (config.request_signer, config.tls, config.proxy, dict(config.http_headers)) == (None, None, None, {})


def test_options_become_settings(tmp_path):
    password = tmp_path / "password"
    password.write_text("hunter2\n")
    config = parsed(
        *("--url", URL, "--username", "flink", "--password-file", str(password), "--header", "X-Scope-OrgID: a:b"),
        *("--ca-file", "ca.pem", "--insecure-skip-verify", "--proxy-url", "http://proxy:3128", "--timeout", "2.5"),
        *("--remote-write-version", "1.0"),
    )
    assert config.request_signer.header() == "Basic Zmxpbms6aHVudGVyMg=="
    assert config.http_headers == {"X-Scope-OrgID": "a:b"}
    assert (config.tls.ca_file, config.tls.insecure_skip_verify) == ("ca.pem", True)
    assert config.proxy.proxy_url == "http://proxy:3128"
    assert config.socket_timeout_ms == 2500
    assert config.remote_write_version is RemoteWriteVersion.V1


def test_a_token_is_read_from_its_file(tmp_path):
    token = tmp_path / "token"
    token.write_text("tok\n")
    assert parsed("--url", URL, "--bearer-token-file", str(token)).request_signer.header() == "Bearer tok"


def test_a_configuration_names_the_endpoint(tmp_path):
    path = tmp_path / "prometheus.yml"
    path.write_text(f"remote_write:\n- {{url: '{URL}', name: one}}\n- {{url: 'http://b:1/write', name: two}}\n")
    assert parsed("--config", str(path), "--name", "two").prometheus_remote_write_url == "http://b:1/write"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--url", "localhost:9090"], "does not begin with http"),
        (["--url", URL, "--name", "one"], "remove --name"),
        (["--url", URL, "--username", "flink"], "--password-file"),
        (["--url", URL, "--username", "u", "--password-file", "p", "--bearer-token-file", "t"], "not both"),
        (["--url", URL, "--header", "secret"], "without a colon"),
        (["--url", URL, "--cert-file", "c.pem"], "set key or key_file"),
        (["--config", "not there.yml"], "can be read here"),
        (["--config", "prometheus.yml", "--header", "a:b"], "remove --header"),
        (["--url", URL, "--timeout", "0"], "--timeout"),
        ([], "--url --config"),
    ],
)
def test_wrong_options_end_with_status_2(capsys, arguments, message):
    with pytest.raises(SystemExit) as ended:
        parsed(*arguments)
    assert ended.value.code == 2
    written = capsys.readouterr().err
    assert message in written
    assert "secret" not in written
