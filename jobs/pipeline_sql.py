"""
The whole chain as tables: reorder, filter, enrich, aggregate, and mark ended series stale, all in Java.

On this machine:     python jobs/pipeline_sql.py
On a Flink cluster:  flink run -pyfs jobs -py jobs/pipeline_sql.py --recording /path/that/all/machines/see/flights.jsonl
With Grafana:        make cluster

The counterpart of pipeline.py, which does the same with Python operators; both write the same samples. Downstream of
the source, Python does only what SQL cannot express, for many rows at once.
"""

from __future__ import annotations

from filter import CHECKS
from flights_sql import create_messages
from pyflink.table import StreamTableEnvironment
from recorded_flights import METRICS, environment, parse_arguments, sink
from reference import CELLS, OPERATORS, OTHER_OPERATOR

from pyflink_prometheus import (
    ColumnMapping,
    TumblingWindows,
    aggregate_table,
    cumulative_table,
    enrich_table,
    filter_table,
    mark_stale_table,
    reorder_table,
    shared_table,
)

MINUTE = TumblingWindows(60_000)
STALE_AFTER_MS = 60_000
TIME = "event_time"

# The keys of the references: the operator's code, and the cell of one by one degree.
WITH_KEYS = """
SELECT
    *,
    SUBSTRING(callsign FROM 1 FOR 3) AS code,
    CONCAT(
        CASE WHEN latitude < 0 THEN 'S' ELSE 'N' END, LPAD(CAST(CAST(ABS(FLOOR(latitude)) AS INT) AS STRING), 2, '0'),
        CASE WHEN longitude < 0 THEN 'W' ELSE 'E' END, LPAD(CAST(CAST(ABS(FLOOR(longitude)) AS INT) AS STRING), 3, '0')
    ) AS cell
FROM messages
"""

FLIGHT = ("icao24", "callsign", "operator", "country")
FLIGHTS = ColumnMapping(
    labels=FLIGHT,
    values={metric_name: field for field, metric_name in METRICS.items()},
    stale="stale",
    timestamp="timestamp",
)


def main() -> None:
    """Build the job and run it."""
    args = parse_arguments(__doc__ or "")
    env = environment(args)
    # Flink's own operators do not change objects that they have passed on, so no copies are needed.
    env.get_config().enable_object_reuse()
    t_env = StreamTableEnvironment.create(env)
    t_env.get_config().set("table.local-time-zone", "UTC")
    create_messages(t_env, env, args)

    reordered = reorder_table(t_env.sql_query(WITH_KEYS), "icao24", time=TIME)
    possible = filter_table(reordered, "icao24", *CHECKS, time=TIME).accepted
    # Share the rows, so that Flink computes them once for all the statements below.
    rows = shared_table(enrich_table(possible, OPERATORS, "code", default=OTHER_OPERATOR).rows, time=TIME)

    ended = mark_stale_table(rows, STALE_AFTER_MS, FLIGHT, list(METRICS), time=TIME)
    of: tuple[str | float, ...] = ("mean", "max", "count", 0.5, 0.95)
    of = (*of, "histogram") if args.native_histograms else of
    altitudes = aggregate_table(rows, "flight_altitude_feet", "altitude", MINUTE, of, time=TIME, labels="operator")
    messages = cumulative_table(rows, "flight_messages", time=TIME, labels="operator", interval_ms=15_000)
    placed = enrich_table(rows, CELLS, "cell", drop_unmatched=True).rows
    speeds = aggregate_table(
        placed,
        "flight_ground_speed_knots",
        "groundspeed",
        MINUTE,
        ("mean", "count"),
        time=TIME,
        labels=("cell", "place"),
    )

    statements = t_env.create_statement_set()
    for name, table, mapping in (
        ("aircraft", ended, FLIGHTS),
        ("altitudes", altitudes, of_windows("operator", "quantile", histogram="histogram" in of)),
        ("messages", messages, of_windows("operator")),
        ("speeds", speeds, of_windows("cell", "place")),
    ):
        sink(args, name).set_column_mapping(mapping).build().add_insert(statements, table)
    statements.attach_as_datastream()
    env.execute("pipeline_sql")

    print(
        "The last altitudes of an operator's flights, their quantiles, and the mean speed above each place:\n"
        '  last_over_time(flight_altitude_feet{operator="Air France"}[4h])\n'
        '  flight_altitude_feet_quantile{operator="Air France"}\n'
        "  flight_ground_speed_knots_mean"
    )


def of_windows(*labels: str, histogram: bool = False) -> ColumnMapping:
    """Return the mapping of aggregates and counters."""
    return ColumnMapping(
        metric_name_column="metric_name",
        labels=labels,
        values="value",
        histogram="histogram" if histogram else None,
        timestamp="timestamp",
    )


if __name__ == "__main__":
    main()
