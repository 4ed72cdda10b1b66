"""Every field of Prometheus's configuration of remote write, its type, and what the sink does with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from pyflink_prometheus.configuration import scalars
from pyflink_prometheus.configuration.document import Node
from pyflink_prometheus.secret import Secret


class Use(Enum):
    """What the sink does with a field."""

    #: The sink does what Prometheus does.
    HONOURED = "honoured"
    #: The sink refuses a configuration with this field, and says why.
    REFUSED = "refused"
    #: The sink accepts the field and names it in a log line: it has no meaning for a sink.
    IGNORED = "no meaning here"


@dataclass(frozen=True)
class Scalar:
    """
    A scalar type.

    :param name: the name, as in Prometheus's documentation.
    :param read: a function that returns the value of a node.
    """

    name: str
    read: Callable[[Node], Any]


@dataclass(frozen=True)
class ListOf:
    """
    A list of values of one type.

    :param kind: their type.
    :param go_type: the type's name in Prometheus.
    """

    kind: Scalar | Section
    go_type: str


@dataclass(frozen=True)
class MapOf:
    """
    A mapping with the user's own keys.

    :param kind: the type of its values.
    :param go_type: the type's name in Prometheus.
    """

    kind: Scalar | ListOf | Section
    go_type: str


@dataclass(frozen=True)
class Field:
    """
    A field.

    :param kind: its type.
    :param use: what the sink does with it.
    :param note: how, or why not; shown in the documentation, and to a user whose field is refused or has no meaning.
    """

    kind: Scalar | ListOf | MapOf | Section
    use: Use = Use.HONOURED
    note: str = ""


@dataclass(frozen=True)
class Section:
    """
    A mapping with fields.

    :param name: the name, as in Prometheus's documentation.
    :param go_type: the type's name in Prometheus, for Prometheus's words.
    :param fields: the fields.
    """

    name: str
    go_type: str
    fields: Mapping[str, Field]


def _secret(node: Node) -> str | Secret:
    return node.value if isinstance(node.value, Secret) else scalars.text(node)


def _anything(node: Node) -> Any:
    if isinstance(node.value, tuple):
        return {key: _anything(each) for key, each in node.value}
    if isinstance(node.value, list):
        return [_anything(each) for each in node.value]
    for read in (scalars.boolean, scalars.number):
        if node.is_plain:
            try:
                return read(node)
            except ValueError:
                continue
    return node.value


#: Without a value it is empty, whatever its default, as in Prometheus; this holds for plain strings only.
TEXT = Scalar("string", scalars.text)
#: A string that Prometheus parses; without a value it has its default.
PARSED_TEXT = Scalar("string", scalars.text)
SECRET = Scalar("secret", _secret)
#: A file on the workers; a relative path starts from the configuration's folder, as in Prometheus.
FILE = Scalar("filename", scalars.text)
URL = Scalar("string", scalars.url)
BOOLEAN = Scalar("boolean", scalars.boolean)
INTEGER = Scalar("int", scalars.integer)
UNSIGNED = Scalar("int", scalars.unsigned)
DURATION = Scalar("duration", scalars.duration)
ANYTHING = Scalar("any", _anything)

_NO_MANAGER = "Prometheus itself has no secret manager to refer to; use the file field"


def _ref(instead: str) -> Field:
    return Field(TEXT, Use.REFUSED, f"{_NO_MANAGER}, `{instead}`")


TLS_CONFIG = Section(
    "tls_config",
    "config.plain",
    {
        "ca": Field(TEXT),
        "ca_file": Field(FILE, note="read again when it changes"),
        "ca_ref": _ref("ca_file"),
        "cert": Field(TEXT),
        "cert_file": Field(FILE, note="read again when it changes"),
        "cert_ref": _ref("cert_file"),
        "key": Field(SECRET),
        "key_file": Field(FILE, note="read again when it changes"),
        "key_ref": _ref("key_file"),
        "server_name": Field(TEXT),
        "insecure_skip_verify": Field(BOOLEAN, note="with a warning at each start"),
        "min_version": Field(PARSED_TEXT),
        "max_version": Field(PARSED_TEXT),
    },
)

_PROXY_FIELDS = {
    "proxy_url": Field(URL, note="also `https://`, and `socks5://` with the extra `socks`"),
    "no_proxy": Field(TEXT),
    "proxy_from_environment": Field(BOOLEAN),
    "proxy_connect_header": Field(MapOf(ListOf(SECRET, "[]config.Secret"), "config.ProxyHeader")),
}

BASIC_AUTH = Section(
    "basic_auth",
    "config.plain",
    {
        "username": Field(TEXT),
        "username_file": Field(FILE, note="read for each request"),
        "username_ref": _ref("username_file"),
        "password": Field(SECRET),
        "password_file": Field(FILE, note="read for each request"),
        "password_ref": _ref("password_file"),
    },
)

AUTHORIZATION = Section(
    "authorization",
    "config.Authorization",
    {
        "type": Field(TEXT),
        "credentials": Field(SECRET),
        "credentials_file": Field(FILE, note="read for each request"),
        "credentials_ref": _ref("credentials_file"),
    },
)

OAUTH2 = Section(
    "oauth2",
    "config.plain",
    {
        "client_id": Field(TEXT),
        "client_secret": Field(SECRET),
        "client_secret_file": Field(FILE, note="read for each token"),
        "client_secret_ref": _ref("client_secret_file"),
        "client_certificate_key_id": Field(TEXT),
        "client_certificate_key": Field(SECRET),
        "client_certificate_key_file": Field(FILE, note="read for each token"),
        "client_certificate_key_ref": _ref("client_certificate_key_file"),
        "grant_type": Field(TEXT, note="JWT bearer needs the extra `jwt`"),
        "signature_algorithm": Field(TEXT),
        "iss": Field(TEXT),
        "audience": Field(TEXT),
        "claims": Field(MapOf(ANYTHING, "map[string]interface {}")),
        "scopes": Field(ListOf(TEXT, "[]string")),
        "token_url": Field(TEXT),
        "endpoint_params": Field(MapOf(TEXT, "map[string]string")),
        "tls_config": Field(TLS_CONFIG),
        **_PROXY_FIELDS,
    },
)

HEADER = Section(
    "http_header",
    "config.Header",
    {
        "values": Field(ListOf(TEXT, "[]string"), note="several values are sent as one, separated by commas"),
        "secrets": Field(ListOf(SECRET, "[]config.Secret"), note="likewise"),
        "files": Field(ListOf(FILE, "[]string"), note="read for each request; a file must be the header's only value"),
    },
)

SIGV4 = Section(
    "sigv4",
    "sigv4.plain",
    {
        "region": Field(TEXT),
        "access_key": Field(TEXT),
        "secret_key": Field(SECRET),
        "profile": Field(TEXT),
        "role_arn": Field(TEXT),
        "external_id": Field(TEXT),
        "use_fips_sts_endpoint": Field(BOOLEAN),
        "service_name": Field(TEXT),
    },
)

MANAGED_IDENTITY = Section("managed_identity", "azuread.ManagedIdentityConfig", {"client_id": Field(TEXT)})
WORKLOAD_IDENTITY = Section(
    "workload_identity",
    "azuread.WorkloadIdentityConfig",
    {"client_id": Field(TEXT), "tenant_id": Field(TEXT), "token_file_path": Field(TEXT)},
)
AZURE_OAUTH = Section(
    "azure_oauth",
    "azuread.OAuthConfig",
    {"client_id": Field(TEXT), "client_secret": Field(SECRET), "tenant_id": Field(TEXT)},
)
AZURE_SDK = Section("azure_sdk", "azuread.SDKConfig", {"tenant_id": Field(TEXT)})
AZURE_CERTIFICATE = Section(
    "azure_certificate",
    "azuread.CertificateConfig",
    {
        "client_id": Field(TEXT),
        "tenant_id": Field(TEXT),
        "certificate_path": Field(TEXT),
        "certificate_key_path": Field(TEXT),
        "certificate_password": Field(SECRET),
        "send_certificate_chain": Field(BOOLEAN),
    },
)
AZUREAD = Section(
    "azuread",
    "azuread.plain",
    {
        "managed_identity": Field(MANAGED_IDENTITY),
        "workload_identity": Field(WORKLOAD_IDENTITY),
        "oauth": Field(AZURE_OAUTH),
        "sdk": Field(AZURE_SDK),
        "certificate": Field(AZURE_CERTIFICATE),
        "cloud": Field(TEXT),
        "scope": Field(TEXT),
    },
)

GOOGLE_IAM = Section("google_iam", "googleiam.Config", {"credentials_file": Field(TEXT)})

QUEUE_CONFIG = Section(
    "queue_config",
    "config.QueueConfig",
    {
        "capacity": Field(INTEGER, note="times `max_shards`: `set_max_buffered_samples`"),
        "max_shards": Field(INTEGER, note="requests in flight per subtask: `set_adaptive_sending_configuration`"),
        "min_shards": Field(
            INTEGER, note="equal to `max_shards`: `set_max_in_flight_requests`; otherwise the sink starts with one"
        ),
        "max_samples_per_send": Field(INTEGER, note="`set_max_batch_size_in_samples`"),
        "batch_send_deadline": Field(DURATION, note="`set_max_time_in_buffer_ms`"),
        "min_backoff": Field(DURATION, note="`set_retry_configuration`"),
        "max_backoff": Field(DURATION, note="`set_retry_configuration`"),
        "retry_on_http_429": Field(BOOLEAN, note="the sink always retries 429; `false` has no meaning here"),
        "sample_age_limit": Field(DURATION, note="`set_max_sample_age_ms`"),
    },
)

_NO_METADATA = "the sink sends metadata with its samples, in 2.0 only, as Prometheus does there"
METADATA_CONFIG = Section(
    "metadata_config",
    "config.MetadataConfig",
    {
        "send": Field(BOOLEAN, Use.IGNORED, _NO_METADATA),
        "send_interval": Field(DURATION, Use.IGNORED, _NO_METADATA),
        "max_samples_per_send": Field(INTEGER, Use.IGNORED, _NO_METADATA),
    },
)

RELABEL_CONFIG = Section(
    "relabel_config",
    "relabel.plain",
    {
        "source_labels": Field(ListOf(TEXT, "model.LabelNames")),
        "separator": Field(TEXT),
        "regex": Field(PARSED_TEXT, note="RE2's semantics; with the extra `re2`, RE2 itself"),
        "modulus": Field(UNSIGNED),
        "target_label": Field(TEXT),
        "replacement": Field(TEXT),
        "action": Field(TEXT),
    },
)

REMOTE_WRITE = Section(
    "remote_write",
    "config.plain",
    {
        "url": Field(URL),
        "remote_timeout": Field(DURATION, note="`set_socket_timeout_ms`"),
        "headers": Field(MapOf(TEXT, "map[string]string"), note="`set_http_headers`"),
        "write_relabel_configs": Field(ListOf(RELABEL_CONFIG, "[]*relabel.Config"), note="`set_write_relabel_configs`"),
        "name": Field(TEXT, note="selects the entry; also part of the operator's name"),
        "send_exemplars": Field(BOOLEAN, note="`false` drops them; by default the sink sends what a record holds"),
        "send_native_histograms": Field(
            BOOLEAN,
            note="`false` drops them unless `protobuf_message` is 2.0; by default the sink sends what a record holds",
        ),
        "round_robin_dns": Field(BOOLEAN, note="`set_round_robin_dns`"),
        "protobuf_message": Field(TEXT, note="`set_remote_write_version`; by default the sink detects it"),
        "failed_request_logging": Field(
            BOOLEAN, Use.IGNORED, "use `set_rejected_samples_handler` to see rejected samples"
        ),
        "queue_config": Field(QUEUE_CONFIG),
        "metadata_config": Field(METADATA_CONFIG),
        "sigv4": Field(SIGV4, note="needs the extra `aws`"),
        "azuread": Field(AZUREAD, note="needs the extra `azure`"),
        "google_iam": Field(
            GOOGLE_IAM, Use.REFUSED, "Google Cloud does not accept remote write; Prometheus reserves the field"
        ),
        "basic_auth": Field(BASIC_AUTH),
        "authorization": Field(AUTHORIZATION),
        "oauth2": Field(OAUTH2),
        "bearer_token": Field(SECRET),
        "bearer_token_file": Field(FILE, note="read for each request"),
        "tls_config": Field(TLS_CONFIG, note="`set_tls_configuration`"),
        "follow_redirects": Field(
            BOOLEAN, note="`true` has no meaning here: the sink does not follow redirects; a message names the target"
        ),
        "enable_http2": Field(BOOLEAN, note="`true` has no meaning here: the sink speaks HTTP/1.1"),
        **_PROXY_FIELDS,
        "http_headers": Field(MapOf(HEADER, "map[string]config.Header")),
    },
)

_SCRAPING = "for scraping and rules"
GLOBAL = Section(
    "global",
    "config.plain",
    {
        "external_labels": Field(MapOf(TEXT, "map[string]string"), note="`$NAME` and `${NAME}` are replaced"),
        "metric_name_validation_scheme": Field(PARSED_TEXT, note="for rules and external labels"),
        "scrape_interval": Field(DURATION, Use.IGNORED, _SCRAPING),
        "scrape_timeout": Field(DURATION, Use.IGNORED, _SCRAPING),
        "scrape_protocols": Field(ListOf(TEXT, "[]config.ScrapeProtocol"), Use.IGNORED, _SCRAPING),
        "evaluation_interval": Field(DURATION, Use.IGNORED, _SCRAPING),
        "rule_query_offset": Field(DURATION, Use.IGNORED, _SCRAPING),
        "query_log_file": Field(TEXT, Use.IGNORED, _SCRAPING),
        "scrape_failure_log_file": Field(TEXT, Use.IGNORED, _SCRAPING),
        "body_size_limit": Field(Scalar("size", scalars.size), Use.IGNORED, _SCRAPING),
        "sample_limit": Field(UNSIGNED, Use.IGNORED, _SCRAPING),
        "target_limit": Field(UNSIGNED, Use.IGNORED, _SCRAPING),
        "label_limit": Field(UNSIGNED, Use.IGNORED, _SCRAPING),
        "label_name_length_limit": Field(UNSIGNED, Use.IGNORED, _SCRAPING),
        "label_value_length_limit": Field(UNSIGNED, Use.IGNORED, _SCRAPING),
        "keep_dropped_targets": Field(UNSIGNED, Use.IGNORED, _SCRAPING),
        "metric_name_escaping_scheme": Field(TEXT, Use.IGNORED, _SCRAPING),
        "scrape_native_histograms": Field(BOOLEAN, Use.IGNORED, _SCRAPING),
        "convert_classic_histograms_to_nhcb": Field(BOOLEAN, Use.IGNORED, _SCRAPING),
        "always_scrape_classic_histograms": Field(BOOLEAN, Use.IGNORED, _SCRAPING),
        "extra_scrape_metrics": Field(BOOLEAN, Use.IGNORED, _SCRAPING),
    },
)

#: The other sections of a ``prometheus.yml``. They are not read, because they do not concern the sink.
OTHER_PARTS = frozenset(
    {"runtime", "alerting", "rule_files", "scrape_config_files", "scrape_configs", "storage", "tracing", "remote_read"}
    | {"otlp"}
)

#: In the order of the documentation.
SECTIONS = (
    REMOTE_WRITE,
    QUEUE_CONFIG,
    METADATA_CONFIG,
    RELABEL_CONFIG,
    TLS_CONFIG,
    BASIC_AUTH,
    AUTHORIZATION,
    OAUTH2,
    SIGV4,
    AZUREAD,
    MANAGED_IDENTITY,
    WORKLOAD_IDENTITY,
    AZURE_OAUTH,
    AZURE_SDK,
    AZURE_CERTIFICATE,
    GOOGLE_IAM,
    HEADER,
    GLOBAL,
)
