"""The writer: takes records on one thread, delivers them on a thread a shard, and lets nothing go unaccounted."""

from __future__ import annotations

import heapq
import logging
import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from pyflink_prometheus.checks import (
    INT64_MAX,
    INT64_MIN,
    LIKELY_SECONDS,
    checked_samples,
)
from pyflink_prometheus.clock import Clock, SystemClock
from pyflink_prometheus.config import RemoteWriteVersion, SinkConfig
from pyflink_prometheus.errors import InvalidTimeSeriesError, PrometheusSinkError
from pyflink_prometheus.http.outcome import Outcome
from pyflink_prometheus.http.transport import RequestsTransport, Transport
from pyflink_prometheus.timeseries import PrometheusTimeSeries
from pyflink_prometheus.wire import encoder_v1, encoder_v2
from pyflink_prometheus.wire.compression import compress
from pyflink_prometheus.wire.point import Point
from pyflink_prometheus.wire.series import Series, SeriesCache
from pyflink_prometheus.writer.batch import Batch
from pyflink_prometheus.writer.delivery import Accepted, PartlyWritten, Post, Rejected, Shrink, Wait, deliver
from pyflink_prometheus.writer.endpoint import Endpoint
from pyflink_prometheus.writer.intake import Intake, alone, count_of, invalid
from pyflink_prometheus.writer.ledger import Ledger, Reason
from pyflink_prometheus.writer.rejected import LogRejectedSamples, RejectedSamples, Rejections
from pyflink_prometheus.writer.shard import PreparedBatch, SealedBatch, Shard

_log = logging.getLogger(__name__)

#: The least time in seconds between two warnings of requests that are sent again.
COMPLAINT_INTERVAL_S = 10.0

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
    its own, one request in flight, and a series is always on the same shard, so the receiver gets the samples of a
    series in the order of the calls. What fails on those threads is raised by the next call.

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
        # All that follows is guarded by this lock; its condition is notified when a batch is begun, sealed or settled.
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._unsettled = 0  # samples in sealed batches
        self._failure: BaseException | None = None
        self._max_batch_size = config.max_batch_size_in_samples
        self._not_before = 0.0  # the receiver asked all shards to wait until then
        self._next_complaint_at = 0.0
        self._stop = threading.Event()
        self._shards = [Shard() for _ in range(config.max_in_flight_requests)]
        self._threads = [
            threading.Thread(
                target=self._run, args=(shard, new_transport(config)), name=f"prometheus-shard-{number}", daemon=True
            )
            for number, shard in enumerate(self._shards)
        ]
        for thread in self._threads:
            thread.start()

    def add(self, record: PrometheusTimeSeries | tuple[Any, ...]) -> None:
        """
        Take one record; wait while too many samples are on their way already.

        A record or a sample that cannot be written is rejected alone.

        :raises PrometheusSinkError: if delivery has failed for good meanwhile.
        """
        if len(record) != 5:
            record = PrometheusTimeSeries(*record)
        metric_name, labels, samples, metadata, exemplars = record
        try:
            series = self._known_series.get(metric_name, labels, metadata)
            if type(samples) not in (tuple, list) or not samples:
                samples = checked_samples(samples)
        except InvalidTimeSeriesError as error:
            self._rejections.before_sending([invalid(record, count_of(samples), error)])
            return
        if exemplars:
            samples = self._intake.with_exemplars(samples, exemplars)
        rejected: list[RejectedSamples] = []
        with self._lock:
            sealed = self._fill(series, samples, rejected)
            self._raise_failure()
        if rejected:
            self._rejections.before_sending([replace(each, record=alone(record, each.record)) for each in rejected])
        if sealed:
            self._prepare_ahead(sealed)
            self._wait_for_room()

    def reject(self, record: Any, error: InvalidTimeSeriesError) -> None:
        """Count a record that could not even be made into a series, and tell why."""
        self._rejections.before_sending([invalid(record, 1, error)])

    def flush(self) -> None:
        """
        Return when every sample that was added is settled, and the handler of rejected ones has put them away.

        :raises PrometheusSinkError: if delivery has failed for good.
        """
        with self._changed:
            sealed = [self._seal(shard) for shard in self._shards if len(shard.filling)]
        self._prepare_ahead(sealed)
        with self._changed:
            while self._unsettled and not self._stop.is_set():
                self._clock.wait(self._changed, None)
            self._raise_failure()
        self._rejections.flush()

    def close(self) -> None:
        """
        Stop the threads without sending what is still there; wait for them only as long as they need to notice.

        Raises nothing: what has not been flushed is not acknowledged either, and Flink reads it again.
        """
        self._stop.set()
        with self._changed:
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(timeout=0.5 / len(self._threads))
        self._rejections.close()

    def _fill(self, series: Series, samples: Sequence[Any], rejected: list[RejectedSamples]) -> list[SealedBatch]:
        """Add what can be written to the series' shard, and return the batches that this has filled; holds the lock."""
        sealed: list[SealedBatch] = []
        shard = self._shards[series.hash % len(self._shards)]
        batch = shard.filling
        for sample in samples:
            try:
                value, timestamp = sample
                fits = type(value) is float and type(timestamp) is int and INT64_MIN <= timestamp <= INT64_MAX
            except (TypeError, ValueError):
                fits = False
            if not fits or self._look_at_all or timestamp < LIKELY_SECONDS.stop:
                looked_at = self._intake.look(series, sample)
                if isinstance(looked_at, RejectedSamples):
                    rejected.append(looked_at)
                    continue
                value, timestamp = looked_at
                if isinstance(value, Point):
                    batch.plain = False
            batch.series.append(series)
            batch.timestamps.append(timestamp)
            batch.values.append(value)
            self.ledger.samples_in += 1
            if len(batch.values) == 1:
                shard.filling_since = self._clock.monotonic()
                self._changed.notify_all()  # the shard's thread now has an age to watch
            if len(batch.values) >= self._max_batch_size:
                sealed.append(self._seal(shard))
                batch = shard.filling
        return sealed

    def _seal(self, shard: Shard) -> SealedBatch:
        sealed = shard.seal()
        self._unsettled += sealed.size
        self._changed.notify_all()
        return sealed

    def _prepare_ahead(self, batches: list[SealedBatch]) -> None:
        """Encode here, while the shards' threads have other requests in flight."""
        for sealed in batches:
            sealed.prepared(self._prepare)

    def _wait_for_room(self) -> None:
        limit = self._config.buffer_limit_in_samples
        with self._changed:
            while self._unsettled > limit and not self._stop.is_set():
                self._clock.wait(self._changed, None)
            self._raise_failure()

    def _prepare(self, batch: Batch) -> list[PreparedBatch]:
        ordered, duplicates = batch.in_order()
        if len(duplicates):
            self.ledger.settle_exemplars(0, duplicates.exemplars)
            self._rejections.of_batch(duplicates, Reason.DUPLICATE, "the same sample was there twice in one request")
        version = self._endpoint.version
        if version is RemoteWriteVersion.V1 and self._known_series.beyond_classic is not None:
            self._intake.say_once(
                "names",
                "%r: receivers of Remote-Write 1.0 may drop series whose names are beyond its patterns without a word "
                "([a-zA-Z_:][a-zA-Z0-9_:]* and, for labels, [a-zA-Z_][a-zA-Z0-9_]*)",
                self._known_series.beyond_classic,
            )
        return [PreparedBatch(each, version, _encode(each, version)) for each in ordered.requests()]

    # The shards' threads.

    def _run(self, shard: Shard, transport: Transport) -> None:
        try:
            while True:
                sealed = self._next(shard)
                if sealed is None:
                    return
                for prepared in sealed.prepared(self._prepare):
                    self._deliver(prepared, transport)
                with self._changed:
                    self._unsettled -= sealed.size
                    self._changed.notify_all()
        except _Stopped:
            return
        except BaseException as error:  # kept for the caller's thread, whatever it is
            with self._changed:
                if self._failure is None:
                    self._failure = error
                self._stop.set()
                self._changed.notify_all()
        finally:
            transport.close()

    def _next(self, shard: Shard) -> SealedBatch | None:
        """Wait for a sealed batch, or seal one that has become too old; ``None`` when the writer stops."""
        with self._changed:
            while not self._stop.is_set():
                if shard.queue:
                    return shard.queue.popleft()
                wait_s = None
                if len(shard.filling):
                    age_s = self._clock.monotonic() - shard.filling_since
                    wait_s = self._config.max_time_in_buffer_ms / 1000 - age_s
                    if wait_s <= 0:
                        self._seal(shard)
                        continue
                self._clock.wait(self._changed, wait_s)
        return None

    def _deliver(self, prepared: PreparedBatch, transport: Transport) -> None:
        def encode(batch: Batch, version: RemoteWriteVersion) -> bytes:
            if batch is prepared.batch:
                return prepared.body if version is prepared.version else _encode(batch, version)
            return _encode(batch.in_order()[0], version)

        steps = deliver(prepared.batch, config=self._config, encode=encode, draw=self._draw, endpoint=self._endpoint)
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
                began = self._clock.monotonic()
                answer = transport.post(step.body, _HEADERS[step.version])
                self.ledger.attempt(len(step.body), self._clock.monotonic() - began, retry=step.retry)
                trouble = answer.message
            elif isinstance(step, Wait):
                self._complain(trouble, step.seconds)
                until = self._clock.monotonic() + step.seconds
                if step.asked_by_receiver:
                    self._not_before = max(self._not_before, until)
                self._wait_until(until)
            elif isinstance(step, Shrink):
                self._shrink_batches(step.samples)
            else:
                self._settle(step)

    def _settle(self, step: Accepted | Rejected | PartlyWritten) -> None:
        """Account for a batch of which nothing will be sent again."""
        batch, ledger = step.batch, self.ledger
        if isinstance(step, Accepted):
            ledger.take_request(len(batch))
            ledger.accept(len(batch), max(batch.timestamps))
            ledger.settle_exemplars(step.exemplars, batch.exemplars - step.exemplars)
            return
        ledger.fail_request()
        if isinstance(step, Rejected):
            ledger.settle_exemplars(0, batch.exemplars)
            self._rejections.of_batch(batch, step.reason, step.outcome.message, step.outcome.status)
            return
        written = step.written
        refused = len(batch) - written.samples - written.histograms
        if refused < len(batch):
            # Were the newest ones those that were refused, this would be the newest that was written.
            ledger.accept(len(batch) - refused, heapq.nlargest(refused + 1, batch.timestamps)[-1])
        ledger.settle_exemplars(written.exemplars, batch.exemplars - written.exemplars)
        for kind, count in ((False, written.samples), (True, written.histograms)):
            part = batch.of_kind(histograms=kind)
            if count < len(part):
                self._rejections.among_batch(
                    part, len(part) - count, step.reason, step.outcome.message, step.outcome.status
                )

    def _complain(self, trouble: str, wait_s: float) -> None:
        """Say why a request is sent again; once in a while, for all shards together."""
        now = self._clock.monotonic()
        with self._lock:
            if now < self._next_complaint_at:
                return
            self._next_complaint_at = now + COMPLAINT_INTERVAL_S
        _log.warning(
            "writing to %s fails and is tried again in %.2f s (%d retries so far): %s",
            self._config.url_without_credentials,
            wait_s,
            self.ledger.requests_retried,
            trouble,
        )

    def _shrink_batches(self, samples: int) -> None:
        with self._changed:
            if samples >= self._max_batch_size:
                return
            self._max_batch_size = samples
        _log.warning(
            "the receiver takes no requests as large as %d samples (HTTP 413); from now on they hold at most %d",
            2 * samples,
            samples,
        )

    def _wait_until(self, moment: float) -> None:
        while (seconds := moment - self._clock.monotonic()) > 0 and not self._stop.is_set():
            self._clock.sleep(seconds, self._stop)
        if self._stop.is_set():
            raise _Stopped

    def _raise_failure(self) -> None:
        """Raise what has stopped the writer, if anything has; the caller holds the condition."""
        if not self._stop.is_set():
            return
        if self._failure is None:
            raise PrometheusSinkError(f"the writer was closed with {self.ledger.samples_pending} sample(s) unsent")
        if isinstance(self._failure, PrometheusSinkError):
            raise self._failure
        raise PrometheusSinkError(f"writing to Prometheus failed unexpectedly: {self._failure!r}") from self._failure


def _encode(batch: Batch, version: RemoteWriteVersion) -> bytes:
    return compress(_ENCODE[version](batch.series, batch.timestamps, batch.values, plain=batch.plain))


class _Stopped(Exception):  # noqa: N818  (it leaves a thread, it reports nothing)
    """Leave a shard's thread: the writer is being closed or has failed on another shard."""
