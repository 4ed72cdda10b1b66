"""The sink works as documented in each kind of job."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

import pytest
from local_job import run_job_file

from pyflink_prometheus.testing import Receiver

T = 1_700_000_000_000
HUNDRED = [(float(number), T + number) for number in range(100)]


class Outcome:
    """
    The results of ``many_sinks.py``.

    :ivar seen: what each job observed about itself.
    :ivar samples: the receiver's samples, (value, timestamp) by series in the order of arrival.
    :ivar workers: the processes that each series came from.
    """

    def __init__(self, seen: dict[str, Any], receiver: Receiver) -> None:
        self.seen = seen
        self.samples: dict[str, list[tuple[float, int]]] = defaultdict(list)
        self.workers: dict[str, set[str]] = defaultdict(set)
        for request in receiver.requests:
            for series, value, timestamp in request.samples:
                self.samples[series].append((value, timestamp))
                self.workers[series].add(request.headers["x-worker"])


@pytest.fixture(scope="module")
def outcome() -> Outcome:
    with Receiver() as receiver:
        job = run_job_file("many_sinks.py", receiver.url)
        return Outcome(json.loads(job.stdout.splitlines()[-1]), receiver)


@pytest.mark.parametrize("metric_name", ["plain", "plain_tuples", "chained", "batch"])
def test_a_stream_arrives_whole_and_in_order(outcome, metric_name):
    assert outcome.samples[metric_name + '{place="here"}'] == HUNDRED


@pytest.mark.parametrize("metric_name", ["dealt_out", "batch_keyed"])
def test_a_stream_arrives_whole(outcome, metric_name):
    assert sorted(outcome.samples[metric_name + '{place="here"}']) == HUNDRED


def test_a_converter_returns_one_series_or_several_or_none(outcome):
    def at(*numbers: int) -> list[tuple[float, int]]:
        return [HUNDRED[number] for number in numbers]

    assert outcome.samples['one{place="here"}'] == at(0, 4)
    assert outcome.samples['several{place="here"}'] == at(1, 2, 5, 6)
    assert outcome.samples['several_more{place="here"}'] == at(1, 2, 5, 6)


def test_records_that_cannot_be_written_cost_nobody_else_anything(outcome):
    poisoned = {series: samples for series, samples in outcome.samples.items() if series.startswith("poisoned")}
    assert poisoned == {'poisoned{place="here"}': HUNDRED[:6]}
    assert not any(value < 0 for samples in outcome.samples.values() for value, _ in samples)


def test_each_series_of_a_keyed_stream_goes_through_one_of_the_subtasks_and_stays_in_order(outcome):
    keyed = [f'keyed{{kind="t",sensor="{sensor}"}}' for sensor in range(20)]
    assert all(outcome.samples[series] == HUNDRED[:50] for series in keyed)
    assert all(len(outcome.workers[series]) == 1 for series in keyed)
    assert len(set().union(*(outcome.workers[series] for series in keyed))) == 2


def test_more_subtasks_without_a_key_are_warned_of_and_with_a_key_are_not(outcome):
    assert outcome.seen["streaming"]["warned_of_keyed"] == []
    (warning,) = outcome.seen["streaming"]["warned_of_dealt"]
    assert "key the stream" in warning


def test_the_writer_is_told_how_records_come_to_it(outcome):
    keyed_for_nothing, pickled, typed = [True, True], [False, True], [False, False]
    assert outcome.seen["exchanges"] == {
        "chained": None,
        "keyed for one": keyed_for_nothing,
        "keyed for two": pickled,
        "keyed, not pickled": typed,
        "dealt out": pickled,
        "rebalanced": pickled,
        "from thread mode": pickled,
    }


def test_name_uid_and_parallelism_reach_the_operator_that_writes(outcome):
    operators = {each.pop("name"): each for each in outcome.seen["streaming"]["operators"]}
    assert operators["dealt out"] == {"uid": "uid-of-dealt-out", "parallelism": 2}
    # PyFlink chains consecutive Python functions into one operator, with the uid of the first one.
    assert operators["Map, chained"] == {"uid": None, "parallelism": 1}


def test_in_thread_mode_only_the_writer_runs_in_a_process_and_nothing_is_lost(outcome):
    seen = outcome.seen["thread_mode_without_metrics"]
    samples = {series: each for series, each in outcome.samples.items() if series.startswith("from_thread_mode")}
    assert samples == {f'from_thread_mode{{n="{number}"}}': [(seen["java_process"], T)] for number in range(100)}
    assert str(seen["java_process"]) not in set().union(*(outcome.workers[series] for series in samples))
    assert seen["mode"] == "thread"


def test_metrics_that_are_off_are_switched_on_with_a_warning(outcome):
    seen = outcome.seen["thread_mode_without_metrics"]
    assert seen["metrics"] == "true"
    (warning,) = seen["warnings"]
    assert warning.startswith("python.metric.enabled is false")
