"""The operators that ``sink_to`` adds to a job graph."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence
from typing import Any

from pyflink.common import Types
from pyflink.common.typeinfo import (
    ExternalTypeInfo,
    PickledBytesTypeInfo,
    RowTypeInfo,
    TupleTypeInfo,
    TypeInformation,
)
from pyflink.datastream import DataStream, KeyedStream
from pyflink.datastream.connectors.base import StreamTransformer
from pyflink.datastream.functions import ProcessFunction
from pyflink.java_gateway import get_gateway
from pyflink.util.java_utils import get_j_env_configuration

from pyflink_prometheus.config import SinkConfig
from pyflink_prometheus.flink import upstream
from pyflink_prometheus.flink.advice import Exchange
from pyflink_prometheus.flink.columns import NotColumnsError, RecordColumns, RecordReader, record_columns
from pyflink_prometheus.flink.function import KeyedRecords, WriterFunction
from pyflink_prometheus.flink.partitions import partitioned_stream
from pyflink_prometheus.flink.placement import Placement, Transport
from pyflink_prometheus.flink.subtask import Conversion, SubtaskWriter
from pyflink_prometheus.flink.table_select import ColumnReader, Selection, key_columns_of, select, stream_types
from pyflink_prometheus.model.column_mapping import ColumnMapping
from pyflink_prometheus.model.mapped_rows import check_columns, positional

_log = logging.getLogger(__name__)

_EXECUTION_MODE = "python.execution-mode"
_OPERATOR_CHAINING = "python.operator-chaining.enabled"
_METRICS_ENABLED = "python.metric.enabled"


class WriterTransformer(StreamTransformer):
    """
    The transformer that adds the writer's operator to a stream.

    :param config: the writer's settings.
    :param converter: turns a record into series, or maps its columns to parts of a series; ``None`` if records are
        series.
    :param placement: the writer's place in the job graph.
    """

    def __init__(self, config: SinkConfig, converter: Conversion | None, placement: Placement) -> None:
        self._config = config
        self._converter = converter
        self._placement = placement

    def apply(self, ds: DataStream) -> DataStream:
        """Return the writer's stream; any elements in it have no meaning."""
        env = ds.get_execution_environment()
        j_configuration = get_j_env_configuration(env._j_stream_execution_environment)
        enable_metrics(j_configuration)
        uid, parallelism = self._placement.uid, self._placement.parallelism
        subtasks = env.get_parallelism() if parallelism is None else parallelism
        record_type = ds._original_data_type_info if isinstance(ds, KeyedStream) else ds.get_type()
        ds = self._partitioned(ds, record_type, subtasks)
        chained = _chained(ds, subtasks, j_configuration)
        columns, why = self._choose(ds, record_type, chained)
        way = f"{self._placement.name}: records come {'one by one' if columns is None else 'in Arrow batches'}, {why}"
        _log.info("%s", way)
        try:
            _warn_of_lost_order(ds, subtasks, has_key=bool(self._placement.key_columns))
            if uid is not None and columns is None:
                _warn_of_unused_uid(chained, uid)
        except Exception:  # only advice, based on internals of Flink: no reason to fail a job
            _log.info("could not check the job graph upstream of the Prometheus writer", exc_info=True)
        subtask = SubtaskWriter(self._config)
        subtask.way = way
        subtask.log_file = get_gateway().jvm.System.getProperty("log.file")
        subtask.subtasks = subtasks
        if columns is not None:
            writer = self._in_batches(ds, subtask, columns, subtasks)
        else:
            exchange = None
            if not _stays_in_its_process(ds, subtasks, j_configuration):
                is_needless = isinstance(ds, KeyedStream) and subtasks == 1
                exchange = Exchange(is_needless, isinstance(record_type, PickledBytesTypeInfo))
            with process_mode(j_configuration):
                writer = self._one_by_one(ds, WriterFunction(subtask, self._converter, exchange))
        return DataStream(EndOfStream(writer._j_data_stream, uid))

    def _partitioned(self, ds: DataStream, record_type: TypeInformation, subtasks: int) -> DataStream:
        """Return the stream, partitioned by the key columns if the user has set some and there are several subtasks."""
        columns = self._placement.key_columns or self._columns_of_series(ds, record_type, subtasks)
        if not columns:
            return ds
        if isinstance(ds, KeyedStream):
            raise ValueError("key_columns: remove key_by before sink_to, or set no key columns: either is enough")
        if isinstance(record_type, ExternalTypeInfo):
            return ds  # its table is partitioned
        partitioned = partitioned_stream(ds, columns, record_type)
        return ds if subtasks == 1 else partitioned

    def _columns_of_series(self, ds: DataStream, record_type: TypeInformation, subtasks: int) -> tuple[str, ...]:
        """
        Return the mapping's columns in which all records of a series have the same values, if they are to be the key.

        :raises ValueError: if records lack columns of the mapping.
        """
        if not isinstance(self._converter, ColumnMapping):
            return ()
        if isinstance(record_type, RowTypeInfo):
            names: Sequence[str] = record_type.get_field_names()
        elif isinstance(record_type, TupleTypeInfo):
            names = positional(len(record_type.get_field_types()))
        else:
            return ()
        check_columns(self._converter.columns, names)
        return () if isinstance(ds, KeyedStream) or subtasks == 1 else key_columns_of(self._converter)

    def _choose(
        self, ds: DataStream, record_type: TypeInformation, chained: list[Any]
    ) -> tuple[RecordColumns | Selection | None, str]:
        """
        Choose how records reach the writer.

        :param chained: the Python operators that PyFlink would chain the writer with.
        :return: the columns if the writer gets batches, and the reason for the choice.
        :raises ValueError: if the user has chosen batches, and they are not possible.
        """
        transport, key_columns = self._placement.transport, self._placement.key_columns
        from_table = isinstance(record_type, ExternalTypeInfo)
        try:
            if transport is Transport.RECORDS:
                raise NotColumnsError("Transport.RECORDS is set")
            if isinstance(ds, KeyedStream):
                raise NotColumnsError("the stream is keyed in Python; use set_key_columns instead of key_by")
            columns = self._columns(ds, record_type)
        except NotColumnsError as error:
            if transport is Transport.ARROW:
                raise ValueError(f"transport: use Transport.AUTO, or change the stream: {error}") from None
            if key_columns and from_table:
                raise ValueError(f"key_columns: use key_by, because {error}") from None
            return None, f"because {error}"
        if transport is Transport.ARROW:
            return columns, "because Transport.ARROW is set"
        if from_table and not key_columns:
            return None, "because a table emits them, and they may be updates; if not, set Transport.ARROW"
        if chained:
            return None, "because a Python function passes them on in its own process"
        return columns, f"because they are of type {record_type}"

    def _columns(self, ds: DataStream, record_type: TypeInformation) -> RecordColumns | Selection:
        """
        Return how records can be passed as columns.

        :raises NotColumnsError: if they cannot.
        """
        columns = None
        if not isinstance(self._converter, ColumnMapping) or isinstance(record_type, PickledBytesTypeInfo):
            columns = record_columns(record_type)
        from pyflink_prometheus.flink import arrow, table_writer  # PyFlink's Table API warns on import

        env = ds.get_execution_environment()
        arrow.check_available(env)
        if columns is not None:
            return columns
        try:
            return select(self._mapping, table_writer.types_of(arrow.table_environment(env).from_data_stream(ds)))
        except TypeError as error:
            raise NotColumnsError(str(error)) from None

    @property
    def _mapping(self) -> ColumnMapping:
        """The column mapping of a sink that has one."""
        if not isinstance(self._converter, ColumnMapping):
            raise TypeError("the sink has no column mapping")
        return self._converter

    def _in_batches(
        self, ds: DataStream, subtask: SubtaskWriter, columns: RecordColumns | Selection, subtasks: int
    ) -> DataStream:
        """Add the writer as a SQL function that gets batches."""
        from pyflink_prometheus.flink import arrow, table_writer
        from pyflink_prometheus.flink.batches import BatchReader, batch_function

        t_env = arrow.table_environment(ds.get_execution_environment())
        table = t_env.from_data_stream(ds)
        record_type, key_columns = ds.get_type(), self._placement.key_columns
        from_table = isinstance(record_type, ExternalTypeInfo)
        if isinstance(columns, Selection):
            table = table_writer.selected(t_env, table, columns)
            reader: BatchReader = ColumnReader(self._mapping, columns)
            arguments, types = table_writer.arguments(columns), stream_types(self._mapping, columns)
        else:
            reader = RecordReader(columns, self._converter)
            arguments = arrow.arguments(columns)
            types = dict(zip(columns.names, record_type._type_info.get_field_types())) if from_table else {}
        if key_columns and from_table and subtasks > 1:
            table = arrow.partitioned_table(t_env, table, key_columns, types)
        written = table.select(batch_function(subtask, reader)(*arguments))
        return arrow.written_stream(t_env, written, self._placement, subtasks, ds)

    def _one_by_one(self, ds: DataStream, function: ProcessFunction) -> DataStream:
        """Add the writer as a function of a stream."""
        if isinstance(ds, KeyedStream):
            # PyFlink's own way, ds._values(), adds a keyed operator upstream of the writer. Flink treats it as stateful
            # and derives its id from the whole graph, so a savepoint would not fit any other graph.
            ds, function = DataStream(ds._j_data_stream), KeyedRecords(function)
        writer = ds.process(function, Types.BYTE())
        writer.name(self._placement.name)
        if self._placement.uid is not None:
            writer.uid(self._placement.uid)
        if self._placement.parallelism is not None:
            writer.set_parallelism(self._placement.parallelism)
        return writer


class EndOfStream:
    """
    A wrapper of the writer's Java stream that gives the discarding sink its own uid and the writer's parallelism.

    PyFlink itself adds that sink after the :class:`StreamTransformer`, with the environment's parallelism, which would
    add an exchange between the two.
    """

    def __init__(self, j_data_stream: Any, uid: str | None) -> None:
        self._j_data_stream = j_data_stream
        self._uid = uid

    def sinkTo(self, j_sink: Any) -> Any:  # noqa: N802
        """Add the sink as Java's ``sinkTo`` does; PyFlink calls this."""
        j_data_stream_sink = self._j_data_stream.sinkTo(j_sink)
        j_data_stream_sink.setParallelism(self._j_data_stream.getParallelism())
        if self._uid is not None:
            j_data_stream_sink.uid(f"{self._uid}-end")
        return j_data_stream_sink

    def __getattr__(self, name: str) -> Any:
        return getattr(self._j_data_stream, name)


@contextlib.contextmanager
def process_mode(j_configuration: Any) -> Iterator[None]:
    """
    Set process mode while operators are built, whatever the job's mode.

    PyFlink reads the mode when it builds an operator. In thread mode the writer could not flush before a checkpoint.
    """
    mode = j_configuration.getString(_EXECUTION_MODE, "process")
    if mode == "process":
        yield
        return
    _log.info("the Prometheus writer runs in process mode, although %s is %s", _EXECUTION_MODE, mode)
    j_configuration.setString(_EXECUTION_MODE, "process")
    try:
        yield
    finally:
        j_configuration.setString(_EXECUTION_MODE, mode)


def enable_metrics(j_configuration: Any) -> None:
    """Turn on Python metrics for the job, with a warning if they were off."""
    if j_configuration.getString(_METRICS_ENABLED, "true").lower() == "false":
        _log.warning(
            "%s is false, but the Prometheus sink needs Python metrics to flush before a checkpoint, so it is set to "
            "true for this job",
            _METRICS_ENABLED,
        )
        j_configuration.setString(_METRICS_ENABLED, "true")


def _stays_in_its_process(ds: DataStream, subtasks: int, j_configuration: Any) -> bool:
    """Return whether records of a Python operator reach the writer as objects, without being serialized."""
    transformation = ds._j_data_stream.getTransformation()
    return bool(
        j_configuration.getString(_EXECUTION_MODE, "process") == "process"
        and j_configuration.getString(_OPERATOR_CHAINING, "true").lower() == "true"
        and transformation.getParallelism() == subtasks
        and transformation.getClass().getSimpleName() != "PartitionTransformation"  # as with key_by
    )


def _chained(ds: DataStream, subtasks: int, j_configuration: Any) -> list[Any]:
    """Return the Python operators that PyFlink would chain the writer with if it gets records one by one."""
    if not _stays_in_its_process(ds, subtasks, j_configuration):
        return []
    try:
        return upstream.chained_with(ds._j_data_stream.getTransformation(), subtasks)
    except Exception:  # not Flink's public API
        _log.info("could not determine which operators PyFlink chains the Prometheus writer with", exc_info=True)
        return []


def _warn_of_lost_order(ds: DataStream, subtasks: int, *, has_key: bool) -> None:
    """Warn if records are distributed over the subtasks of the writer, or of an operator upstream, without a key."""
    edges = upstream.edges_from(ds._j_data_stream.getTransformation())
    if not has_key and any(edge.loses_order(subtasks) for edge in edges):
        _log.warning(
            "call set_key_columns if records are tuples or rows, or key the stream, for example with "
            "PrometheusTimeSeriesKeySelector: Flink distributes its records over the Prometheus writer's %d subtasks, "
            "so samples of a series may overtake each other",
            subtasks,
        )
    seen: dict[int, list[upstream.Redistribution]] = {}
    found = {each: None for edge in edges for each in upstream.redistributions_before(edge, seen)}
    if found:
        _log.warning(
            "give these operators the same parallelism without rebalance() between them, or key the stream upstream of "
            "them, or put Reorder downstream of key_by; otherwise samples of a series may overtake each other upstream "
            "of the Prometheus writer, and a key does not restore their order: %s",
            "; ".join(
                f"{each.producer!r} ({each.produced_by}) distributes records over {each.consumer!r} "
                f"({each.consumed_by} subtasks)"
                for each in found
            ),
        )


def _warn_of_unused_uid(chained: list[Any], uid: str) -> None:
    """Warn if the uid of another operator will replace the writer's, and that operator has no uid."""
    if chained and chained[0].getUid() is None:
        _log.warning(
            "call uid() on %r: PyFlink chains the Prometheus writer with this operator, unless something else reads "
            "the same stream, and uses only the operator's uid, so set_uid(%r) has no effect",
            chained[0].getName(),
            uid,
        )
