"""
Build job graphs with the sink, without running any of them.

Prints for each the warnings on the client and the operators, as one JSON object.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

from pyflink.common import Configuration, Types
from pyflink.datastream import DataStream, KeyedStream, OutputTag, StreamExecutionEnvironment
from pyflink.java_gateway import get_gateway
from pyflink.table import StreamTableEnvironment
from pyflink.table.expressions import col

from pyflink_prometheus import (
    Aggregate,
    CumulativeAggregate,
    EnrichFromStream,
    MarkStale,
    PrometheusSink,
    PrometheusSinkBuilder,
    Reorder,
    Transport,
    TumblingWindows,
)


def same(value: Any) -> Any:
    """Return the argument."""
    return value


def keyed(stream: DataStream) -> KeyedStream:
    """Key a stream."""
    return stream.key_by(same, Types.LONG())


def mapped(stream: DataStream, parallelism: int, name: str = "Map") -> DataStream:
    """Append a map to a stream."""
    return stream.map(same, Types.LONG()).set_parallelism(parallelism).name(name)


def sink() -> PrometheusSinkBuilder:
    """Return the sink's builder."""
    return PrometheusSink.builder().set_prometheus_remote_write_url("http://receiver.invalid/api/v1/write")


def dealt(numbers: DataStream) -> DataStream:
    """Distribute a source's records over two subtasks."""
    return mapped(numbers, 2, "dealt")


def broadcast_only(numbers: DataStream) -> DataStream:
    """Connect an ordered stream with another one that is distributed and broadcast."""
    enrich = EnrichFromStream(lambda update: (update, update), same, lambda event, _: event)
    rules = dealt(numbers).broadcast(enrich.state_descriptor)
    return mapped(numbers, 1).disable_chaining().connect(rules).process(enrich, Types.LONG()).set_parallelism(1)


def late_of_reorder(numbers: DataStream) -> DataStream:
    """Return the late events of a source that is distributed."""
    late = OutputTag("late", Types.LONG())
    return keyed(dealt(numbers)).process(Reorder(late_output_tag=late), Types.LONG()).get_side_output(late)


WINDOWS = TumblingWindows(1_000)

#: The steps of a stream of numbers before it is keyed and written by two subtasks.
ORDER: dict[str, Callable[[DataStream], DataStream]] = {
    "dealt out": dealt,
    "dealt out, further up": lambda numbers: mapped(keyed(dealt(numbers)).map(same, Types.LONG()), 1),
    "dealt out twice": lambda numbers: mapped(dealt(numbers), 3, "again"),
    "rebalanced": lambda numbers: mapped(mapped(numbers, 2, "first").rebalance(), 2, "rebalanced"),
    "shuffled": lambda numbers: mapped(numbers.shuffle(), 2, "shuffled"),
    "rescaled to more": lambda numbers: mapped(numbers.rescale(), 2, "rescaled"),
    "one of two streams": lambda numbers: (
        keyed(numbers).map(same, Types.LONG()).set_parallelism(2).union(dealt(numbers))
    ),
    "before MarkStale": lambda numbers: keyed(dealt(numbers)).process(MarkStale(1), Types.LONG()),
    "late events of Reorder": late_of_reorder,
    "after Reorder": lambda numbers: dealt(keyed(numbers).process(Reorder(), Types.LONG()).set_parallelism(1)),
    "nothing between": same,
    "the same parallelism": lambda numbers: mapped(numbers, 1),
    "to one": lambda numbers: mapped(keyed(numbers).map(same, Types.LONG()).set_parallelism(2), 1),
    "keyed before": lambda numbers: keyed(numbers).map(same, Types.LONG()).set_parallelism(2),
    "Reorder behind": lambda numbers: keyed(dealt(numbers)).process(Reorder(), Types.LONG()),
    "Aggregate behind": lambda numbers: keyed(dealt(numbers)).process(Aggregate("m", float, WINDOWS), Types.LONG()),
    "CumulativeAggregate behind": lambda numbers: keyed(dealt(numbers)).process(CumulativeAggregate("m"), Types.LONG()),
    "broadcast": broadcast_only,
}


def uid(numbers: DataStream) -> DataStream:
    """Return a stream that PyFlink chains with the writer into one operator."""
    return mapped(numbers, 1, "first").uid("uid of the first")


#: The streams that a sink with a uid follows.
UIDS: dict[str, Callable[[DataStream], DataStream]] = {
    "first without uid": lambda numbers: mapped(mapped(numbers, 1, "first"), 1).uid("uid of the second"),
    "first with uid": lambda numbers: mapped(uid(numbers), 1),
    "keyed": lambda numbers: keyed(mapped(numbers, 1, "first")),
    "Java before": same,
    "not chained": lambda numbers: mapped(numbers, 1).disable_chaining(),
    "another parallelism": lambda numbers: mapped(numbers, 2),
}


class Remember(logging.Handler):
    """A log handler that keeps the package's warnings."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a warning."""
        self.messages.append(record.getMessage())


def build(before: Callable[[DataStream], DataStream], finish: Callable[[DataStream], DataStream]) -> dict[str, Any]:
    """Build one graph, and return its warnings and operators."""
    env = StreamExecutionEnvironment.get_execution_environment(Configuration())
    env.set_parallelism(1)
    warnings = Remember()
    logging.getLogger("pyflink_prometheus").addHandler(warnings)
    finish(before(env.from_collection([1, 2], Types.LONG()))).sink_to(sink().set_uid("uid of the sink").build())
    logging.getLogger("pyflink_prometheus").removeHandler(warnings)
    nodes = get_gateway().jvm.java.util.ArrayList(env._generate_stream_graph(False).getStreamNodes())
    operators = {node.getOperatorName(): [node.getTransformationUID(), node.getParallelism()] for node in nodes}
    return {"warnings": warnings.messages, "operators": operators}


def arrow() -> PrometheusSinkBuilder:
    """Return the builder of a sink whose records must come in batches."""
    return sink().set_transport(Transport.ARROW)


def by(*columns: str) -> PrometheusSinkBuilder:
    """Return the builder of a sink with several subtasks and these key columns."""
    return sink().set_parallelism(2).set_key_columns(*columns)


def nested(numbers: DataStream) -> DataStream:
    """Return tuples whose second field can't be a column."""
    return numbers.map(same, Types.TUPLE([Types.LONG(), Types.LIST(Types.STRING())]))


def of_table(numbers: DataStream) -> DataStream:
    """Return rows from a table."""
    t_env = StreamTableEnvironment.create(numbers.get_execution_environment())
    return t_env.to_data_stream(t_env.from_data_stream(numbers).select(col("f0") * 2))


#: Sinks that cannot work, and the streams that they follow.
REFUSED: dict[str, tuple[Callable[[DataStream], DataStream], PrometheusSinkBuilder]] = {
    "batches of objects": (lambda numbers: numbers.map(same), arrow()),
    "batches of lists": (nested, arrow()),
    "batches of a keyed stream": (keyed, arrow()),
    "keys of numbers": (same, by("f0")),
    "keys of objects": (lambda numbers: numbers.map(same), by("f0")),
    "unknown key": (nested, by("device")),
    "key of lists": (nested, by("f0", "f1")),
    "key of a keyed stream": (keyed, by("f0")),
    "key of a table, one by one": (of_table, by("f0").set_transport(Transport.RECORDS)),
    "unknown key, one subtask": (nested, by("device").set_parallelism(1)),
}


def refusal(before: Callable[[DataStream], DataStream], builder: PrometheusSinkBuilder, mode: str) -> str:
    """Return the client's error."""
    config = Configuration()
    config.set_string("execution.runtime-mode", mode)
    env = StreamExecutionEnvironment.get_execution_environment(config)
    try:
        before(env.from_collection([1, 2], Types.LONG())).sink_to(builder.build())
    except ValueError as error:
        return str(error)
    return "not refused"


def main() -> None:
    """Build all graphs."""
    found = {
        "order": {name: build(before, keyed) for name, before in ORDER.items()},
        "uids": {name: build(before, same) for name, before in UIDS.items()},
        "refused": {
            **{name: refusal(*each, "STREAMING") for name, each in REFUSED.items()},
            "batches in mode AUTOMATIC": refusal(same, arrow(), "AUTOMATIC"),
        },
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
