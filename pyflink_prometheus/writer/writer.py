"""
The writer, which takes records and accounts for each sample; on the caller's thread.

The shards, each on its own thread, send the batches: see :mod:`~pyflink_prometheus.writer.shard`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pyflink_prometheus.clock import Clock, SystemClock
from pyflink_prometheus.config import RemoteWriteVersion, SinkConfig
from pyflink_prometheus.errors import InvalidTimeSeriesError
from pyflink_prometheus.guards.guard import SeriesRefused
from pyflink_prometheus.guards.guards import Guards
from pyflink_prometheus.http.transport import RequestsTransport, Transport
from pyflink_prometheus.model.samples import checked_samples
from pyflink_prometheus.model.timeseries import PrometheusTimeSeries, check_is_series
from pyflink_prometheus.wire.point import Point
from pyflink_prometheus.wire.table import Numbers
from pyflink_prometheus.writer.admission import Admission
from pyflink_prometheus.writer.backlog import Backlog
from pyflink_prometheus.writer.batch import Batch
from pyflink_prometheus.writer.endpoint import Endpoint
from pyflink_prometheus.writer.family import RowFamily
from pyflink_prometheus.writer.intake import (
    USUAL,
    Intake,
    SampleRejected,
    count_of,
    invalid,
    over_limit,
)
from pyflink_prometheus.writer.ledger import Ledger, RejectionReason
from pyflink_prometheus.writer.pace import Pace
from pyflink_prometheus.writer.prepared import Preparation, PreparedRequest, SealedBatch
from pyflink_prometheus.writer.rejected import LogRejectedSamples, RejectedSamples
from pyflink_prometheus.writer.row_series import EXCLUDED_NUMBER, INVALID_NUMBER, RowSeries
from pyflink_prometheus.writer.series_cache import EXCLUDED, SeriesCache
from pyflink_prometheus.writer.settlement import Settlement
from pyflink_prometheus.writer.shard import Shard
from pyflink_prometheus.writer.tenants import TenantConfiguration, TenantLedgers
from pyflink_prometheus.writer.turnover import Turnover
from pyflink_prometheus.writer.written_digests import digests_of

_LATER, _BEYOND = USUAL.start, USUAL.stop

# Rows within this time may be sent one series after the other. Without an out-of-order window Prometheus refuses
# samples that are an hour older than its newest sample of any series.
_MAX_SPAN_MS = 300_000


class RemoteWriter:
    """
    A writer of records to a Remote-Write endpoint.

    One thread at a time calls :meth:`add`, :meth:`flush` and :meth:`close`. Each shard delivers on its own daemon
    thread, with one request in flight. A series stays on its shard while any of its samples are pending, so the
    receiver gets them in the order of the calls. The number of shards may change only in a flush, when nothing is
    pending. A failure on those threads is raised by the next call.

    :param config: all settings; the limits are those of this writer, see :meth:`SendingLimits.share_of`.
    :param new_transport: creates the transport of one shard. Default: one based on requests.
    :param clock: the source of time. Default: the system's.
    :param draw: returns a random number from 0 to 1, for the jitter of retries.
    :ivar guards: the limits, and how often they were exceeded.
    :ivar tenants: counts what is sent to each tenant; ``None`` if there are no tenants.
    """

    def __init__(
        self,
        config: SinkConfig,
        *,
        new_transport: Callable[[SinkConfig], Transport] = RequestsTransport,
        clock: Clock | None = None,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self.ledger = Ledger()
        self._config = config
        self._clock = SystemClock() if clock is None else clock
        self._draw = draw
        self._new_transport = new_transport
        handler = config.rejected_samples_handler
        if handler is None:
            handler = LogRejectedSamples(monotonic=self._clock.monotonic)
        tenants: TenantConfiguration | None = config.tenant
        self.tenants = None if tenants is None else TenantLedgers(tenants.max_counted_tenants)
        self._settlement = Settlement(self.ledger, handler, self.tenants, digests_of(config))
        self._intake = Intake(config, self._clock.time, self.ledger)
        self._check_all = self._intake.looks_at_every_sample
        self.guards = Guards(config.sending_limits, self._clock.monotonic)
        admission = Admission(config.relabelling, self.guards, tenants)
        self._turnover = Turnover(self.ledger, config.max_cached_series)
        self._known_series = SeriesCache(config.max_cached_series, admission, self._begin_table)
        self._rows = RowSeries(self._known_series)
        self._preparation = Preparation(config, self._settlement)
        self._endpoint = Endpoint(config.remote_write_version)
        self._backlog = Backlog(config, self._clock, self.ledger)
        self._all_shards: list[Shard] = []
        self._shards: list[Shard] = []  # those in use
        self._use_shards(self.pace.shards)

    @property
    def pace(self) -> Pace:
        """The current number of requests in flight and their size."""
        return self._backlog.pace

    # Runs for each sample, so it avoids calls that cost more than they clarify.
    def add(self, record: PrometheusTimeSeries | tuple[Any, ...]) -> None:  # noqa: C901, PLR0912, PLR0915
        """
        Take one record; wait while too many samples are pending (backpressure).

        Only the record or the sample that cannot be written is rejected.

        :raises PrometheusSinkError: if delivery has failed for good.
        :raises TypeError: if the record is not a series at all.
        """
        if self._backlog.is_stopped:
            self._backlog.raise_failure()
        try:
            metric_name, labels, samples, metadata, exemplars = record
        except ValueError:
            metric_name, labels, samples, metadata, exemplars = record = PrometheusTimeSeries(*record)
        try:
            series = self._known_series.get(metric_name, labels, metadata)
            if type(samples) not in (tuple, list) or not samples:
                samples = checked_samples(samples)
        except InvalidTimeSeriesError as error:
            check_is_series(record)
            rejected = invalid(PrometheusTimeSeries(*record), count_of(samples), error)
            self._settlement.reject_before_sending([rejected])
            return
        except SeriesRefused as refusal:
            check_is_series(record)
            self._settlement.reject_before_sending([over_limit(record, refusal)])
            return
        if series is EXCLUDED:
            self.ledger.exclude(len(samples))
            return
        if exemplars and self._config.send_exemplars:
            samples = self._intake.with_exemplars(samples, exemplars)
        shards = self._shards
        shard = shards[0] if len(shards) == 1 else shards[series.hash % len(shards)]
        filling, number = shard.queue.filling, series.number
        rejected_samples: list[RejectedSamples] = []
        sample: Any
        for sample in samples:
            try:
                value, timestamp = sample
                ordinary = type(value) is float and type(timestamp) is int and _LATER <= timestamp < _BEYOND
            except (TypeError, ValueError):
                ordinary = False
            if not ordinary or self._check_all:
                try:
                    value, timestamp = self._intake.checked(series, sample)
                except SampleRejected as error:
                    if error.reason is RejectionReason.EXCLUDED:
                        self.ledger.exclude(1)
                    else:
                        rejected_samples.append(error.of(record, sample))
                    continue
                if isinstance(value, Point):
                    with self._backlog.lock:
                        filling.points[len(filling)] = value
                    value = value.as_float
            self.ledger.samples_in += 1
            filling.numbers.append(number)
            filling.timestamps.append(timestamp)
            filling.values.append(value)  # last: see ShardQueue.seal_what_is_there
            filled = len(filling.values)
            if filled >= self._backlog.pace.batch_size:
                self._send(shard)
                filling = shard.queue.filling
            elif filled == 1:
                with self._backlog.lock:
                    shard.queue.watch_age(self._clock.monotonic())
        if rejected_samples:
            check_is_series(record)
            self._settlement.reject_before_sending(rejected_samples)

    def add_rows(
        self,
        family: RowFamily,
        labels: Sequence[Sequence[str | None]],
        timestamps: npt.NDArray[np.int64],
        values: npt.NDArray[np.float64],
    ) -> None:
        """
        Take one sample from each of many rows; wait while too many samples are pending (backpressure).

        Only the rows that cannot be written are rejected.

        :param family: what their series have in common.
        :param labels: a column for each label, and before them one of metric names if the family has none; ``None`` or
            an empty text leaves the label out.
        :param timestamps: milliseconds since 1970.
        :param values: the samples' values.
        :raises PrometheusSinkError: if delivery has failed for good.
        """
        if self._backlog.is_stopped:
            self._backlog.raise_failure()
        unusual = self._intake.unusual(timestamps)
        numbers = None if unusual is None else self._rows.numbers(family, labels, len(values))
        if unusual is None or numbers is None:
            self._add_one_by_one(family, labels, timestamps, values)
            return
        if excluded := int(np.count_nonzero(numbers == EXCLUDED_NUMBER)):
            self.ledger.exclude(excluded)
            kept = np.flatnonzero(numbers != EXCLUDED_NUMBER)
            labels = [[column[place] for place in kept.tolist()] for column in labels]
            unusual, numbers, timestamps, values = unusual[kept], numbers[kept], timestamps[kept], values[kept]
        unusual |= numbers == INVALID_NUMBER
        self._route(numbers[~unusual], timestamps[~unusual], values[~unusual])
        # After the others: these may add series and begin a new table, which the numbers do not refer to.
        if unusual.any():
            chosen = np.flatnonzero(unusual)
            columns = [[column[place] for place in chosen.tolist()] for column in labels]
            self._add_one_by_one(family, columns, timestamps[chosen], values[chosen])

    def reject(self, record: Any, error: InvalidTimeSeriesError) -> None:
        """Count and report a record that could not be converted to a series."""
        self._settlement.reject_before_sending([invalid(record, 1, error)])

    def flush(self) -> None:
        """
        Wait until every added sample is settled and the handler has stored the rejected ones.

        :raises PrometheusSinkError: if delivery has failed for good.
        """
        sealed = []
        with self._backlog.lock:
            for shard in self._shards:
                if batch := shard.queue.seal(self._known_series.table):
                    sealed.append(batch)
                    self._backlog.hand_over(batch.size)
        for batch in sealed:
            self._prepare_ahead(batch)
        self._wait(self._backlog.wait_until_settled, self.ledger)
        # Nothing is pending, so a series may change its shard now.
        self._use_shards(self.pace.shards)
        self._finish_flush()

    def close(self) -> None:
        """
        Stop the threads without sending pending samples; wait only as long as the threads need to notice.

        Raises nothing: samples that are not flushed are not acknowledged either, and Flink replays them.
        """
        self._backlog.stop()
        for shard in self._all_shards:
            shard.join(0.5 / len(self._all_shards))
        self._settlement.close()

    def _use_shards(self, count: int) -> None:
        """Route to this many shards from now on; start the threads of new ones."""
        for number in range(len(self._all_shards), count):
            self._all_shards.append(self._new_shard(number))
        self._shards = self._all_shards[:count]

    def _new_shard(self, number: int) -> Shard:
        return Shard(
            number,
            self._known_series.table,
            config=self._config,
            backlog=self._backlog,
            endpoint=self._endpoint,
            transport=self._new_transport(self._config),
            prepare=self._prepare,
            settlement=self._settlement,
            guards=self.guards,
            clock=self._clock,
            draw=self._draw,
        )

    def _finish_flush(self) -> None:
        """Finish a flush once the shards have settled everything."""
        self._settlement.flush()

    def _send(self, shard: Shard) -> None:
        """Hand a full batch over to a shard, and wait for room for more."""
        with self._backlog.lock:
            sealed = shard.queue.seal(self._known_series.table)
            if sealed is not None:  # else the shard's thread has just sealed it
                self._backlog.hand_over(sealed.size)
        if sealed is not None:
            self._prepare_ahead(sealed)
        self._wait(self._backlog.wait_for_room, self.ledger)

    def _wait(self, wait: Callable[[], None], ledger: Ledger) -> None:
        """Wait, and count for how long."""
        began = self._clock.monotonic()
        try:
            wait()
        finally:
            ledger.time_waited_s += self._clock.monotonic() - began

    def _begin_table(self) -> None:
        """Seal all filling batches, because the next samples have their series in a new table."""
        self._turnover.begin_generation()
        with self._backlog.lock:
            for shard in self._all_shards:
                if sealed := shard.queue.seal(self._known_series.table):
                    self._backlog.hand_over(sealed.size)

    def _route(self, numbers: Numbers, timestamps: npt.NDArray[np.int64], values: npt.NDArray[np.float64]) -> None:
        """Add samples to the shards of their series."""
        count = len(self._shards)
        if count == 1:
            self._extend(self._shards[0], numbers, timestamps, values)
            return
        shard_of = self._known_series.table.hashes[numbers] % count
        for number, shard in enumerate(self._shards):
            chosen = np.flatnonzero(shard_of == number)
            self._extend(shard, numbers[chosen], timestamps[chosen], values[chosen])

    def _add_one_by_one(
        self,
        family: RowFamily,
        labels: Sequence[Sequence[str | None]],
        timestamps: npt.NDArray[np.int64],
        values: npt.NDArray[np.float64],
    ) -> None:
        rows = zip(family.records(labels, len(timestamps)), timestamps.tolist(), values.tolist())
        for (metric_name, labels_of_row), timestamp, value in rows:
            self.add((metric_name, labels_of_row, ((value, timestamp),), family.metadata, ()))

    def _extend(
        self,
        shard: Shard,
        numbers: Numbers,
        timestamps: npt.NDArray[np.int64],
        values: npt.NDArray[np.float64],
    ) -> None:
        """Add samples to a shard's batches, all floats with usual timestamps."""
        if len(values) > self._backlog.pace.batch_size and np.ptp(timestamps) <= _MAX_SPAN_MS:
            # The more samples of a series a request holds, the less each costs, here and at the receiver.
            order = np.argsort(numbers, kind="stable")
            numbers, timestamps, values = numbers[order], timestamps[order], values[order]
        start = 0
        while start < len(values):
            filling, limit = shard.queue.filling, self._backlog.pace.batch_size
            filled = len(filling)
            part = slice(start, start + max(1, limit - filled))
            self.ledger.samples_in += len(values[part])
            filling.extend(numbers[part], timestamps[part], values[part])
            start = part.stop
            if len(filling) >= limit:
                self._send(shard)
            elif not filled:
                with self._backlog.lock:
                    shard.queue.watch_age(self._clock.monotonic())

    def _prepare_ahead(self, sealed: SealedBatch) -> None:
        """Encode on this thread, while the shards have other requests in flight."""
        sealed.requests(self._prepare)

    def _prepare(self, batch: Batch) -> list[PreparedRequest]:
        """Make requests of a batch; on the caller's or the shard's thread, whichever comes first."""
        version = self._endpoint.version
        self._warn_of_names(version)
        requests = self._preparation.prepare(batch, version)
        self._backlog.count_bytes(sum(request.encoded.size_in_bytes for request in requests))
        return requests

    def _warn_of_names(self, version: RemoteWriteVersion) -> None:
        """Warn once if a series has names that a receiver of this version may not know."""
        if version is RemoteWriteVersion.V1 and self._known_series.without_legacy_names is not None:
            self._intake.warn_once(
                "names",
                "%r: Remote-Write 1.0 receivers may silently drop series without legacy names "
                "([a-zA-Z_:][a-zA-Z0-9_:]* and, for labels, [a-zA-Z_][a-zA-Z0-9_]*)",
                self._known_series.without_legacy_names,
            )
