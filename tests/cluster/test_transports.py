"""Whether records come one by one or in batches, the converter and the receiver get the same."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

import pytest
from local_job import run_job_file

from pyflink_prometheus.testing import Receiver

once = pytest.mark.once
STREAMS = ["numbers", "texts", "tuples", "rows", "unnamed", "exchanged", "keyed_rows", "keyed_tuples", "nested"]


class Outcome:
    """
    The results of ``transports.py``.

    :ivar seen: what each job observed about itself.
    :ivar records: the converter's input, by metric.
    :ivar workers: the processes that got each record, by metric and record.
    """

    def __init__(self, seen: dict[str, Any], receiver: Receiver) -> None:
        self.seen = seen
        self.records: dict[str, list[str]] = defaultdict(list)
        self.workers: dict[str, dict[str, str]] = defaultdict(dict)
        for request in receiver.requests:
            for series in request.series:
                record = dict(series.labels)["record"]
                self.records[series.metric_name].append(record)
                self.workers[series.metric_name][record] = request.headers.get("x-worker", "")

    def ways(self, job: str) -> dict[str, str]:
        """Return the transport of each stream of a job, and the reason for it."""
        return dict(line.removeprefix(f"{job}_").split(": records come ") for line in self.seen[job]["ways"])


@pytest.fixture(scope="module")
def outcome(request: pytest.FixtureRequest) -> Outcome:
    """Run the jobs that the selected tests need."""
    jobs = {"records", "auto"}
    for item in request.session.items:
        if isinstance(item, pytest.Function) and item.module is request.module and hasattr(item, "callspec"):
            jobs.add(str(item.callspec.params.get("job", "auto")))
    with Receiver() as receiver:
        job = run_job_file("transports.py", receiver.url, *jobs)
        return Outcome(json.loads(job.stdout.splitlines()[-1]), receiver)


@pytest.mark.parametrize(
    ("job", "stream"),
    [
        *(("auto", stream) for stream in STREAMS),
        *(pytest.param("batch", stream, marks=once) for stream in ("numbers", "exchanged", "keyed_rows")),
        *(pytest.param("thread", stream, marks=once) for stream in ("numbers", "exchanged", "rows")),
    ],
)
def test_the_converter_gets_the_same_records(outcome, job, stream):
    expected = sorted(outcome.records[f"records_{stream}"])
    assert expected
    assert sorted(outcome.records[f"{job}_{stream}"]) == expected


@pytest.mark.parametrize("job", ["auto", *(pytest.param(job, marks=once) for job in ("batch", "thread"))])
def test_records_that_java_hands_over_come_in_batches(outcome, job):
    ways = outcome.ways(job)
    for stream, reason in (("nested", "field f1 is of type "), ("table", "a table ")):
        way = f"one by one, because {reason}"
        assert ways.pop(stream, way).startswith(way)
    assert len(ways) >= 3
    assert all(way.startswith("in Arrow batches, because they are of type ") for way in ways.values())


def test_where_records_are_chosen_they_come_one_by_one(outcome):
    assert set(outcome.ways("records").values()) == {"one by one, because Transport.RECORDS is set"}


def test_what_a_table_emits_may_be_updates_unless_it_is_keyed_by_the_sink(outcome):
    ways = outcome.ways("auto")
    assert ways["table"].startswith("one by one, because a table emits them")
    assert ways["keyed_table"].startswith("in Arrow batches")
    assert sorted(outcome.records["auto_table"]) == sorted(outcome.records["auto_keyed_table"])
    assert len(outcome.records["auto_table"]) == 30


def test_two_functions_in_one_operator_lose_nothing(outcome):
    for which in ("first", "second"):
        assert sorted(outcome.records[f"auto_{which}"]) == sorted(outcome.records["records_numbers"])


@pytest.mark.parametrize("name", ["records_keyed_rows", "auto_keyed_rows", "auto_keyed_tuples", "auto_keyed_table"])
def test_records_with_the_same_key_go_to_one_of_the_subtasks(outcome, name):
    workers: dict[str, set[str]] = defaultdict(set)
    key = {"keyed_rows": "a device=", "keyed_table": "device=", "keyed_tuples": "("}[name.partition("_")[2]]
    for record, worker in outcome.workers[name].items():
        device = record.partition(key)[2].replace(")", ",").partition(",")[0]
        workers[device].add(worker)
    assert len(workers) in (5, 7)
    assert all(len(each) == 1 for each in workers.values())
    assert len(set().union(*workers.values())) == 2


@pytest.mark.parametrize("job", ["records", "auto"])
def test_name_uid_and_parallelism_reach_the_operators(outcome, job):
    operators = {name: (uid, parallelism) for name, uid, parallelism in outcome.seen[job]["operators"]}
    for stream in STREAMS:
        parallelism = 2 if stream.startswith(("keyed", "exchanged", "nested")) else 1
        assert operators[f"{job}_{stream}"] == (f"uid of {job}_{stream}", parallelism)
    assert operators["Map"] == (None, 1)


def test_all_that_is_added_around_the_writer_has_its_own_uid_and_the_writers_parallelism(outcome):
    added = [
        (name, uid, parallelism)
        for name, uid, parallelism in outcome.seen["auto"]["operators"]
        if uid is not None and uid.startswith("uid of auto_keyed_rows")
    ]
    assert {parallelism for _, _, parallelism in added} == {2}
    assert len({uid for _, uid, _ in added}) == len(added) >= 5
    assert ("uid of auto_keyed_rows-end", 2) in [each[1:] for each in added]
