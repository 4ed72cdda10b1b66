"""Operators that add reference data to events, from a table or from a stream."""

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
from pyflink_prometheus.flink.operators._context import Counters, checked_output_tag
from pyflink_prometheus.flink.pickled import dumped, loaded
from pyflink_prometheus.transforms.enrichment import Enrichment, Join, add_labels


class _Unmatched:
    """The user's choice of what to do with events that have no reference."""

    def __init__(self, output_tag: OutputTag | None, drop: bool) -> None:
        if output_tag is not None and drop:
            raise ValueError("drop_unmatched: expected False, because unmatched events go to unmatched_output_tag")
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
    Enrichment of events from a table.

    ::

        OPERATORS = {"AFR": {"operator": "Air France", "country": "FR"}}
        rows.process(Enrich(OPERATORS, lambda row: row["callsign"][:3]))

    The table travels inside the job; if it changes while the job runs, see :class:`EnrichFromStream`. The stream needs
    no key, and order is kept. Has no state.

    An event without a reference is emitted unchanged, unless ``default``, ``unmatched_output_tag`` or
    ``drop_unmatched`` is set. ``numEventsUnmatched`` counts such events, unless there is a default.

    :param table: references by their keys.
    :param key: a function that returns the key of an event's reference, or ``None`` for no reference.
    :param join: a function (event, reference) that returns a new event. Default: the reference is a mapping, whose
        entries are added to an event that is a dict, or to the labels of a PrometheusTimeSeries, without replacing
        existing ones.
    :param default: the reference of events that match none. Default: none.
    :param unmatched_output_tag: where events without a reference go instead of the main stream. Set it only if the job
        reads it with ``get_side_output``.
    :param drop_unmatched: whether to drop events without a reference. Default False.
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
            raise TypeError(f"table: expected a mapping from keys to references, got {type(table).__name__}")
        self._table = dict(table)
        self._enrichment = Enrichment(key, join, default)
        self._unmatched = _Unmatched(unmatched_output_tag, drop_unmatched)

    def open(self, runtime_context: RuntimeContext) -> None:
        """Set up the counters; Flink calls this before the first event."""
        self._unmatched.open(runtime_context)

    def process_element(self, value: Any, ctx: ProcessFunction.Context) -> Iterator[Any]:
        """Enrich an event."""
        self._unmatched.counters.show()
        event, is_matched = self._enrichment.enriched(value, self._table)
        if is_matched:
            yield event
        else:
            yield from self._unmatched.results(value)


class EnrichFromStream(BroadcastProcessFunction):
    """
    Enrichment of events from a second stream of reference data.

    ::

        enrich = EnrichFromStream(lambda update: (update["prefix"], update["labels"]), lambda row: row["callsign"][:3])
        rows.disable_chaining().connect(updates.broadcast(enrich.state_descriptor)).process(enrich)

    Each update replaces a reference, or removes it if it is ``None``. Flink does not order the two streams: an event
    that arrives before an update does not get it, not only at the start of the job. So pass the initial references as
    ``table``; each is valid until an update replaces it. ``rows`` must not be keyed: enrich before ``key_by``.
    Without ``disable_chaining`` PyFlink fails with ``NoSuchFieldException: regularInput`` if ``rows`` come from a chain
    of Python functions.

    The watermark downstream is the lower of the two streams' watermarks. If updates are rare, give their stream a
    watermark strategy ``.with_idleness(...)``, or everything downstream that waits for the watermark stalls.

    Keeps all references forever, in broadcast state with a copy per subtask, and also in the worker's memory for fast
    access. Events without a reference are treated as in :class:`Enrich`.

    :param reference: a function from an update to a key and its reference, ``None`` to remove it.
    :param key: as for :class:`Enrich`, as are ``join``, ``default`` and the parameters after it.
    :param table: the initial references. Default: none.
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
        #: The argument of ``broadcast``.
        self.state_descriptor = MapStateDescriptor("references", Types.PICKLED_BYTE_ARRAY(), Types.PICKLED_BYTE_ARRAY())
        self._reference = reference
        self._table = dict(table or {})
        self._enrichment = Enrichment(key, join, default)
        self._unmatched = _Unmatched(unmatched_output_tag, drop_unmatched)
        self._by_key: dict[Any, Any] | None = None

    def open(self, runtime_context: RuntimeContext) -> None:
        """Set up the counters; Flink calls this before the first event."""
        self._unmatched.open(runtime_context)
        self._by_key = None

    def process_element(self, value: Any, ctx: BroadcastProcessFunction.ReadOnlyContext) -> Iterator[Any]:
        """Enrich an event."""
        self._unmatched.counters.show()
        event, is_matched = self._enrichment.enriched(value, self._references(ctx))
        if is_matched:
            yield event
        else:
            yield from self._unmatched.results(value)

    def process_broadcast_element(self, value: Any, ctx: BroadcastProcessFunction.Context) -> Iterator[Any]:
        """Store an update; emit nothing."""
        try:
            key, found = self._reference(value)
        except (TypeError, ValueError) as error:
            raise PrometheusSinkError(f"reference: expected a function that returns two values: {error}") from error
        self._references(ctx)[key] = found
        # A removed reference is stored as None, or the table's reference would come back after a restart.
        ctx.get_broadcast_state(self.state_descriptor).put(_checked_key(key), dumped(found))
        return iter(())

    def _references(self, ctx: Any) -> dict[Any, Any]:
        """Return all references; they are read from the state once per run."""
        if self._by_key is None:
            stored = ctx.get_broadcast_state(self.state_descriptor).items()
            self._by_key = {**self._table, **{key: loaded(found) for key, found in stored}}
        return self._by_key


def _checked_key(key: Any) -> Any:
    """
    Return a reference's key if Flink can find it by its bytes.

    :raises PrometheusSinkError: if it is an instance of a class of the job's own file, whose bytes differ in each run.
    """
    try:
        pickle.dumps(key)
    except Exception as error:
        raise PrometheusSinkError(
            f"reference: return a string, a number or a tuple of these as a reference's key, not {shown(key)}, which "
            f"cannot be pickled: {error}"
        ) from error
    return key
