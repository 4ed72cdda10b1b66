"""The interface of all receiver models: a request goes in, stored samples and a response come out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from pyflink_prometheus.config import RemoteWriteVersion
from pyflink_prometheus.http.outcome import Written
from pyflink_prometheus.model.timeseries import PrometheusTimeSeries
from pyflink_prometheus.testing.decoding import ReceivedRequest
from pyflink_prometheus.testing.receiver import Response

#: A stored sample: the series' key, the value, and the timestamp in milliseconds.
StoredSample = tuple[str, Any, int]


class ReceiverModel(ABC):
    """
    An in-memory receiver, used as the ``decide`` of a :class:`Receiver` or a :class:`ScriptedTransport`.

    ::

        model = MimirModel(now_ms=1_700_000_000_000)
        with Receiver(model) as receiver:
            ...  # write to receiver.url
            assert model.stored == [...]

    It is called by one thread at a time, which both of these guarantee. A copy (``copy.deepcopy``) is independent.
    """

    @property
    @abstractmethod
    def stored(self) -> list[StoredSample]:
        """All stored samples, in the order in which they were stored."""

    @abstractmethod
    def __call__(self, request: ReceivedRequest) -> Response:
        """Store what the real receiver would store from a request, and return its response."""


def samples_of(request: ReceivedRequest) -> Iterator[StoredSample]:
    """Yield the samples of a request, as in :attr:`ReceivedRequest.samples`; the keys of series are cached."""
    for series in request.series:
        key = key_of(series)
        for value, timestamp, *_ in series.samples:
            yield key, value, timestamp


def key_of(series: PrometheusTimeSeries) -> str:
    """Return a series' key."""
    return _key(series.metric_name, tuple(series.labels))


@lru_cache(maxsize=20_000)
def _key(metric_name: str, labels: tuple[tuple[str, str], ...]) -> str:
    return PrometheusTimeSeries(metric_name, labels, ()).key()


def refusal(
    request: ReceivedRequest,
    problems: list[str],
    written: Written | None = None,
    *,
    status: int = 400,
    says_written: bool = True,
) -> Response:
    """Return the refusal of a request with its first few problems and, for 2.0, the counts."""
    message = "\n".join(problems[:5]) + (f"\nand {len(problems) - 5} more" if len(problems) > 5 else "")
    if request.version is RemoteWriteVersion.V1:
        return Response(status, message)
    return Response(status, message, written=written, says_written=says_written)
