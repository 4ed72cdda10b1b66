"""An entry of remote_write as settings of the sink: from files and mappings, with the place of each error."""

from __future__ import annotations

import json
import logging
import pickle

import cloudpickle
import pytest

from pyflink_prometheus.config import OnErrorBehavior, RemoteWriteVersion, SinkConfig
from pyflink_prometheus.configuration.document import parsed
from pyflink_prometheus.configuration.scalars import duration, expanded, integer
from pyflink_prometheus.configuration.stanza import read_remote_write
from pyflink_prometheus.errors import InvalidConfigurationError
from pyflink_prometheus.flink.advice import warn_of_unverified_tls
from pyflink_prometheus.flink.sink import PrometheusSink
from pyflink_prometheus.http.auth.basic import BasicAuth
from pyflink_prometheus.http.auth.entra import EntraAuth
from pyflink_prometheus.http.auth.jwt_bearer import JwtBearerAuth
from pyflink_prometheus.http.auth.oauth2 import OAuth2Auth
from pyflink_prometheus.http.auth.scheme import SchemeAuth
from pyflink_prometheus.http.auth.sigv4 import SigV4Auth
from pyflink_prometheus.http.proxies import ProxyConfiguration
from pyflink_prometheus.http.tls import TlsConfiguration
from pyflink_prometheus.secret import Secret

URL = "https://receiver.test/api/v1/write"


def settings_of(**entry):
    """Return the settings of an entry in the form of a mapping."""
    return read_remote_write({"url": URL, **entry}).settings


def config_of(builder):
    """Return the configuration that a builder's sink carries to the workers."""
    return builder.build().get_transformer()._config


@pytest.fixture
def file(tmp_path):
    """Return a function that writes a file."""

    def write(text):
        path = tmp_path / "prometheus.yml"
        path.write_text(text)
        return path

    return write


def test_an_entry_becomes_settings(file, tmp_path):
    path = file(f"""
global:
  external_labels: {{cluster: eu-1}}
remote_write:
- url: {URL}
  name: mimir
  remote_timeout: 1m
  headers: {{X-Scope-OrgID: 5}}
  protobuf_message: io.prometheus.write.v2.Request
  basic_auth: {{username: user, password_file: secrets/password}}
  tls_config: {{ca_file: ca.pem}}
  proxy_url: http://proxy.test:3128
  round_robin_dns: true
  send_exemplars: false
  write_relabel_configs: [{{source_labels: [room], regex: attic, action: drop}}]
  queue_config:
    capacity: 2500
    max_shards: 4
    max_samples_per_send: 500
    batch_send_deadline: 2s
    min_backoff: 50ms
    max_backoff: 1s
    sample_age_limit: 5m
""")
    read = read_remote_write(path)
    config = SinkConfig(**read.settings)
    assert read.name == "mimir"
    assert config.prometheus_remote_write_url == URL
    assert config.socket_timeout_ms == 60_000
    assert config.http_headers == {"X-Scope-OrgID": "5"}
    assert config.remote_write_version is RemoteWriteVersion.V2
    assert repr(config.request_signer) == f"BasicAuth(Secret(file '{tmp_path}/secrets/password'))"
    assert config.tls.ca_file == f"{tmp_path}/ca.pem"
    assert config.proxy.proxy_url == "http://proxy.test:3128"
    assert config.round_robin_dns
    assert not config.send_exemplars
    assert config.relabelling.apply({"__name__": "a", "room": "attic"}) is None
    assert config.relabelling.apply({"__name__": "a"}) == {"__name__": "a", "cluster": "eu-1"}
    assert config.max_buffered_samples == 10_000
    assert config.adaptive_sending.max_in_flight_requests == 4
    assert config.max_in_flight_requests is None
    assert config.max_batch_size_in_samples == 500
    assert config.max_time_in_buffer_ms == 2000
    assert (config.retry.initial_retry_delay_ms, config.retry.max_retry_delay_ms) == (50, 1000)
    assert config.max_sample_age_ms == 300_000


def test_what_an_entry_does_not_say_keeps_the_default():
    settings = settings_of()
    assert settings.pop("relabelling") == SinkConfig(URL).relabelling
    assert settings == {"prometheus_remote_write_url": URL}


@pytest.mark.parametrize(
    ("entry", "kind"),
    [
        ({"basic_auth": {"username": "a"}}, BasicAuth),
        ({"authorization": {"type": "Token", "credentials": "a"}}, SchemeAuth),
        ({"bearer_token_file": "a"}, SchemeAuth),
        ({"oauth2": {"client_id": "a", "token_url": "https://login.test", "scopes": ["b"]}}, OAuth2Auth),
        (
            {
                "oauth2": {
                    "client_id": "a",
                    "token_url": "https://login.test",
                    "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer",
                    "client_certificate_key_file": "key.pem",
                    "claims": {"b": 1},
                }
            },
            JwtBearerAuth,
        ),
        ({"sigv4": {"region": "eu-west-1", "service_name": "aps"}}, SigV4Auth),
        ({"azuread": {"managed_identity": {}}}, EntraAuth),
        ({"azuread": {"sdk": {"tenant_id": "a"}, "cloud": "AzureChina"}}, EntraAuth),
    ],
)
def test_each_way_to_authenticate_has_its_signer(entry, kind):
    assert isinstance(settings_of(**entry)["request_signer"], kind)


def test_a_mapping_may_hold_secrets(tmp_path):
    secret = Secret.file(str(tmp_path / "password"))
    (tmp_path / "password").write_text("hunter22")
    signer = settings_of(basic_auth={"username": "user", "password": secret})["request_signer"]
    assert signer.header() == "Basic dXNlcjpodW50ZXIyMg=="


def test_a_mapping_may_be_a_whole_configuration():
    whole = {"global": {"external_labels": {"cluster": "eu-1"}}, "remote_write": [{"url": URL, "remote_timeout": "5s"}]}
    settings = read_remote_write(whole).settings
    assert settings["socket_timeout_ms"] == 5000
    assert settings["relabelling"].apply({"__name__": "a"}) == {"__name__": "a", "cluster": "eu-1"}


def test_what_the_sink_cannot_do_matters_only_in_the_entry_that_is_used(file):
    path = file(f"remote_write:\n- {{name: a, url: '{URL}'}}\n- {{name: b, url: '{URL}', google_iam: {{}}}}\n")
    assert read_remote_write(path, "a").name == "a"
    with pytest.raises(InvalidConfigurationError, match="line 3: .*google_iam: remove it: Google Cloud"):
        read_remote_write(path, "b")


def test_a_text_without_a_value_is_empty():
    rule = {"source_labels": ["a", "b"], "target_label": "c", "separator": None}
    relabelling = settings_of(write_relabel_configs=[rule])["relabelling"]
    assert relabelling.apply({"a": "1", "b": "2"}) == {"a": "1", "b": "2", "c": "12"}


def test_the_values_of_a_header_are_joined():
    headers = settings_of(
        headers={"X-A": "a", "X-B": "b"},
        http_headers={"x-a": {"values": ["c", "d"]}, "X-Key": {"secrets": ["hunter22"]}, "X-F": {"files": ["/f"]}},
    )["http_headers"]
    assert (headers["X-B"], headers["x-a"]) == ("b", "a, c, d")
    assert headers["X-Key"].read() == "hunter22"
    assert headers["X-F"].source == "the secret in file '/f'"


def test_equal_bounds_of_shards_are_a_fixed_number():
    assert settings_of(queue_config={"max_shards": 3, "min_shards": 3})["max_in_flight_requests"] == 3


@pytest.mark.parametrize(
    ("message", "sent"),
    [(None, False), ("prometheus.WriteRequest", False), ("io.prometheus.write.v2.Request", None)],
)
def test_native_histograms_are_left_out_with_1_0_alone(message, sent):
    entry = {} if message is None else {"protobuf_message": message}
    settings = settings_of(send_native_histograms=False, **entry)
    assert settings.get("send_native_histograms") is sent


@pytest.mark.parametrize("whole", [True, False])
def test_a_part_of_a_file_is_enough(file, whole):
    entry = f"- url: {URL}\n  name: a\n"
    path = file(f"remote_write:\n{entry}" if whole else entry)
    assert read_remote_write(path).name == "a"


def test_an_entry_is_selected_by_its_name(file):
    path = file("remote_write:\n- {name: a, url: http://a.test/w}\n- {name: b, url: http://b.test/w}\n")
    assert read_remote_write(path, "b").settings["prometheus_remote_write_url"] == "http://b.test/w"
    with pytest.raises(InvalidConfigurationError, match=r"pass the name of one of the 2 entries .*\(names: 'a', 'b'\)"):
        read_remote_write(path)
    with pytest.raises(InvalidConfigurationError, match=r"there is no 'c' \(names: 'a', 'b'\)"):
        read_remote_write(path, "c")


def test_entries_without_names_need_some(file):
    path = file("remote_write:\n- {url: http://a.test/w}\n- {url: http://b.test/w}\n")
    with pytest.raises(
        InvalidConfigurationError, match=r": give each a name, and pass the name of one of the 2 entries"
    ):
        read_remote_write(path)
    with pytest.raises(InvalidConfigurationError, match=r"there is no 'c' \(names: none\)"):
        read_remote_write(path, "c")


def test_fields_without_meaning_are_named_in_one_line(file, caplog):
    caplog.set_level(logging.INFO)
    path = file(f"""
remote_write:
- url: {URL}
  metadata_config: {{send: false}}
  failed_request_logging: true
  follow_redirects: true
  enable_http2: false
  queue_config: {{min_shards: 2, retry_on_http_429: false}}
""")
    read_remote_write(path)
    (record,) = caplog.records
    assert record.levelno == logging.INFO
    for field in ("metadata_config.send", "failed_request_logging", "follow_redirects", "min_shards", "http_429"):
        assert field in record.getMessage()
    assert "enable_http2" not in record.getMessage()
    read_remote_write({"url": URL})
    assert len(caplog.records) == 1


def test_the_environment_is_put_into_external_labels(file, monkeypatch, caplog):
    monkeypatch.setenv("REPLICA", "r-1")
    monkeypatch.delenv("MISSING", raising=False)
    path = file(f"""
global:
  external_labels: {{replica: "${{REPLICA}}", price: $$5, none: "x$MISSING", plain: a}}
remote_write: [{{url: "{URL}"}}]
""")
    labels = read_remote_write(path).settings["relabelling"].apply({"__name__": "a"})
    assert labels == {"__name__": "a", "replica": "r-1", "price": "$5", "none": "x", "plain": "a"}
    assert caplog.messages == ["set the environment variable MISSING: it is used in external_labels but is empty"]


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("$A-b", "1-b"),
        ("${A}b", "1b"),
        ("$$", "$"),
        ("$", "$"),
        ("a$", "a$"),
        ("${", ""),
        ("${}", ""),
        ("$AB", ""),
        ("$.", "$."),
    ],
)
def test_references_are_expanded_as_in_go(monkeypatch, text, result):
    monkeypatch.setenv("A", "1")
    monkeypatch.delenv("AB", raising=False)
    assert expanded(text)[0] == result


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [("0", 0), ("1ms", 1), ("1m30s", 90_000), ("1y", 31_536_000_000), ("1h0m1ms", 3_600_001)],
)
def test_durations_are_prometheus(text, milliseconds):
    assert duration(parsed(f"'{text}'", "f")) == milliseconds


@pytest.mark.parametrize(("text", "number"), [("010", 8), ("0x1F", 31), ("-0b11", -3), ("1_0", 10), ("1.9e1", 19)])
def test_numbers_are_those_of_its_yaml_parser(text, number):
    assert integer(parsed(text, "f")) == number


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "queue_config:\n    max_shard: 5",
            "line 4: remote_write[0].queue_config.max_shard: write max_shards: queue_config has no such field "
            "(Prometheus: field max_shard not found in type config.QueueConfig)",
        ),
        (
            "remote_timeout: 30",
            "line 3: remote_write[0].remote_timeout: write a duration such as 30s, 1m30s or 500ms, not '30' "
            '(Prometheus: not a valid duration string: "30")',
        ),
        (
            "write_relabel_configs:\n  - action: drop\n    regex: '('",
            "line 5: remote_write[0].write_relabel_configs[0].regex: ",
        ),
        (
            "basic_auth:\n    username: a\n    password: hunter22\n    password_file: b",
            "line 3: remote_write[0].basic_auth: keep one of password and password_file (Prometheus: ",
        ),
        (
            "tls_config:\n    ca_ref: a",
            "line 4: remote_write[0].tls_config.ca_ref: remove it: Prometheus itself has no secret manager",
        ),
        ("name: 'a", "line 4: correct the YAML: found unexpected end of stream"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(file, text, message):
    path = file(f"remote_write:\n- url: {URL}\n  {text}\n")
    with pytest.raises(InvalidConfigurationError) as caught:
        read_remote_write(path)
    assert str(caught.value).startswith(f"{path}, {message}")
    assert "hunter22" not in str(caught.value)
    restored = pickle.loads(pickle.dumps(caught.value))
    assert (str(restored), restored.line) == (str(caught.value), caught.value.line)


def test_a_mapping_has_no_lines():
    with pytest.raises(InvalidConfigurationError, match="^the mapping: queue_config.max_shards: write an integer"):
        settings_of(queue_config={"max_shards": "many"})


def test_a_value_of_another_type_is_refused():
    with pytest.raises(InvalidConfigurationError, match="^the mapping: name: use a string, .* not object"):
        settings_of(name=object())


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(InvalidConfigurationError, match="missing.yml: name a file that can be read here: No such file"):
        read_remote_write(tmp_path / "missing.yml")


@pytest.mark.parametrize("text", ["a: &a [*a]", "a: &a {b: *a}"])
def test_a_node_in_itself_is_refused(file, text):
    with pytest.raises(InvalidConfigurationError, match="use fewer aliases"):
        read_remote_write(file(text))


def test_aliases_that_multiply_are_refused(file):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    with pytest.raises(InvalidConfigurationError, match="use fewer aliases"):
        read_remote_write(file("\n".join(lines)))


# Settings on the builder


def test_the_builder_has_the_last_word():
    entry = {
        "url": URL,
        "name": "mimir",
        "remote_timeout": "10s",
        "headers": {"X-Scope-OrgID": "a", "X-B": "b"},
        "basic_auth": {"username": "a"},
        "tls_config": {"ca_file": "/ca.pem", "server_name": "a"},
        "queue_config": {"min_backoff": "1s", "max_backoff": "2s"},
    }
    builder = PrometheusSink.from_remote_write_config(entry)
    before = config_of(builder)
    assert (before.socket_timeout_ms, before.retry.max_retry_count) == (10_000, 100)
    config = config_of(
        builder.set_socket_timeout_ms(5)
        .set_http_headers({"x-scope-orgid": "c"})
        .set_request_signer(None)
        .set_tls_configuration(ca="pem", min_version="TLS13")
        .set_retry_configuration(max_retry_count=7)
        .set_error_handling_behavior_configuration(on_max_retry_exceeded=OnErrorBehavior.DISCARD_AND_CONTINUE)
    )
    assert config.socket_timeout_ms == 5
    assert config.http_headers == {"X-B": "b", "x-scope-orgid": "c"}
    assert config.request_signer is None
    assert (config.tls.ca, config.tls.ca_file, config.tls.server_name) == ("pem", None, "a")
    assert (config.retry.initial_retry_delay_ms, config.retry.max_retry_count) == (1000, 7)


def test_the_builder_checks_what_it_is_given():
    builder = PrometheusSink.builder()
    with pytest.raises(TypeError, match="tls: expected a TlsConfiguration, got 'a'"):
        builder.set_tls_configuration("a")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="proxy: expected a ProxyConfiguration"):
        builder.set_proxy_configuration(TlsConfiguration())  # type: ignore[arg-type]
    builder.set_prometheus_remote_write_url(URL).set_proxy_configuration()
    assert config_of(builder).proxy == ProxyConfiguration()


def test_the_name_of_the_entry_is_in_that_of_the_operator():
    builder = PrometheusSink.from_remote_write_config({"url": URL, "name": "mimir"})
    assert builder._placement.name == "Prometheus writer mimir"
    assert builder.set_name("mine")._placement.name == "mine"


def test_no_secret_of_a_file_travels_in_the_job(file, tmp_path):
    (tmp_path / "password").write_text("hunter22")
    path = file(f"remote_write:\n- url: {URL}\n  basic_auth: {{username: a, password_file: password}}\n")
    config = config_of(PrometheusSink.from_remote_write_config(path))
    assert b"hunter22" not in cloudpickle.dumps(config)


# Excluded samples


# Warnings


def test_each_start_without_verification_is_warned_of(caplog):
    for tls in ({"insecure_skip_verify": True}, {"insecure_skip_verify": False}):
        warn_of_unverified_tls(SinkConfig(**settings_of(tls_config=tls)))
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert caplog.messages[0].startswith("set ca_file instead of insecure_skip_verify: the certificate of https://")


@pytest.mark.parametrize(
    "written", ["hunter22/x", "hunter22?x", "hunter22#x", "hunter22@x", "hunter22:x", "hunter22%x"]
)
def test_a_url_shows_no_password_whatever_its_characters(written):
    for url in (
        f"http://user:{written}@host/w",
        f"http://{written}@host/w",
        f"//u:{written}@host/w",
        f"http://u:{written}",
    ):
        shown = ""
        try:
            read_remote_write({"url": url})
        except InvalidConfigurationError as error:
            shown = str(error)
        assert "hunter22" not in shown


@pytest.mark.parametrize("password", ["*hunter22", "!hunter22!x", "&a 1, b: &a hunter22"])
def test_a_password_that_yaml_takes_for_something_else_is_not_shown(file, password):
    path = file(f"remote_write:\n- url: {URL}\n  basic_auth: {{username: u, password: {password}}}\n")
    with pytest.raises(InvalidConfigurationError) as caught:
        read_remote_write(path)
    assert "line 3" in str(caught.value)
    assert "hunter22" not in str(caught.value)


def test_a_mapping_within_itself_is_refused():
    within: list[object] = []
    within.append(within)
    with pytest.raises(InvalidConfigurationError, match="^the mapping: use fewer levels"):
        settings_of(headers=within)


def test_a_number_too_large_to_be_shown_is_refused():
    with pytest.raises(InvalidConfigurationError, match="^the mapping: queue_config.capacity: "):
        settings_of(queue_config={"capacity": 10**5000})


@pytest.mark.parametrize("key", ["a\nb", "s3cret, client_secret_file", "7e16309c849875480382"])
def test_a_key_that_can_be_no_name_is_not_shown(file, key):
    with pytest.raises(InvalidConfigurationError) as caught:
        settings_of(headers={key: object()})
    assert str(caught.value).startswith("the mapping: headers.(not shown): use a string")
    assert caught.value.field == "headers.(not shown)"
    with pytest.raises(InvalidConfigurationError, match=r"field \(not shown\) not found in type config.plain"):
        read_remote_write(file(json.dumps({key: 1})))
