"""The parts of Flink that all operators use: an event's timestamp, state, and counters."""

from __future__ import annotations

import operator
import secrets
from collections.abc import Callable, Iterable
from typing import Any

from pyflink.common import Time, Types
from pyflink.datastream import OutputTag
from pyflink.datastream.functions import RuntimeContext
from pyflink.datastream.state import MapStateDescriptor, StateTtlConfig

from pyflink_prometheus import _validation
from pyflink_prometheus._validation import shown
from pyflink_prometheus.errors import PrometheusSinkError
from pyflink_prometheus.flink.operators._timers import EventTimers
from pyflink_prometheus.flink.operators._worker_state import kept_state
from pyflink_prometheus.model.samples import INT64_MIN, timestamp_hint
from pyflink_prometheus.transforms.event_values import TimestampOf

METRIC_GROUP = "Prometheus"


def check_timestamp_function(timestamp: TimestampOf) -> None:
    """Check the user's optional function that returns timestamps."""
    if timestamp is not None:
        _validation.function("timestamp", timestamp)


def checked_output_tag(name: str, tag: Any) -> OutputTag | None:
    """
    Return a copy of the user's optional output tag, for a function to keep.

    The copy has the same id, which is all that matters on the worker. The user's own tag has a type, which cannot be
    pickled with the function once Java's type has been created from it, for example because a stream also uses it.

    :raises TypeError: if it is not an output tag.
    """
    if tag is None:
        return None
    if not isinstance(tag, OutputTag):
        raise TypeError(f"{name}: expected an OutputTag, got {tag!r}")
    return OutputTag(tag.tag_id)


def timestamp_of(event: Any, ctx: Any, timestamp: TimestampOf) -> int:
    """
    Return an event's time in milliseconds, from Flink or from the user's function.

    :raises PrometheusSinkError: if the event has no timestamp.
    """
    found = ctx.timestamp() if timestamp is None else timestamp(event)
    if found is None or found == INT64_MIN:
        raise PrometheusSinkError(
            "give the stream a WatermarkStrategy with a timestamp assigner before key_by, or pass the operator "
            "timestamp=..., a function that returns milliseconds: an event has no timestamp"
        )
    try:
        return operator.index(found)
    except TypeError:
        raise PrometheusSinkError(
            f"expected an int of milliseconds as the timestamp, got {shown(found)}{timestamp_hint(found)}"
        ) from None


class KeyedState:
    """
    One pickled value per key.

    In thread mode it is read from Flink and written back for each event. In process mode the worker keeps
    ``python.state.cache-size`` of these values, and Flink gets a bundle's changes at its end.

    :param name: the name of the state.
    :param forget_after_ms: the time without an update, by the machine's clock, after which Flink may clear a value;
        ``None`` for never.
    """

    def __init__(self, context: RuntimeContext, name: str, forget_after_ms: int | None = None) -> None:
        descriptor = MapStateDescriptor(name, Types.STRING(), Types.PICKLED_BYTE_ARRAY())
        if forget_after_ms is not None:
            # With the default, which never returns expired values, PyFlink disables its cache for the whole operator.
            ttl = StateTtlConfig.new_builder(Time.milliseconds(forget_after_ms)).return_expired_if_not_cleaned_up()
            descriptor.enable_time_to_live(ttl.build())
        state = kept_state(context, descriptor, METRIC_GROUP)
        #: Returns the key's value, ``None`` if it has none.
        self.value = state.value
        #: Stores the key's value, or clears it if given ``None``.
        self.update = state.update


class TimedState:
    """
    One value per key, for a function that uses event-time timers.

    PyFlink passes timers to Flink only after the bundle in which they were registered. Timers of the bundle that a
    checkpoint ends are not in the checkpoint, but their state is (measured on 2.3.0 and 1.20.5). So when a function
    first reads a value that an earlier run has written, it registers the value's timers again, which has no effect if
    they exist.

    :param name: the name of the state.
    :param timers_of: a function that returns the timers, in milliseconds, that a value needs.
    :param forget_after_ms: as for :class:`KeyedState`.
    """

    def __init__(
        self,
        context: RuntimeContext,
        name: str,
        timers_of: Callable[[Any], Iterable[int]],
        forget_after_ms: int | None = None,
    ) -> None:
        self._state = KeyedState(context, name, forget_after_ms)
        self._timers_of = timers_of
        self._run = secrets.token_bytes(4)
        #: Registers a timer for the key, given Flink's timer service and the time.
        self.register = EventTimers().register

    def value(self, timers: Any) -> Any:
        """
        Return the key's value, ``None`` if it has none.

        :param timers: Flink's timer service.
        """
        stored = self._state.value()
        if stored is None:
            return None
        run, value = stored
        if run != self._run:
            self.update(value)
            for timestamp in self._timers_of(value):
                self.register(timers, timestamp)
        return value

    def update(self, value: Any) -> None:
        """Store the key's value, or clear it if given ``None``."""
        self._state.update(None if value is None else (self._run, value))


def checked_forget_after(forget_after_ms: int | None) -> int | None:
    """Check the optional time after which state is forgotten."""
    return None if forget_after_ms is None else _validation.integer("forget_after_ms", forget_after_ms, least=1)


class Counters:
    """
    Flink counters in the group ``Prometheus``, like the sink's; without metrics nothing is counted.

    :param names: the names of the counters.
    """

    def __init__(self, context: RuntimeContext, *names: str) -> None:
        group = context.get_metrics_group()
        self._counters: dict[str, Any] = {}
        if group is not None:
            group = group.add_group(METRIC_GROUP)
            self._counters = {name: group.counter(name) for name in names}
        self._are_shown = not self._counters

    def show(self) -> None:
        """
        Show all counters as 0, so that rates include the first counted event; called for each event.

        This is not done when they are created, because PyFlink loses counts from ``open``, and Flink does not
        show a counter without an increment.
        """
        if not self._are_shown:
            self._are_shown = True
            for counter in self._counters.values():
                counter.inc(0)

    def add(self, name: str, count: int = 1) -> None:
        """Add to a counter."""
        if count and name in self._counters:
            self._counters[name].inc(count)
