"""
Reorder, filter, aggregate and count numbered readings of three devices, and mark devices stale that stop sending.

Reading n belongs to device n modulo 3, one second after the previous one, out of order by a few seconds; every 100th is
a spike, and device 2 stops halfway. The job also writes the same as tables, under other names, and the second half of
the numbers with the sites of their devices, except those of device 1, whose place is wrong from 300 on. Sites and right
places come with the first numbers only. The sited numbers as tables have two wrong places in five. The job may be
resumed from a savepoint, also with another parallelism.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

from pyflink.common import Configuration, Duration, Row, Types, WatermarkStrategy
from pyflink.common.watermark_strategy import TimestampAssigner
from pyflink.datastream import DataStream, StreamExecutionEnvironment
from pyflink.table import Schema, StreamTableEnvironment, Table
from replayable import numbers

from pyflink_prometheus import (
    Aggregate,
    ColumnMapping,
    CumulativeAggregate,
    EnrichFromStream,
    Filter,
    Hampel,
    MarkStale,
    PrometheusSink,
    PrometheusTimeSeries,
    Reorder,
    SpeedGate,
    TumblingWindows,
    aggregate_table,
    cumulative_table,
    enrich_from_table,
    filter_table,
    mark_stale_table,
    reorder_table,
    shared_table,
)

START_MS = 1_700_000_040_000  # a full minute
DEVICES = 3
WINDOW_MS = 60_000
TIMEOUT_MS = 300_000
SPIKE = 1_000_000.0
HERE, THERE = (0.0, 0.0), (0.0, 90.0)  # a quarter of the earth away
MOVED = 300
BLOCK = 4  # this many numbers reach the tables in reversed order


def reading(number: int) -> tuple[str, int, float]:
    """Return a reading's device, time and value."""
    value = SPIKE if number % 100 == 50 else float(number % 7)
    return f"d{number % DEVICES}", START_MS + 1_000 * (number ^ 5), value


def is_sent(number: int, count: int) -> bool:
    """Return whether a reading exists."""
    return number % DEVICES != 2 or number < count // 2


def place(row: dict[str, Any]) -> tuple[float, float]:
    """Return the place that a device reports."""
    return THERE if row["device"] == "d1" and row["number"] >= MOVED else HERE


def time_of(row: dict[str, Any]) -> int:
    """Return the time of a number."""
    return START_MS + 1_000 * int(row["number"])


def sited(raw: DataStream, count: int) -> DataStream:
    """Return the second half of the numbers as series with the sites of their devices."""
    rows = raw.map(lambda number: {"device": f"d{number % DEVICES}", "number": number}).set_parallelism(1)
    updates = raw.filter(lambda number: number < DEVICES).set_parallelism(1)
    updates = updates.map(lambda number: (f"d{number}", {"site": f"site {number}"})).set_parallelism(1)
    enrich = EnrichFromStream(lambda update: update, lambda row: row["device"])
    broadcast = updates.broadcast(enrich.state_descriptor)
    rows = rows.disable_chaining().connect(broadcast).process(enrich).uid("sites")
    # No number of readings that agree on a place confirms it.
    gate = SpeedGate(place, max_speed=300, confirmations=count)
    possible = rows.key_by(lambda row: row["device"], Types.STRING()).process(Filter(gate, timestamp=time_of))
    possible = possible.uid("places").filter(lambda row: row["number"] >= count // 2)
    return possible.map(
        lambda row: PrometheusTimeSeries(
            "sited", {"device": row["device"], "site": row.get("site", "?")}, ((float(row["number"]), time_of(row)),)
        )
    )


def sited_table(t_env: StreamTableEnvironment, raw: DataStream) -> Table:
    """
    Return the numbers in right places with the sites of their devices, which come with the first numbers only.

    All of this runs in Java, where watermarks pass while Python's bundle waits. Whatever the first number after a
    restart is, one of the three devices is then in a wrong place, which would be accepted as right without its state.
    """
    number = f"(f0 + {BLOCK - 1} - 2 * MOD(f0, {BLOCK}))"
    schema = Schema.new_builder().column("f0", "BIGINT").column_by_expression("number", number)
    schema.column_by_expression("at", f"TO_TIMESTAMP_LTZ({START_MS} + 1000 * {number}, 3)")
    numbered = t_env.from_data_stream(raw, schema.watermark("at", "`at` - INTERVAL '10' SECOND").build())
    device = f"MOD(number, {DEVICES})"
    is_wrong = f"number > {MOVED} AND MOD(number / {DEVICES} + 2 * {device}, 5) < 2"
    placed = t_env.sql_query(
        f"SELECT number, `at`, CONCAT('d', CAST({device} AS STRING)) AS device, CAST(0 AS DOUBLE) AS latitude, "
        f"CAST(CASE WHEN {is_wrong} THEN 10 + MOD(7 * number, 150) ELSE 0 END AS DOUBLE) AS longitude FROM {numbered}"
    )
    updates = t_env.sql_query(
        f"SELECT device AS updated, `at` AS since, CONCAT('site ', CAST(number AS STRING)) AS site FROM {placed} "
        f"WHERE number < {DEVICES}"
    )
    gate = SpeedGate(("latitude", "longitude"), max_speed=300)
    possible = filter_table(placed, "device", gate, time="at").accepted
    sites = enrich_from_table(possible, updates, "device", time="at", updates_key="updated", updates_time="since")
    return reorder_table(sites.rows, "device", time="at")


class Time(TimestampAssigner):
    """The time of an event."""

    def extract_timestamp(self, value: Any, record_timestamp: int) -> int:
        """Return the time in milliseconds."""
        return int(value[1])


def by_device(stream: DataStream) -> DataStream:
    """Key a stream of readings."""
    return stream.key_by(lambda event: event[0], Types.STRING())


def device(series: PrometheusTimeSeries) -> str:
    """Return the device of a series, its only label."""
    return dict(series.labels)["device"]


def add_tables(env: StreamExecutionEnvironment, raw: DataStream, events: DataStream, url: str) -> None:
    """Add the same steps as tables."""
    t_env = StreamTableEnvironment.create(env)
    t_env.get_config().set("table.local-time-zone", "UTC")
    types = Types.ROW_NAMED(["device", "ms", "v"], [Types.STRING(), Types.LONG(), Types.DOUBLE()])
    schema = Schema.new_builder().column("device", "STRING").column("ms", "BIGINT").column("v", "DOUBLE")
    schema.column_by_expression("at", "TO_TIMESTAMP_LTZ(ms, 3)").watermark("at", "`at` - INTERVAL '10' SECOND")
    typed = events.map(lambda event: Row(*event), types).uid("typed").set_parallelism(1)
    ordered = reorder_table(t_env.from_data_stream(typed, schema.build()), "device", time="at")
    kept = filter_table(ordered, "device", Hampel("v", min_deviation=20), time="at").accepted
    rows = shared_table(kept, time="at")
    windows, of = TumblingWindows(WINDOW_MS), ("mean", "max", 0.5)
    of_windows = ColumnMapping(
        metric_name_column="metric_name", labels=["device", "quantile"], values="value", timestamp="timestamp"
    )
    of_counters = ColumnMapping(
        metric_name_column="metric_name", labels=["device"], values="value", timestamp="timestamp"
    )
    of_rows = ColumnMapping(labels=["device"], values={"table_raw": "v"}, stale="stale", timestamp="timestamp")
    of_sited = ColumnMapping(labels=["device", "site"], values={"table_sited": "number"}, timestamp="at")
    counted = cumulative_table(
        rows, "table_readings", "v", ("count", "sum"), time="at", labels="device", interval_ms=WINDOW_MS
    )
    statements = t_env.create_statement_set()
    for table, mapping, uid in (
        (aggregate_table(rows, "table_reading", "v", windows, of, time="at", labels="device"), of_windows, "windows"),
        (counted, of_counters, "counters"),
        (mark_stale_table(rows, TIMEOUT_MS, "device", "v", time="at"), of_rows, "rows"),
        (sited_table(t_env, raw), of_sited, "sited"),
    ):
        sink = PrometheusSink.builder().set_prometheus_remote_write_url(url).set_column_mapping(mapping)
        sink.set_uid(f"table {uid}").build().add_insert(statements, table)
    statements.attach_as_datastream()


def main() -> None:
    """Submit the job."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--per-second", type=float, required=True)
    parser.add_argument("--parallelism", type=int, required=True)
    parser.add_argument("--bundle-ms", type=int, required=True)
    options = parser.parse_args()

    config = Configuration()
    config.set_string("python.fn-execution.bundle.size", "100000")
    config.set_string("python.fn-execution.bundle.time", str(options.bundle_ms))
    config.set_string("pipeline.max-parallelism", "8")
    env = StreamExecutionEnvironment.get_execution_environment(config)
    env.set_python_executable(sys.executable)
    env.set_parallelism(options.parallelism)
    count = options.count
    source = numbers(count, options.per_second)
    strategy = WatermarkStrategy.for_bounded_out_of_orderness(Duration.of_seconds(10))
    raw = env.from_source(source, WatermarkStrategy.no_watermarks(), "numbers", Types.LONG()).uid("numbers")
    events = raw.set_parallelism(1).filter(lambda number: is_sent(number, count)).set_parallelism(1)
    events = events.map(reading, Types.PICKLED_BYTE_ARRAY()).uid("readings").set_parallelism(1)
    timed = (
        events.assign_timestamps_and_watermarks(strategy.with_timestamp_assigner(Time()))
        .uid("timed")
        .set_parallelism(1)
    )

    ordered = by_device(timed).process(Reorder()).uid("reorder")
    kept = by_device(ordered).process(Filter(Hampel(lambda e: e[2], min_deviation=20))).uid("filter")
    counted = by_device(kept).process(
        CumulativeAggregate("readings", lambda e: e[2], ("count", "sum"), labels="device", interval_ms=WINDOW_MS)
    )
    windows = by_device(kept).process(
        Aggregate("reading", lambda e: e[2], TumblingWindows(WINDOW_MS), ("mean", "max", 0.5), labels="device")
    )
    series = counted.uid("counted").union(windows.uid("windows"))
    ended = series.key_by(device, Types.STRING()).process(MarkStale(TIMEOUT_MS)).uid("mark_stale")
    sink = PrometheusSink.builder().set_prometheus_remote_write_url(options.url).set_uid("writer").build()
    ended.union(sited(raw, count)).key_by(device, Types.STRING()).sink_to(sink)
    add_tables(env, raw, events, options.url)
    env.execute("operators")


if __name__ == "__main__":
    main()
