"""The preflight check on real receivers: its findings, and that it stores nothing unless asked to."""

from __future__ import annotations

import time
import urllib.request

import pytest

from pyflink_prometheus import Severity
from pyflink_prometheus.config import SinkConfig
from pyflink_prometheus.preflight.endpoints import check
from pyflink_prometheus.testing._hosts import NativeHost
from pyflink_prometheus.testing.prometheus_server import PrometheusServer

# The versions that each receiver supports.
RECEIVERS = {
    "prometheus": "2.0 and 1.0",
    "old_prometheus": "1.0",
    "victoria_metrics": "1.0",
    "influxdb": "1.0",
}


def findings_of(url, **more):
    report = check(SinkConfig(prometheus_remote_write_url=url), **more)
    return report, {each.check: each for each in report.endpoints[0].findings}


@pytest.mark.parametrize(("name", "versions"), RECEIVERS.items())
def test_every_receiver_passes(request, name, versions):
    receiver = request.getfixturevalue(name)
    report, findings = findings_of(receiver.remote_write_url)
    assert report.is_ok, str(report)
    assert f"supports Remote-Write {versions};" in findings["versions"].message
    assert findings["receiver"].severity is Severity.OK, "it refuses requests that are not Remote-Write"
    assert findings["body size"].severity is Severity.OK
    assert findings["clock"].severity is Severity.OK


def test_the_check_alone_leaves_nothing(prometheus_empty):
    findings_of(prometheus_empty.remote_write_url)
    assert prometheus_empty.series('{__name__!=""}') == []


@pytest.mark.parametrize("name", RECEIVERS)
def test_the_test_series_is_written(request, name, metric_name):
    receiver = request.getfixturevalue(name)
    report, findings = findings_of(receiver.remote_write_url, write_test_series=metric_name)
    assert report.is_ok, str(report)
    assert {findings[each].severity for each in ("sample", "sample limit")} == {Severity.OK}
    refuses_late = name in ("prometheus", "old_prometheus")
    assert findings["late samples"].severity is (Severity.ADVICE if refuses_late else Severity.OK)
    assert receiver.samples(metric_name)


def test_an_agent(start_agent, prometheus, metric_name):
    """It has no limit in the past, so how late a sample may be depends only on the series."""
    agent = start_agent(prometheus.remote_write_url)
    report, findings = findings_of(agent.remote_write_url, write_test_series=metric_name)
    assert report.is_ok, str(report)
    assert findings["late samples"].severity is Severity.ADVICE


def test_what_prometheus_can_be_told_to_accept(prometheus_kind, metric_name):
    features = "--enable-feature=native-histograms,exemplar-storage"
    with PrometheusServer.start(prometheus_kind, out_of_order_time_window="3h", extra_args=[features]) as server:
        _, findings = findings_of(server.remote_write_url, write_test_series=metric_name)
        assert {each.severity for name, each in findings.items() if name != "round trip"} == {Severity.OK}
        assert "2 hours late, but refuses samples 6 hours late" in findings["late samples"].message
        assert server.histograms(metric_name)
        assert server.exemplars(metric_name)


def test_a_receiver_that_is_not_enabled(native_prometheus):
    """Prometheus has the path only with a flag, and says so."""
    host = NativeHost(native_prometheus, "global: {}\n", [], None, None)
    try:
        host.start()
        url = f"http://127.0.0.1:{host.port}"
        wait_until_ready(url)
        report, findings = findings_of(f"{url}/api/v1/write")
    finally:
        host.discard()
    assert not report.is_ok
    assert "--web.enable-remote-write-receiver" in findings["receiver"].remedy


def wait_until_ready(url):
    deadline = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(f"{url}/-/ready", timeout=5):
                return
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.1)


@pytest.mark.parametrize("path", ["/", "/graph", "/api/v1/write/"])
def test_other_paths_of_prometheus(prometheus, path):
    url = f"{prometheus.url}{path}"
    if path == "/graph":
        with pytest.raises(ValueError, match="web page"):
            SinkConfig(prometheus_remote_write_url=url)
        return
    report, _ = findings_of(url)
    assert not report.is_ok, str(report)


def test_a_path_of_victoria_metrics_that_stores_nothing(victoria_metrics):
    """It is refused where its name is known; behind a proxy that renames it, the check finds it."""
    report, findings = findings_of(f"{victoria_metrics.url}/api/v1/import/native/.")
    assert findings["receiver"].severity is not Severity.OK, str(report)


def test_the_line_protocol_is_not_remote_write(victoria_metrics, influxdb):
    for url in (f"{victoria_metrics.url}/write", f"{influxdb.url}/write?db=test"):
        report, _ = findings_of(url)
        assert not report.is_ok, str(report)
