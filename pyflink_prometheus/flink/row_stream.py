"""A table as a stream whose rows are left as Flink's tables have them."""

from __future__ import annotations

from pyflink.datastream import DataStream
from pyflink.table import StreamTableEnvironment, Table
from pyflink.util.java_utils import load_java_class


def row_stream(t_env: StreamTableEnvironment, table: Table) -> DataStream:
    """
    Return the stream of a table, which only another table can be made of.

    Rows of ``t_env.to_data_stream`` are objects that functions of a stream can read, made field by field, and made into
    a table's rows again by ``t_env.from_data_stream``. Between two tables nobody reads them.
    """
    j_row = load_java_class("org.apache.flink.table.data.RowData")
    j_type = table._j_table.getResolvedSchema().toSourceRowDataType().bridgedTo(j_row)
    return DataStream(t_env._j_tenv.toDataStream(table._j_table, j_type))
