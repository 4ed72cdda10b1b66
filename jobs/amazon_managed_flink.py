"""
Write random temperatures from Amazon Managed Service for Apache Flink to Amazon Managed Service for Prometheus.

On Amazon:           see docs/amazon-managed-flink.md
On this machine:     python jobs/amazon_managed_flink.py --properties application_properties.json
On a Flink cluster:  flink run -py jobs/amazon_managed_flink.py --properties /path/to/application_properties.json

The counterpart of Amazon's Java example PrometheusSink: the same series, runtime properties and settings.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from pyflink.datastream import StreamExecutionEnvironment
from pyflink.table import StreamTableEnvironment

from pyflink_prometheus import ColumnMapping, OnErrorBehavior, PrometheusSink, SigV4Auth

# Where the service puts the application's runtime properties.
PROPERTIES = Path("/etc/flink/application_properties.json")

TEMPERATURES = ColumnMapping(
    metric_name="temperature", labels=["roomId", "sensorId"], values="temperature", timestamp="measuredAt"
)


def main() -> None:
    """Build the job and run it."""
    description, _, details = (__doc__ or "").strip().partition("\n")
    parser = argparse.ArgumentParser(
        description=description, epilog=details, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--properties", type=Path, default=PROPERTIES, help=f"default: {PROPERTIES}")
    groups = runtime_properties(parser.parse_args().properties)

    env = StreamExecutionEnvironment.get_execution_environment()
    if "PYFLINK_GATEWAY_PORT" not in os.environ:
        # Run the workers in this Python; under `flink run` the cluster has its own.
        env.set_python_executable(sys.executable)
    t_env = StreamTableEnvironment.create(env)
    create_readings(t_env, groups.get("DataGen", {}))
    prometheus = sink(groups["PrometheusSink"])
    prometheus.add_insert(t_env.create_statement_set(), t_env.from_path("readings")).attach_as_datastream()
    env.execute("Prometheus sink example")


def runtime_properties(file: Path) -> dict[str, dict[str, str]]:
    """Return the runtime properties by group."""
    return {group["PropertyGroupId"]: group["PropertyMap"] for group in json.loads(file.read_text(encoding="utf-8"))}


def sink(properties: dict[str, str]) -> PrometheusSink:
    """Return a sink with the settings of the Java example."""
    builder = (
        PrometheusSink.builder()
        .set_prometheus_remote_write_url(properties["endpoint.url"])
        .set_column_mapping(TEMPERATURES)
        .set_retry_configuration(max_retry_count=int(properties.get("max.request.retry", "100")))
        .set_error_handling_behavior_configuration(on_max_retry_exceeded=OnErrorBehavior.DISCARD_AND_CONTINUE)
        # The service passes the metrics of this group on to CloudWatch.
        .set_metric_group_name("kinesisAnalytics")
    )
    # Without a region: a Prometheus of your own, which needs no signature.
    if "aws.region" in properties:
        builder.set_request_signer(SigV4Auth(properties["aws.region"]))
    return builder.build()


def create_readings(t_env: StreamTableEnvironment, properties: dict[str, str]) -> None:
    """Create a table of random readings, of ten sensors in each of a hundred rooms."""
    rows = f", 'number-of-rows' = '{properties['number.of.rows']}'" if "number.of.rows" in properties else ""
    t_env.execute_sql(
        f"""
        CREATE TABLE readings (
            room INT,
            sensor INT,
            temperature DOUBLE,
            ageMs INT,
            roomId AS 'R' || LPAD(CAST(room AS STRING), 5, '0'),
            sensorId AS 'S' || LPAD(CAST(room * 100 + sensor AS STRING), 9, '0'),
            measuredAt AS CURRENT_TIMESTAMP - INTERVAL '0.001' SECOND(1, 3) * ageMs
        ) WITH (
            'connector' = 'datagen',
            'rows-per-second' = '{properties.get("events.per.sec", "100")}',
            'fields.room.min' = '0', 'fields.room.max' = '99',
            'fields.sensor.min' = '0', 'fields.sensor.max' = '9',
            -- All rows of a second come at once.
            'fields.ageMs.min' = '0', 'fields.ageMs.max' = '999',
            'fields.temperature.min' = '20', 'fields.temperature.max' = '30'
            {rows}
        )
        """
    )


if __name__ == "__main__":
    main()
