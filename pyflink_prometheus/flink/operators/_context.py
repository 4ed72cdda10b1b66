"""What all operators need of Flink: an event's timestamp, state that a savepoint holds, and counters."""

from __future__ import annotations

import operator
from typing import Any, Optional

from pyflink.common import Time, Types
from pyflink.datastream import OutputTag
from pyflink.datastream.functions import RuntimeContext
from pyflink.datastream.state import StateTtlConfig, ValueState, ValueStateDescriptor

from pyflink_prometheus.checks import INT64_MIN, shown
from pyflink_prometheus.errors import PrometheusSinkError
from pyflink_prometheus.operators.values import TimestampOf, check_function, milliseconds

METRIC_GROUP = "Prometheus"


def check_timestamp_function(timestamp: TimestampOf) -> None:
    """Check the function that the user may give."""
    if timestamp is not None:
        check_function("timestamp", timestamp)


def check_output_tag(name: str, tag: Any) -> None:
    """
    Check an output tag that the user may give.

    :raises TypeError: if it is none.
    """
    if tag is not None and not isinstance(tag, OutputTag):
        raise TypeError(f"{name}: expected an OutputTag, got {tag!r}")


def timestamp_of(event: Any, ctx: Any, timestamp: TimestampOf) -> int:
    """
    Return an event's time in milliseconds: Flink's, or what the user's function says.

    :raises PrometheusSinkError: if there is none.
    """
    found = ctx.timestamp() if timestamp is None else timestamp(event)
    if found is None or found == INT64_MIN:
        raise PrometheusSinkError(
            "an event has no timestamp: give the stream a WatermarkStrategy with a timestamp assigner before key_by, "
            "or the operator timestamp=..., a function that returns milliseconds"
        )
    try:
        return operator.index(found)
    except TypeError:
        raise PrometheusSinkError(f"expected an int of milliseconds as timestamp, got {shown(found)}") from None


def keyed_state(context: RuntimeContext, name: str, forget_after_ms: int | None = None) -> ValueState:
    """
    Return a state of one value for each key, pickled.

    One value, and not a list or a map: PyFlink asks Java for a map's entries one by one, and keeps values in the worker
    (``python.state.cache-size`` of them) until a bundle ends.

    :param forget_after_ms: after how long without an update, by the machine's clock, Flink may clear it; ``None`` for
        never.
    """
    descriptor = ValueStateDescriptor(name, Types.PICKLED_BYTE_ARRAY())
    if forget_after_ms is not None:
        # With the default, which never returns what has expired, PyFlink does without its cache for the whole operator.
        descriptor.enable_time_to_live(
            StateTtlConfig.new_builder(Time.milliseconds(forget_after_ms)).return_expired_if_not_cleaned_up().build()
        )
    return context.get_state(descriptor)


def checked_forget_after(forget_after_ms: Optional[int]) -> int | None:
    """Check how long state is to be kept."""
    return None if forget_after_ms is None else milliseconds("forget_after_ms", forget_after_ms)


class Counters:
    """
    Count in Flink's metrics, in the group ``Prometheus`` as the sink does; without metrics nothing is counted.

    :param names: of the counters.
    """

    def __init__(self, context: RuntimeContext, *names: str) -> None:
        group = context.get_metrics_group()
        self._counters: dict[str, Any] = {}
        if group is not None:
            group = group.add_group(METRIC_GROUP)
            self._counters = {name: group.counter(name) for name in names}

    def add(self, name: str, count: int = 1) -> None:
        """Add to a counter."""
        if count and name in self._counters:
            self._counters[name].inc(count)
