"""The part of a job graph that passes rows to the writer in Arrow batches."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from pyflink.common import Types
from pyflink.common.typeinfo import TypeInformation
from pyflink.datastream import DataStream, StreamExecutionEnvironment
from pyflink.java_gateway import get_gateway
from pyflink.table import DataTypes, Expression, StreamTableEnvironment, Table, TableConfig
from pyflink.table.expressions import col, if_then_else, lit, row
from pyflink.util.java_utils import get_j_env_configuration

from pyflink_prometheus.flink.columns import NotColumnsError, RecordColumns
from pyflink_prometheus.flink.partitions import check_keys
from pyflink_prometheus.flink.placement import Placement
from pyflink_prometheus.flink.row_stream import row_stream

_KEY = "key of the Prometheus writer"  # the name of a column
_BATCH_SIZE, _BUNDLE_SIZE = "python.fn-execution.arrow.batch.size", "python.fn-execution.bundle.size"
_LARGEST_BATCH = 10_000


def check_available(env: StreamExecutionEnvironment) -> None:
    """
    Check that Flink's Table API is available: it needs Flink's planner, and a runtime mode other than AUTOMATIC.

    :raises NotColumnsError: with Flink's reason.
    """
    try:
        StreamTableEnvironment.create(env)
    except Exception as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise NotColumnsError(f"Flink's Table API is not available: {reason}") from None


def table_environment(env: StreamExecutionEnvironment) -> StreamTableEnvironment:
    """Return a table environment for the sink only, with the options of the job."""
    t_env = StreamTableEnvironment.create(env)
    set_batch_size(t_env.get_config(), get_j_env_configuration(env._j_stream_execution_environment).getString)
    return t_env


def set_batch_size(config: TableConfig, option: Callable[[str, str], str]) -> None:
    """
    Make each bundle one batch, up to a size beyond which batches only take memory, unless the user has set the size.

    :param config: the configuration of the table environment.
    :param option: returns the value of an option that the user may have set, given its name and a default.
    """
    if option(_BATCH_SIZE, "") == "":
        config.set(_BATCH_SIZE, str(min(int(option(_BUNDLE_SIZE, "1000")), _LARGEST_BATCH)))


def partitioned_table(
    t_env: StreamTableEnvironment, table: Table, columns: Sequence[str], types: Mapping[str, TypeInformation]
) -> Table:
    """
    Return a table in which all rows with the same values in some columns are on the same subtask.

    :param columns: their names.
    :param types: the types of all columns that the result keeps, by their names.
    :raises ValueError: naming the columns that don't exist or can't be keys.
    """
    return t_env.from_data_stream(keyed_stream(t_env, table, columns, types)).drop_columns(col(_KEY))


def keyed_stream(
    t_env: StreamTableEnvironment, table: Table, columns: Sequence[str], types: Mapping[str, TypeInformation]
) -> DataStream:
    """Return such a partitioned table as a stream, with the key as an additional first column."""
    check_keys(columns, types)
    # Rows from a table can be keyed only by a row in their first field. The cast makes that row nullable, or else Flink
    # would add an operator that checks it for NULL.
    schema = table.get_schema()
    key_type = DataTypes.ROW([DataTypes.FIELD(each, schema.get_field_data_type(each)) for each in columns])
    key = row(*map(col, columns)).try_cast(key_type)
    keyed = table.select(key.alias(_KEY), *map(col, types))
    j_stream = t_env.to_data_stream(keyed)._j_data_stream
    selector = get_gateway().jvm.org.apache.flink.streaming.api.functions.python.KeyByKeySelector()
    j_key_type = Types.ROW([types[column] for column in columns]).get_java_type_info()
    return DataStream(j_stream.keyBy(selector, j_key_type))


def arguments(columns: RecordColumns) -> list[Expression]:
    """Return the arguments of the function that receives records as columns."""
    nulls = columns.nulls()
    nullable = {field for group in nulls for field, _ in group}
    fields = [
        col(name).if_null(0) if number in nullable and columns.is_integer(number) else col(name)
        for number, name in enumerate(columns.names)
    ]
    masks = [
        [if_then_else(col(columns.names[field]).is_null, lit(bit), lit(0)) for field, bit in each] for each in nulls
    ]
    return fields + [functools.reduce(operator.add, bits) for bits in masks]


def written_stream(
    t_env: StreamTableEnvironment, written: Table, placement: Placement, subtasks: int, reads: DataStream
) -> DataStream:
    """
    Return the stream of a table whose rows are results of the function that writes.

    Flink's planner cannot set the name, uid and parallelism of a single operator, so its graph is changed afterwards.

    :param written: the table.
    :param placement: the name and uid of the writer's operator.
    :param subtasks: the number of the writer's subtasks.
    :param reads: the stream from which the table was made.
    """
    stream = row_stream(t_env, written)
    end, begin = stream._j_data_stream.getTransformation(), reads._j_data_stream.getTransformation()
    parallelism = subtasks
    for number, added in enumerate(_between(end, begin)):
        if added.getClass().getSimpleName() == "PartitionTransformation":
            parallelism = begin.getParallelism()  # as upstream of the partition
            continue
        added.setParallelism(parallelism)
        is_writer = added.getName().startswith("PythonCalc")
        if is_writer:
            added.setName(placement.name)
            added.setDescription(placement.name)
        if placement.uid is not None:
            added.setUid(placement.uid if is_writer else f"{placement.uid}-{number}")
    return stream


def _between(end: Any, begin: Any) -> Iterator[Any]:
    """Return the transformations from ``end`` back to ``begin``, exclusive, the last one first."""
    while end.getId() != begin.getId():
        yield end
        (end,) = end.getInputs()
