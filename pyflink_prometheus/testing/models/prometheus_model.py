"""Prometheus, and a receiver of 2.0 that keeps nothing of a request that it refuses."""

from __future__ import annotations

from collections.abc import Collection

from pyflink_prometheus.config import RemoteWriteVersion
from pyflink_prometheus.http.outcome import Written
from pyflink_prometheus.model.histogram import NativeHistogram
from pyflink_prometheus.testing.decoding import ReceivedRequest
from pyflink_prometheus.testing.models.model import (
    ReceiverModel,
    StoredSample,
    key_of,
    refusal,
    samples_of,
)
from pyflink_prometheus.testing.models.series_limits import SeriesLimits
from pyflink_prometheus.testing.models.tsdb_head import Appender, TsdbHead
from pyflink_prometheus.testing.receiver import ALL_VERSIONS, Answer

_MAX_BYTES = 32 * 1024 * 1024
_NOTHING_IS_SAID = Answer(204, says_written=False)


class PrometheusModel(ReceiverModel):
    """
    Prometheus with an empty storage and no out-of-order window.

    Modelled after what Prometheus 3.5.3 and 2.42 do (``tests/integration/test_receiver_models.py`` holds them to it):

    - A 1.0 request with one bad sample is answered 400 and rolled back whole. A series with invalid labels is skipped
      and not even said.
    - Of a 2.0 request the good part is stored and counted exactly, whether the answer is 204 or 400. What comes out of
      order or twice within the request is counted as written and dropped.
    - An empty storage, and a 2.0 request that begins with a series too far ahead: all of the request is refused.
    - Over 32 MiB decoded: 400 without counts.

    :param now_ms: what the receiver takes for the present; it may be set later.
    :param versions: what it understands. Without 2.0 it answers 204 to that, without counts, and stores nothing.
    :param max_lead_ms: how far ahead of the present a sample may be. Prometheus 2 knows no such bound: ``None``.
    """

    def __init__(
        self,
        now_ms: int,
        *,
        versions: Collection[RemoteWriteVersion] = ALL_VERSIONS,
        max_lead_ms: int | None = 600_000,
    ) -> None:
        self.now_ms = now_ms
        self._versions = versions
        self._max_lead_ms = max_lead_ms
        self._head = TsdbHead()

    @property
    def stored(self) -> list[StoredSample]:
        """What its storage holds."""
        return self._head.stored

    def __call__(self, request: ReceivedRequest) -> Answer:
        """Store and answer."""
        if request.version not in self._versions:
            return _NOTHING_IS_SAID
        if request.decoded_bytes > _MAX_BYTES and self._max_lead_ms is not None:  # which 2.42 does not bound, either
            words = f"snappy: decoded length {request.decoded_bytes} exceeds limit {_MAX_BYTES}"
            return Answer(400, words, says_written=False)
        appender = Appender(self._head)
        if request.version is RemoteWriteVersion.V1:
            return self._all_or_nothing(request, appender)
        return self._good_part(request, appender)

    def _all_or_nothing(self, request: ReceivedRequest, appender: Appender) -> Answer:
        for key, value, timestamp in samples_of(request):
            problem = self._append(appender, key, value, timestamp)
            if problem is not None:
                return Answer(400, problem)
        appender.commit()
        return Answer()

    def _good_part(self, request: ReceivedRequest, appender: Appender) -> Answer:
        problems: list[str] = []
        samples = histograms = 0
        for series in request.series:
            invalid = SeriesLimits().problem(series)
            if invalid is not None:
                problems.append(invalid)
                continue
            key = key_of(series)
            for value, timestamp, *_ in series.samples:
                problem = self._append(appender, key, value, timestamp)
                if problem is not None:
                    problems.append(f"{problem} for series {key}")
                elif isinstance(value, NativeHistogram):
                    histograms += 1
                else:
                    samples += 1
            appender.open()
        appender.commit()
        written = Written(samples, histograms, request.content.exemplars if samples + histograms else 0)
        return refusal(request, problems, written) if problems else Answer(written=written)

    def _append(self, appender: Appender, key: str, value: object, timestamp: int) -> str | None:
        if self._max_lead_ms is not None and timestamp > self.now_ms + self._max_lead_ms:
            return "out of bounds: timestamp is too far in the future"
        return appender.append(key, value, timestamp)


class AllOrNothingModel(ReceiverModel):
    """
    A receiver that keeps nothing of a request with one bad sample, in both versions, and says so.

    Modelled after what the 2.0 specification allows: receivers MAY keep the good part. This one answers 400 with counts
    of 0. What it takes is what Prometheus takes, with limits of its own.

    :param now_ms: what the receiver takes for the present.
    :param limits: of the labels of a series. Default: 30 of them.
    """

    def __init__(self, now_ms: int, limits: SeriesLimits | None = None) -> None:
        self.now_ms = now_ms
        self._limits = SeriesLimits(labels=30) if limits is None else limits
        self._head = TsdbHead()

    @property
    def stored(self) -> list[StoredSample]:
        """What its storage holds."""
        return self._head.stored

    def __call__(self, request: ReceivedRequest) -> Answer:
        """Store all or nothing, and answer."""
        appender = Appender(self._head)
        problems = [problem for series in request.series if (problem := self._limits.problem(series)) is not None]
        for key, value, timestamp in samples_of(request):
            if timestamp > self.now_ms + 600_000:
                problems.append("too far in the future")
            elif (problem := appender.append(key, value, timestamp)) is not None:
                problems.append(problem)
        if problems:
            return refusal(request, problems, Written())
        appender.commit()
        return Answer()
