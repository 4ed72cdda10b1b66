"""A shard whose thread seals the filling batch while the caller adds to it."""

from __future__ import annotations

import threading
from typing import Any

from pyflink_prometheus.wire.series import Series
from pyflink_prometheus.writer.batch import Batch
from pyflink_prometheus.writer.shard import ShardQueue

SERIES = Series((("__name__", "m"),))


def taken(sealed):
    rows: list[tuple[Any, ...]] = []

    def keep(batch):
        rows.extend(zip(batch.series, batch.timestamps, batch.values))
        return []

    sealed.requests(keep)
    return rows


def test_a_sample_that_is_half_added_stays():
    shard = ShardQueue(threading.Lock())
    filling = shard.filling
    with shard.changed:
        shard.filling_since = 5.0
        filling.series += [SERIES, SERIES]
        filling.timestamps += [1, 2]
        filling.values.append(0.1)
        assert taken(shard.seal_what_is_there()) == [(SERIES, 1, 0.1)]
        assert shard.filling_since is None
        filling.values.append(0.2)
        filling.series.append(SERIES)
        filling.timestamps.append(3)
        assert taken(shard.seal()) == [(SERIES, 2, 0.2)]


class AddsOneMore(Batch):
    """A column to which the caller adds another sample just after its front has been copied."""

    __slots__ = ()

    def part(self, start, stop):
        front = super().part(start, stop)
        self.series.append(SERIES)
        self.timestamps.append(stop + 1)
        self.values.append(0.5)
        return front


def test_a_sample_that_is_added_meanwhile_is_still_watched():
    shard = ShardQueue(threading.Lock())
    shard.filling = AddsOneMore([SERIES], [1], [0.5])
    with shard.changed:
        shard.filling_since = 5.0
        assert taken(shard.seal_what_is_there()) == [(SERIES, 1, 0.5)]
        assert shard.filling_since == 5.0
        assert taken(shard.seal()) == [(SERIES, 2, 0.5)]


def test_there_is_nothing_to_watch_where_the_first_sample_has_been_taken_already():
    shard = ShardQueue(threading.Lock())
    with shard.changed:
        shard.watch_age(5.0)
        assert shard.filling_since is None
        shard.filling.series.append(SERIES)
        shard.filling.timestamps.append(1)
        shard.filling.values.append(0.5)
        shard.watch_age(6.0)
        assert shard.filling_since == 6.0
