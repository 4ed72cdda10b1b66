"""What can be written: the checks of names, labels, samples, exemplars and metadata, each with a message that helps."""

from __future__ import annotations

import operator
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Union

from pyflink_prometheus.errors import InvalidTimeSeriesError
from pyflink_prometheus.histogram import NativeHistogram

METRIC_NAME_LABEL = "__name__"
#: The types of metrics, each at the place of its number in Remote-Write 2.0.
METRIC_TYPES = ("unknown", "counter", "gauge", "histogram", "gaugehistogram", "summary", "info", "stateset")
INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1
#: Timestamps that are likely times of our days in another unit: as milliseconds they lie in 1970 to 1973, or beyond
#: the year 5138.
LIKELY_SECONDS = range(10**8, 10**11)
LIKELY_MICROSECONDS = range(10**14, 10**17)
LIKELY_NANOSECONDS = range(10**17, 2**62)
#: Beyond, a timestamp is none of any unit. Flink's own limits are what a record has without a timestamp assigner, and
#: an empty Prometheus that stores one of them refuses all that follows until it is restarted.
TIMESTAMP_LIMIT = 2**62
# Prometheus stores no exemplar whose labels have more characters than that, as OpenMetrics has it.
MAX_EXEMPLAR_LABELS_LENGTH = 128

LabelPairs = tuple[tuple[str, str], ...]
Value = Union[float, NativeHistogram]

_PLAIN_METRIC_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_PLAIN_LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


def canonical_labels(metric_name: Any, labels: Any) -> LabelPairs:
    """
    Return all labels with ``__name__`` among them, sorted by name and without empty values.

    The order is that of the names' UTF-8 bytes, which is the one that receivers compare by and also that of Python's
    strings. Rules: Remote-Write 1.0 "Labels", 2.0 "Series Labels"; names may be any UTF-8, as Prometheus 3 has it.

    :raises InvalidTimeSeriesError: naming the field and what was expected.
    """
    if not isinstance(metric_name, str) or not metric_name:
        raise InvalidTimeSeriesError("metric_name", f"expected a non-empty string, got {shown(metric_name)}")
    _check_utf8("metric_name", metric_name)
    return _sorted_labels("labels", labels, {METRIC_NAME_LABEL: metric_name})


def series_key(labels: Sequence[tuple[str, str]]) -> str:
    """Write canonical labels as a PromQL selector; names beyond the classic alphabet are quoted (Prometheus 3)."""
    metric_name = next(value for name, value in labels if name == METRIC_NAME_LABEL)
    inside = [f"{_label_name(name)}={_quoted(value)}" for name, value in labels if name != METRIC_NAME_LABEL]
    if _PLAIN_METRIC_NAME.fullmatch(metric_name):
        return f"{metric_name}{{{','.join(inside)}}}"
    return f"{{{','.join([_quoted(metric_name), *inside])}}}"


def has_classic_names(labels: LabelPairs) -> bool:
    """Tell whether canonical labels keep to the patterns of Remote-Write 1.0; 2.0 lets names be any UTF-8."""
    return all(
        _PLAIN_METRIC_NAME.fullmatch(value) if name == METRIC_NAME_LABEL else _PLAIN_LABEL_NAME.fullmatch(name)
        for name, value in labels
    )


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
        "samples", f"expected one or more (value, timestamp in ms) pairs, got {shown(samples)}"
    )


def checked_sample(sample: Any) -> tuple[Value, int, int]:
    """
    Return a sample as its value, its timestamp, and its start timestamp, which is 0 where there is none.

    :raises InvalidTimeSeriesError: if it is none, with a word on what was expected.
    """
    if isinstance(sample, (tuple, list)) and 2 <= len(sample) <= 3:
        start = sample[2] if len(sample) == 3 else None
        return (
            _checked_value("samples", sample[0]),
            _checked_timestamp("samples", "timestamp", sample[1]),
            0 if start is None else _checked_timestamp("samples", "start timestamp", start),
        )
    raise InvalidTimeSeriesError("samples", f"expected (value, timestamp in ms) pairs, got {shown(sample)}")


def checked_metadata(metadata: Any) -> tuple[str, str, str]:
    """
    Return a metric's metadata as its type, its help and its unit.

    :raises InvalidTimeSeriesError: if it is none, with a word on what was expected.
    """
    if not isinstance(metadata, (tuple, list)) or len(metadata) != 3:
        raise InvalidTimeSeriesError("metadata", f"expected a Metadata(type, help, unit), got {shown(metadata)}")
    if metadata[0] not in METRIC_TYPES:
        raise InvalidTimeSeriesError(
            "metadata", f"expected one of {', '.join(METRIC_TYPES)} as the type, got {shown(metadata[0])}"
        )
    for what, text in zip(("help", "unit"), metadata[1:]):
        if not isinstance(text, str):
            raise InvalidTimeSeriesError("metadata", f"expected a string as the {what}, got {shown(text)}")
        _check_utf8("metadata", text)
    return (metadata[0], metadata[1], metadata[2])


def checked_exemplar(exemplar: Any) -> tuple[LabelPairs, float, int]:
    """
    Return an exemplar as its labels, sorted by name, its value and its timestamp.

    :raises InvalidTimeSeriesError: if it is none, with a word on what was expected.
    """
    if not isinstance(exemplar, (tuple, list)) or len(exemplar) != 3:
        raise InvalidTimeSeriesError(
            "exemplars", f"expected an Exemplar(labels, value, timestamp in ms), got {shown(exemplar)}"
        )
    labels = _sorted_labels("exemplars", exemplar[0], {})
    length = sum(len(name) + len(value) for name, value in labels)
    if length > MAX_EXEMPLAR_LABELS_LENGTH:
        raise InvalidTimeSeriesError(
            "exemplars", f"expected at most {MAX_EXEMPLAR_LABELS_LENGTH} characters in all labels, got {length}"
        )
    value = _checked_value("exemplars", exemplar[1])
    if isinstance(value, NativeHistogram):
        raise InvalidTimeSeriesError("exemplars", f"expected a number as the value, got {shown(value)}")
    return labels, value, _checked_timestamp("exemplars", "timestamp", exemplar[2])


def likely_unit(timestamp: int) -> tuple[str, str] | None:
    """Return the unit that a timestamp is likely to be in, and how to make milliseconds of it; ``None`` for those."""
    if timestamp in LIKELY_SECONDS:
        return "seconds", "multiply it by 1000"
    if timestamp in LIKELY_MICROSECONDS:
        return "microseconds", "divide it by 1000 (//)"
    if timestamp in LIKELY_NANOSECONDS:
        return "nanoseconds", "divide it by 1,000,000 (//)"
    return None


def timestamp_hint(value: Any) -> str:
    """Return how to make milliseconds of what was given as a timestamp, with a semicolon before it; "" if unknown."""
    if isinstance(value, float):
        return "; use round(seconds * 1000) if it is in seconds, round(...) if it is in milliseconds"
    if isinstance(value, datetime) and value.tzinfo is None:
        # Without a zone datetime takes the machine's, which differs from worker to worker, and pandas takes UTC.
        return "; attach its zone first: round(time.replace(tzinfo=timezone.utc).timestamp() * 1000) where it is in UTC"
    if callable(getattr(value, "timestamp", None)):
        return "; use round(time.timestamp() * 1000)"
    if callable(getattr(value, "to_epoch_milli", None)):  # PyFlink's Instant, from TIMESTAMP_LTZ
        return "; use instant.to_epoch_milli()"
    if type(value).__name__ == "datetime64":  # numpy's
        return "; use int(time.astype('datetime64[ms]').astype('int64'))"
    return ""


def _sorted_labels(field: str, labels: Any, pairs: dict[str, str]) -> LabelPairs:
    """Add checked labels to those that are there; return all of them sorted, without empty values."""
    for name, value in _pairs(field, labels):
        if not isinstance(name, str) or not name:
            raise InvalidTimeSeriesError(field, f"expected non-empty strings as label names, got {shown(name)}")
        if not isinstance(value, str):
            raise InvalidTimeSeriesError(
                field, f"expected a string as the value of label {shown(name)}, got {shown(value)}"
            )
        if name == METRIC_NAME_LABEL:
            raise InvalidTimeSeriesError(field, f"the metric's name goes in metric_name, not in label {shown(name)}")
        if name in pairs:
            raise InvalidTimeSeriesError(field, f"label {shown(name)} is there twice")
        _check_utf8(field, name)
        _check_utf8(field, value)
        pairs[name] = value
    return tuple(sorted(pair for pair in pairs.items() if pair[1]))


def _checked_value(field: str, value: Any) -> Value:
    if isinstance(value, NativeHistogram):
        return value
    if not isinstance(value, (str, bytes, bytearray)):
        try:
            return float(value)
        except (TypeError, ValueError, OverflowError):
            pass
    raise InvalidTimeSeriesError(field, f"expected a number as the value, got {shown(value)}")


def _checked_timestamp(field: str, what: str, timestamp: Any) -> int:
    try:
        number = operator.index(timestamp)
    except TypeError:
        raise InvalidTimeSeriesError(
            field,
            f"expected an int of milliseconds since 1970 as the {what}, got {shown(timestamp)}"
            f"{timestamp_hint(timestamp)}",
        ) from None
    if abs(number) < TIMESTAMP_LIMIT:
        return number
    if number in (INT64_MIN, INT64_MAX):
        raise InvalidTimeSeriesError(
            field,
            f"the {what} {number} is what Flink gives a record that has none: set a timestamp assigner with "
            "assign_timestamps_and_watermarks, or take the time from the record",
        )
    raise InvalidTimeSeriesError(field, f"the {what} {number} is not a time in milliseconds since 1970")


def _pairs(field: str, labels: Any) -> Sequence[tuple[Any, Any]]:
    if isinstance(labels, Mapping):
        return list(labels.items())
    if isinstance(labels, (tuple, list)) and all(isinstance(pair, (tuple, list)) and len(pair) == 2 for pair in labels):
        return labels
    raise InvalidTimeSeriesError(field, f"expected a mapping or (name, value) pairs, got {shown(labels)}")


def _check_utf8(field: str, text: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InvalidTimeSeriesError(field, f"{shown(text)} cannot be written as UTF-8: {error.reason}") from None


def _label_name(name: str) -> str:
    return name if _PLAIN_LABEL_NAME.fullmatch(name) else _quoted(name)


def _quoted(text: str) -> str:
    return f'"{text.translate(_ESCAPES)}"'


def shown(value: Any, longest: int = 120) -> str:
    """Show a user's value in a message: never longer than a line, never one that breaks the message."""
    try:
        text = repr(value)
    except Exception:  # a user's __repr__ may do anything
        text = f"<{type(value).__name__}>"
    return text if len(text) <= longest else text[: longest - 3] + "..."
