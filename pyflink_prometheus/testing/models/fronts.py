"""What stands in front of a receiver, or happens to it: each wraps another model."""

from __future__ import annotations

from dataclasses import replace

from pyflink_prometheus.testing.decoding import ReceivedRequest
from pyflink_prometheus.testing.models.model import ReceiverModel, StoredSample
from pyflink_prometheus.testing.receiver import Answer


class _Front(ReceiverModel):
    """A model that hands on to another one."""

    def __init__(self, model: ReceiverModel) -> None:
        self._model = model

    @property
    def stored(self) -> list[StoredSample]:
        """What the other one holds."""
        return self._model.stored

    def __call__(self, request: ReceivedRequest) -> Answer:
        """Hand the request on."""
        return self._model(request)


class HaReplicaModel(_Front):
    """
    Mimir or Cortex with HA deduplication, which takes the samples of one replica of each cluster.

    Modelled after Mimir's sources (``pkg/distributor/errors.go``), not measured: the samples of a replica that is not
    elected are answered 202 and not stored. The counts of a 2.0 request say what was received.

    :param model: the receiver of what the elected replica sends.
    :param elected: whether the sender's replica is; it may be set later.
    """

    def __init__(self, model: ReceiverModel, *, elected: bool) -> None:
        super().__init__(model)
        self.elected = elected

    def __call__(self, request: ReceivedRequest) -> Answer:
        """Hand on the requests of the elected replica alone."""
        if self.elected:
            return super().__call__(request)
        return Answer(202, "the samples of this replica were deduplicated")


class ByteLimitModel(_Front):
    """
    A receiver, or a gateway, that takes no more than so many bytes in a request.

    Modelled after Mimir and Prometheus, which answer 400, and Thanos and most gateways, which answer 413. None of them
    sends counts with it.

    :param model: the receiver of what is smaller.
    :param max_bytes: of the decoded message.
    :param status: of the refusal.
    """

    def __init__(self, model: ReceiverModel, max_bytes: int, status: int = 413) -> None:
        super().__init__(model)
        self._max_bytes = max_bytes
        self._status = status

    def __call__(self, request: ReceivedRequest) -> Answer:
        """Hand on what is small enough."""
        if request.decoded_bytes > self._max_bytes:
            return Answer(self._status, f"more than {self._max_bytes} bytes", says_written=False)
        return super().__call__(request)


class OverloadedModel(_Front):
    """
    A receiver that refuses requests for a while because it is overloaded.

    Modelled after GreptimeDB, which answers 408 under load.

    :param model: the receiver of what comes later.
    :param requests: how many are refused before it; none of them is stored.
    :param status: of the refusals.
    """

    def __init__(self, model: ReceiverModel, requests: int, status: int = 408) -> None:
        super().__init__(model)
        self._left = requests
        self._status = status

    def __call__(self, request: ReceivedRequest) -> Answer:
        """Refuse, or hand on."""
        if self._left:
            self._left -= 1
            return Answer(self._status, "overloaded", says_written=False)
        return super().__call__(request)


class WithoutCountsModel(_Front):
    """
    A gateway that takes the Written headers out of the answers of its receiver.

    Modelled after proxies that pass on the headers of a list only. Its receiver stores what it stores.
    """

    def __call__(self, request: ReceivedRequest) -> Answer:
        """Hand the request on, and the answer back without counts."""
        return replace(super().__call__(request), written=None, says_written=False)
