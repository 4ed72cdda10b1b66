"""
Add the operator and the place below to each flight.

On this machine:     python jobs/enrich.py
On a Flink cluster:  flink run -pyfs jobs -py jobs/enrich.py --recording /path/that/all/machines/see/flights.jsonl

A callsign means nothing to most people, and PromQL can query only labels. The operator becomes a label of the
aircraft's own series. The place does not: it changes, and each change would create a new series. It is counted instead.
"""

from __future__ import annotations

from recorded_flights import Row, aircraft, deliver, environment, parse_arguments, series_of, sink
from reference import CELLS, OPERATORS, OTHER_OPERATOR, cell_of, operator_code

from pyflink_prometheus import (
    CumulativeAggregate,
    Enrich,
    PrometheusTimeSeries,
    Reorder,
)


def main() -> None:
    """Build the job and run it."""
    args = parse_arguments(__doc__ or "")
    env = environment(args)

    reordered = deliver(env, args).key_by(aircraft).process(Reorder()).name("reorder")
    operated = reordered.process(Enrich(OPERATORS, operator_code, default=OTHER_OPERATOR)).name("add operator")
    operated.sink_to(sink(args, "altitudes").set_element_converter(altitude).build())

    placed = operated.process(Enrich(CELLS, cell_of, drop_unmatched=True)).name("add place")
    counted = placed.key_by(lambda row: (row["place"], row["operator"])).process(
        CumulativeAggregate("flight_messages", labels=("place", "operator"))
    )
    counted.sink_to(sink(args, "messages").build())
    env.execute("enrich")

    print(
        "The number of aircraft of each country, and the operators with the most messages above Paris:\n"
        "  count by (country) (max_over_time(flight_altitude_feet[4h]))\n"
        '  topk(5, max_over_time(flight_messages_count{place="Paris"}[4h]))'
    )


def altitude(row: Row) -> list[PrometheusTimeSeries]:
    """Convert a row to the series of its aircraft's altitude."""
    return series_of(row, "altitude", operator=row["operator"], country=row["country"])


if __name__ == "__main__":
    main()
