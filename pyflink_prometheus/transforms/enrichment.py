"""Add to an event what a reference data set says of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pyflink_prometheus import _validation
from pyflink_prometheus._validation import shown
from pyflink_prometheus.model.timeseries import PrometheusTimeSeries

Join = Callable[[Any, Any], Any]


def add_labels(event: Any, reference: Any) -> Any:
    """
    Add a reference's entries to an event, which is not changed and keeps what it has of the same name.

    :param event: a mapping, or a PrometheusTimeSeries, which gets them as labels.
    :param reference: a mapping.
    :raises TypeError: if it is anything else: such need a function of their own.
    """
    if isinstance(reference, Mapping):
        if isinstance(event, PrometheusTimeSeries):
            return event._replace(labels={**reference, **dict(event.labels)})
        if isinstance(event, Mapping):
            return {**reference, **event}
    raise TypeError(
        f"cannot add {shown(reference)} to {shown(event)}: give join=..., a function (event, reference) -> event"
    )


class Enrichment:
    """
    Find an event's reference and join the two; see :class:`pyflink_prometheus.Enrich`.

    :param key: what of an event names its reference; ``None`` where it names none.
    :param join: an event with what the reference says; must not change the event.
    :param default: the reference of events that have no other; ``None`` for none.
    """

    def __init__(self, key: Callable[[Any], Any], join: Join = add_labels, default: Any = None) -> None:
        _validation.function("key", key)
        _validation.function("join", join)
        self._key = key
        self._join = join
        self._default = default

    def enriched(self, event: Any, table: Mapping[Any, Any]) -> tuple[Any, bool]:
        """Return the event with what is known of it, and whether anything is, if only the default."""
        key = self._key(event)
        found = None if key is None else table.get(key)
        if found is None:
            found = self._default
        return (event, False) if found is None else (self._join(event, found), True)
