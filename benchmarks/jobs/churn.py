"""
A job that writes a table of many series as fast as it can, while new series keep arriving and old ones end.

    churn.py --url URL --series 1000000 --life 1200 --subtasks 1

Each device has the labels ``device``, ``site``, ``model`` and ``session``, and a new session every ``--life`` seconds.
Each subtask writes its own share of the devices, in turn. The job runs until it is canceled.
"""

from __future__ import annotations

import argparse
import sys

from pyflink.common import Configuration, WatermarkStrategy
from pyflink.datastream import StreamExecutionEnvironment
from pyflink.datastream.connectors.number_seq import NumberSequenceSource
from pyflink.table import StreamTableEnvironment

from pyflink_prometheus import ColumnMapping, PrometheusSink

NUMBERS = 1 << 50  # more than any job reads


def main() -> None:
    """Submit the job."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().partition("\n")[0])
    parser.add_argument("--url", required=True)
    parser.add_argument("--series", type=int, default=1_000_000, help="number of series at any time")
    parser.add_argument("--life", type=int, default=1200, help="seconds after which each series is replaced by another")
    parser.add_argument("--subtasks", type=int, default=1)
    parser.add_argument("--bundle", type=int, default=100_000)
    options = parser.parse_args()
    configuration = Configuration()
    for name, value in {
        "python.fn-execution.bundle.size": options.bundle,
        "python.fn-execution.arrow.batch.size": options.bundle,
        "python.fn-execution.bundle.time": 60_000,
    }.items():
        configuration.set_string(name, str(value))
    env = StreamExecutionEnvironment.get_execution_environment(configuration)
    env.set_python_executable(sys.executable)
    env.set_parallelism(options.subtasks)
    t_env = StreamTableEnvironment.create(env)
    numbers = env.from_source(NumberSequenceSource(0, NUMBERS - 1), WatermarkStrategy.no_watermarks(), "numbers")
    t_env.create_temporary_view("numbers", t_env.from_data_stream(numbers).alias("number"))
    # The source gives each subtask one range of the numbers.
    each, share = NUMBERS // options.subtasks, options.series // options.subtasks
    place = f"(number / {each} * {share} + MOD(MOD(number, {each}), {share}))"
    table = t_env.sql_query(
        "SELECT 'device-' || CAST(place AS STRING) AS device, 'site-' || CAST(MOD(place, 50) AS STRING) AS site, "
        "'model-' || CAST(MOD(place, 7) AS STRING) AS model, "
        # Sessions end one after the other, not all at once.
        f"CAST((UNIX_TIMESTAMP() + MOD(place, {options.life})) / {options.life} AS STRING) AS `session`, "
        "CAST(number AS DOUBLE) AS reading, CURRENT_TIMESTAMP AS measured_at "
        f"FROM (SELECT number, {place} AS place FROM numbers)"
    )
    mapping = ColumnMapping(
        metric_name="churn", labels=("device", "site", "model", "session"), values="reading", timestamp="measured_at"
    )
    sink = PrometheusSink.builder().set_prometheus_remote_write_url(options.url).set_column_mapping(mapping)
    # Over twice the number of current series: a sink is only certain to keep the latest half of its cached series.
    sink.set_max_cached_series(2 * share + share // 2)
    sink.build().execute_insert(table)


if __name__ == "__main__":
    main()
