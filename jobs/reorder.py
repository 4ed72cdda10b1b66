"""
Put the altitudes of flights in order of time, and write them next to the altitudes as delivered.

On this machine:     python jobs/reorder.py
On a Flink cluster:  flink run -pyfs jobs -py jobs/reorder.py --recording /path/that/all/machines/see/flights.jsonl

A mobile network delivers events late, out of order and twice. Prometheus accepts only samples that are newer than the
newest of their series: some of the events as delivered, and all of the events that Reorder has put in order.
"""

from __future__ import annotations

from collections.abc import Callable

from recorded_flights import Row, aircraft, deliver, environment, parse_arguments, series_of, sink

from pyflink_prometheus import PrometheusTimeSeries, Reorder


def main() -> None:
    """Build the job and run it."""
    args = parse_arguments(__doc__ or "")
    env = environment(args)

    delivered = deliver(env, args).key_by(aircraft)
    delivered.sink_to(sink(args, "delivered").set_element_converter(altitude("delivered")).build())
    # All events of an aircraft stay in one subtask, so the sink needs no further key_by.
    reordered = delivered.process(Reorder()).name("reorder")
    reordered.sink_to(sink(args, "reordered").set_element_converter(altitude("reordered")).build())
    env.execute("reorder")

    print(
        "The number of samples of each step, and a flight with many late events:\n"
        "  sum by (step) (count_over_time(flight_altitude_feet[4h]))\n"
        '  flight_altitude_feet{callsign="AFR9455"}'
    )


def altitude(step: str) -> Callable[[Row], list[PrometheusTimeSeries]]:
    """Return a converter to series with the name of a step as a label."""
    return lambda row: series_of(row, "altitude", step=step)


if __name__ == "__main__":
    main()
