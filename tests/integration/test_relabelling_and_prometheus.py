"""Relabelling has the results of a real Prometheus for the same rules and series, and refuses what promtool refuses."""

from __future__ import annotations

import re
import subprocess
import sys
import time
import urllib.request
from typing import Any

import pytest
from hypothesis import strategies as st
from relabelling_cases import as_yaml, drawn, rules, series, token_texts
from scraped_page import ScrapedPage

from pyflink_prometheus.relabelling.relabelling import Relabelling
from pyflink_prometheus.relabelling.rule import Action, RelabelConfigError
from pyflink_prometheus.relabelling.syntax import RegexSyntaxError, parse
from pyflink_prometheus.testing.prometheus_server import PrometheusServer
from pyflink_prometheus.testing.receiver import Receiver

pytest.importorskip("re2", reason="needs google-re2, which the extra test has")

ACTIONS = [action.value for action in Action]
FIELDS = ("source_labels", "separator", "regex", "modulus", "replacement", "action", "target_label")
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
    counts: dict[str, float] = {}
    pattern = r'^prometheus_remote_storage_samples(?:_dropped)?_total\{.*remote_name="([^"]+)".*\} (\S+)$'
    for name, count in re.findall(pattern, text, re.MULTILINE):
        counts[name] = counts.get(name, 0) + float(count)
    return counts


def results_of(rule_sets, page_series):
    """Return Prometheus's result for each series with each set of rules: labels by (set, series)."""
    values = [(labels, FIRST_VALUE + number) for number, labels in enumerate(page_series)]
    found: dict[tuple[int, int], dict[str, str]] = {}
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
                value = each.samples[0][0]
                if isinstance(value, float) and value >= FIRST_VALUE:
                    number = int(value) - FIRST_VALUE
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
    """Return the relabelling, ``None`` if it needs RE2."""
    try:
        return Relabelling.from_configs(configs)
    except RelabelConfigError as error:
        if "pip install" not in error.advice:
            raise
        return None


NO_LABELS: list[Any] = [None, []]
RULES = [
    *({"action": action} for action in (*ACTIONS, "REPLACE", "Keep", "", "nothing", "labelMap", None)),
    *({"action": action, "target_label": "t"} for action in ACTIONS),
    *({"action": action, "target_label": "t", "source_labels": ["a"], "modulus": 3} for action in ACTIONS),
    *({"action": action, "target_label": "t", "replacement": "r", "modulus": 3} for action in ACTIONS),
    *({"action": action, "target_label": "t", "regex": "(.*)"} for action in ("keepequal", "dropequal")),
    *({"action": action, "target_label": "t", "separator": "-"} for action in ("keepequal", "dropequal")),
    *({"action": action, "target_label": "t", name: None} for action in ("keepequal", "replace") for name in FIELDS),
    *({"action": action, "source_labels": value} for action in ("labeldrop", "labelkeep") for value in NO_LABELS),
    *({"target_label": name} for name in ("a", "é", "a-b", "$1", "${1}", "-$1", "1", " ", "$", "${", "\n", "a$1-")),
    *({"action": "lowercase", "target_label": name} for name in ("é", "a-b", "${3}", "1")),
    *({"action": "labelmap", "replacement": text} for text in ("", "a", "$1", "${1}_", "-", "$", "é$1", None)),
    *({"action": "keep", "source_labels": names} for names in (["é"], ["a-b"], [""], ["1"], [], [None], ["a", "a"])),
    *({"action": "hashmod", "target_label": "t", "modulus": modulus} for modulus in (0, 1, 2**64 - 1, -1, None)),
    *(
        {"action": "keep", "regex": text}
        for text in ("", None, 1, "(?i)a", "(?=a)", r"\p{Greek}", r"\p{Klingon}", "a{1001}")
    ),
    *({"target_label": "t", "replacement": text} for text in ("", None, 8080, "$1$1")),
    {"target_label": "t", "separater": ";"},
    {"action": "keep", "regex": "(?P<n>a)(?P<n>b)"},
    {},
    None,
]


def test_the_same_rules_are_refused_and_in_the_same_words(promtool, tmp_path):
    found = [{"action": "keep", "regex": text} for text in drawn(token_texts, 600)]
    cases = [*RULES, *(each for each in found if not _is_of_more_parts(each["regex"]))]
    refusals = _refusals(promtool, tmp_path, cases)
    assert 300 < len(refusals) < len(cases) - 150
    for number, rule in enumerate(cases):
        words = _words_of_refusal(rule)
        assert (words is None) == (number not in refusals), (rule, words, refusals.get(number))
        assert words is None or words in refusals[number], (rule, words, refusals[number])


def _words_of_refusal(rule):
    """Return Prometheus's message for a rule as we quote it, without the place in an expression; ``None`` if valid."""
    try:
        Relabelling.from_configs([rule])
    except RelabelConfigError as error:
        return error.words.partition(": `")[0]
    return None


def _is_of_more_parts(expression):
    """Return whether an expression is like a)|(b, which Prometheus accepts but does not match as a whole."""
    try:
        return not parse(expression).is_anchored
    except RegexSyntaxError:
        return False


def _refusals(promtool, folder, cases):
    """Return promtool's messages for the rules that it refuses, by their numbers."""
    for number, rule in enumerate(cases):
        text = f"remote_write: [{{url: 'http://127.0.0.1:1/', write_relabel_configs: {as_yaml([rule])}}}]\n"
        (folder / f"{number}.yml").write_text(text, encoding="utf-8")
    files = [str(folder / f"{number}.yml") for number in range(len(cases))]
    run = subprocess.run([str(promtool), "check", "config", *files], capture_output=True, text=True, check=False)
    refusals = (run.stdout + run.stderr).split(f"FAILED: parsing YAML file {folder}/")[1:]
    return {int(number): words for number, _, words in (refusal.partition(".yml: ") for refusal in refusals)}
