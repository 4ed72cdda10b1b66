"""
Write a table of numbers, in statements of a set, while the receiver kills the workers.

usage: tables_broken.py URL FOLDER {with-hook,without-hook}
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from breakdowns import BREAKDOWN_AFTER, RECORDS, RECORDS_PER_SECOND, SERIES, WriterWithoutHook, tell_worker
from pyflink.common import Configuration, Types, WatermarkStrategy
from pyflink.datastream import StreamExecutionEnvironment
from pyflink.table import StreamTableEnvironment
from replayable import numbers, restart_after_failures

from pyflink_prometheus import ColumnMapping, PrometheusSink, RetryConfiguration
from pyflink_prometheus.flink import table_writer
from pyflink_prometheus.flink.table_select import ColumnReader

URL, FOLDER, HOOK = sys.argv[1:]


class BreakingReader(ColumnReader):
    """
    A reader that kills the worker, once, at the first batch after a bundle that reached a certain record.

    Bundles end only with checkpoints here, and the next rows arrive when the checkpoint is complete, so no row of the
    bundle will be replayed.
    """

    _latest = -1

    def read(self, columns: Any, rows: int, writer: Any) -> None:
        """Pass a batch on."""
        done = Path(FOLDER, "broken-down-at")
        if self._latest >= BREAKDOWN_AFTER and not done.exists():
            done.write_text(str(self._latest))
            os._exit(1)
        super().read(columns, rows, writer)
        self._latest = int(columns[1].iloc[-1])


def main() -> None:
    """Run the job until it has read all."""
    if HOOK == "without-hook":
        table_writer.SubtaskWriter = WriterWithoutHook  # type: ignore[misc]
    table_writer.ColumnReader = BreakingReader  # type: ignore[misc]
    config = Configuration()
    for option, value in {
        # Only a checkpoint ends these bundles, each in one batch.
        "python.fn-execution.bundle.size": "100000",
        "python.fn-execution.bundle.time": "60000",
    }.items():
        config.set_string(option, value)
    restart_after_failures(config)
    env = StreamExecutionEnvironment.get_execution_environment(config)
    env.set_python_executable(sys.executable)
    env.set_parallelism(1)
    env.enable_checkpointing(500)
    source = numbers(RECORDS, RECORDS_PER_SECOND)
    stream = env.from_source(source, WatermarkStrategy.no_watermarks(), "numbers", Types.LONG())
    t_env = StreamTableEnvironment.create(env)
    t_env.create_temporary_view("numbers", t_env.from_data_stream(stream))
    statements = t_env.create_statement_set()
    for metric_name, subtasks in (("one", 1), ("several", 2)) if HOOK == "with-hook" else (("one", 1),):
        mapping = ColumnMapping(metric_name=metric_name, labels=["series"], values="number", timestamp="at_ltz")
        sink = (
            PrometheusSink.builder()
            .set_prometheus_remote_write_url(URL)
            .set_column_mapping(mapping)
            .set_request_signer(tell_worker)
            .set_max_batch_size_in_samples(200)
            .set_max_time_in_buffer_ms(60_000)
            .set_max_in_flight_requests(2)
            .set_retry_configuration(RetryConfiguration(initial_retry_delay_ms=1, max_retry_delay_ms=5))
        )
        sink = sink.set_parallelism(subtasks) if subtasks > 1 else sink
        query = (
            f"SELECT CAST(MOD(f0, {SERIES}) AS STRING) AS series, CAST(f0 AS DOUBLE) AS number, "
            "TO_TIMESTAMP_LTZ(1700000000000 + f0, 3) AS at_ltz FROM numbers"
        )
        sink.build().add_insert(statements, t_env.sql_query(query))
    statements.execute().wait()


if __name__ == "__main__":
    main()
