"""The join of an event with its entry in a reference table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pyflink_prometheus import _validation
from pyflink_prometheus._validation import shown
from pyflink_prometheus.model.timeseries import PrometheusTimeSeries

Join = Callable[[Any, Any], Any]


def add_labels(event: Any, reference: Any) -> Any:
    """
    Return a copy of an event with the entries of its reference; the event's own entries win.

    :param event: a mapping, or a PrometheusTimeSeries, which gets the entries as labels.
    :param reference: a mapping.
    :raises TypeError: for other types, which need a ``join`` function.
    """
    if isinstance(reference, Mapping):
        if isinstance(event, PrometheusTimeSeries):
            return event._replace(labels={**reference, **dict(event.labels)})
        if isinstance(event, Mapping):
            return {**reference, **event}
    raise TypeError(
        f"cannot add {shown(reference)} to {shown(event)}: set join=... to a function (event, reference) -> event"
    )


class Enrichment:
    """
    The lookup of an event's reference and the join of the two; see :class:`pyflink_prometheus.Enrich`.

    :param key: returns the reference key of an event, ``None`` if it has none.
    :param join: returns the event combined with its reference; must not change the event.
    :param default: the reference for events without one; ``None`` to leave them unchanged.
    """

    def __init__(self, key: Callable[[Any], Any], join: Join = add_labels, default: Any = None) -> None:
        _validation.function("key", key)
        _validation.function("join", join)
        self._key = key
        self._join = join
        self._default = default

    def enriched(self, event: Any, table: Mapping[Any, Any]) -> tuple[Any, bool]:
        """Return the event joined with its reference or the default, and whether there was either."""
        key = self._key(event)
        found = None if key is None else table.get(key)
        if found is None:
            found = self._default
        return (event, False) if found is None else (self._join(event, found), True)
