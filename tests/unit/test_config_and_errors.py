"""Settings are validated when they are created; exceptions survive pickling."""

from __future__ import annotations

import pickle

import pytest

from pyflink_prometheus import (
    InvalidTimeSeriesError,
    OnErrorBehavior,
    PrometheusSink,
    RemoteWriteFatalError,
    RetriesExhaustedError,
    RetryConfiguration,
    SinkWriterErrorHandlingBehaviorConfiguration,
)
from pyflink_prometheus.config import SinkConfig, without_credentials

URL = "http://localhost:9090/api/v1/write"


@pytest.mark.parametrize("url", ["", None, "localhost:9090", "ftp://localhost/", "http://", "http://h:port/", 7])
def test_a_url_that_cannot_be_one_is_refused_when_it_is_set(url):
    with pytest.raises(ValueError, match="prometheus_remote_write_url: expected a URL such as http://localhost:9090"):
        PrometheusSink.builder().set_prometheus_remote_write_url(url)


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
        ("http_user_agent", "a\nb", "expected a non-empty line of text"),
        ("metric_group_name", "", "expected a non-empty line of text"),
        ("request_signer", 7, "expected a requests AuthBase or a function"),
        ("retry", {"max_retry_count": 3}, "expected a RetryConfiguration"),
    ],
)
def test_a_bad_setting_is_named_with_its_value(setting, value, message):
    with pytest.raises((ValueError, TypeError), match=f"{setting}: {message}"):
        SinkConfig(prometheus_remote_write_url=URL, **{setting: value})


@pytest.mark.parametrize(
    "name", ["Content-Type", "content-encoding", "User-Agent", "X-Prometheus-Remote-Write-Version", "Proxy-X", "Host"]
)
def test_headers_that_the_protocol_owns_are_refused(name):
    with pytest.raises(ValueError, match="http_headers: .* cannot be set here"):
        SinkConfig(prometheus_remote_write_url=URL, http_headers={name: "x"})


def test_a_header_cannot_smuggle_another_in():
    with pytest.raises(ValueError, match="http_headers"):
        SinkConfig(prometheus_remote_write_url=URL, http_headers={"X-A": "1\r\nX-B: 2"})


def test_retry_delays_must_make_sense():
    with pytest.raises(ValueError, match="max_retry_delay_ms: expected an integer of at least 100, got 50"):
        RetryConfiguration(initial_retry_delay_ms=100, max_retry_delay_ms=50)


def test_failing_on_what_prometheus_refuses_is_refused():
    with pytest.raises(ValueError, match="restart for ever"):
        SinkWriterErrorHandlingBehaviorConfiguration(on_prometheus_non_retryable_error=OnErrorBehavior.FAIL)


@pytest.mark.parametrize(
    "error",
    [
        InvalidTimeSeriesError("labels", "bad"),
        RemoteWriteFatalError("no", url=URL, status=404, body_excerpt="gone", samples=3),
        RetriesExhaustedError("no", url=URL),
    ],
)
def test_every_exception_survives_pickling(error):
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert (str(again), again.__dict__) == (str(error), error.__dict__)
