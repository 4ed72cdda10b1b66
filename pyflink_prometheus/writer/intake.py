"""Look closely at what a record holds where it is not what most records hold."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from pyflink_prometheus.checks import checked_exemplar, checked_sample, likely_unit
from pyflink_prometheus.config import SinkConfig
from pyflink_prometheus.errors import InvalidTimeSeriesError
from pyflink_prometheus.timeseries import PrometheusTimeSeries
from pyflink_prometheus.wire.point import Point, PointOrFloat
from pyflink_prometheus.wire.series import Series
from pyflink_prometheus.writer.guards import TimestampGuard
from pyflink_prometheus.writer.ledger import Ledger, Reason
from pyflink_prometheus.writer.rejected import RejectedSamples

_log = logging.getLogger(__name__)


class Intake:
    """
    Check samples and exemplars one by one, and say once what looks wrong but is sent.

    :param config: which guards are on.
    :param time: tells seconds since 1970.
    :param ledger: where exemplars that are left out are counted.
    """

    def __init__(self, config: SinkConfig, time: Callable[[], float], ledger: Ledger) -> None:
        guard = TimestampGuard(config, time)
        self._guard = guard if guard.needed else None
        self._ledger = ledger
        self._said: set[str] = set()

    @property
    def looks_at_every_sample(self) -> bool:
        """Whether a guard is on, so that an ordinary sample must be looked at as well."""
        return self._guard is not None

    def with_exemplars(self, samples: Sequence[Any], exemplars: Any) -> Sequence[Any]:
        """Return a record's samples, the last of them with those exemplars that can be written."""
        checked = []
        for exemplar in exemplars if isinstance(exemplars, (tuple, list)) else (exemplars,):
            try:
                checked.append(checked_exemplar(exemplar))
            except InvalidTimeSeriesError as error:
                self._ledger.settle_exemplars(0, 1)
                self.say_once("exemplars", "%s; such exemplars are left out and counted", error)
        return (*samples[:-1], _WithExemplars(samples[-1], tuple(checked)))

    def look(self, series: Series, sample: Any) -> tuple[PointOrFloat, int] | RejectedSamples:
        """Return a sample as the columns of a batch hold it, or with the reason why it is not written."""
        exemplars: tuple[Any, ...] = ()
        if isinstance(sample, _WithExemplars):
            sample, exemplars = sample
        try:
            value, timestamp, start_timestamp = checked_sample(sample)
            refusal = None if self._guard is None else self._guard.refuse(series, timestamp)
        except InvalidTimeSeriesError as error:
            refusal = (Reason.INVALID, str(error))
        if refusal is not None:
            self._ledger.settle_exemplars(0, len(exemplars))
            return RejectedSamples(sample, 1, *refusal)
        if unit := likely_unit(timestamp):
            self.say_once(
                unit[0],
                "samples: the timestamp %d of %r lies in the year %d, because timestamps are milliseconds; if it is in "
                "%s, %s",
                timestamp,
                series,
                1970 + timestamp // 31_556_952_000,
                *unit,
            )
        if exemplars or start_timestamp or not isinstance(value, float):
            return Point(value, start_timestamp, exemplars), timestamp
        return value, timestamp

    def say_once(self, topic: str, message: str, *arguments: object) -> None:
        """Log a warning, and none of the same topic again."""
        if topic not in self._said:
            self._said.add(topic)
            _log.warning(f"{message} (said once)", *arguments)


class _WithExemplars(NamedTuple):
    """The last sample of a record that has exemplars, and those of them that can be written."""

    sample: Any
    exemplars: tuple[Any, ...]


def invalid(record: Any, count: int, error: InvalidTimeSeriesError) -> RejectedSamples:
    """Say that a record, or what a user gave for one, is rejected whole."""
    return RejectedSamples(record, count, Reason.INVALID, str(error))


def alone(record: tuple[Any, ...], sample: Any) -> PrometheusTimeSeries:
    """Return the record with one of its samples alone."""
    metric_name, labels, _, metadata, _ = record
    return PrometheusTimeSeries(metric_name, labels, (sample,), metadata)


def count_of(samples: Any) -> int:
    """Count the samples of a record that is rejected whole; one that has none is still something refused."""
    try:
        return max(1, len(samples))
    except TypeError:
        return 1
