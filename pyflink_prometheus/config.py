"""All settings of the sink: frozen values, checked when created, with units in their names."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import Enum
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from pyflink_prometheus import _validation
from pyflink_prometheus._version import __version__
from pyflink_prometheus.guards.limits import SendingLimits
from pyflink_prometheus.relabelling.relabelling import Relabelling
from pyflink_prometheus.secret import Secret

# Headers that the protocol or the connection sets; Prometheus refuses the same ones in its `headers` setting.
RESERVED_HEADERS = frozenset(
    {
        "accept-encoding",
        "authorization",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "host",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "retry-attempt",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "user-agent",
        "www-authenticate",
        "x-amz-content-sha256",
        "x-amz-date",
        "x-amz-security-token",
        "x-prometheus-remote-write-version",
    }
)

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")

# Ends of paths at which no known receiver accepts Remote-Write, and what each path does instead. Any other path may be
# a receiver's: many let their users choose it.
_NOT_RECEIVERS = (
    (re.compile(r"/api/v1/import(/prometheus|/csv|/native)?"), "imports data in other formats"),
    (re.compile(r"/api/v1/(query|query_range|query_exemplars|series|labels|label/[^/]+/values)"), "serves queries"),
    (re.compile(r"/api/v1/read"), "is for remote read"),
    (re.compile(r"/api/v1/(metadata|targets|rules|alerts|alertmanagers|status/[^/]+)"), "describes a server"),
    (re.compile(r"/(metrics|federate)"), "is for scraping"),
    (re.compile(r"/(graph|targets|alerts|rules|service-discovery)"), "is a web page"),
    (re.compile(r"/-/(healthy|ready|reload|quit)"), "is for managing a server"),
)

DEFAULT_USER_AGENT = f"pyflink-prometheus/{__version__}"


class OnErrorBehavior(Enum):
    """What happens to a request that cannot be written; names as in the Java connector."""

    #: Fail the job; Flink restarts it from its last checkpoint.
    FAIL = "FAIL"
    #: Drop the request's samples, count and log them, and continue.
    DISCARD_AND_CONTINUE = "DISCARD_AND_CONTINUE"


class RemoteWriteVersion(Enum):
    """The version of the protocol that the sink uses."""

    #: 2.0 first; 1.0 once the receiver has shown that it does not support 2.0.
    AUTO = "AUTO"
    #: 1.0 only. It reports least about what was written, but a refused sample can be named: see ``RejectedSamples``.
    V1 = "V1"
    #: 2.0 only. A receiver that does not support it fails the job.
    V2 = "V2"


class ConflictPolicy(Enum):
    """
    Which samples to send if a series has several with the same timestamp and different values in one request.

    Prometheus keeps the first one that it receives and silently drops the others of the same request.
    """

    #: The first; the others are rejected as CONFLICTING.
    KEEP_FIRST = "KEEP_FIRST"
    #: The last; the others are rejected as CONFLICTING.
    KEEP_LAST = "KEEP_LAST"
    #: None: all of them are rejected as CONFLICTING.
    REJECT_ALL = "REJECT_ALL"
    #: All, one after the other in separate requests, so that the receiver decides on each.
    SEND_ALL = "SEND_ALL"


@dataclass(frozen=True)
class RetryConfiguration:
    """
    How often and for how long a request is retried.

    The upper bound of the delay doubles with each attempt, and each delay is drawn at random from the top fifth below
    it ("jitter"), so that the subtasks of a job do not retry all at once.

    :param initial_retry_delay_ms: the bound of the first delay in milliseconds. Default 30, as in Prometheus's sender.
    :param max_retry_delay_ms: the longest delay in milliseconds. Default 5000, likewise.
    :param max_retry_count: how often a request is retried before it counts as failed. Default 100, as in the Java
        connector: about seven minutes with the other defaults.
    :param max_retry_duration_ms: for how long a request is retried before it counts as failed, whatever the number of
        retries: a receiver may ask for long waits (Retry-After) and respond slowly. Default 480,000, eight minutes:
        less than the ten after which a Flink checkpoint times out.
    :raises ValueError: if a number is out of range.
    """

    initial_retry_delay_ms: int = 30
    max_retry_delay_ms: int = 5000
    max_retry_count: int = 100
    max_retry_duration_ms: int = 480_000

    def __post_init__(self) -> None:
        _validation.integer("initial_retry_delay_ms", self.initial_retry_delay_ms, least=1)
        _validation.integer("max_retry_delay_ms", self.max_retry_delay_ms, least=self.initial_retry_delay_ms)
        _validation.integer("max_retry_count", self.max_retry_count, least=0)
        _validation.integer("max_retry_duration_ms", self.max_retry_duration_ms, least=0)


@dataclass(frozen=True)
class SinkWriterErrorHandlingBehaviorConfiguration:
    """
    What happens to requests that cannot be written; names and defaults as in the Java connector.

    :param on_max_retry_exceeded: when the retries are exhausted. Default FAIL: the job restarts from its last
        checkpoint and replays the samples.
    :param on_prometheus_non_retryable_error: when the receiver refuses for good. Only DISCARD_AND_CONTINUE: a job that
        failed would replay the same samples, be refused again, and restart in a loop.
    :raises ValueError: if the second is FAIL.
    """

    on_max_retry_exceeded: OnErrorBehavior = OnErrorBehavior.FAIL
    on_prometheus_non_retryable_error: OnErrorBehavior = OnErrorBehavior.DISCARD_AND_CONTINUE

    def __post_init__(self) -> None:
        _validation.instance("on_max_retry_exceeded", self.on_max_retry_exceeded, OnErrorBehavior)
        _validation.instance(
            "on_prometheus_non_retryable_error", self.on_prometheus_non_retryable_error, OnErrorBehavior
        )
        if self.on_prometheus_non_retryable_error is not OnErrorBehavior.DISCARD_AND_CONTINUE:
            raise ValueError(
                "on_prometheus_non_retryable_error can only be DISCARD_AND_CONTINUE: with FAIL the job would restart "
                "in a loop, replaying the samples that the receiver has refused for good"
            )


@dataclass(frozen=True)
class AdaptiveSendingConfiguration:
    """
    Limits for what the sink adapts automatically: the number of requests in flight, and their size.

    :param max_in_flight_requests: per subtask, unless ``set_max_in_flight_requests`` is used. Default 16.
    :param max_batch_size_in_samples: unless ``set_max_batch_size_in_samples`` is used. Default 10,000, about 200 kB.
    :raises ValueError: if a number is out of range.
    """

    max_in_flight_requests: int = 16
    max_batch_size_in_samples: int = 10_000

    def __post_init__(self) -> None:
        _validation.integer("max_in_flight_requests", self.max_in_flight_requests, least=1)
        _validation.integer("max_batch_size_in_samples", self.max_batch_size_in_samples, least=1)


@dataclass(frozen=True)
class BestEffortConfiguration:
    """
    How much is done for an endpoint that must not stop the job.

    :param max_buffered_samples: how many samples of a subtask are kept while the endpoint does not accept them. Beyond
        that the oldest are dropped and counted. Default 500,000.
    :param max_buffered_bytes: how many bytes their requests may have, before compression and with 4 KiB for each.
        Default 64 MiB (67,108,864).
    :param max_wait_ms: how long the job waits for the endpoint before a checkpoint completes, or before samples are
        dropped. After one unsuccessful wait it does not wait again until the endpoint has caught up. Default 5000.
    :raises ValueError: if a number is out of range.
    """

    max_buffered_samples: int = 500_000
    max_buffered_bytes: int = 64 * 1024 * 1024
    max_wait_ms: int = 5000

    def __post_init__(self) -> None:
        _validation.integer("max_buffered_samples", self.max_buffered_samples, least=1)
        _validation.integer("max_buffered_bytes", self.max_buffered_bytes, least=1)
        _validation.integer("max_wait_ms", self.max_wait_ms, least=0)


@dataclass(frozen=True)
class SinkConfig:
    """
    All settings of one sink; the setters of :class:`~pyflink_prometheus.PrometheusSinkBuilder` document them.

    :raises ValueError: if a setting is out of range; the message names it.
    :raises TypeError: if a setting has the wrong type; the message names it.
    """

    prometheus_remote_write_url: str = field(repr=False)
    remote_write_version: RemoteWriteVersion = RemoteWriteVersion.AUTO
    max_batch_size_in_samples: int | None = None
    max_batch_size_in_bytes: int = 2 * 1024 * 1024
    max_time_in_buffer_ms: int = 5000
    max_in_flight_requests: int | None = None
    adaptive_sending: AdaptiveSendingConfiguration = field(default_factory=AdaptiveSendingConfiguration)
    max_buffered_samples: int | None = None
    max_cached_series: int = 200_000
    max_isolation_requests: int | None = None
    retry: RetryConfiguration = field(default_factory=RetryConfiguration)
    error_handling: SinkWriterErrorHandlingBehaviorConfiguration = field(
        default_factory=SinkWriterErrorHandlingBehaviorConfiguration
    )
    socket_timeout_ms: int = 30_000
    http_user_agent: str = DEFAULT_USER_AGENT
    http_headers: Mapping[str, str | Secret] = field(default_factory=dict, repr=False)
    request_signer: Any = field(default=None, repr=False)
    tls: Any = None
    proxy: Any = None
    round_robin_dns: bool = False
    send_exemplars: bool = True
    send_native_histograms: bool = True
    metric_group_name: str = "Prometheus"
    rejected_samples_handler: Any = None
    digest_directory: str | None = None
    max_sample_age_ms: int | None = None
    max_sample_lead_ms: int | None = None
    drop_out_of_order_samples: bool = False
    conflict_policy: ConflictPolicy = ConflictPolicy.KEEP_FIRST
    relabelling: Relabelling = field(default_factory=Relabelling)
    sending_limits: SendingLimits = field(default_factory=SendingLimits)
    tenant: Any = None
    best_effort: BestEffortConfiguration | None = None
    further_endpoints: Mapping[str, SinkConfig] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "prometheus_remote_write_url", checked_url(self.prometheus_remote_write_url))
        _validation.instance("remote_write_version", self.remote_write_version, RemoteWriteVersion)
        for name in ("max_batch_size_in_samples", "max_in_flight_requests"):
            if getattr(self, name) is not None:
                _validation.integer(name, getattr(self, name), least=1)
        _validation.integer("max_batch_size_in_bytes", self.max_batch_size_in_bytes, least=1)
        _validation.integer("max_time_in_buffer_ms", self.max_time_in_buffer_ms, least=1)
        _validation.instance("adaptive_sending", self.adaptive_sending, AdaptiveSendingConfiguration)
        if self.max_buffered_samples is not None:
            least = 1 if self.max_batch_size_in_samples is None else self.max_batch_size_in_samples
            _validation.integer("max_buffered_samples", self.max_buffered_samples, least=least)
        _validation.integer("max_cached_series", self.max_cached_series, least=2)
        _validation.instance("retry", self.retry, RetryConfiguration)
        _validation.instance("error_handling", self.error_handling, SinkWriterErrorHandlingBehaviorConfiguration)
        _validation.integer("socket_timeout_ms", self.socket_timeout_ms, least=1)
        _check_user_agent(self.http_user_agent)
        _validation.line("metric_group_name", self.metric_group_name)
        for name in ("max_isolation_requests", "max_sample_age_ms", "max_sample_lead_ms"):
            if getattr(self, name) is not None:
                _validation.integer(name, getattr(self, name), least=0)
        for name in ("drop_out_of_order_samples", "round_robin_dns", "send_exemplars", "send_native_histograms"):
            _validation.instance(name, getattr(self, name), bool)
        _validation.instance("conflict_policy", self.conflict_policy, ConflictPolicy)
        _validation.instance("relabelling", self.relabelling, Relabelling)
        _validation.instance("sending_limits", self.sending_limits, SendingLimits)
        _check_endpoints(self)
        if self.rejected_samples_handler is not None:
            _validation.function("rejected_samples_handler", self.rejected_samples_handler)
        for name, value in self.http_headers.items():
            check_header(name, value)
        if self.request_signer is not None:
            _check_signer(self.request_signer)

    @property
    def url_without_credentials(self) -> str:
        """The endpoint's URL for logs and messages: without user, password, query and fragment."""
        return without_credentials(self.prometheus_remote_write_url)


#: The settings that each endpoint of a sink has separately. The others decide what is sent, so endpoints share them.
_OF_AN_ENDPOINT = frozenset(
    {
        "prometheus_remote_write_url",
        "remote_write_version",
        "max_batch_size_in_samples",
        "max_batch_size_in_bytes",
        "max_time_in_buffer_ms",
        "max_in_flight_requests",
        "adaptive_sending",
        "max_buffered_samples",
        "max_isolation_requests",
        "retry",
        "error_handling",
        "socket_timeout_ms",
        "http_user_agent",
        "http_headers",
        "request_signer",
        "tls",
        "proxy",
        "round_robin_dns",
        "rejected_samples_handler",
        "digest_directory",
        "best_effort",
    }
)


def settings_of_endpoint(settings: Mapping[str, Any], first: SinkConfig) -> dict[str, Any]:
    """
    Return all settings of a further endpoint: its own, and those that the first one shares with it.

    :param settings: what is set for the endpoint.
    :raises ValueError: naming a setting that must be the same for both and is not.
    """
    for setting, value in settings.items():
        if setting not in _OF_AN_ENDPOINT and value != getattr(first, setting):
            shown = "write_relabel_configs, external_labels" if setting == "relabelling" else setting
            raise ValueError(
                f"{shown}: remove it, set it as for the first endpoint, or use a sink for each endpoint: it decides "
                "what is sent, and all endpoints are sent the same samples"
            )
    shared = {each.name: getattr(first, each.name) for each in fields(first) if each.name not in _OF_AN_ENDPOINT}
    return {**shared, **settings, "further_endpoints": {}}


def _check_endpoints(first: SinkConfig) -> None:
    if first.best_effort is not None:
        _validation.instance("best_effort", first.best_effort, BestEffortConfiguration)
    if first.digest_directory is not None:
        _validation.line("digest_directory", first.digest_directory)
    handlers = [first.rejected_samples_handler]
    directories = [first.digest_directory]
    for name, endpoint in first.further_endpoints.items():
        _validation.line("endpoint", name)
        _validation.instance(f"endpoint {name!r}", endpoint, SinkConfig)
        handler = endpoint.rejected_samples_handler
        if handler is not None and any(handler is each for each in handlers):
            raise ValueError(
                f"rejected_samples_handler: give endpoint {name!r} its own handler: samples that one endpoint refuses "
                "may be stored by another"
            )
        handlers.append(handler)
        if endpoint.digest_directory is not None and endpoint.digest_directory in directories:
            raise ValueError(
                f"digest_directory: give endpoint {name!r} its own directory: each endpoint stores samples separately"
            )
        directories.append(endpoint.digest_directory)


def checked_url(url: object) -> str:
    """
    Return the URL of an endpoint without white space around it.

    :raises ValueError: if it is not valid. The message says what was expected and shows no part of the URL that
        may be a secret; of a URL that cannot be parsed it shows nothing.
    """
    expected = "prometheus_remote_write_url: expected a URL such as http://localhost:9090/api/v1/write"
    if not isinstance(url, str) or not url.strip():
        raise ValueError(f"{expected}, got {'nothing' if not url or isinstance(url, str) else type(url).__name__}")
    url = url.strip()
    problem = _url_problem(url)
    if problem is not None:
        raise ValueError(f"{expected}; {problem}")
    path = urlsplit(url).path
    for pattern, purpose in _NOT_RECEIVERS:
        found = re.search(f"({pattern.pattern})/*$", path)
        if found is not None:
            raise ValueError(
                "prometheus_remote_write_url: use the receiver's path for Remote-Write, which is /api/v1/write on "
                f"Prometheus and VictoriaMetrics: {found[1]} {purpose}"
            )
    return url


def token_url_problem(url: object) -> str | None:
    """Return what is wrong with the URL of a token endpoint, without any part of it that may be a secret."""
    if not isinstance(url, str) or not url.strip():
        return f"got {'nothing' if not url or isinstance(url, str) else type(url).__name__}"
    return _url_problem(url.strip())


def without_credentials(url: str) -> str:
    """Return a URL without user, password, query and fragment, any of which may hold a secret."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def header_problem(value: str) -> str | None:
    """Return why a header cannot have this value, as the end of a sentence that does not show it, else ``None``."""
    if "\n" in value or "\r" in value:
        return "contains a line break"
    if any(character < " " or character == "\x7f" for character in value):
        return "contains a control character"
    try:
        value.encode("latin-1")
    except UnicodeEncodeError:
        return "contains a character that headers cannot carry (outside Latin-1)"
    if value != value.strip():
        return "starts or ends with white space"
    return None if value.isprintable() else "contains an invisible character"


def is_header_name(name: object) -> bool:
    """Return whether a header can have this name (RFC 9110, 5.6.2)."""
    return isinstance(name, str) and _HEADER_NAME.fullmatch(name) is not None


def _url_problem(url: str) -> str | None:
    """Return what is wrong with a URL's structure."""
    if any(character.isspace() or not character.isprintable() for character in url):
        return "got one that contains white space or a control character"
    encode = "in the user name and password, write / as %2F, ? as %3F, # as %23, @ as %40, : as %3A and % as %25"
    try:
        parts = urlsplit(url)
        hostname, _ = parts.hostname, parts.port
    except ValueError:
        # The error's message quotes the URL.
        return f"got one whose host or port cannot be read; {encode}"
    if parts.scheme not in ("http", "https"):
        return "got one that does not begin with http:// or https://"
    # A sign of a password that is not encoded; its beginning would then be taken for a host and a port.
    if parts.fragment or "@" in parts.path or ("@" in parts.query and not parts.path):
        return f"got one with # or @ after the host; {encode}"
    return None if hostname else "got one without a host"


def _check_user_agent(http_user_agent: str) -> None:
    _validation.line("http_user_agent", http_user_agent)
    if (problem := header_problem(http_user_agent)) is not None:
        raise ValueError(f"http_user_agent: it {problem}")


def check_header(name: Any, value: Any) -> None:
    """
    Check a header that the user sets.

    :raises ValueError: if the sink or the connection sets it, or it cannot be sent.
    :raises TypeError: if it is not text.
    """
    # An invalid name is not shown: it may be the value, if the two were swapped.
    if not isinstance(name, str) or not isinstance(value, (str, Secret)):
        raise TypeError(
            "http_headers: expected strings as names, and strings or Secrets as values, got "
            f"{type(name).__name__} with a {type(value).__name__}"
        )
    if name.strip().lower() in RESERVED_HEADERS or name.lower().startswith("proxy-"):
        raise ValueError(
            f"http_headers: {name!r} is set by the sink or the connection and cannot be set here"
            + ("; use set_request_signer" if name.lower() == "authorization" else "")
        )
    if not is_header_name(name):
        raise ValueError("http_headers: expected names of letters, digits and hyphens (RFC 9110, 5.6.2)")
    if isinstance(value, str) and (problem := header_problem(value)) is not None:
        raise ValueError(f"http_headers: the value of {name!r} {problem}")


def _check_signer(signer: Any) -> None:
    expected = "request_signer: expected a requests AuthBase or a function (headers, body) -> headers"
    if isinstance(signer, type):
        raise TypeError(f"{expected}, got the class {signer.__name__}: pass an instance of it")
    if not callable(signer):
        raise TypeError(f"{expected}, got {type(signer).__name__}")
    if any(each.__name__ == "AuthBase" for each in type(signer).__mro__):
        return
    try:
        parameters = inspect.signature(signer)
    except (TypeError, ValueError):  # not every callable has a signature
        return
    try:
        parameters.bind({}, b"")
    except TypeError:
        fits = False
    else:
        fits = True
    if not fits:
        name = getattr(signer, "__name__", type(signer).__name__)
        raise TypeError(f"{expected}, got {name}, which takes other parameters")
