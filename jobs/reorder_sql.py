"""
Put the altitudes of flights in order of time as a table, and write them next to the altitudes as delivered.

On this machine:     python jobs/reorder_sql.py
On a Flink cluster:  flink run -pyfs jobs -py jobs/reorder_sql.py --recording /path/that/all/machines/see/flights.jsonl

The counterpart of reorder.py, which does the same with a Python operator; both write the same samples.
"""

from __future__ import annotations

from flights_sql import create_messages
from pyflink.table import StreamTableEnvironment
from recorded_flights import METRICS, environment, parse_arguments, sink

from pyflink_prometheus import ColumnMapping, reorder_table

ALTITUDES = ColumnMapping(
    labels=["icao24", "callsign", "step"], values={METRICS["altitude"]: "altitude"}, timestamp="sent_ms"
)


def main() -> None:
    """Build the job and run it."""
    args = parse_arguments(__doc__ or "")
    env = environment(args)
    # Flink's own operators do not change objects that they have passed on, so no copies are needed.
    env.get_config().enable_object_reuse()
    t_env = StreamTableEnvironment.create(env)
    t_env.get_config().set("table.local-time-zone", "UTC")
    # Few, large requests: a bundle of rows ends after a second in any case.
    t_env.get_config().set("python.fn-execution.bundle.size", "10000")
    create_messages(t_env, env, args)

    delivered = t_env.from_path("messages")
    statements = t_env.create_statement_set()
    for step, rows in (
        ("delivered", delivered),
        ("reordered", reorder_table(delivered, "icao24", time="event_time")),
    ):
        written = t_env.sql_query(f"SELECT icao24, callsign, altitude, sent_ms, '{step}' AS step FROM {rows}")  # noqa: S608
        sink(args, step).set_column_mapping(ALTITUDES).build().add_insert(statements, written)
    statements.attach_as_datastream()
    env.execute("reorder_sql")

    print(
        "The number of samples of each step, and a flight with many late events:\n"
        "  sum by (step) (count_over_time(flight_altitude_feet[4h]))\n"
        '  flight_altitude_feet{callsign="AFR9455"}'
    )


if __name__ == "__main__":
    main()
