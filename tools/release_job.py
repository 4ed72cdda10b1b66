"""
A small PyFlink job and the receiver that it writes to, for `make release-check`; run by a Python that has the wheel.

It is copied out of the tree and uses only what the wheel installs. Exits with 0 if exactly the written samples arrived.
"""

from __future__ import annotations

import sys
from pathlib import Path

from pyflink.datastream import StreamExecutionEnvironment

import pyflink_prometheus
from pyflink_prometheus import PrometheusSink, PrometheusTimeSeries
from pyflink_prometheus.testing import Receiver

BEGIN_MS = 1_700_000_000_000
ROOMS = ("kitchen", "attic", "hall")


def to_series(reading: tuple[str, float, int]) -> PrometheusTimeSeries:
    """Convert one reading."""
    room, celsius, time_ms = reading
    return PrometheusTimeSeries("room_temperature_celsius", {"room": room}, ((celsius, time_ms),))


def main() -> None:
    """Run the job, and compare the samples that arrive with the written ones."""
    home = Path(pyflink_prometheus.__file__).resolve()
    if Path(sys.prefix).resolve() not in home.parents:
        sys.exit(f"this runs {home} instead of the package installed into {sys.prefix}")
    readings = [(ROOMS[number % 3], 20.0 + number, BEGIN_MS + 1000 * number) for number in range(3_000)]
    with Receiver() as receiver:
        env = StreamExecutionEnvironment.get_execution_environment()
        env.set_parallelism(1)
        env.set_python_executable(sys.executable)
        sink = (
            PrometheusSink.builder()
            .set_prometheus_remote_write_url(receiver.url)
            .set_element_converter(to_series)
            .build()
        )
        env.from_collection(readings).sink_to(sink)
        env.execute("release check")
        arrived = sorted(
            (series.key(), sample[0], sample[1])
            for request in receiver.requests
            for series in request.series
            for sample in series.samples
        )
    expected = sorted((to_series(reading).key(), reading[1], reading[2]) for reading in readings)
    if arrived != expected:
        sys.exit(f"{len(arrived)} samples arrived and {len(expected)} were written; the first: {arrived[:3]}")
    print(f"{pyflink_prometheus.__version__}: {len(arrived)} of {len(expected)} samples arrived")


if __name__ == "__main__":
    main()
