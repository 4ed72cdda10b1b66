"""The operator that drops impossible events, with a reason for each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pyflink.datastream import OutputTag
from pyflink.datastream.functions import KeyedProcessFunction, RuntimeContext

from pyflink_prometheus.flink.operators._context import (
    Counters,
    KeyedState,
    check_timestamp_function,
    checked_forget_after,
    checked_output_tag,
    timestamp_of,
)
from pyflink_prometheus.transforms.checks import Check
from pyflink_prometheus.transforms.event_values import TimestampOf
from pyflink_prometheus.transforms.filtering import Checks

_DAY_MS = 86_400_000


class Filter(KeyedProcessFunction):
    """
    A filter of impossible events: values out of bounds, outliers, positions that nothing could have reached.

    ::

        rejected = OutputTag("rejected", Types.PICKLED_BYTE_ARRAY())
        possible = rows.key_by(lambda row: row["icao24"]).process(
            Filter(
                Threshold(lambda row: row["altitude"], max=60_000),
                SpeedGate(lambda row: (row["latitude"], row["longitude"]), max_speed=350),
                rejected_output_tag=rejected,
            )
        )
        impossible = possible.get_side_output(rejected)  # (event, reason)

    Each event is accepted or rejected at once: order and timestamps stay, and nothing is held back. Checks run in turn,
    until one rejects the event. Checks that compare an event with earlier ones need events in order of time, so put
    :class:`Reorder` upstream if they may be out of order.

    Keeps the state of the checks for each key (see each check), for ``forget_after_ms`` after its last event by the
    machine's clock, so it works without watermarks.

    Counts ``numEventsRejected``, and per check ``numEventsRejectedBy`` plus its name, such as
    ``numEventsRejectedBySpeed``.

    :param checks: :class:`Threshold`, :class:`Hampel`, :class:`SpeedGate`, or your own with the same members.
    :param timestamp: an event's time in milliseconds, which only a SpeedGate needs. Default: its Flink timestamp.
    :param forget_after_ms: the time without an event after which a key may be forgotten. Default: a day.
    :param rejected_output_tag: where rejected events go, as tuples (event, reason). Set it only if the job reads it
        with ``get_side_output``.
    """

    def __init__(
        self,
        *checks: Check,
        timestamp: TimestampOf = None,
        forget_after_ms: int | None = _DAY_MS,
        rejected_output_tag: OutputTag | None = None,
    ) -> None:
        check_timestamp_function(timestamp)
        self._checks = Checks(checks)
        self._timestamp = timestamp
        self._forget_after_ms = checked_forget_after(forget_after_ms)
        self._rejected_output_tag = checked_output_tag("rejected_output_tag", rejected_output_tag)

    def open(self, runtime_context: RuntimeContext) -> None:
        """Set up state and counters; Flink calls this before the first event."""
        self._kept = KeyedState(runtime_context, "checks", self._forget_after_ms) if self._checks.keeps_state else None
        self._counters = Counters(
            runtime_context, "numEventsRejected", *(_counter_name(name) for name in self._checks.names)
        )

    def process_element(self, value: Any, ctx: KeyedProcessFunction.Context) -> Sequence[Any]:
        """Pass an event on, or reject it with a reason."""
        self._counters.show()
        timestamp = timestamp_of(value, ctx, self._timestamp) if self._checks.needs_timestamp else 0
        kept = None if self._kept is None else self._kept.value()
        judgement = self._checks.judge(value, timestamp, kept)
        if self._kept is not None and judgement.state:
            self._kept.update(judgement.state)
        if judgement.rejected_by is None:
            return [value]
        self._counters.add("numEventsRejected")
        self._counters.add(_counter_name(judgement.rejected_by))
        if self._rejected_output_tag is None:
            return []
        return [(self._rejected_output_tag, (value, judgement.reason))]


def _counter_name(check: str) -> str:
    return f"numEventsRejectedBy{check[:1].upper()}{check[1:]}"
