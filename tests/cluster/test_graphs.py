"""The sink's changes to a job's graph, and its warnings when it is built; no job runs here."""

from __future__ import annotations

import json
from typing import Any

import pytest
from local_job import run_job_file

Graph = dict[str, Any]


@pytest.fixture(scope="module")
def graphs() -> dict[str, dict[str, Graph]]:
    """Return the output of ``graphs.py``."""
    job = run_job_file("graphs.py")
    found: dict[str, dict[str, Graph]] = json.loads(job.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize(
    ("name", "steps"),
    [
        ("dealt out", ["'Collection Source' (1) distributes records over 'dealt' (2 subtasks)"]),
        ("dealt out, further up", ["'Collection Source' (1) distributes records over 'dealt' (2 subtasks)"]),
        (
            "dealt out twice",
            [
                "'dealt' (2) distributes records over 'again' (3 subtasks)",
                "'Collection Source' (1) distributes records over 'dealt' (2 subtasks)",
            ],
        ),
        (
            "rebalanced",
            [
                "'first' (2) distributes records over 'rebalanced' (2 subtasks)",
                "'Collection Source' (1) distributes records over 'first' (2 subtasks)",
            ],
        ),
        ("shuffled", ["'Collection Source' (1) distributes records over 'shuffled' (2 subtasks)"]),
        ("rescaled to more", ["'Collection Source' (1) distributes records over 'rescaled' (2 subtasks)"]),
        ("one of two streams", ["'Collection Source' (1) distributes records over 'dealt' (2 subtasks)"]),
        ("before MarkStale", ["'Collection Source' (1) distributes records over 'dealt' (2 subtasks)"]),
        ("late events of Reorder", ["'Collection Source' (1) distributes records over 'dealt' (2 subtasks)"]),
        ("after Reorder", ["'KEYED PROCESS' (1) distributes records over 'dealt' (2 subtasks)"]),
    ],
)
def test_where_order_is_lost_before_the_key_it_is_said_once(graphs, name, steps):
    (warning,) = graphs["order"][name]["warnings"]
    assert warning.startswith("give these operators the same parallelism")
    assert warning.partition("restore their order: ")[2].split("; ") == steps


@pytest.mark.parametrize(
    "name",
    [
        "nothing between",
        "the same parallelism",
        "to one",
        "keyed before",
        "Reorder behind",
        "Aggregate behind",
        "CumulativeAggregate behind",
        "broadcast",
    ],
)
def test_where_order_holds_nothing_is_said(graphs, name):
    assert graphs["order"][name]["warnings"] == []


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("batches of objects", "transport: use Transport.AUTO, or change the stream: records are pickled objects; "),
        ("batches of lists", "transport: use Transport.AUTO, or change the stream: field f1 is of type ListTypeInfo"),
        ("batches of a keyed stream", "transport: use Transport.AUTO, or change the stream: the stream is keyed in "),
        ("batches in mode AUTOMATIC", "transport: use Transport.AUTO, or change the stream: Flink's Table API is not "),
        ("keys of numbers", "key_columns: give the stream's operator an output_type"),
        ("keys of objects", "key_columns: give the stream's operator an output_type"),
        ("unknown key", "key_columns: choose from f0, f1: there is no column 'device'"),
        ("unknown key, one subtask", "key_columns: choose from f0, f1: there is no column 'device'"),
        ("key of lists", "key_columns: use columns of numbers, strings or booleans: 'f1' is of type ListTypeInfo"),
        ("key of a keyed stream", "key_columns: remove key_by before sink_to"),
        ("key of a table, one by one", "key_columns: use key_by, because Transport.RECORDS is set"),
    ],
)
def test_what_cannot_be_is_refused_when_the_job_is_built(graphs, name, message):
    assert graphs["refused"][name].startswith(message)
    assert "\n" not in graphs["refused"][name]


@pytest.mark.parametrize("name", ["keyed", "Java before", "not chained"])
def test_all_that_the_sink_adds_has_a_uid(graphs, name):
    operators = graphs["uids"][name]["operators"]
    assert operators["Prometheus writer"] == ["uid of the sink", 1]
    assert operators["Sink: Writer"] == ["uid of the sink-end", 1]
    assert graphs["uids"][name]["warnings"] == []
    added = {uid for uid, _ in operators.values() if uid is not None and uid.startswith("uid of the sink")}
    assert len(added) == (2 if name == "keyed" else 4)  # before a writer that gets batches, and after it


def test_where_another_operators_uid_rules_and_there_is_none_it_is_said(graphs):
    graph = graphs["uids"]["first without uid"]
    assert graph["operators"]["first, Map, Prometheus writer"] == [None, 1]
    (warning,) = graph["warnings"]
    assert warning.startswith("call uid() on 'first': ")
    assert "set_uid('uid of the sink') has no effect" in warning


def test_where_another_operators_uid_rules_and_there_is_one_nothing_is_said(graphs):
    graph = graphs["uids"]["first with uid"]
    assert graph["operators"]["first, Map, Prometheus writer"] == ["uid of the first", 1]
    assert graph["warnings"] == []
