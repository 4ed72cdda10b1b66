"""
Put instances of this file's own class through operators that keep them, and emit late ones with a stream's own type.

Prints the output as one JSON object.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pyflink.common import Configuration, Duration, Types, WatermarkStrategy
from pyflink.common.watermark_strategy import TimestampAssigner
from pyflink.datastream import OutputTag, StreamExecutionEnvironment
from pyflink.datastream.functions import KeyedProcessFunction

from pyflink_prometheus import Enrich, EnrichFromStream, Reorder

T = 1_700_000_000_000


@dataclass(frozen=True)
class Reading:
    """A reading."""

    device: str
    time: int
    value: float


@dataclass(frozen=True)
class Place:
    """The place of a device."""

    name: str


class Time(TimestampAssigner):
    """The time of a reading."""

    def extract_timestamp(self, value: Any, record_timestamp: int) -> int:
        """Return milliseconds."""
        return int(value[1])


class AsInstances(KeyedProcessFunction):
    """A map from rows to readings."""

    def process_element(self, value: Any, ctx: KeyedProcessFunction.Context) -> Iterator[Reading]:
        """Return a reading."""
        yield Reading(*value)


def main() -> None:
    """Run the job."""
    config = Configuration()
    # Several bundles, so that state is read again.
    config.set_string("python.fn-execution.bundle.size", "3")
    env = StreamExecutionEnvironment.get_execution_environment(config)
    env.set_python_executable(sys.executable)
    env.set_parallelism(1)
    row_type = Types.TUPLE([Types.STRING(), Types.LONG(), Types.DOUBLE()])
    rows = env.from_collection([("ab"[n % 2], T + 1000 * (n ^ 3), float(n)) for n in range(20)], row_type)
    timed = rows.assign_timestamps_and_watermarks(
        WatermarkStrategy.for_bounded_out_of_orderness(Duration.of_seconds(5)).with_timestamp_assigner(Time())
    )
    instances = timed.key_by(lambda row: row[0], Types.STRING()).process(AsInstances())
    ordered = instances.key_by(lambda reading: reading.device, Types.STRING()).process(Reorder())

    unmatched = OutputTag("unmatched", row_type)
    matched = rows.process(Enrich({"a": 1}, lambda row: row[0], lambda row, _: row, unmatched_output_tag=unmatched))

    enrich = EnrichFromStream(
        lambda update: (update[0], Place(update[1])),
        lambda reading: reading.device,
        lambda reading, place: (reading.device, place.name),
        default=Place("?"),
    )
    places = env.from_collection([("a", "roof"), ("b", "cellar")], Types.TUPLE([Types.STRING(), Types.STRING()]))
    placed = instances.disable_chaining().connect(places.broadcast(enrich.state_descriptor)).process(enrich)

    streams = {
        "ordered": ordered.map(lambda reading: [reading.device, reading.time - T, reading.value]),
        "matched": matched.map(lambda row: row[0]),
        "unmatched": matched.get_side_output(unmatched).map(lambda row: row[0]),
        "placed": placed,
    }
    united, *others = (
        stream.map(lambda found, name=name: json.dumps([name, found]), Types.STRING())
        for name, stream in streams.items()
    )
    found: dict[str, list[Any]] = {name: [] for name in streams}
    with united.union(*others).execute_and_collect() as results:
        for name, each in map(json.loads, results):
            found[name].append(each)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
