"""Add to each event what a reference data set says of it, be it a table or a stream."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pyflink.common import Types
from pyflink.datastream import OutputTag
from pyflink.datastream.functions import BroadcastProcessFunction, ProcessFunction, RuntimeContext
from pyflink.datastream.state import MapStateDescriptor

from pyflink_prometheus import _validation
from pyflink_prometheus._validation import shown
from pyflink_prometheus.errors import PrometheusSinkError
from pyflink_prometheus.flink.operators._context import (
    Counters,
    KeptValue,
    checked_output_tag,
    kept_value,
)
from pyflink_prometheus.transforms.enrichment import Enrichment, Join, add_labels


class _Unmatched:
    """Do with events that have no reference what the user chose."""

    def __init__(self, output_tag: OutputTag | None, drop: bool) -> None:
        if output_tag is not None and drop:
            raise ValueError("drop_unmatched: expected False, since unmatched events go to unmatched_output_tag")
        self._output_tag = checked_output_tag("unmatched_output_tag", output_tag)
        self._drop = drop

    def open(self, runtime_context: RuntimeContext) -> None:
        self.counters = Counters(runtime_context, "numEventsUnmatched")

    def results(self, event: Any) -> Iterator[Any]:
        self.counters.add("numEventsUnmatched")
        if self._output_tag is not None:
            yield self._output_tag, event
        elif not self._drop:
            yield event


class Enrich(ProcessFunction):
    """
    Add to each event what a table says of it.

    ::

        OPERATORS = {"AFR": {"operator": "Air France", "country": "FR"}}
        rows.process(Enrich(OPERATORS, lambda row: row["callsign"][:3]))

    The table travels inside the job; for one that changes while it runs see :class:`EnrichFromStream`. The stream needs
    no key, and order stays. Keeps nothing.

    An event without a reference stays as it is, unless ``default``, ``unmatched_output_tag`` or ``drop_unmatched`` says
    otherwise; ``numEventsUnmatched`` counts them in any case but that of a default.

    :param table: references by their keys.
    :param key: what of an event names its reference; ``None`` where it names none.
    :param join: a function (event, reference) that returns a new event. Default: the reference is a mapping, whose
        entries are added to an event that is a dict, or to the labels of a PrometheusTimeSeries; what the event has
        itself stays.
    :param default: the reference of events that have no other. Default: none.
    :param unmatched_output_tag: where events without a reference go, and not down the main stream. Name one only if
        the job reads it with ``get_side_output``.
    :param drop_unmatched: whether they are dropped. Default False.
    """

    def __init__(
        self,
        table: Mapping[Any, Any],
        key: Callable[[Any], Any],
        join: Join = add_labels,
        *,
        default: Any = None,
        unmatched_output_tag: OutputTag | None = None,
        drop_unmatched: bool = False,
    ) -> None:
        if not isinstance(table, Mapping):
            raise TypeError(f"table: expected a mapping from keys to references, got a {type(table).__name__}")
        self._table = dict(table)
        self._enrichment = Enrichment(key, join, default)
        self._unmatched = _Unmatched(unmatched_output_tag, drop_unmatched)

    def open(self, runtime_context: RuntimeContext) -> None:
        """Find the counters; Flink calls this before the first event."""
        self._unmatched.open(runtime_context)

    def process_element(self, value: Any, ctx: ProcessFunction.Context) -> Iterator[Any]:
        """Add to an event what is known of it."""
        self._unmatched.counters.begin()
        event, is_matched = self._enrichment.enriched(value, self._table)
        if is_matched:
            yield event
        else:
            yield from self._unmatched.results(value)


class EnrichFromStream(BroadcastProcessFunction):
    """
    Add to each event what a second stream has said of it so far.

    ::

        enrich = EnrichFromStream(lambda update: (update["prefix"], update["labels"]), lambda row: row["callsign"][:3])
        rows.disable_chaining().connect(updates.broadcast(enrich.state_descriptor)).process(enrich)

    Each update replaces a reference, or removes it if it is ``None``. Flink does not order the two streams: events that
    come before an update do without it, also after the job has begun; so give in ``table`` what is known at the start,
    which counts until an update says otherwise. ``rows`` must not be keyed: enrich before ``key_by``.
    Without ``disable_chaining`` PyFlink fails with ``NoSuchFieldException: regularInput`` where ``rows`` come from a
    chain of Python functions.

    The watermark behind it is the lesser one of both streams. Give updates that come rarely a watermark strategy
    ``.with_idleness(...)``, or nothing that waits for the watermark goes on.

    Keeps all references, for ever, in broadcast state, a copy in each subtask, and once more in the worker's memory so
    that no event has to ask for it. Events without a reference are treated as by :class:`Enrich`.

    :param reference: what an update says: a key and its reference, ``None`` to remove it.
    :param key: what of an event names its reference; ``None`` where it names none.
    :param join: as of :class:`Enrich`.
    :param table: references that are known at the start. Default: none.
    :param default: as of :class:`Enrich`, like those that follow.
    """

    def __init__(
        self,
        reference: Callable[[Any], tuple[Any, Any]],
        key: Callable[[Any], Any],
        join: Join = add_labels,
        *,
        table: Mapping[Any, Any] | None = None,
        default: Any = None,
        unmatched_output_tag: OutputTag | None = None,
        drop_unmatched: bool = False,
    ) -> None:
        _validation.function("reference", reference)
        #: What ``broadcast`` needs.
        self.state_descriptor = MapStateDescriptor("references", Types.PICKLED_BYTE_ARRAY(), Types.PICKLED_BYTE_ARRAY())
        self._reference = reference
        self._table = dict(table or {})
        self._enrichment = Enrichment(key, join, default)
        self._unmatched = _Unmatched(unmatched_output_tag, drop_unmatched)
        self._known: dict[Any, Any] | None = None

    def open(self, runtime_context: RuntimeContext) -> None:
        """Find the counters; Flink calls this before the first event."""
        self._unmatched.open(runtime_context)
        self._known = None

    def process_element(self, value: Any, ctx: BroadcastProcessFunction.ReadOnlyContext) -> Iterator[Any]:
        """Add to an event what is known of it."""
        self._unmatched.counters.begin()
        event, is_matched = self._enrichment.enriched(value, self._references(ctx))
        if is_matched:
            yield event
        else:
            yield from self._unmatched.results(value)

    def process_broadcast_element(self, value: Any, ctx: BroadcastProcessFunction.Context) -> Iterator[Any]:
        """Take an update; emits nothing."""
        try:
            key, found = self._reference(value)
        except (TypeError, ValueError) as error:
            raise PrometheusSinkError(f"reference: expected a function that returns two values: {error}") from error
        self._references(ctx)[key] = found
        # One that was removed is kept as such, or the table's would come back after a restart.
        ctx.get_broadcast_state(self.state_descriptor).put(_checked_key(key), KeptValue(found))
        return iter(())

    def _references(self, ctx: Any) -> dict[Any, Any]:
        """Return all that is known; read from the state once, after a restart as well."""
        if self._known is None:
            stored = ctx.get_broadcast_state(self.state_descriptor).items()
            self._known = {**self._table, **{key: kept_value(found) for key, found in stored}}
        return self._known


def _checked_key(key: Any) -> Any:
    """
    Return a reference's key if Flink can find it again by its bytes.

    :raises PrometheusSinkError: if it is an instance of a class of the job's own file, whose bytes no two runs share.
    """
    try:
        pickle.dumps(key)
    except Exception as error:
        raise PrometheusSinkError(
            f"reference: return a string, a number or a tuple of those as a reference's key, not {shown(key)}, which "
            f"cannot be pickled: {error}"
        ) from error
    return key
