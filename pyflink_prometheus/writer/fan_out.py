"""A writer to several endpoints, each of which gets all samples, encoded once."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

from pyflink_prometheus.clock import Clock, SystemClock
from pyflink_prometheus.config import OnErrorBehavior, SinkConfig
from pyflink_prometheus.http.outcome import Outcome
from pyflink_prometheus.http.transport import RequestsTransport, Transport
from pyflink_prometheus.writer.batch import Batch
from pyflink_prometheus.writer.best_effort import BestEffortDestination
from pyflink_prometheus.writer.destination import Destination, SharedBatch
from pyflink_prometheus.writer.pace import Pace
from pyflink_prometheus.writer.prepared import PreparedRequest, SealedBatch
from pyflink_prometheus.writer.shard import Shard
from pyflink_prometheus.writer.writer import RemoteWriter


class FanOut(RemoteWriter):
    """
    A writer to one or more endpoints, any of which may be a best-effort one.

    Its own shards send nothing: they hand each batch over to all endpoints, and wait for room where an endpoint
    requires it. The number of requests in flight and their size are fixed, because no single pace suits all endpoints.

    :param config: the settings of the first endpoint, which include those of the others.
    :param new_transport: creates the transport of one shard. Default: one based on requests.
    :param clock: the source of time. Default: the system's.
    :param draw: returns a random number from 0 to 1, for the jitter of retries.
    :ivar ledger: the ledger of the first endpoint, which includes the samples rejected before sending.
    :ivar destinations: all endpoints; the first one comes first.
    """

    def __init__(
        self,
        config: SinkConfig,
        *,
        new_transport: Callable[[SinkConfig], Transport] = RequestsTransport,
        clock: Clock | None = None,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self.destinations: list[Destination] = []
        clock = SystemClock() if clock is None else clock
        endpoints = [config, *config.further_endpoints.values()]
        batch_size, shards = Pace.begin(config).batch_size, max(Pace.begin(each).shards for each in endpoints)
        front = replace(
            config,
            max_in_flight_requests=shards,
            max_batch_size_in_samples=batch_size,
            max_buffered_samples=2 * shards * batch_size,
            max_time_in_buffer_ms=min(each.max_time_in_buffer_ms for each in endpoints),
        )
        super().__init__(front, new_transport=new_transport, clock=clock, draw=draw)
        for name, each in {"": config, **config.further_endpoints}.items():
            kind = Destination if each.best_effort is None else BestEffortDestination
            self.destinations.append(
                kind(
                    name,
                    _fixed(each, batch_size),
                    settlement=None if name else self._settlement,
                    guards=None if name else self.guards,
                    new_transport=new_transport,
                    clock=clock,
                    draw=draw,
                    on_failure=self._fail,
                )
            )

    def close(self) -> None:
        """
        Stop the threads without sending pending samples; wait only as long as the threads need to notice.

        Raises nothing. Samples for which a best-effort endpoint has not responded are rejected.
        """
        self._backlog.stop()
        for each in self.destinations:
            each.stop()
        for shard in self._all_shards:
            shard.join(0.5 / len(self._all_shards))
        for each in self.destinations:
            each.close(0.5 / len(self.destinations))

    def _new_shard(self, number: int) -> Shard:
        return Shard(
            number,
            self._known_series.table,
            config=self._config,
            backlog=self._backlog,
            endpoint=self._endpoint,
            transport=_NothingToSend(),
            prepare=partial(self._distribute, number),
            settlement=self._settlement,
            guards=self.guards,
            clock=self._clock,
            draw=self._draw,
        )

    def _prepare_ahead(self, sealed: SealedBatch) -> None:
        """Leave the preparation to the shards."""

    def _distribute(self, number: int, batch: Batch) -> list[PreparedRequest]:
        """Hand a batch over to all endpoints, on the thread of a shard, which then has nothing to send itself."""
        shared = SharedBatch(batch)
        for each in self.destinations:
            self._warn_of_names(each.version)
            each.take(number, shared)
        for each in self.destinations:
            each.make_room()
        return []

    def _finish_flush(self) -> None:
        for each in sorted(self.destinations, key=lambda each: each.config.best_effort is not None):
            self._wait(each.settle, each.ledger)
        for each in self.destinations:
            each.settlement.flush()

    def _fail(self, failure: BaseException) -> None:
        """Stop everything after a failure of one endpoint, so that the caller learns of it wherever it waits."""
        self._backlog.stop(failure)
        for each in self.destinations:
            each.stop(failure)


class _NothingToSend:
    """The transport of shards that hand batches over instead of sending them."""

    def post(self, body: bytes, headers: Mapping[str, str]) -> Outcome:
        raise NotImplementedError

    def close(self) -> None:
        pass


def _fixed(config: SinkConfig, most: int) -> SinkConfig:
    """
    Return the settings of an endpoint, with those that would adapt to it fixed.

    :param most: the largest number of samples in a batch.
    """
    pace = Pace.begin(config)
    error_handling = config.error_handling
    if config.best_effort is not None:
        error_handling = replace(error_handling, on_max_retry_exceeded=OnErrorBehavior.DISCARD_AND_CONTINUE)
    return replace(
        config,
        max_in_flight_requests=pace.shards,
        max_batch_size_in_samples=min(pace.batch_size, most),
        error_handling=error_handling,
        further_endpoints={},
    )


def open_writer(config: SinkConfig) -> RemoteWriter:
    """Start a writer to the endpoint or endpoints of these settings."""
    kind = FanOut if config.further_endpoints or config.best_effort is not None else RemoteWriter
    return kind(config)
