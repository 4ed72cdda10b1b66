"""The record that the sink writes: a series' name and labels with samples, its checks and its canonical key."""

from __future__ import annotations

import operator
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Union

from pyflink_prometheus.errors import InvalidTimeSeriesError

METRIC_NAME_LABEL = "__name__"
INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1
LIKELY_SECONDS = range(10**8, 10**11)

Labels = Union[Mapping[str, str], Sequence["tuple[str, str]"]]
LabelPairs = "tuple[tuple[str, str], ...]"

_PLAIN_METRIC_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_PLAIN_LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


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
    :param samples: (value, timestamp in milliseconds since 1970) pairs; a value may be NaN or infinite.
    """

    metric_name: str
    labels: Labels
    samples: Sequence[tuple[float, int]]

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
        return self


class PrometheusTimeSeriesBuilder:
    """Collect a :class:`PrometheusTimeSeries` step by step, as the Java connector's builder does."""

    def __init__(self) -> None:
        self._metric_name = ""
        self._labels: list[tuple[str, str]] = []
        self._samples: list[tuple[float, int]] = []

    def with_metric_name(self, metric_name: str) -> PrometheusTimeSeriesBuilder:
        """Set the metric's name."""
        self._metric_name = metric_name
        return self

    def add_label(self, name: str, value: str) -> PrometheusTimeSeriesBuilder:
        """Add a label; their order does not matter."""
        self._labels.append((name, value))
        return self

    def add_sample(self, value: float, timestamp: int) -> PrometheusTimeSeriesBuilder:
        """
        Add a sample.

        :param value: the measurement.
        :param timestamp: its time, in milliseconds since 1970.
        """
        self._samples.append((value, timestamp))
        return self

    def build(self) -> PrometheusTimeSeries:
        """
        Return the record.

        :raises InvalidTimeSeriesError: if it cannot be written, naming the field and what was expected.
        """
        return PrometheusTimeSeries(self._metric_name, tuple(self._labels), tuple(self._samples)).check()


def as_time_series(record: Any) -> PrometheusTimeSeries:
    """
    Return the record as a :class:`PrometheusTimeSeries`; a plain tuple of the same shape is one, too.

    :raises TypeError: if it is anything else, which no data can cause: the job lacks a converter.
    """
    if isinstance(record, PrometheusTimeSeries):
        return record
    if isinstance(record, tuple) and len(record) == 3:
        return PrometheusTimeSeries(*record)
    raise TypeError(
        f"the sink got a {type(record).__name__}, {_shown(record)}, and expected a PrometheusTimeSeries or a tuple "
        "(metric_name, labels, samples): turn your records into one with set_element_converter(...)"
    )


def canonical_labels(metric_name: Any, labels: Any) -> tuple[tuple[str, str], ...]:
    """
    Return all labels with ``__name__`` among them, sorted by name and without empty values.

    The order is that of the names' UTF-8 bytes, which is the one that receivers compare by and also that of Python's
    strings. Rules: Remote-Write 1.0 "Labels", 2.0 "Required labels"; names may be any UTF-8, as Prometheus 3 has it.

    :raises InvalidTimeSeriesError: naming the field and what was expected.
    """
    if not isinstance(metric_name, str) or not metric_name:
        raise InvalidTimeSeriesError("metric_name", f"expected a non-empty string, got {_shown(metric_name)}")
    _check_utf8("metric_name", metric_name)
    pairs: dict[str, str] = {METRIC_NAME_LABEL: metric_name}
    for name, value in _pairs(labels):
        if not isinstance(name, str) or not name:
            raise InvalidTimeSeriesError("labels", f"expected non-empty strings as label names, got {_shown(name)}")
        if not isinstance(value, str):
            raise InvalidTimeSeriesError(
                "labels", f"expected a string as the value of label {_shown(name)}, got {_shown(value)}"
            )
        if name.startswith("__"):
            raise InvalidTimeSeriesError(
                "labels",
                f"label name {_shown(name)} is reserved, as all that begin with two underscores are"
                + ("; the metric's name goes in metric_name" if name == METRIC_NAME_LABEL else ""),
            )
        if name in pairs:
            raise InvalidTimeSeriesError("labels", f"label {_shown(name)} is there twice")
        _check_utf8("labels", name)
        _check_utf8("labels", value)
        pairs[name] = value
    return tuple(sorted(pair for pair in pairs.items() if pair[1]))


def series_key(labels: Sequence[tuple[str, str]]) -> str:
    """Write canonical labels as a PromQL selector; names beyond the classic alphabet are quoted (Prometheus 3)."""
    metric_name = next(value for name, value in labels if name == METRIC_NAME_LABEL)
    inside = [f"{_label_name(name)}={_quoted(value)}" for name, value in labels if name != METRIC_NAME_LABEL]
    if _PLAIN_METRIC_NAME.fullmatch(metric_name):
        return f"{metric_name}{{{','.join(inside)}}}"
    return f"{{{','.join([_quoted(metric_name), *inside])}}}"


def checked_samples(samples: Any) -> Sequence[Any]:
    """
    Return the samples if there are any; they are still to be checked one by one.

    :raises InvalidTimeSeriesError: if there are none.
    """
    if not isinstance(samples, (str, bytes, Mapping)):
        try:
            several = samples if isinstance(samples, (tuple, list)) else tuple(samples)
        except TypeError:
            several = ()
        if several:
            return several
    raise InvalidTimeSeriesError(
        "samples", f"expected one or more (value, timestamp in ms) pairs, got {_shown(samples)}"
    )


def checked_sample(sample: Any) -> tuple[float, int]:
    """
    Return a sample as a float and an int.

    :raises InvalidTimeSeriesError: if it is none, with a word on what was expected.
    """
    if isinstance(sample, (tuple, list)) and len(sample) == 2:
        return _checked_value(sample[0]), _checked_timestamp(sample[1])
    raise InvalidTimeSeriesError("samples", f"expected (value, timestamp in ms) pairs, got {_shown(sample)}")


def looks_like_seconds(timestamp: int) -> bool:
    """Tell whether a timestamp is a likely time in seconds; as milliseconds, all of these lie in 1970 to 1973."""
    return timestamp in LIKELY_SECONDS


def _checked_value(value: Any) -> float:
    if not isinstance(value, (str, bytes, bytearray)):
        try:
            return float(value)
        except (TypeError, ValueError, OverflowError):
            pass
    raise InvalidTimeSeriesError("samples", f"expected a number as the value, got {_shown(value)}")


def _checked_timestamp(timestamp: Any) -> int:
    try:
        number = operator.index(timestamp)
    except TypeError:
        hint = ""
        if isinstance(timestamp, float):
            hint = "; use int(seconds * 1000) if it is in seconds, int(...) if it is in milliseconds"
        elif hasattr(timestamp, "timestamp"):
            hint = "; use int(time.timestamp() * 1000)"
        raise InvalidTimeSeriesError(
            "samples", f"expected an int of milliseconds since 1970 as the timestamp, got {_shown(timestamp)}{hint}"
        ) from None
    if not INT64_MIN <= number <= INT64_MAX:
        raise InvalidTimeSeriesError(
            "samples", f"the timestamp {number} does not fit into 64 bits; expected milliseconds"
        )
    return number


def _pairs(labels: Any) -> Sequence[tuple[Any, Any]]:
    if isinstance(labels, Mapping):
        return list(labels.items())
    if isinstance(labels, (tuple, list)) and all(isinstance(pair, (tuple, list)) and len(pair) == 2 for pair in labels):
        return labels
    raise InvalidTimeSeriesError("labels", f"expected a mapping or (name, value) pairs, got {_shown(labels)}")


def _check_utf8(field: str, text: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InvalidTimeSeriesError(field, f"{_shown(text)} cannot be written as UTF-8: {error.reason}") from None


def _label_name(name: str) -> str:
    return name if _PLAIN_LABEL_NAME.fullmatch(name) else _quoted(name)


def _quoted(text: str) -> str:
    return f'"{text.translate(_ESCAPES)}"'


def _shown(value: Any) -> str:
    """Show a user's value in a message: never longer than a line, never one that breaks the message."""
    try:
        text = repr(value)
    except Exception:  # a user's __repr__ may do anything
        text = f"<{type(value).__name__}>"
    return text if len(text) <= 120 else text[:117] + "..."
