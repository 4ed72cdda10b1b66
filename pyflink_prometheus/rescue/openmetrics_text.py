"""
Samples as text in the OpenMetrics format, for ``promtool tsdb create-blocks-from openmetrics``. Pure.

https://prometheus.io/docs/specs/om/open_metrics_spec/
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from pyflink_prometheus.model.histogram import NativeHistogram
from pyflink_prometheus.model.metadata import Metadata
from pyflink_prometheus.model.samples import is_stale_marker
from pyflink_prometheus.rescue.late_samples import LateSample

END = "# EOF\n"
STALE_MARKERS = "stale markers"

_METRIC_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})
_LAST_TIME = 2**53
# Types whose samples have a suffix that the family's name lacks.
_SUFFIXES = {"counter": "_total", "info": "_info"}


def unsayable(sample: LateSample) -> str | None:
    """Return a sample's kind if the format cannot express it: promtool would read something else, or nothing."""
    if isinstance(sample.value, NativeHistogram):
        return "native histograms"
    if is_stale_marker(sample.value):
        return STALE_MARKERS
    if not 0 <= sample.timestamp <= _LAST_TIME:  # promtool silently drops the former, and rounds the latter
        return "times before 1970 or after 287396"
    if "\0" in sample.metric_name or any("\0" in name for name in sample.labels):  # it would refuse the whole file
        return "names with a NUL character"
    return None


def lines(samples: Iterable[LateSample]) -> Iterator[str]:
    """
    Yield the lines of samples, none of them :func:`unsayable`, with a metric's metadata before its first sample.

    Exemplars and start timestamps are left out: blocks cannot hold them.

    :param samples: sorted by metric name, then by series, then by time.
    """
    metric: str | None = None
    families: set[str] = set()
    for sample in samples:
        if sample.metric_name != metric:
            metric = sample.metric_name
            family, kind = _family(metric, sample.metadata)
            if family in families:
                family, kind = metric, "unknown"
            families.add(family)
            yield from _metadata_lines(family, kind, sample.metadata)
        yield f"{_series(sample)} {_number(sample.value)} {timestamp(sample.timestamp)}\n"


def timestamp(milliseconds: int) -> str:
    """
    Return a time in seconds.

    Prometheus reads it as a double, multiplies it by 1000, and cuts the fraction off; where the result would be a
    millisecond too low, half a millisecond is added.
    """
    sign, absolute = "-" if milliseconds < 0 else "", abs(milliseconds)
    text = f"{absolute // 1000}.{absolute % 1000:03d}"
    return f"{sign}{text}" if int(float(text) * 1000) == absolute else f"{sign}{text}5"


def _family(metric: str, metadata: Metadata | None) -> tuple[str, str]:
    """
    Return the name and the type of a metric's family.

    Some parts of a histogram or summary may be rejected without the others, so each part is its own family. promtool
    would also change the bounds of a histogram's buckets from "1" to "1.0".
    """
    if metadata is None:
        return metric, "unknown"
    suffix = _SUFFIXES.get(metadata.type)
    if suffix is not None and metric.endswith(suffix) and metric != suffix:
        return metric.removesuffix(suffix), metadata.type
    return metric, "gauge" if metadata.type == "gauge" else "unknown"


def _metadata_lines(family: str, kind: str, metadata: Metadata | None) -> Iterator[str]:
    is_plain = _METRIC_NAME.fullmatch(family)
    name = family if is_plain else _quoted(family)
    yield f"# TYPE {name} {kind}\n"
    if metadata is None:
        return
    if metadata.unit and family.endswith(f"_{metadata.unit}") and is_plain:
        yield f"# UNIT {name} {metadata.unit}\n"
    if metadata.help:
        yield f"# HELP {name} {metadata.help.translate(_ESCAPES)}\n"


def _series(sample: LateSample) -> str:
    labels: Mapping[str, str] = sample.labels
    inside = [f"{name if _LABEL_NAME.fullmatch(name) else _quoted(name)}={_quoted(labels[name])}" for name in labels]
    if not _METRIC_NAME.fullmatch(sample.metric_name):
        return f"{{{','.join([_quoted(sample.metric_name), *inside])}}}"
    return f"{sample.metric_name}{{{','.join(inside)}}}" if inside else sample.metric_name


def _number(value: object) -> str:
    return {"nan": "NaN", "inf": "+Inf", "-inf": "-Inf"}.get(text := repr(value), text)


def _quoted(text: str) -> str:
    return f'"{text.translate(_ESCAPES)}"'
