"""
Reorder and count readings with a worker that dies midway, and print the counters of each device as JSON.

usage: killed_operators.py FOLDER

The worker kills itself once, at a reading in the middle, and leaves a file in the folder.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from pyflink.common import Configuration, Duration, Types, WatermarkStrategy
from pyflink.datastream import StreamExecutionEnvironment
from replayable import numbers, restart_after_failures
from resumed_operators import DEVICES, START_MS, Time

from pyflink_prometheus import CumulativeAggregate, Reorder, key_by_with_timestamps

COUNT = 12_000
KILLED_AT = 7_000


class DiesOnce:
    """A conversion that kills its process at a certain reading, the first time."""

    def __init__(self, folder: str) -> None:
        self._mark = folder + "/killed"

    def __call__(self, number: int) -> tuple[str, int, float]:
        """Return (device, time, value)."""
        if number == KILLED_AT and not Path(self._mark).exists():
            Path(self._mark).touch()
            os._exit(1)
        return f"d{number % DEVICES}", START_MS + 100 * (number ^ 5), float(number)


def main() -> None:
    """Run the job."""
    config = Configuration()
    config.set_string("python.fn-execution.bundle.time", "300")
    restart_after_failures(config)
    env = StreamExecutionEnvironment.get_execution_environment(config)
    env.set_python_executable(sys.executable)
    env.set_parallelism(1)
    env.enable_checkpointing(200)
    source = env.from_source(numbers(COUNT, 1_500.0), WatermarkStrategy.no_watermarks(), "numbers", Types.LONG())
    strategy = WatermarkStrategy.for_bounded_out_of_orderness(Duration.of_seconds(2)).with_timestamp_assigner(Time())
    readings = source.map(DiesOnce(sys.argv[1]), Types.PICKLED_BYTE_ARRAY())
    ordered = key_by_with_timestamps(readings, strategy, lambda event: event[0], Types.STRING()).process(Reorder())
    counted = ordered.key_by(lambda event: event[0], Types.STRING()).process(
        CumulativeAggregate("readings", lambda event: event[2], ("count", "sum"), labels="device", interval_ms=10_000)
    )
    last: dict[str, Any] = {}
    with counted.execute_and_collect() as results:
        for series in results:
            last[series.key()] = series.samples[-1][0]
    print(json.dumps(last))


if __name__ == "__main__":
    main()
