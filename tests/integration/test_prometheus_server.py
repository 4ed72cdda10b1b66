"""The helper that all other integration tests rely on: it returns exactly what was written."""

from __future__ import annotations

import math
import struct
import time
import urllib.request
from typing import TYPE_CHECKING

import pytest
import snappy

from pyflink_prometheus.testing.prometheus_server import PrometheusServer, PrometheusServerError
from pyflink_prometheus.wire._pb.remote_write_v1_pb2 import WriteRequest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def write(server: PrometheusServer, labels: Mapping[str, str], samples: Iterable[tuple[float, int]]) -> None:
    """Send one series with protobuf's own classes, so that the test does not rely on this package's encoder."""
    message = WriteRequest()
    series = message.timeseries.add()
    for name in sorted(labels):
        series.labels.add(name=name, value=labels[name])
    for value, timestamp in samples:
        series.samples.add(value=value, timestamp=timestamp)
    request = urllib.request.Request(
        server.remote_write_url,
        data=snappy.compress(message.SerializeToString()),
        headers={
            "Content-Type": "application/x-protobuf",
            "Content-Encoding": "snappy",
            "X-Prometheus-Remote-Write-Version": "0.1.0",
        },
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        assert response.status == 204


def bits(value: float) -> bytes:
    return struct.pack(">d", value)


def test_samples_come_back_bit_by_bit(prometheus: PrometheusServer, metric_name: str) -> None:
    now = time.time_ns() // 1_000_000
    values = [0.1 + 0.2, -0.0, 5e-324, 1.7976931348623157e308, math.inf, -math.inf, math.nan, -1234.5]
    samples = [(value, now + 7 * position) for position, value in enumerate(values)]
    write(prometheus, {"__name__": metric_name, "b": "2", "a": 'quote " and ü'}, samples)

    stored = prometheus.samples(metric_name)

    assert list(stored) == [(("__name__", metric_name), ("a", 'quote " and ü'), ("b", "2"))]
    (found,) = stored.values()
    assert [(bits(value), stamp) for value, stamp in found] == [(bits(value), stamp) for value, stamp in samples]


@pytest.mark.parametrize("start", [0, -86_400_001, 1_633_608_773_001])
def test_any_time_is_read_to_the_millisecond(prometheus_empty: PrometheusServer, start: int) -> None:
    samples = [(float(position), start + position) for position in range(1_003)]
    write(prometheus_empty, {"__name__": "somewhen"}, samples)

    assert prometheus_empty.samples("somewhen") == {(("__name__", "somewhen"),): samples}
    assert prometheus_empty.samples("somewhen", start_ms=start + 1, end_ms=start + 3) == {
        (("__name__", "somewhen"),): samples[1:4]
    }
    assert prometheus_empty.count("somewhen", start_ms=start + 1, end_ms=start + 3) == 3


def test_more_samples_than_fit_a_response_come_back_once_each(
    prometheus: PrometheusServer, metric_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pyflink_prometheus.testing.prometheus_server._SAMPLES_A_QUERY", 100)
    now = time.time_ns() // 1_000_000
    sent = {
        (("__name__", metric_name), ("which", which)): [(float(i), now + i * step) for i in range(1_000)]
        for which, step in (("dense", 1), ("sparse", 500))
    }
    for labels, samples in sent.items():
        write(prometheus, dict(labels), samples)

    assert prometheus.samples(metric_name) == sent
    assert prometheus.count(metric_name) == 2_000
    assert sorted(series["which"] for series in prometheus.series(metric_name)) == ["dense", "sparse"]


def test_a_selector_of_several_metrics_keeps_them_apart(prometheus_empty: PrometheusServer) -> None:
    now = time.time_ns() // 1_000_000
    sent = {(("__name__", name), ("a", "b")): [(float(i), now)] for i, name in enumerate(["one", "two", "zwölf {} 12"])}
    for labels, samples in sent.items():
        write(prometheus_empty, dict(labels), samples)

    assert prometheus_empty.samples('{a="b", }') == sent
    assert prometheus_empty.count('{a="b"}') == 3
    assert prometheus_empty.count('{"zwölf {} 12"}') == 1


@pytest.mark.parametrize("known", [0, 1])
def test_metrics_that_are_written_while_it_counts_do_not_disturb_it(
    prometheus_empty: PrometheusServer, monkeypatch: pytest.MonkeyPatch, known: int
) -> None:
    now = time.time_ns() // 1_000_000
    names = ["one", "two", "three"]

    def write_all(these: list[str]) -> None:
        for name in these:
            write(prometheus_empty, {"__name__": name, "a": "b"}, [(1.0, now)])

    write_all(names[:known])
    series = prometheus_empty.series

    def series_and_then_others(selector: str) -> list[dict[str, str]]:
        found = series(selector)
        write_all(names[known:])
        return found

    monkeypatch.setattr(prometheus_empty, "series", series_and_then_others)
    assert prometheus_empty.count('{a="b"}') == known


def test_it_holds_nothing_of_its_own(prometheus_empty: PrometheusServer) -> None:
    assert prometheus_empty.series('{__name__!=""}') == []
    assert prometheus_empty.samples('{__name__!=""}') == {}


def test_a_crash_and_a_restart_keep_data_and_address(prometheus_empty: PrometheusServer) -> None:
    now = time.time_ns() // 1_000_000
    url = prometheus_empty.url
    write(prometheus_empty, {"__name__": "kept"}, [(1.0, now)])

    prometheus_empty.kill()
    with pytest.raises(PrometheusServerError, match="does not respond"):
        prometheus_empty.query("1")
    prometheus_empty.restart()
    write(prometheus_empty, {"__name__": "kept"}, [(2.0, now + 1)])
    prometheus_empty.restart()

    assert prometheus_empty.url == url
    assert prometheus_empty.samples("kept") == {(("__name__", "kept"),): [(1.0, now), (2.0, now + 1)]}


def test_late_samples_are_taken_in_a_window_that_was_asked_for(prometheus_kind: str) -> None:
    now = time.time_ns() // 1_000_000
    with PrometheusServer.start(prometheus_kind, out_of_order_time_window="10m") as server:
        write(server, {"__name__": "late"}, [(2.0, now)])
        write(server, {"__name__": "late"}, [(1.0, now - 300_000)])

        assert server.samples("late") == {(("__name__", "late"),): [(1.0, now - 300_000), (2.0, now)]}


def test_one_that_does_not_start_says_why(prometheus_kind: str) -> None:
    with pytest.raises(PrometheusServerError, match="unknown long flag '--no-such-flag'"):
        PrometheusServer.start(prometheus_kind, extra_args=["--no-such-flag"])


def test_a_query_that_is_refused_says_why(prometheus: PrometheusServer) -> None:
    with pytest.raises(PrometheusServerError, match="parse error"):
        prometheus.query("not a query")


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="expected 'docker' or 'native', got 'podman'"):
        PrometheusServer.start("podman")


def test_a_whole_config_rules(prometheus_kind: str) -> None:
    config = """
    global: {scrape_interval: 1s, scrape_timeout: 1s}
    scrape_configs: [{job_name: nobody, static_configs: [{targets: ["127.0.0.1:1"]}]}]
    """
    with PrometheusServer.start(prometheus_kind, config=config) as server:
        deadline = time.monotonic() + 30
        while not server.query('up{job="nobody"} == 0') and time.monotonic() < deadline:
            time.sleep(0.1)
        assert server.query('up{job="nobody"} == 0')


def test_a_window_has_to_be_in_the_config_where_there_is_one() -> None:
    with pytest.raises(ValueError, match="out_of_order_time_window: set it in config"):
        PrometheusServer.start("native", config="{}", out_of_order_time_window="1h")
