"""The record that the sink writes: a series' name and labels with samples, and what may go with them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Optional

from pyflink_prometheus._validation import shown
from pyflink_prometheus.model.exemplars import Exemplar, checked_exemplar
from pyflink_prometheus.model.labels import Labels, canonical_labels, series_key
from pyflink_prometheus.model.metadata import Metadata, checked_metadata
from pyflink_prometheus.model.samples import (
    Sample,
    Value,
    checked_sample,
    checked_samples,
)


class PrometheusTimeSeries(NamedTuple):
    """
    Hold one series and some samples of it.

    A record is a named tuple, and the sink takes a plain tuple of the same shape just as well: between two Flink
    operators an instance of a class costs several times a tuple (``benchmarks/hop.py``), so a stream that has to cross
    a hop may carry ``tuple(series)``.

    Nothing is checked here: the writer checks name and labels once a series and each sample as it comes, and rejects
    an offender alone. :meth:`check` and the builder's ``build`` do the same for those who want to know earlier.

    :param metric_name: the value of the ``__name__`` label; any non-empty text.
    :param labels: the other labels, in any order, as a mapping or as (name, value) pairs. A label whose value is
        empty is left out, as Prometheus does.
    :param samples: (value, timestamp in milliseconds since 1970) pairs; a value may be NaN or infinite, a
        :class:`NativeHistogram`, or :data:`STALE_MARKER`. A third element is the time at which a counter began, for
        receivers that take it; ``None`` or 0 where it is not known.
    :param metadata: what the metric is. Default: nothing is said.
    :param exemplars: of the same series; they are sent with the last of these samples. Default: none.
    """

    metric_name: str
    labels: Labels
    samples: Sequence[Sample]
    metadata: Optional[Metadata] = None
    exemplars: Sequence[Exemplar] = ()

    @staticmethod
    def builder() -> PrometheusTimeSeriesBuilder:
        """Return a builder with the Java connector's method names."""
        return PrometheusTimeSeriesBuilder()

    def key(self) -> str:
        """
        Return the series' canonical key, which is also its PromQL selector: ``name{a="b",c="d"}``.

        Two records of the same series have the same key, whatever the order of their labels.

        :raises InvalidTimeSeriesError: if name or labels cannot be written.
        """
        return series_key(canonical_labels(self.metric_name, self.labels))

    def check(self) -> PrometheusTimeSeries:
        """
        Return the record itself if all of it can be written.

        :raises InvalidTimeSeriesError: naming the first field that cannot, and what was expected.
        """
        canonical_labels(self.metric_name, self.labels)
        for sample in checked_samples(self.samples):
            checked_sample(sample)
        if self.metadata is not None:
            checked_metadata(self.metadata)
        for exemplar in self.exemplars:
            checked_exemplar(exemplar)
        return self


class PrometheusTimeSeriesBuilder:
    """Collect a :class:`PrometheusTimeSeries` step by step, as the Java connector's builder does."""

    def __init__(self) -> None:
        self._metric_name = ""
        self._labels: list[tuple[str, str]] = []
        self._samples: list[Sample] = []
        self._metadata: Metadata | None = None
        self._exemplars: list[Exemplar] = []

    def with_metric_name(self, metric_name: str) -> PrometheusTimeSeriesBuilder:
        """Set the metric's name."""
        self._metric_name = metric_name
        return self

    def add_label(self, name: str, value: str) -> PrometheusTimeSeriesBuilder:
        """Add a label; their order does not matter."""
        self._labels.append((name, value))
        return self

    def add_sample(
        self, value: Value, timestamp: int, start_timestamp: int | None = None
    ) -> PrometheusTimeSeriesBuilder:
        """
        Add a sample.

        :param value: the measurement, a :class:`NativeHistogram`, or :data:`STALE_MARKER`.
        :param timestamp: its time, in milliseconds since 1970.
        :param start_timestamp: when its counter began, in milliseconds since 1970. Default: not known.
        """
        self._samples.append((value, timestamp) if start_timestamp is None else (value, timestamp, start_timestamp))
        return self

    def with_metadata(self, type: str, help: str = "", unit: str = "") -> PrometheusTimeSeriesBuilder:
        """Say what the metric is: see :class:`Metadata`."""
        self._metadata = Metadata(type, help, unit)
        return self

    def add_exemplar(self, labels: Labels, value: float, timestamp: int) -> PrometheusTimeSeriesBuilder:
        """Add an exemplar: see :class:`Exemplar`."""
        self._exemplars.append(Exemplar(labels, value, timestamp))
        return self

    def build(self) -> PrometheusTimeSeries:
        """
        Return the record.

        :raises InvalidTimeSeriesError: if it cannot be written, naming the field and what was expected.
        """
        return PrometheusTimeSeries(
            self._metric_name, tuple(self._labels), tuple(self._samples), self._metadata, tuple(self._exemplars)
        ).check()


def as_time_series(record: Any) -> PrometheusTimeSeries:
    """
    Return the record as a :class:`PrometheusTimeSeries`; a plain tuple of the same shape is one, too.

    :raises TypeError: if it is anything else, which no data can cause: the job lacks a converter.
    """
    if isinstance(record, PrometheusTimeSeries):
        return record
    if isinstance(record, tuple) and 3 <= len(record) <= 5:
        return PrometheusTimeSeries(*record)
    raise _no_series(record)


def check_is_series(record: tuple[Any, ...]) -> None:
    """
    Tell a record that is no series from one that holds something that cannot be written.

    The former is a mistake in the job's code: labels that are neither a mapping nor pairs, or samples that are not
    pairs. Data can make a name anything, leave any field ``None`` or empty, and break a pair among others, and such a
    record is rejected alone. Called for a record that was refused, never for a good one.

    :raises TypeError: if it is no series.
    """
    _, labels, samples = record[:3]
    if not isinstance(labels, (Mapping, type(None))) and not _has_pairs(labels):
        raise _no_series(record, f"; its labels are {shown(labels)}")
    if isinstance(samples, Mapping) or (samples is not None and not _has_pairs(samples)):
        raise _no_series(record, f"; its samples are {shown(samples)}")


def _has_pairs(several: Any) -> bool:
    """Tell whether something is a sequence in which there is a tuple or a list, or nothing at all."""
    if not isinstance(several, (tuple, list)):
        return isinstance(several, Iterable) and not isinstance(several, (str, bytes, bytearray))
    return all(each is None for each in several) or any(isinstance(each, (tuple, list)) for each in several)


def _no_series(record: Any, why: str = "") -> TypeError:
    return TypeError(
        f"the sink got a {type(record).__name__}, {shown(record)}, and expected a PrometheusTimeSeries or a tuple "
        f"(metric_name, labels, samples): turn your records into one with set_element_converter(...){why}"
    )
