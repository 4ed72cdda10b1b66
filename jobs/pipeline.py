"""
From raw events to good time series: reorder, filter, enrich, aggregate, and mark ended series stale.

On this machine:     python jobs/pipeline.py
On a Flink cluster:  flink run -pyfs jobs -py jobs/pipeline.py --recording /path/that/all/machines/see/flights.jsonl

The whole chain in one job. Each step also has its own job, which shows its effect.
"""

from __future__ import annotations

from filter import CHECKS
from recorded_flights import Row, aircraft, deliver, environment, parse_arguments, series_of, sink
from reference import CELLS, OPERATORS, OTHER_OPERATOR, cell_of, operator_code

from pyflink_prometheus import (
    Aggregate,
    CumulativeAggregate,
    Enrich,
    Filter,
    MarkStale,
    PrometheusTimeSeries,
    Reorder,
    TumblingWindows,
)

MINUTE = TumblingWindows(60_000)
STALE_AFTER_MS = 60_000


def main() -> None:
    """Build the job and run it."""
    args = parse_arguments(__doc__ or "")
    env = environment(args)

    reordered = deliver(env, args).key_by(aircraft).process(Reorder()).name("reorder")
    possible = reordered.key_by(aircraft).process(Filter(*CHECKS)).name("filter")
    rows = possible.process(Enrich(OPERATORS, operator_code, default=OTHER_OPERATOR)).name("add operator")

    ended = rows.key_by(aircraft).process(MarkStale(STALE_AFTER_MS, to_series)).name("mark stale")
    ended.sink_to(sink(args, "aircraft").build())

    by_operator = rows.key_by(lambda row: row["operator"])
    of: tuple[str | float, ...] = ("mean", "max", "count", 0.5, 0.95)
    of = (*of, "histogram") if args.native_histograms else of
    altitudes = Aggregate("flight_altitude_feet", lambda row: row["altitude"], MINUTE, of, labels="operator")
    by_operator.process(altitudes).name("altitudes").sink_to(sink(args, "altitudes").build())
    messages = CumulativeAggregate("flight_messages", labels="operator", interval_ms=15_000)
    by_operator.process(messages).name("messages").sink_to(sink(args, "messages").build())

    placed = rows.process(Enrich(CELLS, cell_of, drop_unmatched=True)).name("add place")
    speeds = Aggregate(
        "flight_ground_speed_knots",
        lambda row: row["groundspeed"],
        MINUTE,
        ("mean", "count"),
        labels=("cell", "place"),
    )
    by_cell = placed.key_by(lambda row: (row["cell"], row["place"]))
    by_cell.process(speeds).name("speeds").sink_to(sink(args, "speeds").build())
    env.execute("pipeline")

    print(
        "The last altitudes of an operator's flights, their quantiles, and the mean speed above each place:\n"
        '  last_over_time(flight_altitude_feet{operator="Air France"}[4h])\n'
        '  flight_altitude_feet_quantile{operator="Air France"}\n'
        "  flight_ground_speed_knots_mean"
    )


def to_series(row: Row) -> list[PrometheusTimeSeries]:
    """Convert a row to the series of its aircraft."""
    return series_of(row, operator=row["operator"], country=row["country"])


if __name__ == "__main__":
    main()
