"""Prometheus, and a 2.0 receiver that stores nothing from a request that it refuses."""

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
from pyflink_prometheus.testing.receiver import ALL_VERSIONS, Response

_MAX_BYTES = 32 * 1024 * 1024
_WITHOUT_COUNTS = Response(204, says_written=False)


class PrometheusModel(ReceiverModel):
    """
    Prometheus with empty storage and no out-of-order window.

    Modelled after Prometheus 3.5.3 and 2.42 (``tests/integration/test_receiver_models.py`` compares them):

    - A 1.0 request with one bad sample gets 400 and is rolled back completely. A series with invalid labels is silently
      skipped.
    - The valid part of a 2.0 request is stored and counted exactly, whether the response is 204 or 400. Samples that
      are out of order or duplicates within the request are counted as written and dropped.
    - If the storage is empty, a 2.0 request that begins with a series too far ahead is refused as a whole.
    - A request of over 32 MiB decoded gets 400 without counts.

    :param now_ms: the receiver's current time; may be changed later.
    :param versions: the supported versions. Without 2.0, a 2.0 request gets 204 without counts; nothing is stored.
    :param max_lead_ms: how far ahead of the present a sample may be. Prometheus 2 has no such bound: ``None``.
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
        """The samples in its storage."""
        return self._head.stored

    def __call__(self, request: ReceivedRequest) -> Response:
        """Store and respond."""
        if request.version not in self._versions:
            return _WITHOUT_COUNTS
        if request.decoded_bytes > _MAX_BYTES and self._max_lead_ms is not None:  # 2.42 does not limit this either
            message = f"snappy: decoded length {request.decoded_bytes} exceeds limit {_MAX_BYTES}"
            return Response(400, message, says_written=False)
        appender = Appender(self._head)
        if request.version is RemoteWriteVersion.V1:
            return self._all_or_nothing(request, appender)
        return self._good_part(request, appender)

    def _all_or_nothing(self, request: ReceivedRequest, appender: Appender) -> Response:
        for key, value, timestamp in samples_of(request):
            problem = self._append(appender, key, value, timestamp)
            if problem is not None:
                return Response(400, problem)
        appender.commit()
        return Response()

    def _good_part(self, request: ReceivedRequest, appender: Appender) -> Response:
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
        return refusal(request, problems, written) if problems else Response(written=written)

    def _append(self, appender: Appender, key: str, value: object, timestamp: int) -> str | None:
        if self._max_lead_ms is not None and timestamp > self.now_ms + self._max_lead_ms:
            return "out of bounds: timestamp is too far in the future"
        return appender.append(key, value, timestamp)


class AllOrNothingModel(ReceiverModel):
    """
    A receiver that stores nothing from a request with one bad sample, in both versions, and says so.

    Modelled after the 2.0 specification: receivers MAY store the valid part. This one responds with 400 and counts of
    0. It accepts what Prometheus accepts, within its own limits.

    :param now_ms: the receiver's current time.
    :param limits: the limits on a series' labels. Default: 30 labels.
    """

    def __init__(self, now_ms: int, limits: SeriesLimits | None = None) -> None:
        self.now_ms = now_ms
        self._limits = SeriesLimits(labels=30) if limits is None else limits
        self._head = TsdbHead()

    @property
    def stored(self) -> list[StoredSample]:
        """The samples in its storage."""
        return self._head.stored

    def __call__(self, request: ReceivedRequest) -> Response:
        """Store all or nothing, and respond."""
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
        return Response()
