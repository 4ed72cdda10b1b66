"""The record that the sink writes: one series with samples, and optionally metadata and exemplars."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

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
    One series with some of its samples.

    A record is a named tuple, and the sink also accepts a plain tuple of the same shape. Between two Flink operators an
    instance of a class costs several times as much as a tuple (``benchmarks/exchange.py``), so a stream that crosses an
    exchange may carry ``tuple(series)``.

    Nothing is checked here. The writer checks name and labels once per series, and each sample when it arrives, and
    rejects only the invalid ones. :meth:`check` and the builder's ``build`` run the same checks earlier.

    :param metric_name: the value of the ``__name__`` label; any non-empty text.
    :param labels: the other labels, in any order, as a mapping or as (name, value) pairs. A label with an empty value
        is left out, as in Prometheus.
    :param samples: (value, timestamp in milliseconds since 1970) pairs. A value may be NaN or infinite, a
        :class:`NativeHistogram`, or :data:`STALE_MARKER`. An optional third element is the time at which a counter
        started; ``None`` or 0 if not known.
    :param metadata: the type, help and unit of the metric. Default: none.
    :param exemplars: exemplars of this series, sent with the last of the samples. Default: none.
    """

    metric_name: str
    labels: Labels
    samples: Sequence[Sample]
    metadata: Metadata | None = None
    exemplars: Sequence[Exemplar] = ()

    @staticmethod
    def builder() -> PrometheusTimeSeriesBuilder:
        """Return a builder with the Java connector's method names."""
        return PrometheusTimeSeriesBuilder()

    def key(self) -> str:
        """
        Return the canonical key of the series, which is also its PromQL selector: ``name{a="b",c="d"}``.

        Two records of the same series have the same key, whatever the order of their labels.

        :raises InvalidTimeSeriesError: if the name or the labels are not valid.
        """
        return series_key(canonical_labels(self.metric_name, self.labels))

    def check(self) -> PrometheusTimeSeries:
        """
        Return the record itself if all of it is valid.

        :raises InvalidTimeSeriesError: naming the first field that is not valid, and what was expected.
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
    """A builder of a :class:`PrometheusTimeSeries`, with the Java connector's method names."""

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
        :param start_timestamp: when its counter started, in milliseconds since 1970. Default: not known.
        """
        self._samples.append((value, timestamp) if start_timestamp is None else (value, timestamp, start_timestamp))
        return self

    def with_metadata(self, type: str, help: str = "", unit: str = "") -> PrometheusTimeSeriesBuilder:
        """Set the metric's type, help and unit: see :class:`Metadata`."""
        self._metadata = Metadata(type, help, unit)
        return self

    def add_exemplar(self, labels: Labels, value: float, timestamp: int) -> PrometheusTimeSeriesBuilder:
        """Add an exemplar: see :class:`Exemplar`."""
        self._exemplars.append(Exemplar(labels, value, timestamp))
        return self

    def build(self) -> PrometheusTimeSeries:
        """
        Return the record.

        :raises InvalidTimeSeriesError: if it is not valid, naming the field and what was expected.
        """
        return PrometheusTimeSeries(
            self._metric_name, tuple(self._labels), tuple(self._samples), self._metadata, tuple(self._exemplars)
        ).check()


def as_time_series(record: Any) -> PrometheusTimeSeries:
    """
    Return the record as a :class:`PrometheusTimeSeries`; a plain tuple of the same shape is accepted.

    :raises TypeError: if it is anything else: the job lacks a converter, whatever its data.
    """
    if isinstance(record, PrometheusTimeSeries):
        return record
    if isinstance(record, tuple) and 3 <= len(record) <= 5:
        return PrometheusTimeSeries(*record)
    raise _not_a_series(record)


def check_is_series(record: tuple[Any, ...]) -> None:
    """
    Distinguish a record that is not a series from one whose contents cannot be written.

    The first is a mistake in the job's code: labels that are neither a mapping nor pairs, or samples that are not
    pairs. Data can make a name anything, leave any field ``None`` or empty, and break one pair among others; then only
    that record is rejected. Called for a record that was rejected, never for a good one.

    :raises TypeError: if the record is not a series.
    """
    _, labels, samples = record[:3]
    if not isinstance(labels, (Mapping, type(None))) and not _has_pairs(labels):
        raise _not_a_series(record, f"; its labels are {shown(labels)}")
    if isinstance(samples, Mapping) or (samples is not None and not _has_pairs(samples)):
        raise _not_a_series(record, f"; its samples are {shown(samples)}")


def _has_pairs(values: Any) -> bool:
    """Return whether something is a sequence that holds a tuple or a list, or nothing at all."""
    if not isinstance(values, (tuple, list)):
        return isinstance(values, Iterable) and not isinstance(values, (str, bytes, bytearray))
    return all(each is None for each in values) or any(isinstance(each, (tuple, list)) for each in values)


def _not_a_series(record: Any, why: str = "") -> TypeError:
    return TypeError(
        f"the sink expected a PrometheusTimeSeries or a tuple (metric_name, labels, samples), got "
        f"{type(record).__name__}, {shown(record)}: convert your records with set_element_converter(...){why}"
    )
