"""
A small PyFlink job that `make release-check` runs on a cluster that has only PyFlink.

    flink run -pyfs pyflink_prometheus-VERSION.zip -py zip_job.py URL
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

ROOMS = ("kitchen", "attic", "hall")
READINGS = [(ROOMS[number % 3], 20.0 + number, 1_700_000_000_000 + 1000 * number) for number in range(3_000)]


def from_the_zip() -> None:
    """Raise unless this process has the package from the zip, which Flink's client unpacks, and no python-snappy."""
    import pyflink_prometheus

    from_zip = any(part.startswith("pyflink_prometheus-") for part in Path(pyflink_prometheus.__file__).parts)
    if not from_zip or find_spec("snappy") is not None:
        raise RuntimeError(f"not the zip alone: {pyflink_prometheus.__file__}, snappy: {find_spec('snappy')}")


def main() -> None:
    """Write the readings to the URL in the argument."""
    from pyflink.datastream import StreamExecutionEnvironment

    from pyflink_prometheus import PrometheusSink, PrometheusTimeSeries

    def to_series(reading: tuple[str, float, int]) -> PrometheusTimeSeries:
        from_the_zip()  # on the worker
        room, celsius, time_ms = reading
        return PrometheusTimeSeries("room_temperature_celsius", {"room": room}, ((celsius, time_ms),))

    from_the_zip()
    env = StreamExecutionEnvironment.get_execution_environment()
    env.set_parallelism(1)
    builder = PrometheusSink.builder().set_prometheus_remote_write_url(sys.argv[1])
    env.from_collection(READINGS).sink_to(builder.set_element_converter(to_series).build())
    env.execute("out of the zip")


if __name__ == "__main__":
    main()
