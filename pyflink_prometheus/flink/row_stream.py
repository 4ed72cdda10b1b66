"""A table as a stream whose rows stay in the internal format of Flink's tables."""

from __future__ import annotations

from pyflink.datastream import DataStream
from pyflink.table import StreamTableEnvironment, Table
from pyflink.util.java_utils import load_java_class


def row_stream(t_env: StreamTableEnvironment, table: Table) -> DataStream:
    """
    Return a table as a stream from which only another table can be made.

    ``t_env.to_data_stream`` converts rows, field by field, to objects that functions of a stream can read, and
    ``t_env.from_data_stream`` converts them back to a table's rows. Between two tables nothing reads these objects.
    """
    j_row = load_java_class("org.apache.flink.table.data.RowData")
    j_type = table._j_table.getResolvedSchema().toSourceRowDataType().bridgedTo(j_row)
    return DataStream(t_env._j_tenv.toDataStream(table._j_table, j_type))
