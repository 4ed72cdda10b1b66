"""Relabelling gives what a real Prometheus gives for the same rules and series, and refuses what promtool refuses."""

from __future__ import annotations

import re
import sys
import time
import urllib.request

import pytest
from hypothesis import strategies as st
from relabelling_cases import as_yaml, drawn, rules, series
from scraped_page import ScrapedPage

from pyflink_prometheus.relabelling.relabelling import Relabelling
from pyflink_prometheus.relabelling.rule import RelabelConfigError
from pyflink_prometheus.testing.prometheus_server import PrometheusServer
from pyflink_prometheus.testing.receiver import Receiver

RULE_SETS = 200
SERIES = 60
# No value of Prometheus's own series, such as `up`.
FIRST_VALUE = 1_000_000
SCRAPES = 2
SECONDS = 120


def config_of(rule_sets, page, receiver):
    """Return a configuration that writes what it scrapes once for each set of rules, whose number is in a header."""
    lines = [
        "global: {scrape_interval: 1s}",
        "scrape_configs:",
        "- job_name: page",
        "  honor_labels: true",
        f"  static_configs: [{{targets: ['{page.address}']}}]",
        "  metric_relabel_configs: [{action: labeldrop, regex: job|instance}]",
        "remote_write:",
    ]
    for number, configs in enumerate(rule_sets):
        lines += [
            f"- url: {receiver.url}",
            f"  name: rules-{number}",
            f"  headers: {{X-Rules: '{number}'}}",
            "  queue_config: {max_shards: 1, batch_send_deadline: 100ms}",
            "  metadata_config: {send: false}",
            f"  write_relabel_configs: {as_yaml(configs)}",
        ]
    return "\n".join(lines) + "\n"


def settled(server):
    """Return the number of samples that each remote write has sent or dropped."""
    with urllib.request.urlopen(f"{server.url}/metrics", timeout=30) as response:
        text = response.read().decode()
    counts = {}
    pattern = r'^prometheus_remote_storage_samples(?:_dropped)?_total\{.*remote_name="([^"]+)".*\} (\S+)$'
    for name, count in re.findall(pattern, text, re.MULTILINE):
        counts[name] = counts.get(name, 0) + float(count)
    return counts


def results_of(rule_sets, page_series):
    """Return what Prometheus makes of each series by each set of rules: labels by (set, series)."""
    values = [(labels, FIRST_VALUE + number) for number, labels in enumerate(page_series)]
    found = {}
    with Receiver() as receiver, ScrapedPage(values) as page:
        server = PrometheusServer.start("native", config=config_of(rule_sets, page, receiver))
        try:
            deadline = time.monotonic() + SECONDS
            of_all_scrapes = SCRAPES * (len(page_series) + 5)  # Prometheus adds `up` and four more
            while (counts := settled(server)) is not None:
                if len(counts) == len(rule_sets) and min(counts.values()) >= of_all_scrapes:
                    break
                assert time.monotonic() < deadline, f"{counts}\n{server.logs()[-4000:]}"
                time.sleep(0.1)
        finally:
            server.stop()  # which sends the rest
        for request in receiver.requests:
            for each in request.series:
                number = int(each.samples[0][0]) - FIRST_VALUE if each.samples[0][0] >= FIRST_VALUE else None
                if number is not None:
                    named = {"__name__": each.metric_name} if each.metric_name else {}
                    key = int(request.headers["x-rules"]), number
                    assert found.setdefault(key, {**named, **dict(each.labels)}) == {**named, **dict(each.labels)}
    return found


def test_the_same_rules_have_the_same_results(native_prometheus, monkeypatch):
    rule_sets = drawn(st.lists(rules(), min_size=1, max_size=4), RULE_SETS)
    page_series = [{"__name__": f"m{n}", **labels} for n, labels in enumerate(drawn(series(), SERIES))]
    expected = results_of(rule_sets, page_series)
    assert len(expected) > RULE_SETS * SERIES / 4  # enough of them are kept for the test to mean something
    with_re2 = [Relabelling.from_configs(configs) for configs in rule_sets]
    monkeypatch.setitem(sys.modules, "re2", None)
    without_re2 = [_relabelling_if_possible(configs) for configs in rule_sets]
    assert sum(each is not None for each in without_re2) > RULE_SETS / 2
    for number, configs in enumerate(rule_sets):
        for engine in (with_re2[number], without_re2[number]):
            for at, labels in enumerate(page_series):
                if engine is not None:
                    assert engine.apply(labels) == expected.get((number, at)), (configs, labels)


def _relabelling_if_possible(configs):
    try:
        return Relabelling.from_configs(configs)
    except RelabelConfigError as error:
        assert "pip install" in str(error)
        return None
