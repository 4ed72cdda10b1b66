"""Native histograms as texts, for columns of tables, which cannot hold objects."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

from pyflink_prometheus._validation import shown
from pyflink_prometheus.errors import InvalidTimeSeriesError
from pyflink_prometheus.model.histogram import NativeHistogram

_FIELDS = tuple(field.name for field in fields(NativeHistogram))


def histogram_text(histogram: NativeHistogram) -> str:
    """Return a histogram as JSON, from which :func:`histogram_of` makes an equal one."""
    return json.dumps({name: getattr(histogram, name) for name in _FIELDS}, separators=(",", ":"))


def histogram_of(text: Any) -> NativeHistogram:
    """
    Return the histogram that a text holds; a histogram is returned unchanged.

    :raises InvalidTimeSeriesError: if it is neither.
    """
    if isinstance(text, NativeHistogram):
        return text
    try:
        return NativeHistogram(**json.loads(text))
    except (TypeError, ValueError) as error:
        raise InvalidTimeSeriesError(
            "value", f"expected a native histogram as the table helpers write it, got {shown(text)}: {error}"
        ) from None
