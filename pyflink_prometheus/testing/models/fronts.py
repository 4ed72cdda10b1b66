"""Proxies, limits and outages in front of a receiver; each wraps another model."""

from __future__ import annotations

from dataclasses import replace

from pyflink_prometheus.testing.decoding import ReceivedRequest
from pyflink_prometheus.testing.models.model import ReceiverModel, StoredSample
from pyflink_prometheus.testing.receiver import Response


class _Front(ReceiverModel):
    """A model that forwards to another one."""

    def __init__(self, model: ReceiverModel) -> None:
        self._model = model

    @property
    def stored(self) -> list[StoredSample]:
        """The samples that the other model has stored."""
        return self._model.stored

    def __call__(self, request: ReceivedRequest) -> Response:
        """Forward the request."""
        return self._model(request)


class HaReplicaModel(_Front):
    """
    Mimir or Cortex with HA deduplication, which accepts the samples of only one replica per cluster.

    Modelled after Mimir's sources (``pkg/distributor/errors.go``), not measured: a request from a replica that is not
    elected gets 202, and nothing is stored. The counts of a 2.0 request say what was received.

    :param model: the receiver of the elected replica's requests.
    :param elected: whether the sender's replica is elected; may be changed later.
    """

    def __init__(self, model: ReceiverModel, *, elected: bool) -> None:
        super().__init__(model)
        self.elected = elected

    def __call__(self, request: ReceivedRequest) -> Response:
        """Forward only the requests of the elected replica."""
        if self.elected:
            return super().__call__(request)
        return Response(202, "the samples of this replica were deduplicated")


class ByteLimitModel(_Front):
    """
    A receiver or gateway that limits the bytes of a request.

    Modelled after Mimir and Prometheus, which respond with 400, and Thanos and most gateways, which respond with 413.
    None of them sends counts with the refusal.

    :param model: the receiver of smaller requests.
    :param max_bytes: the limit, for the decoded message.
    :param status: the status of the refusal.
    """

    def __init__(self, model: ReceiverModel, max_bytes: int, status: int = 413) -> None:
        super().__init__(model)
        self._max_bytes = max_bytes
        self._status = status

    def __call__(self, request: ReceivedRequest) -> Response:
        """Forward requests within the limit."""
        if request.decoded_bytes > self._max_bytes:
            return Response(self._status, f"more than {self._max_bytes} bytes", says_written=False)
        return super().__call__(request)


class OverloadedModel(_Front):
    """
    A receiver that refuses requests for a while because it is overloaded.

    Modelled after GreptimeDB, which responds with 408 under load.

    :param model: the receiver of later requests.
    :param requests: how many requests are refused first; nothing in them is stored.
    :param status: the status of the refusals.
    """

    def __init__(self, model: ReceiverModel, requests: int, status: int = 408) -> None:
        super().__init__(model)
        self._left = requests
        self._status = status

    def __call__(self, request: ReceivedRequest) -> Response:
        """Refuse or forward the request."""
        if self._left:
            self._left -= 1
            return Response(self._status, "overloaded", says_written=False)
        return super().__call__(request)


class WithoutCountsModel(_Front):
    """
    A gateway that removes the Written headers from its receiver's responses.

    Modelled after proxies that forward only listed headers. What the receiver stores does not change.
    """

    def __call__(self, request: ReceivedRequest) -> Response:
        """Forward the request, and return the response without counts."""
        return replace(super().__call__(request), written=None, says_written=False)
