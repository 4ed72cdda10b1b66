"""What all model receivers have in common: a request goes in, what it stores and its answer come out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from pyflink_prometheus.config import RemoteWriteVersion
from pyflink_prometheus.http.outcome import Written
from pyflink_prometheus.model.timeseries import PrometheusTimeSeries
from pyflink_prometheus.testing.decoding import ReceivedRequest
from pyflink_prometheus.testing.receiver import Answer

#: A sample as it is stored: the series' key, the value, and the timestamp in milliseconds.
StoredSample = tuple[str, Any, int]


class ReceiverModel(ABC):
    """
    A receiver in memory, to be used as the ``decide`` of a :class:`Receiver` or a :class:`ScriptedTransport`.

    ::

        model = MimirModel(now_ms=1_700_000_000_000)
        with Receiver(model) as receiver:
            ...  # write to receiver.url
            assert model.stored == [...]

    One thread at a time calls it, as both of these see to. A copy (``copy.deepcopy``) goes its own way from then on.
    """

    @property
    @abstractmethod
    def stored(self) -> list[StoredSample]:
        """All that is stored, in the order in which it was taken."""

    @abstractmethod
    def __call__(self, request: ReceivedRequest) -> Answer:
        """Store what the real one would store of a request, and return its answer."""


def samples_of(request: ReceivedRequest) -> Iterator[StoredSample]:
    """Yield the samples of a request, as :attr:`ReceivedRequest.samples` has them; keys of known series cost little."""
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
) -> Answer:
    """Return the refusal of a request with the first few of its problems, and what is said of a 2.0 one."""
    words = "\n".join(problems[:5]) + (f"\nand {len(problems) - 5} more" if len(problems) > 5 else "")
    if request.version is RemoteWriteVersion.V1:
        return Answer(status, words)
    return Answer(status, words, written=written, says_written=says_written)
