"""A shard, with a thread that seals the filling batch while the caller adds to it."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from batches import append, rows_of

from pyflink_prometheus.wire.point import Point
from pyflink_prometheus.wire.series import Series
from pyflink_prometheus.wire.table import SeriesTable
from pyflink_prometheus.writer.batch import FillingBatch
from pyflink_prometheus.writer.shard import ShardQueue

SERIES = Series((("__name__", "m"),))


@pytest.fixture
def table():
    table = SeriesTable()
    table.add(SERIES)
    return table


def taken(sealed):
    rows: list[Any] = []

    def keep(batch):
        rows.extend(rows_of(batch))
        return []

    sealed.requests(keep)
    return rows


def test_a_sample_that_is_half_added_stays(table):
    shard = ShardQueue(threading.Lock(), table)
    filling = shard.filling
    with shard.changed:
        shard.filling_since = 5.0
        filling.numbers.extend([0, 0])
        filling.timestamps.extend([1, 2])
        filling.values.append(0.1)
        assert taken(shard.seal_what_is_there()) == [(SERIES, 1, 0.1)]
        assert shard.filling_since is None
        filling.values.append(0.2)
        filling.numbers.append(0)
        filling.timestamps.append(3)
        assert taken(shard.seal(table)) == [(SERIES, 2, 0.2)]


def test_points_move_up_with_the_samples_that_stay(table):
    shard = ShardQueue(threading.Lock(), table)
    first, second = Point(0.1, 1), Point(0.3, 2)
    append(shard.filling, 0, 1, first)
    append(shard.filling, 0, 2, 0.2)
    filling = shard.filling
    filling.points[2] = second  # half added
    with shard.changed:
        assert taken(shard.seal_what_is_there()) == [(SERIES, 1, first), (SERIES, 2, 0.2)]
        append(filling, 0, 3, second)
        assert taken(shard.seal(table)) == [(SERIES, 3, second)]


class AddsOneMore(FillingBatch):
    """A batch to which the caller adds another sample just after its front has been taken."""

    __slots__ = ()

    def take(self, count):
        front = super().take(count)
        append(self, 0, count + 1, 0.5)
        return front


def test_a_sample_that_is_added_meanwhile_is_still_watched(table):
    shard = ShardQueue(threading.Lock(), table)
    shard.filling = AddsOneMore(table)
    append(shard.filling, 0, 1, 0.5)
    with shard.changed:
        shard.filling_since = 5.0
        assert taken(shard.seal_what_is_there()) == [(SERIES, 1, 0.5)]
        assert shard.filling_since == 5.0
        assert taken(shard.seal(table))[0] == (SERIES, 2, 0.5)


def test_there_is_nothing_to_watch_where_the_first_sample_has_been_taken_already(table):
    shard = ShardQueue(threading.Lock(), table)
    with shard.changed:
        shard.watch_age(5.0)
        assert shard.filling_since is None
        append(shard.filling, 0, 1, 0.5)
        shard.watch_age(6.0)
        assert shard.filling_since == 6.0


def test_nothing_is_sealed_where_there_is_nothing(table):
    shard = ShardQueue(threading.Lock(), table)
    with shard.changed:
        assert shard.seal(table) is None
        assert not shard.sealed
