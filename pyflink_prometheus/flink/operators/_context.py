"""What all operators need of Flink: an event's timestamp, state that a savepoint holds, and counters."""

from __future__ import annotations

import operator
import pickle
import secrets
from collections.abc import Callable, Iterable
from typing import Any, Optional

import cloudpickle
from pyflink.common import Time, Types
from pyflink.datastream import OutputTag
from pyflink.datastream.functions import RuntimeContext
from pyflink.datastream.state import StateTtlConfig, ValueStateDescriptor

from pyflink_prometheus import _validation
from pyflink_prometheus._validation import shown
from pyflink_prometheus.errors import PrometheusSinkError
from pyflink_prometheus.model.samples import INT64_MIN, timestamp_hint
from pyflink_prometheus.transforms.event_values import TimestampOf

METRIC_GROUP = "Prometheus"


def check_timestamp_function(timestamp: TimestampOf) -> None:
    """Check the function that the user may give."""
    if timestamp is not None:
        _validation.function("timestamp", timestamp)


def checked_output_tag(name: str, tag: Any) -> OutputTag | None:
    """
    Return a copy of an output tag that the user may give, for a function to keep.

    The copy has the same id, which is all that is looked at where the function runs. The user's tag has a type, which
    can't be pickled with the function once Java's type has been asked for, as it has where a stream has it too.

    :raises TypeError: if it is none.
    """
    if tag is None:
        return None
    if not isinstance(tag, OutputTag):
        raise TypeError(f"{name}: expected an OutputTag, got {tag!r}")
    return OutputTag(tag.tag_id)


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
        raise PrometheusSinkError(
            f"expected an int of milliseconds as timestamp, got {shown(found)}{timestamp_hint(found)}"
        ) from None


class KeptValue:
    """
    Pickle a value by pickle, and where that fails by cloudpickle, which takes instances of the job's own classes, too.

    PyFlink pickles state by pickle alone, at the end of a bundle. What it then reads is the value itself, so that a
    savepoint depends on no class of ours.
    """

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, tuple[bytes]]:
        try:
            return pickle.loads, (pickle.dumps(self.value, pickle.HIGHEST_PROTOCOL),)
        except Exception:  # PicklingError, AttributeError, TypeError: whatever an object's own pickling raises
            return pickle.loads, (cloudpickle.dumps(self.value),)


def kept_value(stored: Any) -> Any:
    """Return a value as it was, whether PyFlink has pickled it meanwhile or not."""
    return stored.value if type(stored) is KeptValue else stored


class KeyedState:
    """
    Keep a value for each key, pickled.

    One value, and not a list or a map: PyFlink asks Java for a map's entries one by one, and keeps values in the worker
    (``python.state.cache-size`` of them) until a bundle ends.

    :param name: of the state.
    :param forget_after_ms: after how long without an update, by the machine's clock, Flink may clear it; ``None`` for
        never.
    :param is_plain: whether all that is kept is numbers and the like, and nothing that is a user's, which saves 4 µs
        for each key of a bundle.
    """

    def __init__(
        self, context: RuntimeContext, name: str, forget_after_ms: int | None = None, *, is_plain: bool = False
    ) -> None:
        descriptor = ValueStateDescriptor(name, Types.PICKLED_BYTE_ARRAY())
        if forget_after_ms is not None:
            # With the default, which never returns what has expired, PyFlink does without its cache for the whole
            # operator.
            ttl = StateTtlConfig.new_builder(Time.milliseconds(forget_after_ms)).return_expired_if_not_cleaned_up()
            descriptor.enable_time_to_live(ttl.build())
        self._state = context.get_state(descriptor)
        self._is_plain = is_plain

    def value(self) -> Any:
        """Return the key's value, ``None`` if there is none."""
        return kept_value(self._state.value())

    def update(self, value: Any) -> None:
        """Keep a value, or nothing if it is ``None``."""
        if value is None:
            self._state.clear()
        else:
            self._state.update(value if self._is_plain else KeptValue(value))


class TimedState:
    """
    Keep a value for each key, for a function that is called back by event-time timers.

    PyFlink hands timers to Flink only after the bundle in which they were registered. Those of the bundle that a
    checkpoint ends are not in the checkpoint, while the state that they were registered for is (measured on 2.3.0 and
    1.20.5). So the first time that a function meets a value that an earlier run has written, it registers the value's
    timers once more, which does nothing where they are there already.

    :param name: of the state.
    :param timers_of: a function that returns the timers, in milliseconds, that a value needs.
    :param forget_after_ms: as for :class:`KeyedState`, like the last one.
    """

    def __init__(
        self,
        context: RuntimeContext,
        name: str,
        timers_of: Callable[[Any], Iterable[int]],
        forget_after_ms: int | None = None,
        *,
        is_plain: bool = False,
    ) -> None:
        self._state = KeyedState(context, name, forget_after_ms, is_plain=is_plain)
        self._timers_of = timers_of
        self._run = secrets.token_bytes(4)

    def value(self, timers: Any) -> Any:
        """
        Return the key's value, ``None`` if there is none.

        :param timers: Flink's timer service.
        """
        stored = self._state.value()
        if stored is None:
            return None
        run, value = stored
        if run != self._run:
            self.update(value)
            for timestamp in self._timers_of(value):
                timers.register_event_time_timer(timestamp)
        return value

    def update(self, value: Any) -> None:
        """Keep a value, or nothing if it is ``None``."""
        self._state.update(None if value is None else (self._run, value))


def checked_forget_after(forget_after_ms: Optional[int]) -> int | None:
    """Check how long state is to be kept."""
    return None if forget_after_ms is None else _validation.integer("forget_after_ms", forget_after_ms, least=1)


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
        self._begun = not self._counters

    def begin(self) -> None:
        """
        Have all counters say 0, for rates to see the first event that is counted; called with each event.

        Not when they are made: what is counted in ``open`` PyFlink loses, and a counter that has counted nothing Flink
        does not show.
        """
        if not self._begun:
            self._begun = True
            for counter in self._counters.values():
                counter.inc(0)

    def add(self, name: str, count: int = 1) -> None:
        """Add to a counter."""
        if count and name in self._counters:
            self._counters[name].inc(count)
