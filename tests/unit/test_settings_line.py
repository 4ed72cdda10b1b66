"""A writer logs all of its settings when it starts, and no secret."""

from __future__ import annotations

import logging
from dataclasses import fields
from unittest.mock import MagicMock

import pytest

from pyflink_prometheus import (
    BasicAuth,
    JsonLinesRejectedSamples,
    ProxyConfiguration,
    RetryConfiguration,
    Secret,
    SendingLimits,
    TenantConfiguration,
    TlsConfiguration,
)
from pyflink_prometheus.config import BestEffortConfiguration, SinkConfig
from pyflink_prometheus.flink.settings_line import settings_line
from pyflink_prometheus.flink.subtask import SubtaskWriter
from pyflink_prometheus.relabelling.relabelling import Relabelling

URL = "https://receiver.invalid/api/v1/write"


def line(**settings):
    return settings_line(SinkConfig(**{"prometheus_remote_write_url": URL, **settings}))


@pytest.mark.parametrize(
    "setting", [each.name for each in fields(SinkConfig) if each.name not in ("adaptive_sending", "further_endpoints")]
)
def test_each_setting_is_in_it(setting):
    assert f"{setting}: " in line()


def test_it_has_what_takes_effect():
    assert line().startswith(f"prometheus_remote_write_url: {URL}, remote_write_version: AUTO, ")
    for text in (
        "max_batch_size_in_samples: 2000 (adapts from 500 to 10000)",
        "max_in_flight_requests: 1 (adapts from 1 to 16)",
        "rejected_samples_handler: LogRejectedSamples",
        "max_retry_duration_ms: 480000",
        "max_buffered_samples: 10 batches per request in flight",
        "proxy: the worker's environment",
        "relabelling: none",
        "sending_limits: none",
    ):
        assert text in line()
    assert "max_in_flight_requests: 4," in line(max_in_flight_requests=4)
    assert "max_in_flight_requests: 1," in line(best_effort=BestEffortConfiguration())
    assert "retry: (initial_retry_delay_ms: 7, " in line(retry=RetryConfiguration(initial_retry_delay_ms=7))
    assert "max_samples_per_second: 10" in line(sending_limits=SendingLimits(max_samples_per_second=10))
    handler = JsonLinesRejectedSamples("/var/lib/rejected")
    assert "rejected_samples_handler: JsonLinesRejectedSamples('/var/lib/rejected', " in line(
        rejected_samples_handler=handler
    )


def test_a_further_endpoint_has_its_settings_in_it():
    backup = SinkConfig(
        prometheus_remote_write_url="http://backup.invalid/write", best_effort=BestEffortConfiguration()
    )
    found = line(further_endpoints={"backup": backup})
    assert "endpoint 'backup': (prometheus_remote_write_url: http://backup.invalid/write, " in found
    assert "max_in_flight_requests: 1," in found


def test_it_has_no_secret():
    found = line(
        prometheus_remote_write_url="https://user:hidden1@receiver.invalid/write?key=hidden2",
        http_headers={"X-Api-Key": "hidden3", "X-Other": Secret.value("hidden4")},
        request_signer=BasicAuth("user", Secret.value("hidden5")),
        tls=TlsConfiguration(ca="hidden6", cert=Secret.value("hidden7"), key="hidden8", server_name="name.invalid"),
        proxy=ProxyConfiguration(
            proxy_url="http://user:hidden9@proxy.invalid:3128", proxy_connect_header={"X-Token": "hidden10"}
        ),
        tenant=TenantConfiguration({"X-Scope-OrgID": "tenant"}),
        relabelling=Relabelling([{"target_label": "a", "replacement": "hidden11"}]),
    )
    assert "hidden" not in found
    for text in (
        "https://receiver.invalid/write,",
        "http_headers: [X-Api-Key, X-Other]",
        "request_signer: BasicAuth",
        "server_name: name.invalid",
        "relabelling: set",
    ):
        assert text in found


def test_a_subtask_logs_it_once_with_the_way_of_its_records(caplog):
    subtask = SubtaskWriter(SinkConfig(prometheus_remote_write_url=URL, http_headers={"X-Api-Key": "hidden"}))
    subtask.way = "My sink: records come one by one, because I say so"
    with caplog.at_level(logging.INFO):
        subtask.open(MagicMock())
        subtask.close()
    (message,) = [each for each in caplog.messages if "settings: " in each]
    assert message.startswith(
        f"My sink: records come one by one, because I say so; settings: prometheus_remote_write_url: {URL}, "
    )
    assert "\n" not in message
