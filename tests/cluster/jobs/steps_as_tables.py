"""
Put the same readings through each of the functions that make tables, and write all results to one receiver.

usage: steps_as_tables.py URL PER_SECOND

Each result has its own metric name.
"""

from __future__ import annotations

import sys

from breakdowns import tell_worker
from pyflink.common import Configuration, Row, Types, WatermarkStrategy
from pyflink.datastream import StreamExecutionEnvironment
from pyflink.table import Schema, StreamTableEnvironment, Table
from readings import COUNT, OUT_OF_ORDERNESS_MS, TARDY, reading
from replayable import numbers, restart_after_failures

import pyflink_prometheus as p
from pyflink_prometheus import ColumnMapping, PrometheusSink
from pyflink_prometheus.transforms.windows import Windows

TIME = "event_time"
WINDOWS: dict[str, Windows] = {
    "tumbling": p.TumblingWindows(60_000),
    "sliding": p.SlidingWindows(60_000, 20_000),
    "cumulative": p.CumulativeWindows(60_000, 20_000),
    "sessions": p.SessionWindows(30_000),
}
OF = ("count", "sum", "min", "max", "mean", "last", "histogram", 0.5, 0.95)
CHECKS = (
    p.Threshold("value", min=-1_000),
    p.Hampel("value", min_deviation=20),
    p.SpeedGate(("latitude", "longitude"), max_speed=300),
)
SITES = {"d0": {"site": "roof", "floor": "9"}, "d1": {"site": "cellar"}}
MAPPING = ColumnMapping(
    metric_name_column="metric_name",
    labels=["device", "room", "site", "floor", "quantile", "reason", "policy"],
    values="value",
    histogram="histogram",
    stale="stale",
    timestamp="timestamp",
)
LABELS = [*MAPPING.label_columns]


def results(rows: Table) -> dict[str, tuple[Table, dict[str, str]]]:
    """Return each result by its name, with expressions for the columns that need them."""
    t_env = rows._t_env
    timely, tardy = p.split_late(rows, TIME)
    rows = t_env.sql_query(f"SELECT * FROM {rows} WHERE device <> '{TARDY}'")
    as_row = {"timestamp": TIME, "room": "NULL"}
    found: dict[str, tuple[Table, dict[str, str]]] = {}
    in_time = p.reorder_table(timely, "device", time=TIME, same_timestamp=p.SameTimestamp.ALL)
    found["in_time"] = in_time, {**as_row, "value": "n"}
    found["late"] = tardy, {**as_row, "value": "n"}
    for policy in p.SameTimestamp:
        ordered = p.reorder_table(rows, ["device"], time=TIME, same_timestamp=policy, value="value")
        value = "n" if policy is p.SameTimestamp.ALL else "`value`"
        found[f"reorder_{policy.value}"] = ordered, {**as_row, "value": value}
    for name, windows in WINDOWS.items():
        found[name] = p.aggregate_table(rows, f"{name}", "value", windows, OF, time=TIME, labels="device"), {}
    several = p.aggregate_table(
        rows, "several", "value", WINDOWS["tumbling"], "mean", time=TIME, labels=[["device"], ["device", "room"], []]
    )
    found["several"] = several, {}
    counters = p.cumulative_table(rows, "counted", "value", ("count", "sum"), time=TIME, labels=["device"])
    found["counted"] = counters, {}
    static = p.enrich_table(rows, SITES, "device", default={"site": "?"})
    found["static"] = static.rows, {**as_row, "value": "n"}
    found["unmatched"] = static.unmatched, {**as_row, "value": "n"}
    many = {**SITES, **{f"x{n}": {"site": "none"} for n in range(300)}}
    found["many"] = p.enrich_table(rows, many, "device", drop_unmatched=True).rows, {**as_row, "value": "n"}
    updates = t_env.sql_query(
        f"SELECT device AS code, CONCAT('site', CAST(n AS STRING)) AS site, {TIME} AS valid_from FROM {rows} "
        "WHERE device <> 'd1' AND MOD(n, 100) < 3"
    )
    changing = p.enrich_from_table(rows, updates, "device", time=TIME, updates_key="code", updates_time="valid_from")
    found["changing"] = changing.rows, {**as_row, "value": "n"}
    distinct = p.shared_table(p.reorder_table(rows, "device", time=TIME), time=TIME)
    checked = p.filter_table(distinct, "device", *CHECKS, time=TIME)
    found["accepted"] = checked.accepted, {**as_row, "value": "n"}
    found["rejected"] = checked.rejected, {**as_row, "value": "n"}
    refused(rows)
    ended = p.mark_stale_table(distinct, 30_000, ["device"], ["value", "latitude"], time=TIME)
    for column in ("value", "latitude"):
        found[f"ended_{column}"] = ended, {"value": f"`{column}`"}
    return found


def refused(rows: Table) -> None:
    """Check that calls that Flink would refuse without a reason are refused with advice."""
    for call, advice in (
        (
            lambda: p.mark_stale_table(rows, 30_000, "device", "value", time=TIME),
            "time: call reorder_table before this",
        ),
        (lambda: p.reorder_table(rows, "device", time="ms"), "time: expected a column with a watermark, got 'ms'"),
        (lambda: p.reorder_table(rows, "none", time=TIME), "key: expected columns of the table"),
        (
            lambda: p.filter_table(rows, "device", p.Threshold(abs, max=1), time=TIME),
            "checks: expected names of columns",
        ),
    ):
        try:
            call()
        except (TypeError, ValueError) as error:
            if str(error).startswith(advice):
                continue
            raise
        raise AssertionError(f"not refused: {advice}")


def written(table: Table, name: str, given: dict[str, str]) -> str:
    """Return the query of a result in the columns of the mapping."""
    known = table.get_schema().get_field_names()
    types = {"value": "DOUBLE", "stale": "BOOLEAN", "timestamp": "TIMESTAMP_LTZ(3)"}

    def column(each: str) -> str:
        default = f"'{name}'" if each == "metric_name" else "NULL"
        expression = given.get(each, f"`{each}`" if each in known else default)
        return f"CAST({expression} AS {types.get(each, 'STRING')}) AS `{each}`"

    return f"SELECT {', '.join(map(column, MAPPING.columns))} FROM {table}"


def main() -> None:
    """Run the job until it has read all."""
    url, per_second = sys.argv[1:3]
    config = Configuration()
    for option, value in {
        "table.local-time-zone": "UTC",
        "pipeline.auto-watermark-interval": "20 ms",
        "python.fn-execution.bundle.time": "100",
    }.items():
        config.set_string(option, value)
    restart_after_failures(config)
    env = StreamExecutionEnvironment.get_execution_environment(config)
    env.set_python_executable(sys.executable)
    env.set_parallelism(2)
    env.enable_checkpointing(300)
    source = env.from_source(
        numbers(COUNT, float(per_second)), WatermarkStrategy.no_watermarks(), "numbers", Types.LONG()
    )
    types = [Types.LONG(), Types.STRING(), Types.STRING(), *[Types.DOUBLE()] * 3, Types.LONG()]
    row_type = Types.ROW_NAMED(["n", "device", "room", "value", "latitude", "longitude", "ms"], types)
    stream = source.set_parallelism(1).map(lambda n: Row(*reading(n)), row_type).set_parallelism(1)
    t_env = StreamTableEnvironment.create(env)
    delay = f"{TIME} - INTERVAL '{OUT_OF_ORDERNESS_MS // 1000}' SECOND"
    schema = Schema.new_builder()
    for name, sql_type in zip(row_type.get_field_names(), ["BIGINT", "STRING", "STRING", *["DOUBLE"] * 3, "BIGINT"]):
        schema.column(name, sql_type)
    schema.column_by_expression(TIME, "TO_TIMESTAMP_LTZ(ms, 3)").watermark(TIME, delay)
    rows = t_env.from_data_stream(stream, schema.build())
    chosen = sys.argv[3:]
    parts = [
        written(table, name, given) for name, (table, given) in results(rows).items() if not chosen or name in chosen
    ]
    every = t_env.sql_query(" UNION ALL ".join(parts))
    sink = (
        PrometheusSink.builder()
        .set_prometheus_remote_write_url(url)
        .set_column_mapping(MAPPING)
        .set_request_signer(tell_worker)
        .set_conflict_policy(p.ConflictPolicy.SEND_ALL)
        .set_parallelism(1)
        .build()
    )
    statements = t_env.create_statement_set()
    sink.add_insert(statements, every)
    statements.execute().wait()


if __name__ == "__main__":
    main()
