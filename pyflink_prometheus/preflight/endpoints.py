"""The check of endpoints, from the settings of a sink."""

from __future__ import annotations

import contextlib

from pyflink_prometheus.config import SinkConfig
from pyflink_prometheus.http.transport import RequestsTransport
from pyflink_prometheus.preflight.finding import CheckReport, EndpointReport, Finding, Severity
from pyflink_prometheus.preflight.network import Connections, check_way
from pyflink_prometheus.preflight.receiver_check import ReceiverCheck
from pyflink_prometheus.preflight.trial import Trial


def check(config: SinkConfig, *, write_test_series: str | None = None) -> CheckReport:
    """
    Check all endpoints of a sink from this machine; never raise an error that a network causes.

    Without a test series nothing is written: requests hold no samples.

    :param config: the sink's settings.
    :param write_test_series: the metric name of series that may be written, to learn what the receiver stores.
    :raises InvalidTimeSeriesError: if ``write_test_series`` is not a metric name.
    """
    endpoints = {"": config, **config.further_endpoints}
    return CheckReport(tuple(_report(name, each, write_test_series) for name, each in endpoints.items()))


def _report(name: str, config: SinkConfig, write_test_series: str | None) -> EndpointReport:
    transport, connections = RequestsTransport(config), Connections()
    transport.observe_connections(connections)
    findings: list[Finding] = []
    with contextlib.closing(transport):
        findings += check_way(transport.surroundings, each_address=config.round_robin_dns)
        if findings[-1].severity is not Severity.PROBLEM:
            receiver = ReceiverCheck(config, transport, connections)
            findings += receiver.findings()
            if receiver.versions and write_test_series is not None:
                findings += Trial(config, transport, receiver.versions[0], write_test_series).findings()
    return EndpointReport(config.url_without_credentials, tuple(findings), name)
