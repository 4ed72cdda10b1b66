"""The operator that releases the events of each key in order of time, as the watermark passes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pyflink.datastream import OutputTag
from pyflink.datastream.functions import KeyedProcessFunction, RuntimeContext

from pyflink_prometheus.flink.operators._context import (
    Counters,
    TimedState,
    check_timestamp_function,
    checked_output_tag,
    timestamp_of,
)
from pyflink_prometheus.transforms.event_values import TimestampOf, ValueOf
from pyflink_prometheus.transforms.reordering import Reordering, SameTimestamp


class Reorder(KeyedProcessFunction):
    """
    A buffer that holds the events of each key, and releases them in order of time as the watermark passes them.

    ::

        late = OutputTag("late", Types.PICKLED_BYTE_ARRAY())
        ordered = rows.key_by(lambda row: row["icao24"]).process(Reorder(late_output_tag=late))
        too_late = ordered.get_side_output(late)

    The events of all keys in a subtask are released in one order, each with its own Flink timestamp, so event-time
    operators may follow. An event at or before the watermark is late: it goes to the side output, or is dropped if
    there is none.

    Keeps each event until the watermark reaches it, at most ``max_held`` per key. If a key has more, its oldest are
    released early, still in order; events that arrive afterwards but are older are late. An event released early has
    the Flink timestamp of the event that pushed it out, so windows downstream would place it too late: give these
    windows ``timestamp=...``, or set the limit high enough.

    Each timestamp has a timer. With ``release_interval_ms`` the events of a key are released together, when the
    watermark reaches the end of their interval: up to that much later, in order for each key but no longer across keys,
    and with the Flink timestamp of that moment. Then give operators downstream ``timestamp=...``; the sink and
    :class:`MarkStale` use the timestamps of series.

    Counts ``numLateEvents``, ``numEventsReplaced`` (by another with the same timestamp) and ``numEventsReleasedEarly``.

    :param same_timestamp: which of several events of a key with the same timestamp is kept. Default: the first.
    :param value: the value of an event, for ``SameTimestamp.MAX`` and ``MEAN``.
    :param with_value: a function (event, value) that returns a copy of the event with that value, for ``MEAN``.
    :param max_held: the maximum number of events held per key. Default 10,000. A job that catches up reads many events
        between two watermarks, which Flink emits every 200 ms by the machine's clock, so this should be far more than a
        key's events within the disorder. All of a key's events are one value in Flink's state.
    :param release_interval_ms: the length of the intervals whose events are released together. Default 1: each event
        has its own timer and timestamp. For a job that reads faster than real time, the usual interval of a key's
        events times 10 is a good value; much shorter ones save nothing. It may change between two runs.
    :param timestamp: an event's time in milliseconds. Default: its Flink timestamp.
    :param late_output_tag: where late events go. Set it only if the job reads it with ``get_side_output``: otherwise
        PyFlink sends these events down the main stream.
    """

    def __init__(
        self,
        same_timestamp: SameTimestamp = SameTimestamp.FIRST,
        *,
        value: ValueOf | None = None,
        with_value: Callable[[Any, float], Any] | None = None,
        max_held: int = 10_000,
        release_interval_ms: int = 1,
        timestamp: TimestampOf = None,
        late_output_tag: OutputTag | None = None,
    ) -> None:
        check_timestamp_function(timestamp)
        self._reordering = Reordering(same_timestamp, max_held, value, with_value, release_interval_ms)
        self._timestamp = timestamp
        self._late_output_tag = checked_output_tag("late_output_tag", late_output_tag)

    def open(self, runtime_context: RuntimeContext) -> None:
        """Set up state and counters; Flink calls this before the first event."""
        self._held = TimedState(runtime_context, "held", self._reordering.timers)
        self._counters = Counters(runtime_context, "numLateEvents", "numEventsReplaced", "numEventsReleasedEarly")

    def process_element(self, value: Any, ctx: KeyedProcessFunction.Context) -> Sequence[Any]:
        """Hold an event, or emit it as late."""
        counters = self._counters
        counters.show()
        timestamp = timestamp_of(value, ctx, self._timestamp)
        timers = ctx.timer_service()
        held = self._held.value(timers)
        if self._reordering.is_late(held, timestamp, timers.current_watermark()):
            counters.add("numLateEvents")
            return [] if self._late_output_tag is None else [(self._late_output_tag, value)]
        added = self._reordering.add(held, value, timestamp)
        self._held.update(added.held)
        if added.timer is not None:
            self._held.register(timers, added.timer)
        if added.replaced:
            counters.add("numEventsReplaced")
        if added.early:
            counters.add("numEventsReleasedEarly", len(added.early))
        return added.early

    def on_timer(self, timestamp: int, ctx: KeyedProcessFunction.OnTimerContext) -> Sequence[Any]:
        """Release the events that the watermark has reached."""
        timers = ctx.timer_service()
        held = self._held.value(timers)
        overdue = self._reordering.overdue(held, timestamp)
        if overdue:
            # Timers fire in order of time, so the timers of older events were lost (see TimedState). Fire them and then
            # this one again, or those events would be emitted with this timestamp.
            for each in (*overdue, timestamp):
                self._held.register(timers, each)
            return []
        held, due = self._reordering.release(held, timestamp)
        self._held.update(held)
        return due
