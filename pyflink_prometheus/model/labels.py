"""Metric names and labels: validation and their canonical form."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from pyflink_prometheus._validation import shown
from pyflink_prometheus.errors import InvalidTimeSeriesError

METRIC_NAME_LABEL = "__name__"


LabelPairs = tuple[tuple[str, str], ...]


_PLAIN_METRIC_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")


_PLAIN_LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


def canonical_labels(metric_name: Any, labels: Any) -> LabelPairs:
    """
    Return all labels including ``__name__``, sorted by name and without empty values.

    Names are in order of their UTF-8 bytes, as receivers compare them; Python's strings sort the same way. Rules:
    Remote-Write 1.0 "Labels", 2.0 "Series Labels". Names may be any UTF-8, as in Prometheus 3.

    :raises InvalidTimeSeriesError: naming the field and what was expected.
    """
    if not isinstance(metric_name, str) or not metric_name:
        raise InvalidTimeSeriesError("metric_name", f"expected a non-empty string, got {shown(metric_name)}")
    check_utf8("metric_name", metric_name)
    return sorted_labels("labels", labels, {METRIC_NAME_LABEL: metric_name})


def series_key(labels: Sequence[tuple[str, str]]) -> str:
    """Return canonical labels as a PromQL selector; names beyond the legacy character set are quoted (Prometheus 3)."""
    metric_name = next(value for name, value in labels if name == METRIC_NAME_LABEL)
    inside = [f"{_label_name(name)}={_quoted(value)}" for name, value in labels if name != METRIC_NAME_LABEL]
    if _PLAIN_METRIC_NAME.fullmatch(metric_name):
        return f"{metric_name}{{{','.join(inside)}}}"
    return f"{{{','.join([_quoted(metric_name), *inside])}}}"


def has_classic_names(labels: LabelPairs) -> bool:
    """Return whether all names are legacy names, as Remote-Write 1.0 requires; 2.0 allows any UTF-8."""
    return all(_is_classic(value if name == METRIC_NAME_LABEL else name, name) for name, value in labels)


@lru_cache(maxsize=4096)
def _is_classic(name: str, label: str) -> bool:
    """Return whether a metric name, or the name of another label, is a legacy name."""
    return bool((_PLAIN_METRIC_NAME if label == METRIC_NAME_LABEL else _PLAIN_LABEL_NAME).fullmatch(name))


def sorted_labels(field: str, labels: Any, pairs: dict[str, str]) -> LabelPairs:
    """Check labels and add them to ``pairs``; return all of them sorted by name, without empty values."""
    for name, value in _pairs(field, labels):
        if not isinstance(name, str) or not name:
            raise InvalidTimeSeriesError(field, f"expected non-empty strings as label names, got {shown(name)}")
        if not isinstance(value, str):
            raise InvalidTimeSeriesError(
                field, f"expected a string as the value of label {shown(name)}, got {shown(value)}"
            )
        if name == METRIC_NAME_LABEL:
            raise InvalidTimeSeriesError(field, f"put the metric's name in metric_name, not in label {shown(name)}")
        if name in pairs:
            raise InvalidTimeSeriesError(field, f"duplicate label {shown(name)}")
        if not name.isascii():
            check_utf8(field, name)
        if not value.isascii():
            check_utf8(field, value)
        pairs[name] = value
    return tuple(sorted([pair for pair in pairs.items() if pair[1]]))


def _pairs(field: str, labels: Any) -> Sequence[tuple[Any, Any]]:
    if isinstance(labels, Mapping):
        return list(labels.items())
    if isinstance(labels, (tuple, list)) and all(isinstance(pair, (tuple, list)) and len(pair) == 2 for pair in labels):
        return labels
    raise InvalidTimeSeriesError(field, f"expected a mapping or (name, value) pairs, got {shown(labels)}")


def check_utf8(field: str, text: str) -> None:
    """Raise InvalidTimeSeriesError for a text that cannot be written as UTF-8."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InvalidTimeSeriesError(field, f"{shown(text)} cannot be written as UTF-8: {error.reason}") from None


def _label_name(name: str) -> str:
    return name if _PLAIN_LABEL_NAME.fullmatch(name) else _quoted(name)


def _quoted(text: str) -> str:
    return f'"{text.translate(_ESCAPES)}"'


Labels = Mapping[str, str] | Sequence[tuple[str, str]]
