"""The function that runs a writer in each subtask, and passes it batches of rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from pyflink.table import DataTypes
from pyflink.table.udf import FunctionContext, ScalarFunction, udf

from pyflink_prometheus.flink.subtask import SubtaskWriter
from pyflink_prometheus.writer.writer import RemoteWriter

if TYPE_CHECKING:
    import pandas as pd

#: A column of a batch: a Series, or the plain value of a constant, such as a literal in a SQL query.
Column: TypeAlias = "pd.Series[Any] | Any"


class BatchReader(Protocol):
    """
    A converter from batches of rows to samples.

    It is pickled into the job; each subtask has its own copy.
    """

    def read(self, columns: Sequence[Column], rows: int, writer: RemoteWriter) -> None:
        """
        Add the samples of a batch to the writer; blocks while too many are pending (backpressure).

        :param columns: the arguments of the function, in order. Each Series has as many values as there are rows;
            constants come as plain values instead.
        :param rows: the number of rows, above 0.
        :param writer: the subtask's writer, the same in each call.
        """


class BatchFunction(ScalarFunction):
    """
    A pandas function in SQL that passes each batch of rows to a writer, and returns zeros.

    Make it with :func:`batch_function`. Thread mode also runs such functions in a Python process.

    :param subtask: the writer and its connection to Flink.
    :param reader: turns rows into samples.
    """

    def __init__(self, subtask: SubtaskWriter, reader: BatchReader) -> None:
        self._subtask = subtask
        self._reader = reader

    def open(self, function_context: FunctionContext) -> None:
        """Start the writer; Flink calls this at the first batch, in the worker process."""
        try:
            group = function_context.get_metric_group()
        except RuntimeError:  # metrics are off
            group = None
        get_subtasks = getattr(function_context, "get_number_of_parallel_subtasks", None)  # from Flink 2.3 on
        self._subtask.open(group, None if get_subtasks is None else get_subtasks())

    def eval(self, *columns: Column) -> Any:
        """Add a batch to the writer; Flink calls this for all batches of a bundle in a row."""
        import numpy as np  # loaded by PyFlink on the worker, and not needed on the client
        import pandas as pd

        rows = next(len(column) for column in columns if isinstance(column, (pd.Series, pd.DataFrame)))
        if rows:
            self._reader.read(columns, rows, self._subtask.writer)
        return pd.Series(np.zeros(rows, np.int8))

    def is_deterministic(self) -> bool:
        """Return False, so that Flink never folds or repeats a call."""
        return False

    def close(self) -> None:
        """Release threads and connections without sending; Flink calls this at the end and after failures."""
        self._subtask.close()


def batch_function(subtask: SubtaskWriter, reader: BatchReader, input_types: Sequence[Any] | None = None) -> Any:
    """
    Return a :class:`BatchFunction` for PyFlink's tables and SQL; its result is a TINYINT for each row.

    :param input_types: the types of the arguments; Flink casts other types to these, or refuses them. Default: any.
    """
    function = BatchFunction(subtask, reader)
    return udf(
        function, input_types=input_types, result_type=DataTypes.TINYINT(), func_type="pandas", deterministic=False
    )
