"""Tables, SQL functions and streams with a column mapping are written correctly, or refused with advice."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import pytest
from local_job import run_job_file
from test_flush_before_checkpoint import RECORDS, run

from pyflink_prometheus.testing import PrometheusServer, Receiver

if TYPE_CHECKING:
    from collections.abc import Iterator

# As in tables.py.
T = 1_729_989_000_000
MINUTE_MS = 60_000
ROWS, NAN_AT, NO_TIME_AT = 60, 9, 7
NUMBERS = range(ROWS * 10)


class Outcome:
    """
    The results of ``tables.py``.

    :ivar seen: what the jobs observed about themselves.
    :ivar stored: (value, timestamp) by series in Prometheus.
    :ivar received: the same at the receiver, in the order of arrival.
    :ivar workers: the processes that each series at the receiver came from.
    """

    def __init__(self, seen: dict[str, Any], server: PrometheusServer, receiver: Receiver) -> None:
        self.seen = seen
        self.stored = server.samples('{__name__=~".+"}')
        self.received: dict[str, list[tuple[float, int]]] = defaultdict(list)
        self.workers: dict[str, set[str]] = defaultdict(set)
        for request in receiver.requests:
            for series, value, timestamp in request.samples:
                self.received[series].append((value, timestamp))
                self.workers[series].add(request.headers["x-worker"])

    def values(self, metric_name: str, **labels: str) -> list[tuple[float, int]]:
        """Return the stored samples of a series."""
        return self.stored[tuple(sorted({"__name__": metric_name, **labels}.items()))]

    def of(self, metric_name: str) -> dict[int, tuple[float, dict[str, str]]]:
        """Return value and labels of all stored samples of a metric, by the number of the row."""
        found = {}
        for series, samples in self.stored.items():
            labels = dict(series)
            if labels.pop("__name__") == metric_name:
                for value, timestamp in samples:
                    number, rest = divmod(timestamp - T, MINUTE_MS)
                    assert rest == 0
                    assert number not in found
                    found[number] = (value, labels)
        return found


@pytest.fixture(scope="module")
def outcome(prometheus_kind: str) -> Iterator[Outcome]:
    with PrometheusServer.start(prometheus_kind) as server, Receiver() as receiver:
        job = run_job_file("tables.py", server.remote_write_url, receiver.url)
        yield Outcome(json.loads(job.stdout.splitlines()[-1]), server, receiver)


def room(n: int) -> dict[str, str]:
    return {"room": f"room{n % 3}"} if n % 10 else {}


TIMED = [n for n in range(ROWS) if n != NO_TIME_AT]


def test_a_table_with_a_metric_in_each_column_is_stored_at_its_instants_when_clocks_go_back(outcome):
    watts, celsius = outcome.of("table_watts"), outcome.of("table_celsius")
    assert sorted(watts) == TIMED
    for n, (value, labels) in watts.items():
        place = {"place": f"room{n % 3}"} if n % 10 else {}
        assert (value, labels) == (n, {"site": "here", "floor": str(n % 2), "open": str(n % 3 == 0).lower(), **place})
    assert sorted(celsius) == [n for n in TIMED if n % 4]
    assert math.isnan(celsius.pop(NAN_AT)[0])
    assert all(value == n for n, (value, _) in celsius.items())


def test_labels_come_from_a_map(outcome):
    stored = outcome.of("table_map")
    assert {n: labels for n, (_, labels) in stored.items()} == {n: {**room(n), 'q"': "ü"} for n in TIMED}


def test_a_timestamp_without_a_zone_is_in_that_of_the_mapping(outcome):
    assert outcome.of("table_local") == {n: (n, room(n)) for n in TIMED if n < 30}


def test_sql_functions_write_their_arguments_and_two_in_one_operator_lose_nothing(outcome):
    assert outcome.of("write_sql") == {n: (n, room(n)) for n in TIMED}
    assert outcome.of("write_one") == {n: (n, {"room": "one"}) for n in TIMED}
    assert outcome.of("write_two") == {n: (n, room(n)) for n in TIMED if n % 4 and n != NAN_AT}


def test_metrics_that_are_off_are_switched_on_with_a_warning(outcome):
    (warning,) = outcome.seen["statements"]["warned"]
    assert warning.startswith("python.metric.enabled is false")


@pytest.mark.parametrize(
    ("what", "beginning", "end"),
    [
        (
            "updating",
            "ValueError: aggregate in windows",
            "(changelog mode I,UA), and Prometheus cannot replace a sample",
        ),
        ("updating SQL", "ValueError: aggregate in windows", "and Prometheus cannot replace a sample"),
        ("missing", "ValueError: the column mapping has columns that do not exist: ms", "the columns are room, watts"),
        ("label", "TypeError: CAST column 'celsius' to STRING", "a label cannot be of type DOUBLE"),
        ("map", "TypeError: CAST column 'n' to MAP<STRING, STRING>", "a map of labels cannot be of type INT"),
        (
            "value",
            "TypeError: CAST column 'tags' to DOUBLE",
            "a value cannot be of type MAP<VARCHAR(4) NOT NULL, STRING>",
        ),
        ("timestamp", "TypeError: CAST column 'tags' to TIMESTAMP_LTZ(3) or BIGINT (milliseconds) before the sink", ""),
        ("twice", "ValueError: select column 'n' twice", "need different types"),
        ("zone", "ValueError: timestamp_type: set it to BIGINT", "would take it for one in UTC"),
        ("type", "ValueError: timestamp_type: expected TIMESTAMP(3) or BIGINT, got 'DATE'", ""),
        ("table", "ValueError: table_name: choose another one", "'readings' is another table"),
        ("no mapping", "ValueError: call set_column_mapping on the sink's builder", ""),
    ],
)
def test_what_cannot_be_written_is_refused_when_the_job_is_built(outcome, what, beginning, end):
    message = outcome.seen["statements"]["refused"][what]
    assert message.startswith(beginning)
    assert message.endswith(end)


@pytest.mark.parametrize("metric_name", ["placed", "typed_rows"])
def test_each_series_goes_through_one_subtask_and_stays_in_order_without_a_key_function(outcome, metric_name):
    series = [f'{metric_name}{{room="room{number}"}}' for number in range(20)]
    for number, each in enumerate(series):
        assert outcome.received[each] == [(float(n), T + n) for n in NUMBERS if n % 20 == number]
        assert len(outcome.workers[each]) == 1
    assert len(set().union(*(outcome.workers[each] for each in series))) == 2


@pytest.mark.parametrize("metric_name", ["from_function", "dicts", "tuples"])
def test_rows_of_all_kinds_arrive(outcome, metric_name):
    for number in range(20):
        received = outcome.received[f'{metric_name}{{room="room{number}"}}']
        assert sorted(received) == [(float(n), T + n) for n in NUMBERS if n % 20 == number]


def test_a_mapping_makes_the_same_samples_of_fields_of_all_types_in_batches_and_one_by_one(outcome):
    def received(transport: str) -> dict[str, list[tuple[float, int]]]:
        return {
            series.removeprefix(transport): sorted(samples)
            for series, samples in outcome.received.items()
            if series.startswith(transport)
        }

    assert received("arrow_") == received("records_")
    assert len(received("arrow_")) == 3 * 6 + 2 + 4
    assert sum(map(len, received("arrow_").values())) == 45 + 48 + 60 + 60
    assert received("arrow_")['clock{room="room1"}'][0] == (0.25, T + 1000)


def test_name_uid_and_parallelism_reach_the_operator_that_writes_a_table(outcome):
    operators = outcome.seen["streams"]["operators"]
    assert operators["write rooms"] == ["uid of rooms", 2]
    assert operators["typed rows"][1] == 2
    assert outcome.seen["streams"]["warned"] == []


def test_columns_that_a_typed_stream_lacks_are_refused_when_the_job_is_built(outcome):
    assert outcome.seen["streams"]["missing"].endswith("columns that do not exist: f1, f2; the columns are f0")


def test_a_table_in_batch_mode_arrives(outcome):
    received = {(series, *sample) for series, samples in outcome.received.items() for sample in samples}
    batch = {each for each in received if each[0].startswith("batch")}
    assert batch == {
        (f'batch{{room="{room(n)["room"]}"}}' if room(n) else "batch{}", n, T + n * MINUTE_MS) for n in TIMED
    }


def test_the_queries_in_the_documents_can_be_written(outcome):
    assert len(outcome.seen["documented"]) == 7
    assert set(outcome.seen["documented"].values()) == {""}


@pytest.mark.once
def test_no_row_is_lost_when_workers_are_killed_and_each_series_stays_in_order(tmp_path):
    store, _ = run(tmp_path, "with-hook", "tables_broken.py")
    assert store.killed
    assert store.missing("one") == store.missing("several") == set()
    first_seen: dict[str, list[float]] = {}
    for series, value, _ in dict.fromkeys(store.samples):
        first_seen.setdefault(series, []).append(value)
    assert len(first_seen) == 14
    for values in first_seen.values():
        assert values == sorted(values)


@pytest.mark.once
def test_without_the_hook_the_same_tables_lose_rows_read_before_a_checkpoint(tmp_path):
    store, broken_down_at = run(tmp_path, "without-hook", "tables_broken.py")
    assert min(store.missing("one")) < broken_down_at < RECORDS
    assert len(store.missing("one")) < RECORDS
