"""Settings are validated when they are created; exceptions survive pickling."""

from __future__ import annotations

import pickle
import threading

import pytest
import requests

from pyflink_prometheus import (
    InvalidTimeSeriesError,
    OnErrorBehavior,
    PrometheusSink,
    RemoteWriteFatalError,
    RetriesExhaustedError,
    RetryConfiguration,
    SecretError,
    SinkWriterErrorHandlingBehaviorConfiguration,
)
from pyflink_prometheus.config import SinkConfig, without_credentials

URL = "http://localhost:9090/api/v1/write"


@pytest.mark.parametrize("url", ["", None, "localhost:9090", "ftp://localhost/", "http://", "http://h:port/", 7])
def test_a_url_that_cannot_be_one_is_refused_when_it_is_set(url):
    with pytest.raises(ValueError, match="prometheus_remote_write_url: expected a URL such as http://localhost:9090"):
        PrometheusSink.builder().set_prometheus_remote_write_url(url)


@pytest.mark.parametrize("url", [f" {URL}", f"{URL}\n", f"\t{URL}\u00a0"])
def test_white_space_around_a_url_is_left_out(url):
    assert SinkConfig(prometheus_remote_write_url=url).prometheus_remote_write_url == URL
    assert PrometheusSink.builder().set_prometheus_remote_write_url(url).build() is not None


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("user:hunter2@localhost:9090/", "does not begin with http://"),
        ("ftp://user:hunter2@localhost/", "does not begin with http://"),
        ("http://user:hunter2@", "without a host"),
        ("http://user:hun ter2@localhost/", "contains white space or a control character"),
        ("http://user:hun\nter2@localhost/", "contains white space or a control character"),
        ("http://user:hun\0ter2@localhost/", "contains white space or a control character"),
        ("http://user:hun/ter2@localhost/", "whose host or port cannot be read"),
        ("http://user:hun\uff0fter2@localhost/", "whose host or port cannot be read"),
        ("http://user:12/ter2@localhost/", "# or @ after the host"),
        ("http://user:12?ter2@localhost/", "# or @ after the host"),
        ("http://user:12#ter2@localhost/", "# or @ after the host"),
        ("http://localhost/write#hunter2", "# or @ after the host"),
    ],
)
def test_a_url_that_cannot_be_read_is_refused_and_nothing_of_it_is_shown(url, problem):
    with pytest.raises(ValueError, match=problem) as error:
        SinkConfig(prometheus_remote_write_url=url)
    for secret in ("hunter2", "hun", "ter2", "12"):
        assert secret not in str(error.value)
    assert error.value.__context__ is None


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/import",
        "/insert/0/prometheus/api/v1/import/prometheus",
        "/prometheus/api/v1/query",
        "/api/v1/query_range",
        "/api/v1/read",
        "/api/v1/labels",
        "/api/v1/label/job/values",
        "/metrics",
        "/metrics/",
        "/federate",
        "/graph",
        "/targets",
        "/-/healthy",
        "/-/ready",
    ],
)
def test_a_path_that_is_known_to_be_no_receivers_is_refused_and_the_right_one_named(path):
    with pytest.raises(ValueError, match="prometheus_remote_write_url: use .* /api/v1/write on Prometheus") as error:
        PrometheusSink.builder().set_prometheus_remote_write_url(f"http://localhost:9090{path}?token=hunter2")
    assert path.rstrip("/").endswith(str(error.value).rpartition(": ")[2].split()[0])
    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "/api/v1/write",
        "/api/v1/push",
        "/api/prom/push",
        "/api/v1/receive",
        "/insert/0/prometheus/api/v1/write",
        "/api/v1/prom/write?db=metrics",
        "/prometheus/v1/write?prometheus_server=a@b",
        "/api/v1/prom/remote/write",
        "/workspaces/ws-1/api/v1/remote_write",
        "/api/v1/metrics/write",
        "/my-metrics",
        "/api/v1/imports",
        "/query",
        "/metrics/of/mine",
    ],
)
def test_a_path_that_may_be_a_receivers_is_not_refused(path):
    assert SinkConfig(prometheus_remote_write_url=f"http://localhost{path}")


def test_no_message_and_no_repr_shows_credentials():
    secret = "http://user:hunter2@localhost:9090/api/v1/write?token=hunter2"
    config = SinkConfig(prometheus_remote_write_url=secret, http_headers={"X-Token": "hunter2"})
    assert "hunter2" not in repr(config)
    assert without_credentials(secret) == config.url_without_credentials == URL
    with pytest.raises(ValueError) as caught:
        SinkConfig(prometheus_remote_write_url="ftp://user:hunter2@localhost/")
    assert "hunter2" not in str(caught.value)


def test_a_sink_without_a_url_says_what_to_call():
    with pytest.raises(ValueError, match=r"call set_prometheus_remote_write_url\(url\)"):
        PrometheusSink.builder().build()


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("max_batch_size_in_samples", 0, "expected an integer of at least 1, got 0"),
        ("max_batch_size_in_samples", "10", "expected an integer of at least 1, got '10'"),
        ("max_in_flight_requests", True, "expected an integer of at least 1, got True"),
        ("max_time_in_buffer_ms", -1, "expected an integer of at least 1, got -1"),
        ("max_buffered_samples", 0, "expected an integer of at least 1, got 0"),
        ("socket_timeout_ms", 0, "expected an integer of at least 1, got 0"),
        ("max_cached_series", 1, "expected an integer of at least 2, got 1"),
        ("max_batch_size_in_bytes", 0, "expected an integer of at least 1, got 0"),
        ("http_user_agent", "a\nb", "expected a non-empty line of text"),
        ("metric_group_name", "", "expected a non-empty line of text"),
        ("request_signer", 7, "expected a requests AuthBase or a function"),
        ("retry", {"max_retry_count": 3}, "expected a RetryConfiguration"),
        ("conflict_policy", "KEEP_LAST", "expected a ConflictPolicy, got 'KEEP_LAST'"),
    ],
)
def test_a_bad_setting_is_named_with_its_value(setting, value, message):
    with pytest.raises((ValueError, TypeError), match=f"{setting}: {message}"):
        SinkConfig(prometheus_remote_write_url=URL, **{setting: value})


class _Signer(requests.auth.AuthBase):
    def __call__(self, request):
        return request


@pytest.mark.parametrize(
    ("signer", "problem"),
    [
        (("user", "password"), "got tuple"),
        (_Signer, "got the class _Signer: pass an instance of it"),
        (lambda request: request, "got <lambda>, which takes other parameters"),
        (lambda headers, body, more: headers, "got <lambda>, which takes other parameters"),
    ],
)
def test_what_cannot_sign_is_refused_when_it_is_set(signer, problem):
    with pytest.raises(TypeError, match=f"request_signer: expected a requests AuthBase or a function .*, {problem}"):
        SinkConfig(prometheus_remote_write_url=URL, request_signer=signer)


@pytest.mark.parametrize(
    "signer",
    [
        _Signer(),
        lambda headers, body: headers,
        lambda *both: both[0],
        lambda headers, body, more=1: headers,
        {}.update,
    ],
)
def test_what_may_sign_is_not_refused(signer):
    assert SinkConfig(prometheus_remote_write_url=URL, request_signer=signer)


class _WithALock:
    """A user's object for any function that runs on the worker; pickling it raises an error with its secret."""

    def __init__(self, held):
        self.held = held

    def __call__(self, *_):
        return None


class _Unwilling:
    def __reduce__(self):
        raise ValueError("hunter2")


@pytest.mark.parametrize(
    ("held", "problem"), [(threading.Lock(), r"it holds a _thread\.lock"), (_Unwilling(), "ValueError")]
)
@pytest.mark.parametrize("setting", ["request_signer", "rejected_samples_handler", "element_converter"])
def test_what_cannot_be_sent_to_the_workers_is_refused_when_the_sink_is_built(setting, held, problem):
    builder = PrometheusSink.builder().set_prometheus_remote_write_url(URL)
    getattr(builder, f"set_{setting}")(_WithALock(held))
    with pytest.raises(
        TypeError, match=rf"^{setting}: create locks, .* first called on the worker.*\({problem}\)$"
    ) as error:
        builder.build()
    assert error.value.__context__ is None


@pytest.mark.parametrize(
    "name", ["Content-Type", "content-encoding", "User-Agent", "X-Prometheus-Remote-Write-Version", "Proxy-X", "Host"]
)
def test_headers_that_the_protocol_owns_are_refused(name):
    with pytest.raises(ValueError, match="http_headers: .* cannot be set here"):
        SinkConfig(prometheus_remote_write_url=URL, http_headers={name: "x"})


def test_a_header_cannot_smuggle_another_in():
    with pytest.raises(ValueError, match="http_headers"):
        SinkConfig(prometheus_remote_write_url=URL, http_headers={"X-A": "1\r\nX-B: 2"})


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("hunter2\nmore", "contains a line break"),
        ("hunter2\0", "contains a control character"),
        ("hunter2€", "contains a character that headers cannot carry"),
        (" hunter2", "starts or ends with white space"),
        ("hunter2\u00ad", "contains an invisible character"),
    ],
)
def test_a_header_that_cannot_be_sent_is_refused_and_not_shown(value, problem):
    with pytest.raises(ValueError, match=f"http_headers: the value of 'X-Key' {problem}") as error:
        SinkConfig(prometheus_remote_write_url=URL, http_headers={"X-Key": value})
    assert "hunter2" not in str(error.value)
    with pytest.raises(ValueError, match="http_headers") as error:
        SinkConfig(prometheus_remote_write_url=URL, http_headers={value: "X-Key"})
    assert "hunter2" not in str(error.value)


def test_retry_delays_must_make_sense():
    with pytest.raises(ValueError, match="max_retry_delay_ms: expected an integer of at least 100, got 50"):
        RetryConfiguration(initial_retry_delay_ms=100, max_retry_delay_ms=50)


def test_failing_on_what_prometheus_refuses_is_refused():
    with pytest.raises(ValueError, match="restart in a loop"):
        SinkWriterErrorHandlingBehaviorConfiguration(on_prometheus_non_retryable_error=OnErrorBehavior.FAIL)


@pytest.mark.parametrize(
    "error",
    [
        InvalidTimeSeriesError("labels", "bad"),
        SecretError("check it"),
        RemoteWriteFatalError("no", url=URL, status=404, body_excerpt="gone", samples=3),
        RetriesExhaustedError("no", url=URL),
    ],
)
def test_every_exception_survives_pickling(error):
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert (str(again), again.__dict__) == (str(error), error.__dict__)
