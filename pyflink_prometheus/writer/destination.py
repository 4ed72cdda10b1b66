"""One of several endpoints of a writer: the requests that wait for it, the threads that send them, and its ledger."""

from __future__ import annotations

from collections.abc import Callable

from pyflink_prometheus.clock import Clock
from pyflink_prometheus.config import RemoteWriteVersion, SinkConfig
from pyflink_prometheus.guards.guards import Guards
from pyflink_prometheus.http.transport import Transport
from pyflink_prometheus.wire.table import SeriesTable
from pyflink_prometheus.writer.backlog import Backlog
from pyflink_prometheus.writer.batch import Batch
from pyflink_prometheus.writer.endpoint import Endpoint
from pyflink_prometheus.writer.ledger import Ledger
from pyflink_prometheus.writer.pace import Pace
from pyflink_prometheus.writer.prepared import Preparation, Prepared, PreparedRequest, SealedBatch, cut
from pyflink_prometheus.writer.rejected import LogRejectedSamples
from pyflink_prometheus.writer.settlement import Settlement
from pyflink_prometheus.writer.shard import Shard
from pyflink_prometheus.writer.tenants import TenantConfiguration, TenantLedgers
from pyflink_prometheus.writer.written_digests import digests_of


class SharedBatch:
    """
    A batch on its way to several endpoints, prepared once for all endpoints that need the same requests.

    One thread at a time uses it.

    :ivar batch: the samples.
    """

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        self._prepared: dict[tuple[RemoteWriteVersion, int], Prepared] = {}

    def prepared(self, preparation: Preparation, version: RemoteWriteVersion, max_bytes: int) -> Prepared:
        """
        Return the requests in a version, none larger than ``max_bytes``.

        :param preparation: makes them if no other endpoint has needed them yet.
        """
        found = self._prepared.get((version, max_bytes))
        if found is None:
            found = self._prepared[version, max_bytes] = preparation.make(self.batch, version)
        return found


class DestinationBacklog(Backlog):
    """
    The backlog of one endpoint of several.

    :param on_failure: called with the failure that stops it.
    """

    def __init__(
        self, config: SinkConfig, clock: Clock, ledger: Ledger, on_failure: Callable[[BaseException], None]
    ) -> None:
        super().__init__(config, clock, ledger)
        self._on_failure = on_failure

    def stop(self, failure: BaseException | None = None) -> None:
        """Stop all threads and, after a failure, those of the other endpoints."""
        super().stop(failure)
        if failure is not None:
            self._on_failure(failure)


class Destination:
    """
    An endpoint that all samples must reach before a flush returns.

    It makes the job wait, and fails it, as the only endpoint of a writer does.

    All batches from one shard of the writer go to the same shard of the endpoint, so the samples of a series stay in
    order.

    :param name: the name that the user gave it; "" for the first.
    :param config: its settings.
    :param settlement: the writer's own for the first, where samples are counted when they are added; ``None`` for
        the others.
    :param guards: the writer's own for the first; ``None`` for the others, which have the same limits, each separately.
    :param new_transport: creates the transport of one shard.
    :param clock: the source of time.
    :param draw: returns a random number from 0 to 1, for the jitter of retries.
    :param on_failure: called with the exception that fails the job.
    :ivar ledger: its counters.
    :ivar settlement: counts settled samples, and passes the rejected ones to the handler.
    :ivar guards: its limits on rates, and how often a request exceeded them.
    :ivar tenants: counts what is sent to each of its tenants; ``None`` if there are no tenants.
    """

    def __init__(
        self,
        name: str,
        config: SinkConfig,
        *,
        settlement: Settlement | None,
        guards: Guards | None,
        new_transport: Callable[[SinkConfig], Transport],
        clock: Clock,
        draw: Callable[[], float],
        on_failure: Callable[[BaseException], None],
    ) -> None:
        self.name = name
        self.config = config
        self._clock = clock
        self._counts_samples = settlement is None
        if settlement is None:
            handler = config.rejected_samples_handler
            if handler is None:
                handler = LogRejectedSamples(monotonic=clock.monotonic, endpoint=name)
            tenants: TenantConfiguration | None = config.tenant
            ledgers = None if tenants is None else TenantLedgers(tenants.max_counted_tenants)
            settlement = Settlement(Ledger(), handler, ledgers, digests_of(config))
        self.settlement = settlement
        self.ledger = settlement.ledger
        self.tenants = settlement.tenants
        self.guards = Guards(config.sending_limits, clock.monotonic) if guards is None else guards
        self._backlog = self._new_backlog(on_failure)
        self._endpoint = Endpoint(config.remote_write_version)
        self._preparation = Preparation(config, self.settlement)
        self._shards = [
            self._kind_of_shard(
                number,
                SeriesTable(),
                config=config,
                backlog=self._backlog,
                endpoint=self._endpoint,
                transport=new_transport(config),
                prepare=self._prepare,
                settlement=self.settlement,
                guards=self.guards,
                clock=clock,
                draw=draw,
            )
            for number in range(self.pace.shards)
        ]

    _kind_of_shard: type[Shard] = Shard

    def _new_backlog(self, on_failure: Callable[[BaseException], None]) -> DestinationBacklog:
        return DestinationBacklog(self.config, self._clock, self.ledger, on_failure)

    @property
    def pace(self) -> Pace:
        """The number of requests in flight and their size."""
        return self._backlog.pace

    @property
    def version(self) -> RemoteWriteVersion:
        """The best version that the receiver is known to support."""
        return self._endpoint.version

    def take(self, number: int, shared: SharedBatch) -> None:
        """
        Take a batch, on the thread of the writer's shard with this number.

        :raises PrometheusSinkError: if the handler fails.
        """
        if self._counts_samples:
            with self._backlog.lock:
                self.ledger.samples_in += len(shared.batch)
        prepared = shared.prepared(self._preparation, self.version, self.config.max_batch_size_in_bytes)
        queue = self._shards[number % len(self._shards)].queue
        limit = self.pace.batch_size
        for whole in self._preparation.settle(prepared):
            for request in cut(whole, limit):
                self._backlog.count_bytes(request.encoded.size_in_bytes)
                with self._backlog.lock:
                    self._backlog.hand_over(len(request.batch))
                    queue.put(SealedBatch(request.batch, [request]))

    def make_room(self) -> None:
        """
        Wait while too many samples or bytes are unsettled (backpressure).

        :raises PrometheusSinkError: if delivery has failed for good.
        """
        self._backlog.wait_for_room()

    def settle(self) -> None:
        """
        Wait until all samples are settled, on the caller's thread.

        :raises PrometheusSinkError: if delivery has failed for good.
        """
        self._backlog.wait_until_settled()

    def stop(self, failure: BaseException | None = None) -> None:
        """Stop all threads, after a failure or without one."""
        if not self._backlog.is_stopped:
            self._backlog.stop(failure)

    def close(self, wait_s: float) -> None:
        """
        Wait for the stopped threads to end, and close the handler.

        :param wait_s: the longest wait in seconds.
        """
        for shard in self._shards:
            shard.join(wait_s / len(self._shards))
        self.settlement.close()

    def _prepare(self, batch: Batch) -> list[PreparedRequest]:
        return self._preparation.prepare(batch, self.version)
