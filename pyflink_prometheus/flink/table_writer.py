"""The writer downstream of a table or a SQL query, for which no Python code runs per row."""

from __future__ import annotations

import logging
import re
from typing import Any

from pyflink.java_gateway import get_gateway
from pyflink.table import DataTypes, ExplainDetail, Expression, Schema, StreamTableEnvironment, Table, TableDescriptor
from pyflink.table.expressions import col

from pyflink_prometheus._validation import shown
from pyflink_prometheus.config import SinkConfig
from pyflink_prometheus.flink import arrow
from pyflink_prometheus.flink.batches import batch_function
from pyflink_prometheus.flink.placement import Placement
from pyflink_prometheus.flink.row_stream import row_stream
from pyflink_prometheus.flink.subtask import SubtaskWriter
from pyflink_prometheus.flink.table_select import (
    ColumnReader,
    Selection,
    SqlType,
    key_columns_of,
    quoted,
    select,
    stream_types,
)
from pyflink_prometheus.model.column_mapping import ColumnMapping

_log = logging.getLogger(__name__)

_METRICS_ENABLED = "python.metric.enabled"
_LOCAL_TIME_ZONE = "table.local-time-zone"
_PARALLELISMS = ("table.exec.resource.default-parallelism", "parallelism.default")
#: Names of the only time zone in which local times lose nothing.
UTC = ("UTC", "Etc/UTC", "GMT", "Z")

#: The only column of the table that a query with a SQL function inserts into.
RESULT_COLUMN = "written"

#: The types that a SQL function may take as a timestamp.
TIMESTAMP_TYPES = {"TIMESTAMP(3)": DataTypes.TIMESTAMP(3), "BIGINT": DataTypes.BIGINT()}


class TableWriter:
    """
    The step that adds the writer to tables.

    :param config: the writer's settings.
    :param mapping: the column mapping.
    :param placement: the writer's place in the job graph.
    """

    def __init__(self, config: SinkConfig, mapping: ColumnMapping, placement: Placement) -> None:
        self.mapping = mapping
        self._config = config
        self._placement = placement

    def written(self, table: Table) -> Table:
        """
        Return the table of the writer's results, to be inserted into :func:`nowhere`.

        :raises ValueError: if the table lacks columns, or updates its rows.
        :raises TypeError: naming a column of a type that does not fit.
        """
        t_env = table._t_env
        selection = select(self.mapping, types_of(table))
        check_inserts_only(table.explain(ExplainDetail.CHANGELOG_MODE))
        prepare(t_env)
        rows = selected(t_env, table, selection)
        subtasks = _subtasks(t_env, self._placement)
        is_placed = self._placement != Placement() or subtasks > 1
        if not isinstance(t_env, StreamTableEnvironment):
            if is_placed:
                self._warn_of_placement(subtasks)
            return rows.select(self._function(selection, subtasks)(*arguments(selection)))
        if not is_placed:
            return rows.select(self._function(selection, subtasks)(*arguments(selection)))
        return self._placed(t_env, rows, selection, subtasks)

    def create_function(self, t_env: Any, name: str, timestamp_type: str, table_name: str) -> None:
        """
        Create a SQL function whose arguments are the mapping's columns, and the table to insert into.

        :param t_env: the table environment in which to create them.
        :param name: the name of the function.
        :param timestamp_type: the SQL type of the timestamp.
        :param table_name: the name of the table, which may already exist.
        :raises ValueError: if the type is not one of :data:`TIMESTAMP_TYPES`, or does not fit the time zones, or
            another table has this name.
        """
        if timestamp_type not in TIMESTAMP_TYPES:
            raise ValueError(f"timestamp_type: expected {' or '.join(TIMESTAMP_TYPES)}, got {shown(timestamp_type)}")
        if timestamp_type != "BIGINT":
            check_time_zones(t_env, self.mapping)
        create_nowhere(t_env, table_name)
        prepare(t_env)
        types: dict[str | None, Any] = dict.fromkeys(self.mapping.columns, DataTypes.STRING())
        types.update(dict.fromkeys(self.mapping.value_columns.values(), DataTypes.DOUBLE()))
        types[self.mapping.labels_column] = DataTypes.MAP(DataTypes.STRING(), DataTypes.STRING())
        types[self.mapping.stale] = DataTypes.BOOLEAN()
        types[self.mapping.timestamp] = TIMESTAMP_TYPES[timestamp_type]
        input_types = [types[name] for name in self.mapping.columns]
        subtask = self._subtask(_subtasks(t_env, self._placement), f"in the SQL function {name!r}")
        function = batch_function(subtask, ColumnReader(self.mapping), input_types)
        t_env.create_temporary_function(name, function)

    def _function(self, selection: Selection, subtasks: int) -> Any:
        return batch_function(self._subtask(subtasks, "from a table"), ColumnReader(self.mapping, selection))

    def _subtask(self, subtasks: int, where: str) -> SubtaskWriter:
        subtask = SubtaskWriter(self._config)
        subtask.way = f"{self._placement.name}: rows come in Arrow batches, {where}"
        subtask.log_file = get_gateway().jvm.System.getProperty("log.file")
        subtask.subtasks = subtasks
        return subtask

    def _placed(self, t_env: StreamTableEnvironment, rows: Table, selection: Selection, subtasks: int) -> Table:
        """Return the written table, with the writer placed as set, by way of a stream."""
        j_added = t_env._j_tenv.execEnv().getTransformations()
        before = len(j_added)
        keys = self._placement.key_columns or key_columns_of(self.mapping)
        # Flink identifies operators without a uid by counting operators. The count must be the same for one subtask as
        # for several, or a savepoint would not fit another parallelism.
        if subtasks > 1 and keys:
            stream = arrow.keyed_stream(t_env, rows, keys, stream_types(self.mapping, selection))
        else:
            stream = row_stream(t_env, rows)
        table = t_env.from_data_stream(stream)
        written = table.select(self._function(selection, subtasks)(*arguments(selection)).alias(RESULT_COLUMN))
        result = t_env.from_data_stream(arrow.written_stream(t_env, written, self._placement, subtasks, stream))
        # These run as inputs of the insertion, and must not run again when the stream's environment executes a job.
        while len(j_added) > before:
            j_added.pop(before)
        return result

    def _warn_of_placement(self, subtasks: int) -> None:
        if self._placement.uid is not None or self._placement.parallelism is not None:
            _log.warning(
                "use a StreamTableEnvironment for set_name, set_uid and set_parallelism: a TableEnvironment has no way "
                "to set them for one operator, so they have no effect"
            )
        if subtasks > 1:
            _log.warning(
                "use a StreamTableEnvironment if the rows of a series are not all in one partition of the source: "
                "the Prometheus writer has %d subtasks, and a TableEnvironment cannot distribute the rows over them by "
                "series, so samples may overtake each other",
                subtasks,
            )


def types_of(table: Table) -> dict[str, SqlType]:
    """Return the types of a table's columns."""
    j_schema = table._j_table.getResolvedSchema()
    names, types = j_schema.getColumnNames(), j_schema.getColumnDataTypes()
    return {names.get(at): SqlType.of(types.get(at).getLogicalType()) for at in range(names.size())}


def selected(t_env: Any, table: Table, selection: Selection) -> Table:
    """Return a table's columns as they are passed to Python."""
    columns = ", ".join(f"{each} AS {quoted(name)}" for each, name in zip(selection.expressions, selection.names))
    return t_env.sql_query(f"SELECT {columns} FROM {table}")  # noqa: S608  (names are quoted)


def arguments(selection: Selection) -> list[Expression]:
    """Return the arguments of the function that receives the selected columns."""
    return [col(name) for name in selection.names]


def check_inserts_only(plan: str) -> None:
    """
    Check that a query never updates its rows; the writer could not tell an update from a new row.

    :param plan: the query's plan, explained with changelog modes.
    :raises ValueError: if it does, saying what to do instead.
    """
    modes = re.findall(r"changelogMode=\[([A-Z,]+)\]", plan)  # no modes in batch mode, where nothing is updated
    # A sink has the mode NONE; only the modes of its inputs matter.
    found = next((mode for mode in modes if mode != "NONE"), "I")
    if found != "I":
        raise ValueError(
            "aggregate in windows, such as TUMBLE, which emit each row once, or keep the first row with ROW_NUMBER() "
            "... = 1 over the time attribute: the query updates rows that it has emitted "
            f"(changelog mode {found}), and Prometheus cannot replace a sample"
        )


def check_sql(t_env: Any, statement: str) -> None:
    """
    Check that a statement never updates the rows that it inserts.

    :raises ValueError: if it does, saying what to do instead.
    """
    check_inserts_only(t_env.explain_sql(statement, ExplainDetail.CHANGELOG_MODE))


def nowhere() -> TableDescriptor:
    """Return a table that discards the writer's results."""
    return TableDescriptor.for_connector("blackhole").schema(_result_schema()).build()


def create_nowhere(t_env: Any, table_name: str) -> None:
    """
    Create the table that SQL inserts into, unless it exists.

    :raises ValueError: if another table has this name.
    """
    if table_name in (*t_env.list_tables(), *t_env.list_views()):
        if t_env.from_path(quoted(table_name)).get_schema().get_field_names() != [RESULT_COLUMN]:
            raise ValueError(f"table_name: choose another one: {table_name!r} is another table")
        return
    t_env.create_temporary_table(quoted(table_name), nowhere())


def prepare(t_env: Any) -> None:
    """Set the options that the writer needs in a table environment."""
    config = t_env.get_config()
    if config.get(_METRICS_ENABLED, "true").lower() == "false":
        _log.warning(
            "%s is false, but the Prometheus sink needs Python metrics to flush before a checkpoint, so it is set to "
            "true for this table environment",
            _METRICS_ENABLED,
        )
        config.set(_METRICS_ENABLED, "true")
    arrow.set_batch_size(config, config.get)


def check_time_zones(t_env: Any, mapping: ColumnMapping) -> None:
    """
    Check that a TIMESTAMP in an argument of a SQL function is in UTC.

    Flink automatically casts a TIMESTAMP_LTZ to the function's TIMESTAMP, in the session's zone.

    :raises ValueError: if it is not or may not be in UTC.
    """
    zone = t_env.get_config().get_local_timezone()
    if zone not in UTC or mapping.time_zone not in UTC:
        raise ValueError(
            "timestamp_type: set it to BIGINT and pass milliseconds since 1970, or set table.local-time-zone to UTC "
            "and leave the mapping's time_zone at UTC, or use add_insert instead of a SQL function: Flink would turn a "
            f"TIMESTAMP_LTZ into a local time in {zone}, and the mapping would take it for one in {mapping.time_zone}"
        )


def _subtasks(t_env: Any, placement: Placement) -> int:
    """Return how many subtasks the writer will have."""
    if placement.parallelism is not None:
        return placement.parallelism
    config = t_env.get_config()
    found = int(config.get("table.exec.resource.default-parallelism", "-1"))
    if found > 0:
        return found
    if isinstance(t_env, StreamTableEnvironment):
        return int(t_env._j_tenv.execEnv().getParallelism())
    processors = get_gateway().jvm.Runtime.getRuntime().availableProcessors()  # the default of a local job
    return int(config.get("parallelism.default", str(processors)))


def _result_schema() -> Schema:
    return Schema.new_builder().column(RESULT_COLUMN, DataTypes.TINYINT()).build()
