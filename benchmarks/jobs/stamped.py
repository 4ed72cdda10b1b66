"""
A job that reads lines from a socket, each with a series and its creation time, and writes them as samples.

The timestamp of a sample is the creation time, its value the milliseconds until the line reached Python.
"""

from __future__ import annotations

import argparse
import json
import sys
import time

from pyflink.common import Configuration
from pyflink.datastream import DataStream, StreamExecutionEnvironment

from pyflink_prometheus import PrometheusSink, PrometheusTimeSeries


def to_series(line: str) -> PrometheusTimeSeries:
    """Convert a line to a series with one sample."""
    series, made_ms = line.split()
    return PrometheusTimeSeries(
        "arrived_after_ms", {"series": series}, ((time.time() * 1000 - int(made_ms), int(made_ms)),)
    )


def main() -> None:
    """Run the job until the socket ends."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--url", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--bundle-size", required=True)
    parser.add_argument("--bundle-ms", required=True)
    options = parser.parse_args()
    configuration = Configuration()
    configuration.set_string("python.fn-execution.bundle.size", options.bundle_size)
    configuration.set_string("python.fn-execution.bundle.time", options.bundle_ms)
    env = StreamExecutionEnvironment.get_execution_environment(configuration)
    env.set_python_executable(sys.executable)
    env.set_parallelism(1)
    lines = DataStream(env._j_stream_execution_environment.socketTextStream("127.0.0.1", options.port))
    sink = PrometheusSink.builder().set_prometheus_remote_write_url(options.url).set_element_converter(to_series)
    lines.sink_to(sink.build())
    env.execute()
    print(json.dumps(None))


if __name__ == "__main__":
    main()
