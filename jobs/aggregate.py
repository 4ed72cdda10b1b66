"""
Aggregate the reports of every aircraft, one per second, into one value per minute for each operator.

On this machine:     python jobs/aggregate.py
On a Flink cluster:  flink run -pyfs jobs -py jobs/aggregate.py --recording /path/that/all/machines/see/flights.jsonl

Event-time windows do not need events in order: a window collects its events whenever they arrive, and is written when
the watermark has passed its end. Duplicates must be removed upstream.
"""

from __future__ import annotations

from recorded_flights import aircraft, deliver, environment, parse_arguments, series_of, sink
from reference import OPERATORS, OTHER_OPERATOR, operator_code

from pyflink_prometheus import (
    Aggregate,
    CumulativeAggregate,
    Enrich,
    Reorder,
    SlidingWindows,
    TumblingWindows,
)

MINUTE_MS = 60_000


def main() -> None:
    """Build the job and run it."""
    args = parse_arguments(__doc__ or "")
    env = environment(args)

    # Reorder keeps one of several events of an aircraft with the same timestamp.
    distinct = deliver(env, args).key_by(aircraft).process(Reorder()).name("reorder")
    distinct.sink_to(sink(args, "raw").set_element_converter(lambda row: series_of(row, "altitude")).build())

    rows = distinct.process(Enrich(OPERATORS, operator_code, default=OTHER_OPERATOR)).name("add operator")
    by_operator = rows.key_by(lambda row: row["operator"])
    of: tuple[str | float, ...] = ("mean", "max", "count", 0.5, 0.95)
    altitudes = Aggregate(
        "flight_altitude_feet",
        lambda row: row["altitude"],
        TumblingWindows(MINUTE_MS),
        (*of, "histogram") if args.native_histograms else of,
        labels="operator",
    )
    speeds = Aggregate(
        "flight_ground_speed_knots",
        lambda row: row["groundspeed"],
        SlidingWindows(10 * MINUTE_MS, MINUTE_MS),
        labels="operator",
    )
    messages = CumulativeAggregate("flight_messages", labels="operator", interval_ms=15_000)
    by_operator.process(altitudes).sink_to(sink(args, "altitudes").build())
    by_operator.process(speeds).sink_to(sink(args, "speeds").build())
    by_operator.process(messages).sink_to(sink(args, "messages").build())
    env.execute("aggregate")

    print(
        "Samples before and after aggregation, the altitudes of an operator, and its messages per second:\n"
        "  sum(count_over_time(flight_altitude_feet[4h]))\n"
        "  sum(count_over_time(flight_altitude_feet_mean[4h]))\n"
        '  flight_altitude_feet_quantile{operator="Air France"}\n'
        '  rate(flight_messages_count{operator="Air France"}[5m])'
    )


if __name__ == "__main__":
    main()
