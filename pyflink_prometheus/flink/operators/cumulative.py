"""The operator that counts the events of each key over all time, and writes the counters in intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pyflink.datastream import OutputTag
from pyflink.datastream.functions import KeyedProcessFunction, RuntimeContext

from pyflink_prometheus.flink.operators._context import (
    Counters,
    TimedState,
    check_timestamp_function,
    checked_forget_after,
    checked_output_tag,
    timestamp_of,
)
from pyflink_prometheus.transforms.aggregation import LabelsOf
from pyflink_prometheus.transforms.counting import Counting
from pyflink_prometheus.transforms.event_values import TimestampOf, ValueOf


class CumulativeAggregate(KeyedProcessFunction):
    """
    Counters of each key's events over all time, which continue after a restart or from a savepoint.

    ::

        by_operator = rows.key_by(lambda row: row["operator"])
        series = by_operator.process(CumulativeAggregate("flight_messages", labels="operator"))
        # flight_messages_count{operator="AFR"}

    ``_count``, ``_sum`` and ``_histogram`` are counters, for ``rate()`` and ``increase()``. They are written at the end
    of each interval with events, and include exactly the events before that moment, whatever their order. The
    first interval also writes a sample of 0 at its start, without which Prometheus would not see the first increase.
    Each sample has the counter's start timestamp, for receivers that support it.

    An event of an interval that the watermark has passed is late: it is not counted, and goes to the side output or is
    dropped.

    Keeps a total and the open intervals of each key, forever unless ``forget_after_ms`` is set.

    Counts ``numLateEvents``.

    :param metric_name: the prefix of the metrics' names.
    :param value: the value of an event, for ``sum`` and ``histogram``; events with ``None`` or NaN are not counted.
        Default: none, which is enough for ``count``. A counter must not fall, so ``sum`` needs values of at least 0.
    :param of: some of ``count``, ``sum``, ``histogram`` (native). Default ``count``.
    :param labels: the label's name if the key is one value, the labels' names if it is a tuple, or a function from the
        key to labels. Default: no labels.
    :param interval_ms: how often, in event time, a key's counters are written. Default 60,000.
    :param schema: the resolution of histograms, from -4 to 8. Default 3: buckets that grow by 9 %.
    :param forget_after_ms: the time without an event, by the machine's clock, after which a key's counters may restart
        at 0. Default: never. Set it from the first run on: Flink before 2.2 cannot restore state after a change.
    :param timestamp: an event's time in milliseconds. Default: its Flink timestamp.
    :param late_output_tag: where late events go. Set it only if the job reads it with ``get_side_output``.
    """

    def __init__(
        self,
        metric_name: str,
        value: ValueOf | None = None,
        of: Sequence[str] = ("count",),
        *,
        labels: LabelsOf = (),
        interval_ms: int = 60_000,
        schema: int = 3,
        forget_after_ms: int | None = None,
        timestamp: TimestampOf = None,
        late_output_tag: OutputTag | None = None,
    ) -> None:
        check_timestamp_function(timestamp)
        self._counting = Counting(metric_name, value, of, labels, interval_ms=interval_ms, schema=schema)
        self._forget_after_ms = checked_forget_after(forget_after_ms)
        self._timestamp = timestamp
        self._late_output_tag = checked_output_tag("late_output_tag", late_output_tag)

    def open(self, runtime_context: RuntimeContext) -> None:
        """Set up state and counters; Flink calls this before the first event."""
        self._counted = TimedState(runtime_context, "counted", self._counting.timers, self._forget_after_ms)
        self._counters = Counters(runtime_context, "numLateEvents")

    def process_element(self, value: Any, ctx: KeyedProcessFunction.Context) -> Sequence[Any]:
        """Count an event, or emit it as late."""
        self._counters.show()
        timestamp = timestamp_of(value, ctx, self._timestamp)
        timers = ctx.timer_service()
        last_of_interval = self._counting.end_of_interval(timestamp) - 1
        if last_of_interval <= timers.current_watermark():
            self._counters.add("numLateEvents")
            return [] if self._late_output_tag is None else [(self._late_output_tag, value)]
        counted, is_new = self._counting.add(self._counted.value(timers), value, timestamp)
        self._counted.update(counted)
        if is_new:
            self._counted.register(timers, last_of_interval)
        return []

    def on_timer(self, timestamp: int, ctx: KeyedProcessFunction.OnTimerContext) -> Sequence[Any]:
        """Emit the counters at the end of an interval."""
        counted, series = self._counting.close(
            self._counted.value(ctx.timer_service()), ctx.get_current_key(), timestamp
        )
        self._counted.update(counted)
        return series
