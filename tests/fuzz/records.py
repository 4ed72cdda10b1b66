"""Records of any shape through all of the writer's entry points: each sample is written, rejected or raised."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import numpy as np
from doors import RowWriter
from files import reread
from shapes import TEXTS, Mischief, T, anything, histogram, mostly, text
from told import Rejections
from watched import Case

from pyflink_prometheus import (
    ColumnMapping,
    ConflictPolicy,
    Exemplar,
    JsonLinesRejectedSamples,
    Metadata,
    PrometheusSinkError,
    RejectionReason,
    RemoteWriteVersion,
)
from pyflink_prometheus.config import SinkConfig
from pyflink_prometheus.model.timeseries import as_time_series
from pyflink_prometheus.testing import FakeClock, ScriptedTransport
from pyflink_prometheus.writer.family import RowFamily
from pyflink_prometheus.writer.mapped_columns import MappedColumns, NullValues
from pyflink_prometheus.writer.mapped_records import MappedRecords
from pyflink_prometheus.writer.writer import RemoteWriter

MOST_RECORDS = 30


class Everyone(Rejections):
    """A handler that passes rejected samples to two handlers: a list, and files."""

    def __init__(self, folder: str) -> None:
        super().__init__()
        self._files = JsonLinesRejectedSamples(folder, max_file_size_bytes=2000)
        self.flush, self.close = self._files.flush, self._files.close

    def __call__(self, rejected: Any) -> None:
        super().__call__(rejected)
        self._files(rejected)


def run(case: Case) -> None:
    """Write records through one of the entry points, and check the counts."""
    rng = case.rng
    rejected = Everyone(str(case.folder / "rejected"))
    settings: dict[str, Any] = {
        "remote_write_version": rng.choice(list(RemoteWriteVersion)),
        "max_in_flight_requests": rng.choice([1, 3]),
        "max_batch_size_in_samples": rng.choice([1, 7, 1000]),
        "max_cached_series": rng.choice([2, 4, 200_000]),
        "conflict_policy": rng.choice(list(ConflictPolicy)),
        "send_native_histograms": rng.random() < 0.8,
        "send_exemplars": rng.random() < 0.8,
        "drop_out_of_order_samples": rng.random() < 0.2,
        "max_sample_age_ms": rng.choice([None, None, 60_000]),
    }
    config = SinkConfig("http://receiver.invalid/api/v1/write", rejected_samples_handler=rejected, **settings)
    kind = rng.choice([RemoteWriter, RowWriter])
    transport = ScriptedTransport()
    writer = kind(config, new_transport=lambda _: transport, clock=FakeClock(float(T // 1000)))
    try:
        for _ in range(rng.randrange(1, 4)):
            door = rng.choice([by_record, by_record, by_rows, by_mapping, by_columns])
            case.done[door.__name__] += 1
            door(case, writer)
            writer.flush()
            assert writer.ledger.samples_pending == 0, "samples are pending after a flush"
    finally:
        writer.close()
    ledger = writer.ledger
    excluded = ledger.samples_rejected[RejectionReason.EXCLUDED]
    told = sum(ledger.samples_rejected.values()) - excluded
    assert rejected.count == told, f"{rejected.count} samples were reported to the handler, and {told} were rejected"
    assert len(transport.stored) == ledger.samples_accepted
    assert reread(case.folder / "rejected") == told
    case.done["samples written"] += ledger.samples_accepted
    case.done["samples rejected"] += told


class AmbiguousArray(Exception):  # noqa: N818  (a numpy array's error is not a failure of the writer)
    """The error of a numpy array that is used as a boolean, as where a mapping expects one."""


@contextmanager
def arrays_are_ambiguous() -> Iterator[None]:
    """Distinguish errors of numpy arrays from others."""
    try:
        yield
    except ValueError as error:
        if "truth value" not in str(error):
            raise
        raise AmbiguousArray from error


def _counted(case: Case, writer: RemoteWriter, count: int | None, add: Callable[[], None]) -> None:
    """Add something with this many samples, ``None`` if unknown, and check that they are counted."""
    before = writer.ledger.samples_in + writer.ledger.null_values_skipped
    try:
        with arrays_are_ambiguous():
            add()
    except (Mischief, AmbiguousArray):
        case.done["raised by the user's object"] += 1
    except PrometheusSinkError:
        raise  # no content of a record may stop a writer
    except TypeError as error:
        case.check("\n" not in str(error), str(error))
        case.done["raised"] += 1
    else:
        counted = writer.ledger.samples_in + writer.ledger.null_values_skipped - before
        assert count is None or counted == count, f"{counted} samples were counted, not {count}"
        assert counted, "nothing was counted"


def by_record(case: Case, writer: RemoteWriter) -> None:
    """Add records one by one."""
    for _ in range(case.rng.randrange(MOST_RECORDS)):
        record = _record(case.rng)
        count = None
        if isinstance(record, tuple) and 3 <= len(record) <= 5 and type(record[2]) in (tuple, list):
            count = max(1, len(record[2]))
        _counted(case, writer, count, partial(_add, writer, record))


def _add(writer: RemoteWriter, record: Any) -> None:
    """Add a record like the function in Flink."""
    writer.add(as_time_series(record))


def _record(rng: random.Random) -> Any:
    labels: Any = {text(rng): text(rng) for _ in range(rng.randrange(4))}
    if rng.random() < 0.2:
        labels = {_hashable(mostly(rng, name)): mostly(rng, value) for name, value in labels.items()}
    if rng.random() < 0.3:
        labels = tuple(labels.items())
    samples: Any = [mostly(rng, _sample(rng), 0.05) for _ in range(rng.choice([1, 1, 1, 2, 5]))]
    if rng.random() < 0.5:
        samples = tuple(samples)
    elif rng.random() < 0.1:
        samples = iter(samples)
    exemplars = [Exemplar({text(rng): text(rng)}, mostly(rng, 1.0), mostly(rng, T)) for _ in range(rng.randrange(3))]
    metadata = rng.choice([None, None, Metadata("counter", "helps", "s"), ("gauge",), Metadata(text(rng), text(rng))])
    fields = [text(rng) or "m", labels, samples, metadata, exemplars]
    return mostly(rng, tuple(mostly(rng, each, 0.05) for each in fields[: rng.choice([3, 5, 5, 4])]), 0.05)


def _hashable(value: Any) -> Any:
    with suppress(Exception):
        hash(value)
        return value
    return "a"


def _sample(rng: random.Random) -> Any:
    value: Any = histogram(rng) if rng.random() < 0.1 else rng.choice([0.0, 1.5, -1.0, float("nan"), 7])
    timestamp = T + rng.randrange(-100, 100) * rng.choice([1, 1000, 10**6])
    sample = (mostly(rng, value, 0.05), mostly(rng, timestamp, 0.05))
    return (*sample, T - 10) if rng.random() < 0.1 else sample


def by_rows(case: Case, writer: RemoteWriter) -> None:
    """Add rows by column, as the Table path does: with correct types and arbitrary contents."""
    rng = case.rng
    names = tuple({text(rng) for _ in range(rng.randrange(3))})
    family = RowFamily(rng.choice([None, "m", text(rng)]), names, rng.choice([None, Metadata("gauge", "é")]))
    rows = rng.randrange(1, MOST_RECORDS)
    columns = [
        [rng.choice([None, text(rng), "x"]) for _ in range(rows)]
        for _ in range(len(names) + (family.metric_name is None))
    ]
    far = rng.choice([[], [], [0, T // 1000, T * 1000, 2**62, -(2**63), 2**63 - 1]])
    timestamps = np.array([rng.choice([T + rng.randrange(1000), *far]) for _ in range(rows)], np.int64)
    values = np.array([rng.choice([0.0, 1.0, float("nan"), float("inf")]) for _ in range(rows)], np.float64)
    _counted(case, writer, rows, lambda: writer.add_rows(family, columns, timestamps, values))


def _mapping(rng: random.Random) -> ColumnMapping:
    metrics: dict[str, Any] = rng.choice(
        [
            {"metric_name": "m", "values": "value"},
            {"metric_name_column": "metric", "values": "value"},
            {"values": {"m": "value", "n": "other"}},
        ]
    )
    if "metric_name" in metrics:
        metrics = {**metrics, **rng.choice([{}, {"histogram": "histogram"}])}
    optional: dict[str, Any] = {
        **rng.choice([{}, {"labels_column": "tags"}]),
        **rng.choice([{}, {"stale": "stale"}]),
        **rng.choice([{}, {"constant_labels": {"site": "here"}}]),
        "time_zone": rng.choice(["UTC", "Europe/Berlin"]),
    }
    labels: Any = rng.choice([[], ["room"], {"a": "room", "b": "id"}])
    return ColumnMapping(**metrics, **optional, labels=labels, timestamp="at")


def _cell(rng: random.Random, column: str) -> Any:
    usual: dict[str, Any] = {
        "value": rng.choice([None, 1.0, 2, float("nan")]),
        "other": rng.choice([None, 1.0]),
        "at": rng.choice([None, T, T + 1]),
        "tags": rng.choice([None, {}, {text(rng): text(rng)}, {"n": 1}]),
        "stale": rng.choice([None, True, False]),
        "histogram": rng.choice([None, None, histogram(rng), '{"schema": 0}', "{", text(rng)]),
        "id": rng.choice([None, 1, "x"]),
    }
    return usual.get(column, rng.choice([None, *TEXTS]))


def by_mapping(case: Case, writer: RemoteWriter) -> None:
    """Add named rows one by one."""
    rng = case.rng
    mapping = _mapping(rng)
    records = MappedRecords(mapping, writer)
    for _ in range(rng.randrange(1, MOST_RECORDS)):
        row: Any = {name: mostly(rng, _cell(rng, name), 0.05) for name in mapping.columns if rng.random() < 0.97}
        if rng.random() < 0.05:
            row = anything(rng)
        count = len(mapping.value_columns) if type(row) is dict else None
        _counted(case, writer, count, partial(records.add, row))


def by_columns(case: Case, writer: RemoteWriter) -> None:
    """Add rows by column, in the types of Flink's columns."""
    rng = case.rng
    mapping = _mapping(rng)
    rows = rng.randrange(1, MOST_RECORDS)
    columns = []
    for name in mapping.columns:
        cells = [_cell(rng, name) for _ in range(rows)]
        if name in mapping.value_columns.values() or name == "at":
            columns.append(np.array([float("nan") if cell is None else cell for cell in cells], np.float64))
        else:
            column = np.empty(rows, object)
            column[:] = cells
            columns.append(column)
    nulls = [rng.choice([NullValues.NAN, NullValues.NEVER]) for _ in mapping.value_columns]
    wanted = rows * len(mapping.value_columns)
    _counted(case, writer, wanted, lambda: MappedColumns(mapping, writer, nulls).add(columns))
