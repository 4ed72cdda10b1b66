"""Samples: validation of values and timestamps, and the stale marker."""

from __future__ import annotations

import operator
import struct
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pyflink_prometheus._validation import shown
from pyflink_prometheus.errors import InvalidTimeSeriesError
from pyflink_prometheus.model.histogram import NativeHistogram

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1


#: Timestamps that are likely present-day times in another unit: as milliseconds they lie in 1970 to 1973, or beyond
#: the year 5138.
LIKELY_SECONDS = range(10**8, 10**11)


LIKELY_MICROSECONDS = range(10**14, 10**17)


LIKELY_NANOSECONDS = range(10**17, 2**62)


#: No unit makes sense of a timestamp beyond this. Flink gives its own extremes to records without a timestamp assigner,
#: and an empty Prometheus that stores one of them refuses everything after it until it is restarted.
TIMESTAMP_LIMIT = 2**62


Value = float | NativeHistogram


def checked_samples(samples: Any) -> Sequence[Any]:
    """
    Return the samples as a sequence, without checking each of them.

    :raises InvalidTimeSeriesError: if there are none.
    """
    if not isinstance(samples, (str, bytes, Mapping)):
        try:
            sequence = samples if isinstance(samples, (tuple, list)) else tuple(samples)
        except TypeError:
            sequence = ()
        if sequence:
            return sequence
    raise InvalidTimeSeriesError(
        "samples", f"expected one or more (value, timestamp in ms) pairs, got {shown(samples)}"
    )


def checked_sample(sample: Any) -> tuple[Value, int, int]:
    """
    Return the value, the timestamp and the start timestamp of a sample; 0 for a missing start timestamp.

    :raises InvalidTimeSeriesError: if it is not valid, saying what was expected.
    """
    if isinstance(sample, (tuple, list)) and 2 <= len(sample) <= 3:
        start = sample[2] if len(sample) == 3 else None
        return (
            checked_value("samples", sample[0]),
            checked_timestamp("samples", "timestamp", sample[1]),
            0 if start is None else checked_timestamp("samples", "start timestamp", start),
        )
    raise InvalidTimeSeriesError("samples", f"expected (value, timestamp in ms) pairs, got {shown(sample)}")


def timestamp_hint(value: Any) -> str:
    """Return how to convert a given timestamp to milliseconds, beginning with a semicolon; "" if unknown."""
    if isinstance(value, float):
        return "; use round(seconds * 1000) if it is in seconds, round(...) if it is in milliseconds"
    if isinstance(value, datetime) and value.tzinfo is None:
        # Without a zone datetime takes the machine's, which differs from worker to worker, and pandas takes UTC.
        return "; attach its zone first: round(time.replace(tzinfo=timezone.utc).timestamp() * 1000) if it is in UTC"
    if callable(getattr(value, "timestamp", None)):
        return "; use round(time.timestamp() * 1000)"
    if callable(getattr(value, "to_epoch_milli", None)):  # PyFlink's Instant, from TIMESTAMP_LTZ
        return "; use instant.to_epoch_milli()"
    if type(value).__name__ == "datetime64":  # numpy's
        return "; use int(time.astype('datetime64[ms]').astype('int64'))"
    return ""


def likely_unit(timestamp: int) -> tuple[str, str] | None:
    """Return the likely unit of a timestamp and how to convert it; ``None`` if it looks like milliseconds."""
    if timestamp in LIKELY_SECONDS:
        return "seconds", "multiply it by 1000"
    if timestamp in LIKELY_MICROSECONDS:
        return "microseconds", "divide it by 1000 (//)"
    if timestamp in LIKELY_NANOSECONDS:
        return "nanoseconds", "divide it by 1,000,000 (//)"
    return None


def checked_value(field: str, value: Any) -> Value:
    """Return a value as a float or a histogram, or raise InvalidTimeSeriesError."""
    if isinstance(value, NativeHistogram):
        return value
    if not isinstance(value, (str, bytes, bytearray)):
        try:
            return float(value)
        except (TypeError, ValueError, OverflowError):
            pass
    raise InvalidTimeSeriesError(field, f"expected a number as the value, got {shown(value)}")


def checked_timestamp(field: str, what: str, timestamp: Any) -> int:
    """Return a timestamp in milliseconds as an int, or raise InvalidTimeSeriesError with a hint."""
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
            f"the {what} {number} is Flink's value for a record without one: set a timestamp assigner with "
            "assign_timestamps_and_watermarks, or take the time from the record",
        )
    raise InvalidTimeSeriesError(field, f"the {what} {shown(number)} is not a time in milliseconds since 1970")


_STALE_MARKER_BYTES = (0x7FF0_0000_0000_0002).to_bytes(8, "little")


#: The stale marker, which ends a series: Prometheus stops showing it at once, where it would otherwise repeat the last
#: value for five minutes. The NaN 0x7ff0000000000002, which no calculation returns ("Stale Markers" in both
#: Remote-Write specifications). Ends series of histograms, too.
STALE_MARKER: float = struct.unpack("<d", _STALE_MARKER_BYTES)[0]


Sample = tuple[Value, int] | tuple[Value, int, int | None]


def is_stale_marker(value: Any) -> bool:
    """Return whether a value is :data:`STALE_MARKER`, not another NaN."""
    return isinstance(value, float) and struct.pack("<d", value) == _STALE_MARKER_BYTES
