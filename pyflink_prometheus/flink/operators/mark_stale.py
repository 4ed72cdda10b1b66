"""The operator that marks series stale when they end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pyflink.datastream.functions import KeyedProcessFunction, RuntimeContext

from pyflink_prometheus import _validation
from pyflink_prometheus.flink.operators._context import Counters, TimedState
from pyflink_prometheus.flink.subtask import ElementConverter, as_records
from pyflink_prometheus.model.timeseries import as_time_series
from pyflink_prometheus.transforms.staleness import StalenessTracker


class MarkStale(KeyedProcessFunction):
    """
    An operator that passes series on, and marks a series stale if it gets no sample for a while.

    ::

        rows.key_by(lambda row: row["icao24"]).process(MarkStale(60_000, to_series)).sink_to(sink)

    Without a stale marker, Prometheus shows the last value of a device for five minutes after it is gone. The marker's
    timestamp is that of the series' last sample plus the timeout. A series that returns continues, and may be marked
    stale again.

    A series has ended when the watermark passes that moment, or when its next sample is later than that. So samples of
    a series should arrive in order of time: use :class:`Reorder` upstream if they may not. A source that stops as a
    whole does not advance the watermark, so nothing is marked stale; the end of a bounded source, and stopping with
    ``--drain``, mark every series stale.

    Keeps the labels and the last timestamp of each series of a key until it is marked stale. So when a label changes,
    such as a flight's number, the series with the old label is marked stale.

    Counts ``numSeriesEnded``.

    :param timeout_ms: how long, in event time, a series may go without samples. Use several times their usual interval.
    :param element_converter: turns a record into a PrometheusTimeSeries, several, or ``None``, as the sink's does. The
        output is series, so the sink then needs no converter. An exception fails the job. Default: records are series.
    """

    def __init__(self, timeout_ms: int, element_converter: ElementConverter | None = None) -> None:
        if element_converter is not None:
            _validation.function("element_converter", element_converter)
        self._tracker = StalenessTracker(timeout_ms)
        self._converter = element_converter

    def open(self, runtime_context: RuntimeContext) -> None:
        """Set up state and counters; Flink calls this before the first record."""
        self._last_seen = TimedState(runtime_context, "last_seen", self._tracker.timers)
        self._counters = Counters(runtime_context, "numSeriesEnded")

    def process_element(self, value: Any, ctx: KeyedProcessFunction.Context) -> Iterator[Any]:
        """Pass a record's series on, and keep the time of their last samples."""
        self._counters.show()
        converted = value if self._converter is None else self._converter(value)
        if converted is None:
            return
        timers = ctx.timer_service()
        watermark = timers.current_watermark()
        before = last_seen = self._last_seen.value(timers)
        for record in as_records(converted):
            series = as_time_series(record)
            last_seen, timer, markers = self._tracker.observe(last_seen, series, watermark)
            if timer is not None:
                self._last_seen.register(timers, timer)
            self._counters.add("numSeriesEnded", len(markers))
            yield from markers
            yield series
        if last_seen is not None or before is not None:
            self._last_seen.update(last_seen)

    def on_timer(self, timestamp: int, ctx: KeyedProcessFunction.OnTimerContext) -> Iterator[Any]:
        """Mark the series stale that have ended by now."""
        timers = ctx.timer_service()
        last_seen, timer, markers = self._tracker.expire(self._last_seen.value(timers), timers.current_watermark())
        if timer is not None:
            self._last_seen.register(timers, timer)
        self._last_seen.update(last_seen)
        self._counters.add("numSeriesEnded", len(markers))
        yield from markers
