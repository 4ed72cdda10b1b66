"""The operators upstream of the sink: where order is lost, and which ones PyFlink chains with the writer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from pyflink.java_gateway import get_gateway

from pyflink_prometheus.flink.operators.aggregate import Aggregate
from pyflink_prometheus.flink.operators.cumulative import CumulativeAggregate
from pyflink_prometheus.flink.operators.reorder import Reorder

# These emit in order of event time, whatever the order of their input. Because pickle refers to a class by name, a
# function's bytes contain the name of its class's module.
_IN_EVENT_TIME = tuple(each.__module__.encode() for each in (Reorder, Aggregate, CumulativeAggregate))


class Edge(NamedTuple):
    """
    An edge of the job graph, seen from the operator that reads the records.

    :param producer: Java's transformation that emits the records.
    :param partitioner: the class of Flink's partitioner between the two; ``None`` if the job names none.
    :param is_side_output: whether the records are a side output of the producer.
    """

    producer: Any
    partitioner: str | None
    is_side_output: bool

    def loses_order(self, parallelism: int) -> bool:
        """
        Return whether the records of one subtask are distributed over several.

        :param parallelism: the parallelism of the operator that reads the records.
        """
        if parallelism == 1:
            return False
        if self.partitioner in ("RebalancePartitioner", "ShufflePartitioner"):
            return True
        before = int(self.producer.getParallelism())
        if self.partitioner == "RescalePartitioner":
            return before < parallelism
        # Without a partitioner Flink rebalances between operators of different parallelism.
        return self.partitioner in (None, "ForwardPartitioner") and before != parallelism


class Redistribution(NamedTuple):
    """An edge on which records are distributed over subtasks: both operators, and their numbers of subtasks."""

    producer: str
    produced_by: int
    consumer: str
    consumed_by: int


def edges_from(transformation: Any) -> list[Edge]:
    """Return the edges over which an operator would read a transformation's stream."""
    return list(_edges_from(transformation, None, is_side_output=False))


def redistributions_before(edge: Edge, seen: dict[int, list[Redistribution]]) -> list[Redistribution]:
    """
    Return the edges upstream of this one where samples of a series may overtake each other, the nearest first.

    Edges upstream of an operator that emits in order of event time do not count. A key downstream brings the records of
    a series together again, but does not restore their order.

    :param seen: earlier results, by the ids of transformations.
    """
    found = _redistributions_up_to(edge.producer, seen)
    return [] if found and not edge.is_side_output and _emits_in_event_time(edge.producer) else found


def chained_with(transformation: Any, parallelism: int) -> list[Any]:
    """
    Return the operators that PyFlink would chain with a Python function that reads this stream, in their order.

    PyFlink chains them when the job is submitted; an operator that has another reader by then is not chained.

    :param transformation: Java's transformation of the stream.
    :param parallelism: the parallelism of the function.
    """
    util = get_gateway().jvm.org.apache.flink.python.util.PythonConfigUtil
    found: list[Any] = []
    edges = edges_from(transformation)
    while len(edges) == 1:
        ((producer, partitioner, is_side_output),) = edges
        if (
            partitioner not in (None, "ForwardPartitioner")
            or is_side_output
            or producer.getParallelism() != parallelism
            or not util.isPythonDataStreamOperator(producer)
        ):
            break
        strategy = util.getOperatorFactory(producer).getChainingStrategy().name()
        if strategy == "NEVER":
            break
        found.insert(0, producer)
        inputs = list(producer.getInputs())
        if strategy == "HEAD" or len(inputs) != 1:
            break
        edges = edges_from(inputs[0])
    return found


def _redistributions_up_to(transformation: Any, seen: dict[int, list[Redistribution]]) -> list[Redistribution]:
    number = transformation.getId()
    if number in seen:
        return seen[number]
    seen[number] = found = []
    names = get_gateway().jvm.org.apache.flink.python.util.PythonConfigUtil
    # When the job is submitted, PyFlink gives these the parallelism of the operator upstream of them.
    is_aligned = transformation.getName() in (
        names.STREAM_KEY_BY_MAP_OPERATOR_NAME,
        names.KEYED_STREAM_VALUE_OPERATOR_NAME,
        names.STREAM_PARTITION_CUSTOM_MAP_OPERATOR_NAME,
    )
    for j_input in transformation.getInputs():
        for edge in edges_from(j_input):
            producer, parallelism = edge.producer, transformation.getParallelism()
            if edge.partitioner == "BroadcastPartitioner":
                continue  # rules and references, not records to be written
            if not is_aligned and edge.loses_order(parallelism):
                found.append(
                    Redistribution(producer.getName(), producer.getParallelism(), transformation.getName(), parallelism)
                )
            found += (each for each in redistributions_before(edge, seen) if each not in found)
    return found


def _edges_from(transformation: Any, partitioner: str | None, is_side_output: bool) -> Iterator[Edge]:
    kind = transformation.getClass().getSimpleName()
    if kind == "PartitionTransformation":
        # The last of several in a row takes effect.
        partitioner = partitioner or transformation.getPartitioner().getClass().getSimpleName()
    elif kind == "SideOutputTransformation":
        is_side_output = True
    elif kind != "UnionTransformation":
        yield Edge(transformation, partitioner, is_side_output)
        return
    for j_input in transformation.getInputs():
        yield from _edges_from(j_input, partitioner, is_side_output)


def _emits_in_event_time(transformation: Any) -> bool:
    # This import loads Beam and pandas, which takes a second on a client that may not need them.
    from pyflink.fn_execution.flink_fn_execution_pb2 import UserDefinedDataStreamFunction as Kinds

    util = get_gateway().jvm.org.apache.flink.python.util.PythonConfigUtil
    is_one_input = transformation.getClass().getSimpleName() == "OneInputTransformation"
    if not is_one_input or not util.isPythonDataStreamOperator(transformation):
        return False
    info = util.getOperatorFactory(transformation).getOperator().getPythonFunctionInfo()
    if info.getFunctionType() != Kinds.KEYED_PROCESS:
        return bool(info.getFunctionType() == Kinds.WINDOW)
    function = info.getPythonFunction().getSerializedPythonFunction()
    return any(name in function for name in _IN_EVENT_TIME)
