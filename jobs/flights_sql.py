"""
Write flights, and their altitudes per operator and minute, in SQL: no Python runs for single rows after the source.

On this machine:     python jobs/flights_sql.py
On a Flink cluster:  flink run -pyfs jobs -py jobs/flights_sql.py --recording /path/that/all/machines/see/flights.jsonl

The counterpart of aggregate.py, which uses Python operators: events in order, duplicates removed, event-time windows.
Both write the same samples.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator

from pyflink.common import Row as TypedRow
from pyflink.common import Types
from pyflink.datastream import StreamExecutionEnvironment
from pyflink.table import Schema, StreamTableEnvironment
from recorded_flights import FIELDS, METRICS, Delivery, deliver_untimed, environment, parse_arguments, sink
from reference import OPERATORS, OTHER_OPERATOR

from pyflink_prometheus import ColumnMapping

ROW_TYPE = Types.ROW_NAMED(
    [*FIELDS, "sent_ms"], [*(Types.DOUBLE() if field in METRICS else Types.STRING() for field in FIELDS), Types.LONG()]
)

FLIGHTS = ColumnMapping(
    labels=["icao24", "callsign"],
    values={metric_name: field for field, metric_name in METRICS.items()},
    timestamp="sent_ms",
)
ALTITUDES = ColumnMapping(
    labels=["operator"],
    values={
        f"{METRICS['altitude']}_mean": "mean_altitude",
        f"{METRICS['altitude']}_max": "max_altitude",
        f"{METRICS['altitude']}_count_in_window": "messages",
    },
    timestamp="window_end",
)

# Names that are known when the job is built; for those in a database, use a lookup join.
OPERATOR = "MAP[{}]".format(", ".join(f"'{code}', '{known['operator']}'" for code, known in OPERATORS.items()))

# Rows are held until the watermark has passed their time, and come out in order.
IN_ORDER = "SELECT * FROM messages ORDER BY event_time"

# Both copies of a duplicate are in the same window, so a window that keeps the first of each emits it once.
PER_MINUTE = f"""
SELECT
    operator,
    window_end,
    AVG(altitude) AS mean_altitude,
    MAX(altitude) AS max_altitude,
    COUNT(*) AS messages
FROM (
    SELECT
        window_start,
        window_end,
        altitude,
        COALESCE({OPERATOR}[SUBSTRING(callsign FROM 1 FOR 3)], '{OTHER_OPERATOR["operator"]}') AS operator,
        ROW_NUMBER() OVER (
            PARTITION BY window_start, window_end, icao24, sent_ms ORDER BY event_time
        ) AS nth
    FROM TABLE(TUMBLE(TABLE messages, DESCRIPTOR(event_time), INTERVAL '1' MINUTE))
)
WHERE nth = 1 AND altitude IS NOT NULL
GROUP BY window_start, window_end, operator
"""  # noqa: S608  (names of this file)


def main() -> None:
    """Build the job and run it."""
    args = parse_arguments(__doc__ or "")
    env = environment(args)
    t_env = StreamTableEnvironment.create(env)
    # The ends of windows are local times in this zone, and the sink takes them for UTC.
    t_env.get_config().set("table.local-time-zone", "UTC")
    create_messages(t_env, env, args)

    statements = t_env.create_statement_set()
    flights = sink(args, "flights").set_column_mapping(FLIGHTS).build()
    flights.add_insert(statements, t_env.sql_query(IN_ORDER))
    altitudes = sink(args, "altitudes").set_column_mapping(ALTITUDES).build()
    altitudes.add_insert(statements, t_env.sql_query(PER_MINUTE))
    statements.attach_as_datastream()
    env.execute("flights_sql")

    print(
        "Samples before and after aggregation, and the altitudes of an operator:\n"
        "  sum(count_over_time(flight_altitude_feet[4h]))\n"
        "  sum(count_over_time(flight_altitude_feet_mean[4h]))\n"
        '  flight_altitude_feet_mean{operator="Air France"}'
    )


def create_messages(t_env: StreamTableEnvironment, env: StreamExecutionEnvironment, args: Namespace) -> None:
    """Create a view of the rows in the order of their delivery, with watermarks that wait for the latest rows."""
    typed = deliver_untimed(env, DeliveryOfColumns(args), ROW_TYPE)
    schema = (
        Schema.new_builder()
        .column_by_expression("event_time", "TO_TIMESTAMP_LTZ(sent_ms, 3)")
        # A row that is as old as the watermark would be late.
        .watermark("event_time", f"TO_TIMESTAMP_LTZ(sent_ms - {args.max_delay * 1000 + 1}, 3)")
        .build()
    )
    t_env.create_temporary_view("messages", t_env.from_data_stream(typed, schema))


class DeliveryOfColumns(Delivery):
    """The delivery of rows whose fields Java knows."""

    def flat_map(self, number: int) -> Iterator[TypedRow]:
        """Yield the rows of a step, in the order of their delivery."""
        return (TypedRow(*values) for values in self.delivered(number))


if __name__ == "__main__":
    main()
