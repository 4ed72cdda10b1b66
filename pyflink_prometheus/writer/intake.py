"""Checks of unusual samples and exemplars of a record; on the caller's thread."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pyflink_prometheus.config import SinkConfig
from pyflink_prometheus.errors import InvalidTimeSeriesError
from pyflink_prometheus.guards.guard import SeriesRefused
from pyflink_prometheus.model.exemplars import checked_exemplar
from pyflink_prometheus.model.histogram import NativeHistogram
from pyflink_prometheus.model.samples import LIKELY_MICROSECONDS, LIKELY_SECONDS, checked_sample, likely_unit
from pyflink_prometheus.model.timeseries import PrometheusTimeSeries
from pyflink_prometheus.wire.point import Point
from pyflink_prometheus.wire.series import Series
from pyflink_prometheus.writer.ledger import Ledger, RejectionReason
from pyflink_prometheus.writer.rejected import RejectedSamples

_log = logging.getLogger(__name__)

#: Timestamps that are likely in milliseconds; earlier ones may be in seconds, later ones in other units.
USUAL = range(LIKELY_SECONDS.stop, LIKELY_MICROSECONDS.start)


class SampleRejected(Exception):  # noqa: N818  (it is caught at once and reports no error)
    """A sample that must not be sent."""

    def __init__(self, reason: RejectionReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason

    def of(self, record: tuple[Any, ...], sample: Any) -> RejectedSamples:
        """Return the sample for the handler: the record with only this sample."""
        metric_name, labels, _, metadata, _ = record
        given = sample.sample if isinstance(sample, _WithExemplars) else sample
        single = PrometheusTimeSeries(metric_name, labels, (given,), metadata)
        return RejectedSamples(single, 1, self.reason, str(self))


class Intake:
    """
    Checks of single samples and exemplars, with one warning per topic about samples that look wrong but are sent.

    :param config: the settings that enable guards.
    :param time: returns seconds since 1970.
    :param ledger: counts dropped exemplars.
    """

    def __init__(self, config: SinkConfig, time: Callable[[], float], ledger: Ledger) -> None:
        guard = _TimestampGuard(config, time)
        self._guard = guard if guard.is_needed else None
        self._sends_histograms = config.send_native_histograms
        self._ledger = ledger
        self._warned_of: set[str] = set()

    @property
    def looks_at_every_sample(self) -> bool:
        """Whether a guard is on, so that ordinary samples must also be checked."""
        return self._guard is not None

    def unusual(self, timestamps: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_] | None:
        """Return which samples must be checked one by one; ``None`` if all of them must, in order."""
        if ((timestamps < USUAL.start) | (timestamps >= USUAL.stop)).any():
            return None
        return np.zeros(len(timestamps), np.bool_) if self._guard is None else self._guard.suspects(timestamps)

    def with_exemplars(self, samples: Sequence[Any], exemplars: Any) -> Sequence[Any]:
        """Return a record's samples, the last one with the valid exemplars."""
        checked = []
        for exemplar in exemplars if isinstance(exemplars, (tuple, list)) else (exemplars,):
            try:
                checked.append(checked_exemplar(exemplar))
            except InvalidTimeSeriesError as error:
                self._ledger.settle_exemplars(0, 1)
                self.warn_once("exemplars", "%s; such exemplars are dropped and counted", error)
        return (*samples[:-1], _WithExemplars(samples[-1], tuple(checked)))

    def checked(self, series: Series, sample: Any) -> tuple[float | Point, int]:
        """
        Return a sample's value and timestamp as a batch holds them.

        :raises SampleRejected: if it must not be sent.
        """
        exemplars: tuple[Any, ...] = ()
        if isinstance(sample, _WithExemplars):
            sample, exemplars = sample
        try:
            value, timestamp, start_timestamp = checked_sample(sample)
            if not self._sends_histograms and isinstance(value, NativeHistogram):
                raise SampleRejected(RejectionReason.EXCLUDED, "native histograms are excluded by the configuration")
            if self._guard is not None:
                self._guard.check(series, timestamp)
        except InvalidTimeSeriesError as error:
            self._ledger.settle_exemplars(0, len(exemplars))
            raise SampleRejected(RejectionReason.INVALID, str(error)) from None
        except SampleRejected:
            self._ledger.settle_exemplars(0, len(exemplars))
            raise
        if unit := likely_unit(timestamp):
            self._warn_of_unit(series, timestamp, *unit)
        if exemplars or start_timestamp or not isinstance(value, float):
            return Point(value, start_timestamp, exemplars), timestamp
        return value, timestamp

    def warn_once(self, topic: str, message: str, *arguments: object) -> None:
        """Log a warning, but only the first one of each topic."""
        if topic not in self._warned_of:
            self._warned_of.add(topic)
            _log.warning(f"{message} (logged once)", *arguments)

    def _warn_of_unit(self, series: Series, timestamp: int, unit: str, advice: str) -> None:
        self.warn_once(
            unit,
            "samples: the timestamp %d of %r is in the year %d, because timestamps are milliseconds; if it is in "
            "%s, %s",
            timestamp,
            series,
            1970 + timestamp // 31_556_952_000,
            unit,
            advice,
        )


class _WithExemplars(NamedTuple):
    """The last sample of a record with exemplars, and its valid exemplars."""

    sample: Any
    exemplars: tuple[Any, ...]


class _TimestampGuard:
    """
    Optional checks of a sample's timestamp before it is sent.

    :param config: the settings ``max_sample_age_ms``, ``max_sample_lead_ms`` and ``drop_out_of_order_samples``.
    :param time: returns seconds since 1970.
    """

    def __init__(self, config: SinkConfig, time: Callable[[], float]) -> None:
        self._max_age_ms = config.max_sample_age_ms
        self._max_lead_ms = config.max_sample_lead_ms
        self._in_order = config.drop_out_of_order_samples
        self._time = time
        # The newest timestamp of each series, by its identity. In two generations, like the cache of series, so that
        # ended series are dropped.
        self._generation_size = max(1, config.max_cached_series // 2)
        self._young: dict[Any, int] = {}
        self._old: dict[Any, int] = {}

    @property
    def is_needed(self) -> bool:
        """Whether any check is on."""
        return self._max_age_ms is not None or self._max_lead_ms is not None or self._in_order

    def suspects(self, timestamps: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_] | None:
        """Return which samples are too old or too new; ``None`` if each must be checked, in order."""
        if self._in_order:
            return None
        suspects = np.zeros(len(timestamps), np.bool_)
        now_ms = int(self._time() * 1000)
        if self._max_age_ms is not None:
            suspects |= timestamps < now_ms - self._max_age_ms
        if self._max_lead_ms is not None:
            suspects |= timestamps > now_ms + self._max_lead_ms
        return suspects

    def check(self, series: Series, timestamp: int) -> None:
        """
        Check a sample's timestamp, and remember it as the newest of its series.

        :raises SampleRejected: if it must not be sent.
        """
        now_ms = int(self._time() * 1000)
        if self._max_age_ms is not None and timestamp < now_ms - self._max_age_ms:
            problem = f"is {now_ms - timestamp} ms old, over max_sample_age_ms={self._max_age_ms}"
            raise SampleRejected(RejectionReason.TOO_OLD, f"samples: {timestamp} {problem}")
        if self._max_lead_ms is not None and timestamp > now_ms + self._max_lead_ms:
            problem = f"is {timestamp - now_ms} ms ahead, over max_sample_lead_ms={self._max_lead_ms}"
            raise SampleRejected(RejectionReason.TOO_NEW, f"samples: {timestamp} {problem}")
        if self._in_order:
            identity = series.identity
            newest = self._young.get(identity)
            if newest is None:
                newest = self._old.get(identity)
            if newest is not None and timestamp < newest:
                problem = f"arrived after {newest}, a newer timestamp of the same series"
                raise SampleRejected(RejectionReason.OUT_OF_ORDER, f"samples: {timestamp} {problem}")
            if len(self._young) >= self._generation_size:
                self._old, self._young = self._young, {}
            self._young[identity] = timestamp


def invalid(record: Any, count: int, error: InvalidTimeSeriesError) -> RejectedSamples:
    """Return a record, or whatever the user passed as one, as rejected completely."""
    return RejectedSamples(record, count, RejectionReason.INVALID, str(error))


def over_limit(record: tuple[Any, ...], refusal: SeriesRefused) -> RejectedSamples:
    """Return a record as rejected completely, because of a limit on its series."""
    series = PrometheusTimeSeries(*record)
    return RejectedSamples(series, count_of(series.samples), RejectionReason.OVER_LIMIT, str(refusal))


def count_of(samples: Any) -> int:
    """Return the number of samples of a record that is rejected completely, at least 1."""
    try:
        return max(1, len(samples))
    except TypeError:
        return 1
