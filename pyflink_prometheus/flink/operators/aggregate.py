"""The operator that aggregates the events of each key in windows, and writes each window as time series."""

from __future__ import annotations

from collections.abc import Sequence
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
from pyflink_prometheus.transforms.aggregation import Aggregation, LabelsOf
from pyflink_prometheus.transforms.event_values import TimestampOf, ValueOf
from pyflink_prometheus.transforms.windows import Windowing, Windows


class Aggregate(KeyedProcessFunction):
    """
    An aggregation of the events of each key in windows of event time. Each window is written once, when it closes.

    ::

        series = rows.key_by(lambda row: row["operator"]).process(
            Aggregate(
                "flight_altitude_feet", lambda row: row["altitude"], TumblingWindows(60_000), labels="operator"
            )
        )  # flight_altitude_feet_mean{operator="AFR"} and so on

    The stream's key holds the dimensions, and ``labels`` names them. Each aggregate is a separate metric:
    ``_mean``, ``_min``, ``_max``, ``_last``, ``_count_in_window``, ``_sum_in_window``, ``_histogram_in_window`` (a
    native histogram) and ``_quantile`` with the label ``quantile``. All are gauges; for counters over all time see
    :class:`CumulativeAggregate`. A sample's timestamp is its window's end.

    A window closes when the watermark passes its end plus ``allowed_lateness_ms``. Unlike Flink's own windows, it is
    not written again for later events: Prometheus refuses a different value for a timestamp that it has, even with an
    out-of-order window. An event that is late for all its windows goes to the side output, or is dropped.

    Keeps a few numbers for each open window of a key. For quantiles or histograms it also keeps the values: up to 1000
    exactly, more as counts in buckets. Keeps nothing for a key without an open window. It does not use PyFlink's
    windows, in which merging sessions lose or break accumulators.

    Counts ``numLateEvents``.

    :param metric_name: the prefix of the metrics' names, with the unit.
    :param value: the value of an event; events with ``None`` or NaN are skipped.
    :param windows: :class:`TumblingWindows`, :class:`SlidingWindows` or :class:`SessionWindows`.
    :param of: some of ``count``, ``sum``, ``min``, ``max``, ``mean``, ``last``, ``histogram``, and numbers from 0 to 1
        for quantiles, which are exact for up to 1000 values in a window and within 0.14 % beyond. Default ``mean``.
    :param labels: the label's name if the key is one value, the labels' names if it is a tuple, or a function from the
        key to labels. Default: no labels, for a key that is not a dimension.
    :param allowed_lateness_ms: how long a window stays open after the watermark has passed its end. Default 0.
    :param schema: the resolution of histograms, from -4 to 8. Default 3: buckets that grow by 9 %.
    :param timestamp: an event's time in milliseconds. Default: its Flink timestamp.
    :param late_output_tag: where late events go. Set it only if the job reads it with ``get_side_output``.
    """

    def __init__(
        self,
        metric_name: str,
        value: ValueOf,
        windows: Windows,
        of: Sequence[str | float] = ("mean",),
        *,
        labels: LabelsOf = (),
        allowed_lateness_ms: int = 0,
        schema: int = 3,
        timestamp: TimestampOf = None,
        late_output_tag: OutputTag | None = None,
    ) -> None:
        check_timestamp_function(timestamp)
        self._windowing = Windowing(Aggregation(metric_name, value, of, labels, schema), windows, allowed_lateness_ms)
        self._timestamp = timestamp
        self._late_output_tag = checked_output_tag("late_output_tag", late_output_tag)

    def open(self, runtime_context: RuntimeContext) -> None:
        """Set up state and counters; Flink calls this before the first event."""
        self._open = TimedState(runtime_context, "windows", self._windowing.timers)
        self._counters = Counters(runtime_context, "numLateEvents")

    def process_element(self, value: Any, ctx: KeyedProcessFunction.Context) -> Sequence[Any]:
        """Add an event to its windows, or emit it as late."""
        self._counters.show()
        timestamp = timestamp_of(value, ctx, self._timestamp)
        timers = ctx.timer_service()
        placed = self._windowing.place(self._open.value(timers), value, timestamp, timers.current_watermark())
        if placed.is_late:
            self._counters.add("numLateEvents")
            return [] if self._late_output_tag is None else [(self._late_output_tag, value)]
        self._open.update(placed.open)
        for timer in placed.timers:
            self._open.register(timers, timer)
        return []

    def on_timer(self, timestamp: int, ctx: KeyedProcessFunction.OnTimerContext) -> Sequence[Any]:
        """Emit the windows that close."""
        still_open, series = self._windowing.close(
            self._open.value(ctx.timer_service()), ctx.get_current_key(), timestamp
        )
        self._open.update(still_open)
        return series
