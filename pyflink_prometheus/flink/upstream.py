"""What the job graph says of the operators upstream of the sink: which keep order, and which become one with it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, Optional

from pyflink.fn_execution.flink_fn_execution_pb2 import UserDefinedDataStreamFunction
from pyflink.java_gateway import get_gateway

from pyflink_prometheus.flink.operators.aggregate import Aggregate
from pyflink_prometheus.flink.operators.cumulative import CumulativeAggregate
from pyflink_prometheus.flink.operators.reorder import Reorder

# These emit in order of event time, in whatever order records reach them. Pickled by reference, a function's bytes hold
# the name of its class's module.
_IN_EVENT_TIME = tuple(each.__module__.encode() for each in (Reorder, Aggregate, CumulativeAggregate))

_KEYED_PROCESS, _WINDOW = UserDefinedDataStreamFunction.KEYED_PROCESS, UserDefinedDataStreamFunction.WINDOW


class Exchange(NamedTuple):
    """
    Say how records get from one operator to another.

    :param producer: Java's transformation that makes them.
    :param partitioner: the class of Flink's partitioner between the two; ``None`` where the job names none.
    :param is_side_output: whether they are a side output of it.
    """

    producer: Any
    partitioner: Optional[str]
    is_side_output: bool

    def loses_order(self, parallelism: int) -> bool:
        """
        Tell whether records that one subtask makes are dealt out to several.

        :param parallelism: of the operator that gets them.
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


class Deal(NamedTuple):
    """Name a step on which records are dealt out in turn: the operators, and the number of each one's subtasks."""

    producer: str
    produced_by: int
    consumer: str
    consumed_by: int


def exchanges(transformation: Any) -> list[Exchange]:
    """Return how records get out of the transformation of a stream, seen from the operator that is to read it."""
    return list(_exchanges(transformation, None, is_side_output=False))


def deals_before(exchange: Exchange, seen: dict[int, list[Deal]]) -> list[Deal]:
    """
    Return the steps before an exchange on which samples of a series may overtake each other, nearest to it first.

    Steps before an operator that emits in order of event time do not count. A key after such a step brings the records
    of a series together again, but not in their order.

    :param seen: what is known already, by the ids of transformations.
    """
    found = _deals_up_to(exchange.producer, seen)
    return [] if found and not exchange.is_side_output and _emits_in_event_time(exchange.producer) else found


def merged_with(transformation: Any, parallelism: int) -> list[Any]:
    """
    Return the operators that PyFlink would make one operator of with a Python function after them, the first one first.

    PyFlink does so when the job is submitted, and an operator that has another reader by then stays alone.

    :param transformation: Java's, of the stream that the function reads.
    :param parallelism: of the function.
    """
    util = get_gateway().jvm.org.apache.flink.python.util.PythonConfigUtil
    found: list[Any] = []
    above = exchanges(transformation)
    while len(above) == 1:
        ((producer, partitioner, is_side_output),) = above
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
        above = exchanges(inputs[0])
    return found


def _deals_up_to(transformation: Any, seen: dict[int, list[Deal]]) -> list[Deal]:
    number = transformation.getId()
    if number in seen:
        return seen[number]
    seen[number] = found = []
    names = get_gateway().jvm.org.apache.flink.python.util.PythonConfigUtil
    # PyFlink gives these the parallelism of what is before them, later, when the job is submitted.
    is_aligned = transformation.getName() in (
        names.STREAM_KEY_BY_MAP_OPERATOR_NAME,
        names.KEYED_STREAM_VALUE_OPERATOR_NAME,
        names.STREAM_PARTITION_CUSTOM_MAP_OPERATOR_NAME,
    )
    for j_input in transformation.getInputs():
        for exchange in exchanges(j_input):
            producer, parallelism = exchange.producer, transformation.getParallelism()
            if exchange.partitioner == "BroadcastPartitioner":
                continue  # rules and references, and not what the sink writes
            if not is_aligned and exchange.loses_order(parallelism):
                found.append(Deal(producer.getName(), producer.getParallelism(), transformation.getName(), parallelism))
            found += (each for each in deals_before(exchange, seen) if each not in found)
    return found


def _exchanges(transformation: Any, partitioner: str | None, is_side_output: bool) -> Iterator[Exchange]:
    kind = transformation.getClass().getSimpleName()
    if kind == "PartitionTransformation":
        # Of several in a row the last one rules.
        partitioner = partitioner or transformation.getPartitioner().getClass().getSimpleName()
    elif kind == "SideOutputTransformation":
        is_side_output = True
    elif kind != "UnionTransformation":
        yield Exchange(transformation, partitioner, is_side_output)
        return
    for j_input in transformation.getInputs():
        yield from _exchanges(j_input, partitioner, is_side_output)


def _emits_in_event_time(transformation: Any) -> bool:
    util = get_gateway().jvm.org.apache.flink.python.util.PythonConfigUtil
    is_one_input = transformation.getClass().getSimpleName() == "OneInputTransformation"
    if not is_one_input or not util.isPythonDataStreamOperator(transformation):
        return False
    info = util.getOperatorFactory(transformation).getOperator().getPythonFunctionInfo()
    if info.getFunctionType() != _KEYED_PROCESS:
        return bool(info.getFunctionType() == _WINDOW)
    function = info.getPythonFunction().getSerializedPythonFunction()
    return any(name in function for name in _IN_EVENT_TIME)
