"""Events of classes that only the job's own file knows, tags with types of a stream, and keys without a value."""

from __future__ import annotations

import threading
import types
from dataclasses import dataclass

import cloudpickle
import pytest
from operator_harness import Harness
from pyflink.common import Types
from pyflink.datastream import OutputTag

from pyflink_prometheus import (
    Aggregate,
    CumulativeAggregate,
    Enrich,
    EnrichFromStream,
    Filter,
    MarkStale,
    PrometheusSinkError,
    Reorder,
    Threshold,
    TumblingWindows,
)


def own_classes() -> types.ModuleType:
    """Return a module that no worker can import, like the job's own file."""
    module = types.ModuleType("job_file_of_a_user")

    @dataclass(frozen=True)
    class Reading:
        device: str
        time: int
        value: float

    class Place(str):
        pass

    for each in (Reading, Place):
        each.__module__, each.__qualname__ = module.__name__, each.__name__
        setattr(module, each.__name__, each)
    return module


OWN = own_classes()


class Last:
    """A user's check that keeps the last event."""

    name, keeps_state, needs_timestamp = "last", True, False

    def judge(self, event, timestamp, state):
        return ("the same again" if state == event else None), event


def test_reorder_holds_instances_over_a_savepoint():
    events = [OWN.Reading("a", time, float(time)) for time in (3, 1, 2)]
    first = Harness(Reorder(timestamp=lambda event: event.time))
    for event in events[:2]:
        first.send(event)
    second = Harness(Reorder(timestamp=lambda event: event.time), first.savepoint()).send(events[2]).advance()
    assert [(event.device, event.time, event.value) for event in second.results] == [
        ("a", 1, 1.0),
        ("a", 2, 2.0),
        ("a", 3, 3.0),
    ]


def test_a_check_keeps_instances():
    harness = Harness(Filter(Last()))
    for value in (1.0, 1.0, 2.0):
        harness.send(OWN.Reading("a", 0, value))
    assert [event.value for event in harness.results] == [1.0, 2.0]


def test_references_are_instances_over_a_savepoint():
    def enrich():
        return EnrichFromStream(lambda update: update, lambda event: event[0], lambda event, it: (*event, it.value))

    first = Harness(enrich()).broadcast(("a", OWN.Reading("a", 0, 7.0)))
    assert Harness(enrich(), first.savepoint()).send(("a", 1)).results == [("a", 1, 7.0)]


def test_a_references_key_must_be_one_that_a_later_run_finds_again():
    harness = Harness(EnrichFromStream(lambda update: update, lambda event: event[0]))
    with pytest.raises(PrometheusSinkError, match=r"^reference: return a string, .*Reading\(device='a'"):
        harness.broadcast((OWN.Reading("a", 0, 7.0), {"place": "roof"}))


def test_labels_may_be_of_a_kind_of_text_of_ones_own():
    harness = Harness(MarkStale(10)).send(("m", {"place": OWN.Place("roof")}, ((1.0, 5),)))
    restored = Harness(MarkStale(10), harness.savepoint()).advance()
    assert [series.labels for series in restored.results] == [(("place", "roof"),)]


OPERATORS_WITH_TAGS = {
    "Reorder": lambda tag: Reorder(late_output_tag=tag),
    "Filter": lambda tag: Filter(Threshold(float), rejected_output_tag=tag),
    "Aggregate": lambda tag: Aggregate("m", float, TumblingWindows(1), late_output_tag=tag),
    "CumulativeAggregate": lambda tag: CumulativeAggregate("m", late_output_tag=tag),
    "Enrich": lambda tag: Enrich({}, str, unmatched_output_tag=tag),
    "EnrichFromStream": lambda tag: EnrichFromStream(tuple, str, unmatched_output_tag=tag),
}


@pytest.mark.parametrize("operator", OPERATORS_WITH_TAGS.values(), ids=OPERATORS_WITH_TAGS)
def test_a_tag_may_have_a_type_that_a_stream_has_asked_java_for(operator):
    inner = Types.STRING()
    inner._j_typeinfo = threading.RLock()  # like the one in Java's object
    tag = OutputTag("late", Types.TUPLE([inner, Types.LONG()]))
    with pytest.raises(TypeError, match="RLock"):
        cloudpickle.dumps(tag)
    cloudpickle.dumps(operator(tag))
    assert tag.type_info._field_types[0] is inner


@pytest.mark.parametrize(
    ("labels", "key", "expected"),
    [
        ("room", None, ()),
        (("room", "floor"), ("hall", None), (("room", "hall"),)),
        (("room", "floor"), (None, 0), (("floor", "0"),)),
        ("room", "None", (("room", "None"),)),
    ],
)
def test_what_is_missing_in_a_key_is_no_label(labels, key, expected):
    for operator in (
        Aggregate("m", float, TumblingWindows(10), labels=labels, timestamp=int),
        CumulativeAggregate("m", labels=labels, interval_ms=10, timestamp=int),
    ):
        (series,) = Harness(operator).send(1, key=key).advance().results
        assert series.labels == expected
