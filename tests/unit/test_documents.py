"""The code in the README and the docs runs."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cloudpickle
import pytest

from pyflink_prometheus import (
    JsonLinesRejectedSamples,
    PrometheusSink,
    PrometheusTimeSeries,
    RejectedSamples,
    RejectionReason,
)

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCKS = [
    pytest.param(block, id=f"{path.name}-{number}")
    for path in DOCUMENTS
    for number, block in enumerate(re.findall(r"```python\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL), 1)
]


# The configuration of docs/configuration.md.
CONFIGURATION = """
remote_write:
  - {name: mimir, url: "https://mimir.example/api/v1/push"}
  - {name: other, url: "https://other.example/api/v1/write"}
"""


class Stream:
    """A replacement for a data stream that records the elements for each sink."""

    def __init__(self, elements=()):
        self.elements = elements
        self.sinks = []

    def sink_to(self, sink):
        self.sinks.append(sink)


class Rows(Stream):
    """A replacement for a stream that records the functions of its steps; every step returns the same stream."""

    def __init__(self):
        super().__init__()
        self.functions = []

    def process(self, function):
        self.functions.append(function)
        return self

    def same(self, *_):
        return self

    key_by = connect = broadcast = disable_chaining = get_side_output = same


class Tables:
    """A replacement for a table environment, its statement sets, tables and results; and for a sink that inserts."""

    is_ok = True  # of the report of the sink's preflight check

    def __init__(self):
        self.calls = []

    def __getattr__(self, name):
        if not callable(getattr(PrometheusSink, name, None)) and name not in TABLE_METHODS:
            raise AttributeError(name)

        def call(*arguments, **_):
            self.calls.append((name, arguments))
            return self

        return call


TABLE_METHODS = ("from_path", "sql_query", "execute_sql", "create_statement_set", "execute", "wait")


@pytest.mark.parametrize("block", BLOCKS)
def test_the_code_in_the_documents_runs(block, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "prometheus.yml").write_text(CONFIGURATION)
    handler = JsonLinesRejectedSamples(tmp_path)
    handler(
        [RejectedSamples(PrometheusTimeSeries("m", {"a": "1"}, ((1.0, 2),)), 1, RejectionReason.REFUSED, "late", 400)]
    )
    handler([RejectedSamples("no series", 1, RejectionReason.INVALID, "bad")])
    handler.close()
    streams = []

    def from_collection(elements):
        streams.append(Stream(elements))
        return streams[-1]

    readings, given_sink = Stream(), Tables()
    names: dict[str, Any] = {
        "readings": readings,
        "rows": Rows(),
        "updates": Rows(),
        "builder": PrometheusSink.builder(),
        "sink": given_sink,
        "t_env": Tables(),
        "env": SimpleNamespace(from_collection=from_collection),
    }
    exec(block.replace("/var/lib/flink/rejected", str(tmp_path)), names)

    for sink in readings.sinks:
        if sink is given_sink:
            continue
        reading = {"room": "kitchen", "celsius": 21.5, "time_ms": 1_700_000_000_000}
        series = sink.get_transformer()._converter(reading).check()
        assert series.key() == 'room_temperature_celsius{room="kitchen"}'
    for function in names["rows"].functions:
        cloudpickle.loads(cloudpickle.dumps(function))
    for stream in streams:
        assert stream.elements == [("m", {"a": "1"}, ((1.0, 2),), None, ())]
        assert stream.sinks == [names["sink"]]


def test_there_is_code_in_the_documents():
    assert len(BLOCKS) >= 5
