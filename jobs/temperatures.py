"""
Write random temperatures with the settings of a remote_write entry: a job for trying out a cluster.

On this machine:     python jobs/temperatures.py --config prometheus.yml
On a Flink cluster:  flink run -py jobs/temperatures.py --config /path/that/the/client/sees/prometheus.yml

The entry is read where the job is built; secret and certificate files that it names are read on the workers.
docs/kubernetes.md runs this job on Kubernetes.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from pyflink.datastream import StreamExecutionEnvironment
from pyflink.table import StreamTableEnvironment

from pyflink_prometheus import ColumnMapping, PrometheusSink

TEMPERATURES = ColumnMapping(
    metric_name="room_temperature_celsius", labels=["room"], values="celsius", timestamp="measured_at"
)


def main() -> None:
    """Build the job and run it."""
    description, _, details = (__doc__ or "").strip().partition("\n")
    parser = argparse.ArgumentParser(
        description=description, epilog=details, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", type=Path, required=True, help="a prometheus.yml with one remote_write entry")
    parser.add_argument("--rows-per-second", type=int, default=10)
    parser.add_argument("--rows", type=int, help="end after this many rows (default: never)")
    args = parser.parse_args()

    env = StreamExecutionEnvironment.get_execution_environment()
    if "PYFLINK_GATEWAY_PORT" not in os.environ:
        # Run the workers in this Python; under `flink run` the cluster has its own.
        env.set_python_executable(sys.executable)
    t_env = StreamTableEnvironment.create(env)
    bounds = "" if args.rows is None else f", 'number-of-rows' = '{args.rows}'"
    t_env.execute_sql(
        f"""
        CREATE TABLE readings (
            number INT,
            celsius DOUBLE,
            age_ms INT,
            room AS 'room ' || CAST(number AS STRING),
            measured_at AS CURRENT_TIMESTAMP - INTERVAL '0.001' SECOND(1, 3) * age_ms
        ) WITH (
            'connector' = 'datagen',
            'rows-per-second' = '{args.rows_per_second}',
            'fields.number.min' = '1', 'fields.number.max' = '1000',
            -- All rows of a second come at once.
            'fields.age_ms.min' = '0', 'fields.age_ms.max' = '999',
            'fields.celsius.min' = '18', 'fields.celsius.max' = '24'
            {bounds}
        )
        """
    )
    sink = PrometheusSink.from_remote_write_config(args.config).set_column_mapping(TEMPERATURES).build()
    sink.add_insert(t_env.create_statement_set(), t_env.from_path("readings")).attach_as_datastream()
    env.execute("temperatures")


if __name__ == "__main__":
    main()
