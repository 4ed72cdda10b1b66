"""The writer: takes records on one thread, delivers them on a thread a shard, and lets nothing go unaccounted."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from pyflink_prometheus.checks import LIKELY_MICROSECONDS, LIKELY_SECONDS, checked_samples
from pyflink_prometheus.clock import Clock, SystemClock
from pyflink_prometheus.config import RemoteWriteVersion, SinkConfig
from pyflink_prometheus.errors import InvalidTimeSeriesError, PrometheusSinkError
from pyflink_prometheus.http.outcome import Outcome
from pyflink_prometheus.http.transport import RequestsTransport, Transport
from pyflink_prometheus.timeseries import PrometheusTimeSeries, check_is_series
from pyflink_prometheus.wire import encoder_v1, encoder_v2
from pyflink_prometheus.wire.compression import compress
from pyflink_prometheus.wire.point import Point
from pyflink_prometheus.wire.series import SeriesCache
from pyflink_prometheus.writer.batch import Batch
from pyflink_prometheus.writer.delivery import Delivery, Post, Shrink, Wait
from pyflink_prometheus.writer.endpoint import Endpoint
from pyflink_prometheus.writer.intake import Intake, alone, count_of, invalid
from pyflink_prometheus.writer.isolation import deliver
from pyflink_prometheus.writer.ledger import Ledger, Reason
from pyflink_prometheus.writer.pace import Pace, PaceWatch
from pyflink_prometheus.writer.rejected import LogRejectedSamples, RejectedSamples, Rejections
from pyflink_prometheus.writer.settling import settle
from pyflink_prometheus.writer.shard import PreparedBatch, SealedBatch, Shard

_log = logging.getLogger(__name__)

#: The least time in seconds between two warnings of requests that are sent again.
COMPLAINT_INTERVAL_S = 10.0

#: How many batches of each shard may wait before the caller does, unless set otherwise.
BUFFERED_BATCHES = 10

# Timestamps below may be seconds, those beyond other units.
_LATER, _BEYOND = LIKELY_SECONDS.stop, LIKELY_MICROSECONDS.start

_ENCODE = {
    RemoteWriteVersion.V1: encoder_v1.encode_request,
    RemoteWriteVersion.V2: encoder_v2.encode_request,
}
_HEADERS = {
    version: {
        "Content-Encoding": "snappy",
        "Content-Type": encoder.CONTENT_TYPE,
        "X-Prometheus-Remote-Write-Version": encoder.VERSION_HEADER,
    }
    for version, encoder in ((RemoteWriteVersion.V1, encoder_v1), (RemoteWriteVersion.V2, encoder_v2))
}


class RemoteWriter:
    """
    Write records to a Remote-Write endpoint.

    One thread at a time calls :meth:`add`, :meth:`flush` and :meth:`close`. Each shard delivers on a daemon thread of
    its own, one request in flight, and a series stays on its shard while anything of it is on its way, so the receiver
    gets the samples of a series in the order of the calls. How many shards there are may change in a flush, when
    nothing is on its way. What fails on those threads is raised by the next call.

    :param config: all settings.
    :param new_transport: makes the transport of one shard. Default: on requests.
    :param clock: tells the time. Default: the machine's.
    :param draw: gives a random number from 0 to 1, for the jitter of retries.
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
        handler = config.rejected_samples_handler
        self._rejections = Rejections(
            LogRejectedSamples(monotonic=self._clock.monotonic) if handler is None else handler, self.ledger
        )
        self._intake = Intake(config, self._clock.time, self.ledger)
        self._look_at_all = self._intake.looks_at_every_sample
        self._known_series = SeriesCache(config.max_cached_series)
        self._endpoint = Endpoint(config.remote_write_version)
        self._new_transport = new_transport
        # All that follows is guarded by this lock; its condition is notified when a batch is settled.
        self._lock = threading.Lock()
        self._settled = threading.Condition(self._lock)
        self._unsettled = 0  # samples in sealed batches
        self._unsettled_bytes = 0  # in their requests, as far as these are prepared
        self._failure: BaseException | None = None
        self._pace = Pace.begin(config)
        self._pace_watch = PaceWatch(self.ledger, self._clock.monotonic)
        self._not_before = 0.0  # the receiver asked all shards to wait until then
        self._next_complaint_at = 0.0
        self._stop = threading.Event()
        self._stopped = False  # the same, for add() to look at
        self._threads: list[threading.Thread] = []
        self._all_shards: list[Shard] = []
        self._shards: list[Shard] = []  # those in use
        self._use_shards(self._pace.shards)

    @property
    def pace(self) -> Pace:
        """How many requests are in flight at once, and how large they are, at present."""
        return self._pace

    def add(self, record: PrometheusTimeSeries | tuple[Any, ...]) -> None:
        """
        Take one record; wait while too many samples are on their way already.

        A record or a sample that cannot be written is rejected alone.

        :raises PrometheusSinkError: if delivery has failed for good meanwhile.
        :raises TypeError: if the record is no series at all.
        """
        if self._stopped:
            self._raise_failure()
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
            self._rejections.before_sending([invalid(PrometheusTimeSeries(*record), count_of(samples), error)])
            return
        if exemplars:
            samples = self._intake.with_exemplars(samples, exemplars)
        shards = self._shards
        shard = shards[0] if len(shards) == 1 else shards[series.hash % len(shards)]
        rejected: list[RejectedSamples] = []
        sample: Any
        for sample in samples:
            try:
                value, timestamp = sample
                ordinary = type(value) is float and type(timestamp) is int and _LATER <= timestamp < _BEYOND
            except (TypeError, ValueError):
                ordinary = False
            batch = shard.filling
            if not ordinary or self._look_at_all:
                looked_at = self._intake.look(series, sample)
                if isinstance(looked_at, RejectedSamples):
                    rejected.append(replace(looked_at, record=alone(record, looked_at.record)))
                    continue
                value, timestamp = looked_at
                if isinstance(value, Point):
                    batch.plain = False
            self.ledger.samples_in += 1
            batch.series.append(series)
            batch.timestamps.append(timestamp)
            batch.values.append(value)  # the last: see Shard.seal_what_is_there
            filled = len(batch.values)
            if filled >= self._pace.batch_size:
                self._send(shard)
            elif filled == 1:
                with self._lock:
                    shard.watch_age(self._clock.monotonic())
        if rejected:
            check_is_series(record)
            self._rejections.before_sending(rejected)

    def reject(self, record: Any, error: InvalidTimeSeriesError) -> None:
        """Count a record that could not even be made into a series, and tell why."""
        self._rejections.before_sending([invalid(record, 1, error)])

    def flush(self) -> None:
        """
        Return when every sample that was added is settled, and the handler of rejected ones has put them away.

        :raises PrometheusSinkError: if delivery has failed for good.
        """
        with self._lock:
            sealed = [self._unsettle(shard.seal()) for shard in self._shards if len(shard.filling)]
        self._prepare_ahead(sealed)
        with self._settled:
            self._wait_while(lambda: self._unsettled > 0)
            # Nothing is on its way, so a series may change its shard now.
            self._pace = self._pace.next(self._pace_watch.seen())
            if self._pace.shards != len(self._shards):
                self._use_shards(self._pace.shards)
        self._rejections.flush()

    def close(self) -> None:
        """
        Stop the threads without sending what is still there; wait for them only as long as they need to notice.

        Raises nothing: what has not been flushed is not acknowledged either, and Flink reads it again.
        """
        with self._lock:
            self._wake_all_to_stop()
        for thread in self._threads:
            thread.join(timeout=0.5 / len(self._threads))
        self._rejections.close()

    def _use_shards(self, count: int) -> None:
        """Route to so many shards from now on, of which those that are new get their threads; holds the lock."""
        for number in range(len(self._all_shards), count):
            shard = Shard(self._lock)
            thread = threading.Thread(
                target=self._run,
                args=(shard, self._new_transport(self._config)),
                name=f"prometheus-shard-{number}",
                daemon=True,
            )
            self._all_shards.append(shard)
            self._threads.append(thread)
            thread.start()
        self._shards = self._all_shards[:count]

    def _send(self, shard: Shard) -> None:
        """Hand over what a request may hold, and wait for room for more."""
        with self._lock:
            sealed = self._unsettle(shard.seal())
        self._prepare_ahead([sealed])
        self._wait_for_room()

    def _unsettle(self, sealed: SealedBatch) -> SealedBatch:
        """Count a batch as one to be waited for; holds the lock."""
        self._unsettled += sealed.size
        return sealed

    def _prepare_ahead(self, batches: list[SealedBatch]) -> None:
        """Encode here, while the shards' threads have other requests in flight."""
        for sealed in batches:
            sealed.prepared(self._prepare)

    def _wait_for_room(self) -> None:
        with self._settled:
            limit = self._config.max_buffered_samples
            if limit is None:
                limit = BUFFERED_BATCHES * self._pace.batch_size * len(self._shards)
            limit_in_bytes = BUFFERED_BATCHES * self._config.max_batch_size_in_bytes * len(self._shards)

            def is_full() -> bool:
                return self._unsettled > limit or self._unsettled_bytes > limit_in_bytes

            if is_full() or self._stopped:
                self._wait_while(is_full)

    def _wait_while(self, condition: Callable[[], bool]) -> None:
        """Wait for the shards, and raise what has stopped the writer; holds the lock."""
        began = self._clock.monotonic()
        while condition() and not self._stopped:
            self._clock.wait(self._settled, None)
        self._pace_watch.waited(self._clock.monotonic() - began)
        self._raise_failure()

    def _prepare(self, batch: Batch) -> list[PreparedBatch]:
        ordered, duplicates, conflicting = batch.in_order(self._config.conflict_policy)
        for rejected, reason, message in (
            (duplicates, Reason.DUPLICATE, "the same sample was there twice in one request"),
            (conflicting, Reason.CONFLICTING, _CONFLICT),
        ):
            if len(rejected):
                self.ledger.settle_exemplars(0, rejected.exemplars)
                self._rejections.of_batch(rejected, reason, message)
        version = self._endpoint.version
        if version is RemoteWriteVersion.V1 and self._known_series.beyond_classic is not None:
            self._intake.say_once(
                "names",
                "%r: receivers of Remote-Write 1.0 may drop series whose names are beyond its patterns without a word "
                "([a-zA-Z_:][a-zA-Z0-9_:]* and, for labels, [a-zA-Z_][a-zA-Z0-9_]*)",
                self._known_series.beyond_classic,
            )
        prepared: list[PreparedBatch] = []
        for request in ordered.requests():
            self._encode_within_bounds(request, version, prepared)
        with self._lock:
            self._unsettled_bytes += sum(request.size_in_bytes for request in prepared)
        return prepared

    def _encode_within_bounds(self, batch: Batch, version: RemoteWriteVersion, prepared: list[PreparedBatch]) -> None:
        """Encode a batch as one request, or as several where it has too many bytes for one."""
        if not len(batch):
            return
        message = _encode(batch, version)
        if len(message) <= self._config.max_batch_size_in_bytes or len(batch) == 1:
            prepared.append(PreparedBatch(batch, version, compress(message), len(message)))
            return
        parts = min(len(batch), -(-len(message) // self._config.max_batch_size_in_bytes))
        size = -(-len(batch) // parts)
        for start in range(0, len(batch), size):
            self._encode_within_bounds(batch.part(start, start + size), version, prepared)

    # The shards' threads.

    def _run(self, shard: Shard, transport: Transport) -> None:
        try:
            while True:
                sealed = self._next(shard)
                if sealed is None:
                    return
                for prepared in sealed.prepared(self._prepare):
                    self._deliver(prepared, transport)
                with self._settled:
                    self._unsettled -= sealed.size
                    self._unsettled_bytes -= sealed.size_in_bytes
                    self._settled.notify()
        except _Stopped:
            return
        except BaseException as error:  # kept for the caller's thread, whatever it is
            with self._lock:
                if self._failure is None:
                    self._failure = error
                self._wake_all_to_stop()
        finally:
            transport.close()

    def _next(self, shard: Shard) -> SealedBatch | None:
        """Wait for a sealed batch, or seal one that has become too old; ``None`` when the writer stops."""
        with shard.changed:
            while not self._stopped:
                if shard.queue:
                    return shard.queue.popleft()
                wait_s = None
                if shard.filling_since is not None:
                    age_s = self._clock.monotonic() - shard.filling_since
                    wait_s = self._config.max_time_in_buffer_ms / 1000 - age_s
                    if wait_s <= 0:
                        self._unsettle(shard.seal_what_is_there())
                        continue
                self._clock.wait(shard.changed, wait_s)
        return None

    def _deliver(self, prepared: PreparedBatch, transport: Transport) -> None:
        def encode(batch: Batch, version: RemoteWriteVersion) -> bytes:
            if batch is prepared.batch:
                return prepared.body if version is prepared.version else compress(_encode(batch, version))
            return compress(_encode(batch.in_order().batch, version))

        delivery = Delivery(
            config=self._config,
            encode=encode,
            draw=self._draw,
            monotonic=self._clock.monotonic,
            endpoint=self._endpoint,
        )
        steps = deliver(prepared.batch, delivery)
        answer: Outcome | None = None
        trouble = ""
        while True:
            try:
                step = steps.send(answer)
            except StopIteration:
                return
            answer = None
            if isinstance(step, Post):
                self._wait_until(self._not_before)
                headers = _HEADERS[step.version]
                if step.retries:
                    headers = {**headers, "Retry-Attempt": str(step.retries)}
                began = self._clock.monotonic()
                answer = transport.post(step.body, headers)
                self.ledger.attempt(len(step.body), self._clock.monotonic() - began, retry=step.retries > 0)
                trouble = answer.message
            elif isinstance(step, Wait):
                self._complain(trouble, step.seconds)
                until = self._clock.monotonic() + step.seconds
                if step.asked_by_receiver:
                    self._not_before = max(self._not_before, until)
                self._wait_until(until)
            elif isinstance(step, Shrink):
                self._shrink_batches(step)
            else:
                settle(step, self.ledger, self._rejections)

    def _complain(self, trouble: str, wait_s: float) -> None:
        """Say why a request is sent again; once in a while, for all shards together."""
        now = self._clock.monotonic()
        with self._lock:
            if now < self._next_complaint_at:
                return
            self._next_complaint_at = now + COMPLAINT_INTERVAL_S
        _log.warning(
            "a request to %s failed and will be retried in %.2f s (%d retries so far): %s",
            self._config.url_without_credentials,
            wait_s,
            self.ledger.requests_retried,
            trouble,
        )

    def _shrink_batches(self, step: Shrink) -> None:
        with self._lock:
            if step.samples >= self._pace.batch_size:
                return
            self._pace = self._pace.no_batch_above(step.samples)
        _log.warning(
            "the receiver refuses requests for their size; from now on they hold at most %d samples (if that is too "
            "few, raise the receiver's limit): %s",
            step.samples,
            step.outcome.message,
        )

    def _wait_until(self, moment: float) -> None:
        while (seconds := moment - self._clock.monotonic()) > 0 and not self._stop.is_set():
            self._clock.sleep(seconds, self._stop)
        if self._stop.is_set():
            raise _Stopped

    def _wake_all_to_stop(self) -> None:
        """Have every thread notice that it is over; holds the lock."""
        self._stopped = True
        self._stop.set()
        self._settled.notify_all()
        for shard in self._all_shards:
            shard.changed.notify()

    def _raise_failure(self) -> None:
        """Raise what has stopped the writer, if anything has."""
        if not self._stopped:
            return
        if self._failure is None:
            raise PrometheusSinkError(f"the writer was closed with {self.ledger.samples_pending} sample(s) unsent")
        if isinstance(self._failure, PrometheusSinkError):
            raise self._failure
        raise PrometheusSinkError(f"writing to Prometheus failed unexpectedly: {self._failure!r}") from self._failure


def _encode(batch: Batch, version: RemoteWriteVersion) -> bytes:
    return _ENCODE[version](batch.series, batch.timestamps, batch.values, plain=batch.plain)


_CONFLICT = (
    "the same request held another value of this series at the same time, and Prometheus keeps one of them: give them "
    "timestamps or labels that differ, or choose with set_conflict_policy"
)


class _Stopped(Exception):  # noqa: N818  (it leaves a thread, it reports nothing)
    """Leave a shard's thread: the writer is being closed or has failed on another shard."""
