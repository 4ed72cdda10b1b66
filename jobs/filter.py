"""
Drop impossible values: altitudes far from the previous ones, and positions that no aircraft could have reached.

On this machine:     python jobs/filter.py
On a Flink cluster:  flink run -pyfs jobs -py jobs/filter.py --recording /path/that/all/machines/see/flights.jsonl

Trackers misread. A single wrong altitude makes the axis of a chart useless, and a single wrong position draws a line
across the map. Dropped events are counted by check, and this job also writes them, for inspection.
"""

from __future__ import annotations

from collections.abc import Callable

from pyflink.common import Types
from pyflink.datastream import OutputTag
from recorded_flights import Row, aircraft, deliver, environment, parse_arguments, series_of, sink

from pyflink_prometheus import (
    Filter,
    Hampel,
    PrometheusTimeSeries,
    Reorder,
    SpeedGate,
    Threshold,
)

CHECKS = (
    Threshold("altitude", min=-1_500, max=60_000),
    # An airliner climbs or descends by at most 100 feet per second, so within 3000 feet of the last median is possible.
    Hampel("altitude", min_deviation=3_000),
    # In meters per second; airliners in a strong tailwind fly at 330.
    SpeedGate(("latitude", "longitude"), max_speed=350),
)


def main() -> None:
    """Build the job and run it."""
    args = parse_arguments(__doc__ or "")
    env = environment(args)

    # Downstream of Reorder, because the checks compare an event with previous ones.
    reordered = deliver(env, args).key_by(aircraft).process(Reorder()).name("reorder").key_by(aircraft)
    rejected = OutputTag("rejected", Types.PICKLED_BYTE_ARRAY())
    filtered = reordered.process(Filter(*CHECKS, rejected_output_tag=rejected)).name("filter")
    reordered.sink_to(sink(args, "reordered").set_element_converter(measurements("reordered")).build())
    filtered.sink_to(sink(args, "filtered").set_element_converter(measurements("filtered")).build())
    wrong = filtered.get_side_output(rejected).map(event_of)
    wrong.sink_to(sink(args, "rejected").set_element_converter(measurements("rejected")).build())
    env.execute("filter")

    print(
        "The number of altitudes of each step, and the highest of them:\n"
        "  sum by (step) (count_over_time(flight_altitude_feet[4h]))\n"
        "  max by (step) (max_over_time(flight_altitude_feet[4h]))"
    )


def measurements(step: str) -> Callable[[Row], list[PrometheusTimeSeries]]:
    """Return a converter to series with the name of a step as a label."""
    return lambda row: series_of(row, "altitude", "latitude", "longitude", step=step)


def event_of(rejected: tuple[Row, str]) -> Row:
    """Return the rejected event, without the reason."""
    return rejected[0]


if __name__ == "__main__":
    main()
