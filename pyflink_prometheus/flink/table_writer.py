"""The writer behind a table or a SQL query, in which no Python runs for a single row."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from typing import Any

from pyflink.common import Types
from pyflink.java_gateway import get_gateway
from pyflink.table import DataTypes, ExplainDetail, Schema, StreamTableEnvironment, Table, TableDescriptor
from pyflink.table.expressions import col

from pyflink_prometheus.config import SinkConfig
from pyflink_prometheus.flink import arrow
from pyflink_prometheus.flink.batches import Column, batch_function
from pyflink_prometheus.flink.partitions import partitioned_table
from pyflink_prometheus.flink.placement import Placement
from pyflink_prometheus.flink.subtask import SubtaskWriter
from pyflink_prometheus.flink.table_select import Selection, SqlType, quoted, select
from pyflink_prometheus.model.column_mapping import ColumnMapping
from pyflink_prometheus.writer.mapped_columns import MappedColumns
from pyflink_prometheus.writer.writer import RemoteWriter

_log = logging.getLogger(__name__)

_BATCH_SIZE, _BUNDLE_SIZE = "python.fn-execution.arrow.batch.size", "python.fn-execution.bundle.size"
_METRICS_ENABLED = "python.metric.enabled"
_LOCAL_TIME_ZONE = "table.local-time-zone"
_PARALLELISMS = ("table.exec.resource.default-parallelism", "parallelism.default")
_UTC = ("UTC", "Etc/UTC", "GMT", "Z")

#: The only column of the table that a query with a SQL function inserts into.
RESULT_COLUMN = "written"

#: The types that a SQL function may take as a timestamp.
TIMESTAMP_TYPES = {"TIMESTAMP(3)": DataTypes.TIMESTAMP(3), "BIGINT": DataTypes.BIGINT()}


class ColumnReader:
    """
    A :class:`~pyflink_prometheus.flink.batches.BatchReader` that takes columns as a mapping says.

    :param mapping: which columns are what.
    :param selection: what the batches look like; ``None`` for the arguments of a SQL function.
    """

    def __init__(self, mapping: ColumnMapping, selection: Selection | None = None) -> None:
        self._mapping = mapping
        self._selection = selection
        self._columns: MappedColumns | None = None

    def read(self, columns: Sequence[Column], rows: int, writer: RemoteWriter) -> None:
        """Add the samples of a batch."""
        if self._columns is None:
            nulls = None if self._selection is None else self._selection.nulls
            is_local = self._selection is not None and self._selection.has_local_time
            self._columns = MappedColumns(self._mapping, writer, nulls, has_local_time=is_local)
        self._columns.add(columns)


class TableWriter:
    """
    What adds the writer to tables.

    :param config: the writer's settings.
    :param mapping: which columns are what.
    :param placement: the writer's place in the job graph.
    """

    def __init__(self, config: SinkConfig, mapping: ColumnMapping, placement: Placement) -> None:
        self.mapping = mapping
        self._config = config
        self._placement = placement

    def written(self, table: Table) -> Table:
        """
        Return the table whose rows are what the writer returns; it is to be inserted into :func:`nowhere`.

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
            return rows.select(self._function(selection)(*map(col, selection.names)))
        if not is_placed:
            return rows.select(self._function(selection)(*map(col, selection.names)))
        return self._placed(t_env, rows, selection, subtasks)

    def function(self, timestamp_type: str) -> Any:
        """
        Return the function for SQL, whose arguments are the mapping's columns.

        :param timestamp_type: the SQL type of the timestamp, one of :data:`TIMESTAMP_TYPES`.
        """
        types: dict[str | None, Any] = dict.fromkeys(self.mapping.columns, DataTypes.STRING())
        types.update(dict.fromkeys(self.mapping.value_columns.values(), DataTypes.DOUBLE()))
        types[self.mapping.labels_column] = DataTypes.MAP(DataTypes.STRING(), DataTypes.STRING())
        types[self.mapping.timestamp] = TIMESTAMP_TYPES[timestamp_type]
        input_types = [types[name] for name in self.mapping.columns]
        return batch_function(self._subtask(), ColumnReader(self.mapping), "", input_types)

    def _function(self, selection: Selection) -> Any:
        return batch_function(self._subtask(), ColumnReader(self.mapping, selection))

    def _subtask(self) -> SubtaskWriter:
        subtask = SubtaskWriter(self._config)
        subtask.log_file = get_gateway().jvm.System.getProperty("log.file")
        return subtask

    def _placed(self, t_env: StreamTableEnvironment, rows: Table, selection: Selection, subtasks: int) -> Table:
        """Return the written table, with the writer where it was to be placed; by way of a stream."""
        j_added = t_env._j_tenv.execEnv().getTransformations()
        before = len(j_added)
        stream = t_env.to_data_stream(rows)
        table = t_env.from_data_stream(stream)
        keys = self._placement.key_columns or key_columns_of(self.mapping)
        if subtasks > 1 and keys:
            table = partitioned_table(t_env, table, keys, stream_types(self.mapping, selection))
        written = table.select(self._function(selection)(*map(col, selection.names)).alias(RESULT_COLUMN))
        result = t_env.from_data_stream(arrow.written_stream(t_env, written, self._placement, subtasks, stream))
        # They run as inputs of the insertion, and not once more when the stream's environment executes a job.
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
                "use a StreamTableEnvironment if the rows of a series are not together in one partition of the source: "
                "the Prometheus writer has %d subtasks, and a TableEnvironment cannot distribute the rows over them by "
                "series, so samples may overtake each other",
                subtasks,
            )


def key_columns_of(mapping: ColumnMapping) -> tuple[str, ...]:
    """
    Return the columns in which the rows of a series have the same values.

    A map of labels is not among them, because its entries may come in any order.
    """
    names = (mapping.metric_name_column, *mapping.label_columns.values())
    keys = tuple(dict.fromkeys(name for name in names if name is not None))
    if not keys and mapping.labels_column is not None:
        _log.warning(
            "give the column mapping a column in labels, if the Prometheus writer has several subtasks: rows cannot be "
            "distributed by a map of labels, so samples of a series may overtake each other"
        )
    return keys


def stream_types(mapping: ColumnMapping, selection: Selection) -> dict[str, Any]:
    """Return the types of the selected columns as those of a stream."""
    types = dict.fromkeys(selection.names, Types.STRING())
    types.update(dict.fromkeys(mapping.value_columns.values(), Types.DOUBLE()))
    types.update(dict.fromkeys(selection.flags, Types.BOOLEAN()))
    types[mapping.timestamp] = Types.LONG()
    return types


def types_of(table: Table) -> dict[str, SqlType]:
    """Return the types of a table's columns."""
    j_schema = table._j_table.getResolvedSchema()
    names, types = j_schema.getColumnNames(), j_schema.getColumnDataTypes()
    return {names.get(at): SqlType.of(types.get(at).getLogicalType()) for at in range(names.size())}


def selected(t_env: Any, table: Table, selection: Selection) -> Table:
    """Return a table's columns as they cross to Python."""
    columns = ", ".join(f"{each} AS {quoted(name)}" for each, name in zip(selection.expressions, selection.names))
    return t_env.sql_query(f"SELECT {columns} FROM {table}")  # noqa: S608  (names are quoted)


def check_inserts_only(plan: str) -> None:
    """
    Check that a query never updates its rows; the writer could not tell an update from a row.

    :param plan: the query's, explained with its changelog modes.
    :raises ValueError: if it does, saying what to do instead.
    """
    modes = re.findall(r"changelogMode=\[([A-Z,]+)\]", plan)  # none in batch mode, where nothing is updated
    # A sink has the mode NONE; what matters is what comes into it.
    found = next((mode for mode in modes if mode != "NONE"), "I")
    if found != "I":
        raise ValueError(
            "aggregate in windows, such as TUMBLE, which emit each row once, or keep the first row with ROW_NUMBER() "
            "... = 1 over the time attribute: the query updates rows that it has emitted "
            f"(changelog mode {found}), and Prometheus cannot replace a sample"
        )


def nowhere() -> TableDescriptor:
    """Return a table into which the writer's results vanish."""
    return TableDescriptor.for_connector("blackhole").schema(_result_schema()).build()


def create_nowhere(t_env: Any, table_name: str) -> None:
    """
    Create the table that SQL inserts into, unless it is there.

    :raises ValueError: if there is another table of this name.
    """
    if table_name in (*t_env.list_tables(), *t_env.list_views()):
        if t_env.from_path(quoted(table_name)).get_schema().get_field_names() != [RESULT_COLUMN]:
            raise ValueError(f"table_name: choose another one, because {table_name!r} is another table")
        return
    t_env.create_temporary_table(quoted(table_name), nowhere())


def prepare(t_env: Any) -> None:
    """Set the options of a table environment that the writer needs."""
    config = t_env.get_config()
    if config.get(_METRICS_ENABLED, "true").lower() == "false":
        _log.warning(
            "%s is false, but the Prometheus sink needs Python metrics to flush before a checkpoint: it is set to true "
            "for this table environment",
            _METRICS_ENABLED,
        )
        config.set(_METRICS_ENABLED, "true")
    if config.get(_BATCH_SIZE, "") == "":
        config.set(_BATCH_SIZE, config.get(_BUNDLE_SIZE, "1000"))


def check_time_zones(t_env: Any, mapping: ColumnMapping) -> None:
    """
    Check that a TIMESTAMP in an argument of a SQL function is in UTC.

    Flink casts a TIMESTAMP_LTZ to the function's TIMESTAMP by itself, in the session's zone.

    :raises ValueError: if it is not, or may not be.
    """
    zone = t_env.get_config().get_local_timezone()
    if zone not in _UTC or mapping.time_zone not in _UTC:
        raise ValueError(
            "timestamp_type: set it to BIGINT and pass milliseconds since 1970, or set table.local-time-zone to UTC "
            "and leave the mapping's time_zone at UTC, or use add_insert instead of a SQL function: Flink would make a "
            f"time of day in {zone} of a TIMESTAMP_LTZ, and the mapping would take it for one in {mapping.time_zone}"
        )


def _subtasks(t_env: Any, placement: Placement) -> int:
    """Return how many subtasks the writer will have."""
    if placement.parallelism is not None:
        return placement.parallelism
    for option in _PARALLELISMS:
        found = int(t_env.get_config().get(option, "-1"))
        if found > 0:
            return found
    if isinstance(t_env, StreamTableEnvironment):
        return int(t_env._j_tenv.execEnv().getParallelism())
    return int(get_gateway().jvm.Runtime.getRuntime().availableProcessors())


def _result_schema() -> Schema:
    return Schema.new_builder().column(RESULT_COLUMN, DataTypes.TINYINT()).build()
