"""The function that runs a writer in each subtask, and passes it one record at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pyflink.datastream.functions import ProcessFunction, RuntimeContext

from pyflink_prometheus.errors import PrometheusSinkError
from pyflink_prometheus.flink.advice import Exchange, log_exchange_cost
from pyflink_prometheus.flink.subtask import Conversion, SubtaskWriter, adder


class WriterFunction(ProcessFunction):
    """
    The function that passes each record to a writer, and emits nothing.

    :param subtask: the writer and its connection to Flink.
    :param converter: turns a record into series; ``None`` if records are series.
    :param exchange: how records reach the writer; ``None`` if they stay in its process.
    """

    def __init__(self, subtask: SubtaskWriter, converter: Conversion | None, exchange: Exchange | None = None) -> None:
        self._subtask = subtask
        self._converter = converter
        self._exchange = exchange
        self._add: Callable[[Any], None] | None = None

    def open(self, runtime_context: RuntimeContext) -> None:
        """Start the writer; Flink calls this at the first record, in the worker process."""
        subtasks = runtime_context.get_number_of_parallel_subtasks()
        writer = self._subtask.open(runtime_context.get_metrics_group(), subtasks)
        self._add = adder(writer, self._converter) if self._exchange is None else self._add_first

    def process_element(self, value: Any, ctx: ProcessFunction.Context) -> None:
        """Convert a record and add its series to the writer; blocks while too many are pending (backpressure)."""
        if self._add is None:
            raise PrometheusSinkError("the writer accepts records only between open() and close()")
        self._add(value)

    def close(self) -> None:
        """Release threads and connections without sending; Flink calls this at the end and after failures."""
        self._add = None
        self._subtask.close()

    def _add_first(self, value: Any) -> None:
        """Log the cost of passing records, and add the first one; later records skip this check."""
        if self._exchange is not None:
            log_exchange_cost(self._exchange, value)
        self._add = adder(self._subtask.writer, self._converter)
        self._add(value)


class KeyedRecords(ProcessFunction):
    """
    An adapter that unwraps the records of a keyed stream, which PyFlink passes as ``Row(key, record)``.

    :param function: receives the records as if the stream had no key.
    """

    def __init__(self, function: ProcessFunction) -> None:
        self._function = function

    def open(self, runtime_context: RuntimeContext) -> None:
        """Open the function."""
        self._function.open(runtime_context)
        self._process = self._function.process_element

    def process_element(self, value: Any, ctx: ProcessFunction.Context) -> None:
        """Pass a record on without its key."""
        self._process(value[1], ctx)

    def close(self) -> None:
        """Close the function."""
        self._function.close()
