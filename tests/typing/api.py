"""
The public API as its users write it, for mypy in strict mode; never run.

Each line that must be an error has a ``type: ignore`` with its code: mypy reports those that are not needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import requests

import pyflink_prometheus
from pyflink_prometheus import (
    AdaptiveSendingConfiguration,
    Aggregate,
    BasicAuth,
    BearerAuth,
    BestEffortConfiguration,
    Check,
    CheckReport,
    ColumnMapping,
    ConflictPolicy,
    ElementConverter,
    EntraAuth,
    Exemplar,
    Filter,
    Hampel,
    JsonLinesRejectedSamples,
    JwtBearerAuth,
    MarkStale,
    Metadata,
    NativeHistogram,
    OAuth2Auth,
    OnErrorBehavior,
    PrometheusSink,
    PrometheusTimeSeries,
    ProxyConfiguration,
    RejectedSamples,
    RejectedSamplesHandler,
    RejectionReason,
    RemoteWriteVersion,
    Reorder,
    RetryConfiguration,
    SchemeAuth,
    Secret,
    SendingLimits,
    SigV4Auth,
    SpeedGate,
    TenantConfiguration,
    Threshold,
    TlsConfiguration,
    TooLong,
    Transport,
    TumblingWindows,
    read_rejected_samples,
)
from pyflink_prometheus.testing import PrometheusServer, ReceivedRequest, Receiver

if TYPE_CHECKING:
    from typing_extensions import assert_type


class Reading(NamedTuple):
    """A user's record."""

    room: str
    celsius: float
    time_ms: int


def one(reading: Reading) -> PrometheusTimeSeries:
    """Convert to a series."""
    return PrometheusTimeSeries("temperature_celsius", {"room": reading.room}, ((reading.celsius, reading.time_ms),))


def several(reading: Reading) -> Iterable[PrometheusTimeSeries]:
    """Convert to several series."""
    yield one(reading)


def optional(reading: Reading) -> PrometheusTimeSeries | None:
    """Convert, or skip the record."""
    return one(reading) if reading.celsius > -273.15 else None


converters: list[ElementConverter] = [one, several, optional]
wrong_converter: ElementConverter = lambda reading: 1.0  # type: ignore[assignment,return-value]  # noqa: E731


def handle(rejected: Sequence[RejectedSamples]) -> None:
    """Handle rejected samples."""
    for each in rejected:
        assert_type(each.reason, RejectionReason)
        assert_type(each.series, "tuple[PrometheusTimeSeries, ...]")
        assert_type(each.status, "int | None")


handler: RejectedSamplesHandler = handle


def sign(headers: Any, body: bytes) -> dict[str, str]:
    """Sign a request."""
    return {"X-Signature": str(len(body))}


sink = (
    PrometheusSink.builder()
    .set_prometheus_remote_write_url("http://localhost:9090/api/v1/write")
    .set_remote_write_version(RemoteWriteVersion.AUTO)
    .set_element_converter(optional)
    .set_retry_configuration(max_retry_count=10, max_retry_duration_ms=60_000)
    .set_retry_configuration(RetryConfiguration(max_retry_count=10))
    .set_error_handling_behavior_configuration(on_max_retry_exceeded=OnErrorBehavior.DISCARD_AND_CONTINUE)
    .set_adaptive_sending_configuration(max_in_flight_requests=4)
    .set_adaptive_sending_configuration(AdaptiveSendingConfiguration())
    .set_conflict_policy(ConflictPolicy.KEEP_LAST)
    .set_max_batch_size_in_bytes(1_000_000)
    .set_http_headers({"X-Scope-OrgID": "tenant"})
    .set_http_headers({"X-API-Key": Secret.file("/run/secrets/key"), "X-Scope-OrgID": "tenant"})
    .set_request_signer(BearerAuth(Secret.file("/run/secrets/token")))
    .set_request_signer(BasicAuth("user", "password"))
    .set_request_signer(BasicAuth(Secret.file("/run/secrets/user"), Secret.environment("PASSWORD")))
    .set_request_signer(SchemeAuth("Token", Secret.file("/run/secrets/token")))
    .set_request_signer(SigV4Auth(role_arn="arn:aws:iam::123456789012:role/writer", external_id="id"))
    .set_request_signer(OAuth2Auth("https://login.example/token", "client", Secret.file("/run/secrets/client")))
    .set_request_signer(JwtBearerAuth("https://login.example/token", "client", Secret.file("/run/secrets/key")))
    .set_request_signer(EntraAuth.managed_identity(cloud="AzureChina"))
    .set_request_signer(sign)
    .set_rejected_samples_handler(handle)
    .set_rejected_samples_handler(JsonLinesRejectedSamples("/var/lib/rejected"))
    .set_digest_directory("/var/lib/flink/digests")
    .set_sending_limits("mimir", max_new_series_per_day=100_000, track_only=True)
    .set_sending_limits(SendingLimits(max_samples_per_second=1000))
    .set_sending_limits(max_label_value_bytes=200, on_long_label_value=TooLong.CUT)
    .set_tenant({"X-Scope-OrgID": "tenant"})
    .set_tenant({"AccountID": lambda labels: labels.get("account")}, keep_labels=True, max_counted_tenants=100)
    .set_tenant(TenantConfiguration({"THANOS-TENANT": "tenant"}))
    .set_key_columns("device", "room")
    .set_transport(Transport.ARROW)
    .set_name("sink")
    .set_uid("sink")
    .set_parallelism(2)
    .build()
)
assert_type(sink, PrometheusSink)
assert_type(sink.check(write_test_series="check_me"), CheckReport)
assert_type(pyflink_prometheus.__version__, str)
PrometheusSink.from_remote_write_config("prometheus.yml", "mimir").set_tls_configuration(ca_file="ca.pem").build()
PrometheusSink.from_remote_write_config({"url": "http://localhost:9090/api/v1/write"}).set_proxy_configuration(
    ProxyConfiguration(proxy_url="http://localhost:3128", proxy_connect_header={"X-A": ["a", Secret.file("b")]})
)
PrometheusSink.builder().set_tls_configuration(TlsConfiguration(key=Secret.file("key.pem"), cert="pem"))
PrometheusSink.builder().add_endpoint("backup", PrometheusSink.builder(), required=True).build()
PrometheusSink.builder().set_best_effort_configuration(max_wait_ms=0, max_buffered_samples=1).build()
PrometheusSink.builder().set_best_effort_configuration(BestEffortConfiguration(max_buffered_bytes=1))
PrometheusSink.builder().add_endpoint("backup", "http://localhost")  # type: ignore[arg-type]
PrometheusSink.builder().set_tls_configuration(ca=b"pem")  # type: ignore[arg-type]
PrometheusSink.builder().set_max_batch_size_in_samples("2000")  # type: ignore[arg-type]
PrometheusSink.builder().set_retry_configuration(max_retries=3)  # type: ignore[call-arg]

mapping = ColumnMapping(
    labels={"place": "room"},
    constant_labels={"site": "a"},
    values={"room_temperature_celsius": "celsius"},
    timestamp="measured_at",
    metadata={"room_temperature_celsius": Metadata("gauge")},
)
assert_type(mapping.columns, "tuple[str, ...]")
PrometheusSink.builder().set_column_mapping(ColumnMapping(metric_name="m", labels="room", values="v", timestamp="t"))
ColumnMapping("m", "v", "t")  # type: ignore[call-arg]
PrometheusSink.builder().set_column_mapping({"m": "v"})  # type: ignore[arg-type]

series = PrometheusTimeSeries(
    "request_seconds",
    (("path", "/"),),
    [(NativeHistogram(schema=0, sum=1.0, positive={1: 1}), 1_700_000_000_000), (1.0, 1_700_000_000_001, None)],
    Metadata("histogram", "Request durations", "seconds"),
    [Exemplar({"trace_id": "1"}, 0.5, 1_700_000_000_000)],
)
assert_type(series.check(), PrometheusTimeSeries)
assert_type(series.key(), str)
built = PrometheusTimeSeries.builder().with_metric_name("m").add_label("a", "1").add_sample(1.0, 1).build()
assert_type(built, PrometheusTimeSeries)

checks: list[Check] = [
    Threshold(lambda row: row.celsius, max=60),
    Hampel(lambda row: row.celsius, min_deviation=1.0),
    SpeedGate(lambda row: (row.latitude, row.longitude), max_speed=350),
]
steps = [
    Reorder(release_interval_ms=1_000),
    Filter(*checks),
    Aggregate("temperature", lambda row: row.celsius, TumblingWindows(60_000), ("mean", "max"), labels="room"),
    MarkStale(60_000),
]

for rejected_before in read_rejected_samples("/var/lib/rejected"):
    again: list[PrometheusTimeSeries] = list(rejected_before.series)


def decide(request: ReceivedRequest) -> int:
    """Decide on a status."""
    return 204 if request.samples else 400


def stored(prometheus: PrometheusServer, receiver: Receiver) -> bool:
    """Compare samples, which both return in the same shape."""
    return prometheus.samples("m") == receiver.samples("m")


class Signer(requests.auth.AuthBase):
    """A user's own signer."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Sign one attempt."""
        return request


PrometheusSink.builder().set_request_signer(Signer())
