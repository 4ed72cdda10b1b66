"""A table as a stream whose rows are left as Flink's tables have them."""

from __future__ import annotations

from typing import Any

from pyflink.datastream import DataStream
from pyflink.java_gateway import get_gateway
from pyflink.table import StreamTableEnvironment, Table


def row_stream(t_env: StreamTableEnvironment, table: Table) -> DataStream:
    """
    Return the stream of a table, which only another table can be made of.

    Rows of ``t_env.to_data_stream`` are objects that functions of a stream can read, made field by field, and made into
    a table's rows again by ``t_env.from_data_stream``. Between two tables nobody reads them.
    """
    j_row = get_gateway().jvm.org.apache.flink.table.data.RowData
    j_type: Any = table._j_table.getResolvedSchema().toSourceRowDataType().bridgedTo(j_row._java_lang_class)
    return DataStream(t_env._j_tenv.toDataStream(table._j_table, j_type))
