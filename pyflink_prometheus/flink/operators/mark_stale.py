"""End series that have fallen silent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pyflink.datastream.functions import KeyedProcessFunction, RuntimeContext

from pyflink_prometheus import _validation
from pyflink_prometheus.flink.function import ElementConverter, several
from pyflink_prometheus.flink.operators._context import Counters, TimedState
from pyflink_prometheus.model.timeseries import as_time_series
from pyflink_prometheus.transforms.staleness import Listening


class Silence(KeyedProcessFunction):
    """
    Pass series on, and end each one that gets no sample for a while with a stale marker.

    ::

        rows.key_by(lambda row: row["icao24"]).process(Silence(60_000, to_series)).sink_to(sink)

    Without that, Prometheus repeats the last value of a device that is gone for five minutes. The marker's timestamp is
    the series' last one plus the timeout. A series that comes back goes on, and may be ended again.

    A series is silent when the watermark has passed that moment, or when its next sample is further away than the
    timeout. So samples of a series should come in order of time, behind :class:`Reorder` where they might not. A source
    that falls silent as a whole moves no watermark and ends nothing; the end of a bounded one, and stopping with
    ``--drain``, end every series.

    Keeps the labels and the last timestamp of each series of a key, until it is ended; so a label that changes, such as
    a flight's number, ends the series with the old one.

    Counts ``numSeriesEnded``.

    :param timeout_ms: how long, in event time, a series may be silent. Several times the usual distance of its samples.
    :param element_converter: turns a record into a PrometheusTimeSeries, several, or ``None``, as the sink's does; what
        comes out are series, so the sink needs none then. What it raises fails the job. Default: records are series.
    """

    def __init__(self, timeout_ms: int, element_converter: ElementConverter | None = None) -> None:
        if element_converter is not None:
            _validation.function("element_converter", element_converter)
        self._listening = Listening(timeout_ms)
        self._converter = element_converter

    def open(self, runtime_context: RuntimeContext) -> None:
        """Find the state; Flink calls this before the first record."""
        self._heard = TimedState(runtime_context, "heard", self._listening.timers)
        self._counters = Counters(runtime_context, "numSeriesEnded")

    def process_element(self, value: Any, ctx: KeyedProcessFunction.Context) -> Iterator[Any]:
        """Pass a record's series on, and remember when they were heard."""
        self._counters.begin()
        converted = value if self._converter is None else self._converter(value)
        if converted is None:
            return
        timers = ctx.timer_service()
        watermark = timers.current_watermark()
        before = heard = self._heard.value(timers)
        for record in several(converted):
            series = as_time_series(record)
            heard, timer, markers = self._listening.hear(heard, series, watermark)
            if timer is not None:
                timers.register_event_time_timer(timer)
            self._counters.add("numSeriesEnded", len(markers))
            yield from markers
            yield series
        if heard is not None or before is not None:
            self._heard.update(heard)

    def on_timer(self, timestamp: int, ctx: KeyedProcessFunction.OnTimerContext) -> Iterator[Any]:
        """End what is silent by now."""
        timers = ctx.timer_service()
        heard, timer, markers = self._listening.look(self._heard.value(timers), timers.current_watermark())
        if timer is not None:
            timers.register_event_time_timer(timer)
        self._heard.update(heard)
        self._counters.add("numSeriesEnded", len(markers))
        yield from markers
