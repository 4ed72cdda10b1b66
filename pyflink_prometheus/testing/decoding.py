"""Decoding of requests with protobuf's own classes, so that tests do not rely on this package's encoders."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pyflink_prometheus.config import RemoteWriteVersion
from pyflink_prometheus.http.outcome import Written
from pyflink_prometheus.model.exemplars import Exemplar
from pyflink_prometheus.model.histogram import NativeHistogram
from pyflink_prometheus.model.labels import METRIC_NAME_LABEL
from pyflink_prometheus.model.metadata import METRIC_TYPES, Metadata
from pyflink_prometheus.model.timeseries import PrometheusTimeSeries
from pyflink_prometheus.wire._pb.remote_write_v1_pb2 import Histogram, WriteRequest
from pyflink_prometheus.wire._pb.remote_write_v2_pb2 import Request
from pyflink_prometheus.wire.compression import uncompress

_GAUGE = Histogram.GAUGE


@dataclass(frozen=True)
class ReceivedRequest:
    """
    One decoded request.

    :param headers: the request's headers, names in lower case.
    :param series: its series and their labels, in the order on the wire. Samples are (value, timestamp), with the start
        timestamp as a third element if there is one.
    :param version: the version of Remote-Write.
    :param decoded_bytes: the size of the message after decompression, which is what receivers limit.
    """

    headers: Mapping[str, str]
    series: list[PrometheusTimeSeries]
    version: RemoteWriteVersion = RemoteWriteVersion.V1
    decoded_bytes: int = 0

    @property
    def samples(self) -> list[tuple[str, Any, int]]:
        """All samples as (series key, value, timestamp in ms), in the order on the wire; a value may be a histogram."""
        return [(each.key(), sample[0], sample[1]) for each in self.series for sample in each.samples]

    @property
    def content(self) -> Written:
        """The numbers of samples, histograms and exemplars in it, as a receiver counts them."""
        values = [value for _, value, _ in self.samples]
        histograms = sum(isinstance(value, NativeHistogram) for value in values)
        return Written(len(values) - histograms, histograms, sum(len(each.exemplars) for each in self.series))


def decode_request(body: bytes, headers: Mapping[str, str] | None = None) -> ReceivedRequest:
    """
    Decode a request with protobuf's own classes.

    :param body: the request's body, in Snappy's block format.
    :param headers: its headers; the Content-Type identifies a 2.0 request. Default: the headers of a 1.0 request.
    """
    message = uncompress(body)
    names = {name.lower(): value for name, value in (headers or {}).items()}
    if "io.prometheus.write.v2.Request" in names.get("content-type", ""):
        return ReceivedRequest(names, _series_of_v2(Request.FromString(message)), RemoteWriteVersion.V2, len(message))
    return ReceivedRequest(names, _series_of_v1(WriteRequest.FromString(message)), RemoteWriteVersion.V1, len(message))


def _series_of_v1(request: Any) -> list[PrometheusTimeSeries]:
    def pairs(labels: Iterable[Any]) -> tuple[tuple[str, str], ...]:
        return tuple((label.name, label.value) for label in labels)

    def labels_of(exemplar: Any) -> tuple[tuple[str, str], ...]:
        return pairs(exemplar.labels)

    return [_series(each, pairs(each.labels), None, labels_of) for each in request.timeseries]


def _series_of_v2(request: Any) -> list[PrometheusTimeSeries]:
    symbols = request.symbols

    def pairs(references: Sequence[int]) -> tuple[tuple[str, str], ...]:
        return tuple((symbols[name], symbols[value]) for name, value in zip(references[::2], references[1::2]))

    series = []
    for each in request.timeseries:
        metadata = None
        if each.HasField("metadata"):
            sent = each.metadata
            metadata = Metadata(METRIC_TYPES[sent.type], symbols[sent.help_ref], symbols[sent.unit_ref])
        series.append(_series(each, pairs(each.labels_refs), metadata, lambda exemplar: pairs(exemplar.labels_refs)))
    return series


def _series(
    message: Any,
    labels: tuple[tuple[str, str], ...],
    metadata: Metadata | None,
    labels_of: Callable[[Any], tuple[tuple[str, str], ...]],
) -> PrometheusTimeSeries:
    samples: list[tuple[Any, ...]] = [_sample(sample.value, sample) for sample in message.samples]
    samples += [_sample(_histogram(histogram), histogram) for histogram in message.histograms]
    return PrometheusTimeSeries(
        dict(labels).get(METRIC_NAME_LABEL, ""),
        tuple(pair for pair in labels if pair[0] != METRIC_NAME_LABEL),
        tuple(samples),
        metadata,
        tuple(Exemplar(labels_of(each), each.value, each.timestamp) for each in message.exemplars),
    )


def _sample(value: Any, message: Any) -> tuple[Any, ...]:
    start = getattr(message, "start_timestamp", 0)
    return (value, message.timestamp, start) if start else (value, message.timestamp)


def _histogram(message: Any) -> NativeHistogram:
    of_floats = message.WhichOneof("count") == "count_float"
    return NativeHistogram(
        schema=message.schema,
        sum=message.sum,
        count=message.count_float if of_floats else message.count_int,
        zero_threshold=message.zero_threshold,
        zero_count=message.zero_count_float if of_floats else message.zero_count_int,
        positive=_buckets(message.positive_spans, message.positive_deltas, message.positive_counts),
        negative=_buckets(message.negative_spans, message.negative_deltas, message.negative_counts),
        custom_values=message.custom_values,
        is_gauge=message.reset_hint == _GAUGE,
    )


def _buckets(spans: Iterable[Any], deltas: Iterable[int], counts: Sequence[float]) -> list[tuple[int, int | float]]:
    absolute: list[int | float] = list(counts)
    if not absolute:
        count = 0
        for delta in deltas:
            count += delta
            absolute.append(count)
    indexes: list[int] = []
    following = 0
    for span in spans:
        following += span.offset
        indexes += range(following, following + span.length)
        following += span.length
    return list(zip(indexes, absolute))
