"""
A job that only writes, and prints the microseconds per record as JSON, after a warm-up.

    throughput.py --sink prometheus|discard|nothing|encode --records as-they-are|converted|mapped [...]

Records come from a Java source of numbers, so that Python's part is measured. ``converted``: the sink's element
converter creates the series. ``mapped``: a map upstream does. ``as-they-are``: like ``mapped``, but with plain tuples.
With ``discard``, a Python function converts each record and discards it; with ``nothing``, it does not even convert it;
with ``encode``, it does the minimum of a sink without sending anything.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pyflink.common import Configuration, Types, WatermarkStrategy
from pyflink.datastream import DataStream, KeyedStream, StreamExecutionEnvironment
from pyflink.datastream.connectors.base import Sink
from pyflink.datastream.connectors.number_seq import NumberSequenceSource
from pyflink.datastream.functions import ProcessFunction
from pyflink.java_gateway import get_gateway

from pyflink_prometheus import PrometheusSink, PrometheusTimeSeries, RemoteWriteVersion
from pyflink_prometheus.flink.function import KeyedRecords
from pyflink_prometheus.wire.request import encode
from pyflink_prometheus.writer.batch import FillingBatch
from pyflink_prometheus.writer.series_cache import SeriesCache

SERIES = 10_000
REQUEST = 2000


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--url")
    parser.add_argument("--sink", choices=["prometheus", *FUNCTIONS], required=True)
    parser.add_argument("--records", choices=["as-they-are", "converted", "mapped"], default="converted")
    parser.add_argument("--mode", choices=["process", "thread"], default="process")
    parser.add_argument("--keyed", action="store_true")
    parser.add_argument("--bundle", type=int, default=10_000)
    parser.add_argument("--bundles", type=int, default=30)
    parser.add_argument("--warm-up", type=int, default=10, help="number of bundles before the measurement")
    parser.add_argument("--metric", default="bench")
    parser.add_argument("--in-flight", type=int, help="requests of 2000 samples; default: adaptive")
    parser.add_argument("--version", choices=["AUTO", "V1", "V2"], default="AUTO")
    return parser.parse_args()


class Mark:
    """A function that records the times at which the measured bundles begin and end."""

    def __init__(self, options: argparse.Namespace, file: Path) -> None:
        self._numbers = options.warm_up * options.bundle, (options.bundles - 1) * options.bundle
        self._file = str(file)

    def __call__(self, number: int) -> None:
        """Record the time if this is the first or last measured record."""
        if number in self._numbers:
            with open(self._file, "a") as file:
                print(time.time(), file=file)


def maker(options: argparse.Namespace, mark: Mark):
    """Return a function from a number to a series, which also calls ``mark``."""
    metric = options.metric
    start_ms = int(time.time() * 1000) - 1_800_000

    def make(number: int) -> PrometheusTimeSeries:
        mark(number)
        series = number % SERIES
        return PrometheusTimeSeries(
            metric,
            {
                "icao24": f"{series * 7919 % 16**6:06x}",
                "callsign": f"MSR{series % 1000}",
                "operator": "MSR",
                "source": "adsb",
            },
            ((float(number), start_ms + number // SERIES * 1000),),
        )

    return make


class Discard(ProcessFunction):
    """A function that converts records and discards them."""

    def __init__(self, converter) -> None:
        self._converter = converter

    def process_element(self, value, ctx):
        """Convert and discard a record."""
        if self._converter is not None:
            self._converter(value)


class Encode(ProcessFunction):
    """A function that looks up series, collects samples in columns and encodes them in 1.0, without sending them."""

    def __init__(self, converter) -> None:
        self._converter = converter

    def open(self, runtime_context):
        """Create the cache and the first batch."""
        self._known = SeriesCache(2 * SERIES)
        self._filling = FillingBatch(self._known.table)

    def process_element(self, value, ctx):
        """Add a record, and encode a request when there are enough."""
        metric, labels, ((value, timestamp),), metadata, _ = self._converter(value)
        filling = self._filling
        filling.numbers.append(self._known.get(metric, labels, metadata).number)
        filling.timestamps.append(timestamp)
        filling.values.append(value)
        if len(filling) == REQUEST:
            encode(filling.take(REQUEST).in_order().batch, RemoteWriteVersion.V1)


FUNCTIONS = {"discard": Discard, "nothing": Discard, "encode": Encode}


def main() -> None:
    """Run the job."""
    options = arguments()
    configuration = Configuration()
    configuration.set_string("python.execution-mode", options.mode)
    configuration.set_string("python.fn-execution.bundle.size", str(options.bundle))
    configuration.set_string("python.fn-execution.bundle.time", "60000")
    env = StreamExecutionEnvironment.get_execution_environment(configuration)
    env.set_python_executable(sys.executable)
    env.set_parallelism(1)
    numbers = env.from_source(
        NumberSequenceSource(0, options.bundles * options.bundle - 1), WatermarkStrategy.no_watermarks(), "numbers"
    )
    with tempfile.TemporaryDirectory() as folder:
        marks = Path(folder) / "marks"
        mark = Mark(options, marks)
        make: Callable[[int], Any] = mark if options.sink == "nothing" else maker(options, mark)
        converter = make if options.records == "converted" else None
        stream = numbers
        if options.keyed:
            stream = stream.key_by(lambda number: number % SERIES, key_type=Types.LONG())
        if options.records != "converted":
            stream = stream.map(make if options.records == "mapped" else lambda number: tuple(make(number)))
        write(stream, converter, options)
        env.execute()
        first, last = map(float, marks.read_text().split())
    measured = (options.bundles - 1 - options.warm_up) * options.bundle
    print(json.dumps({"microseconds": (last - first) / measured * 1e6}))


def write(stream, converter, options: argparse.Namespace) -> None:
    """Add the sink, or its replacement, to the stream."""
    if options.sink == "prometheus":
        builder = PrometheusSink.builder().set_prometheus_remote_write_url(options.url)
        if converter is not None:
            builder.set_element_converter(converter)
        if options.in_flight:
            builder.set_max_in_flight_requests(options.in_flight).set_max_batch_size_in_samples(REQUEST)
        stream.sink_to(builder.set_remote_write_version(RemoteWriteVersion[options.version]).build())
        return
    function = FUNCTIONS[options.sink](converter)
    if isinstance(stream, KeyedStream):  # as the sink does
        stream, function = DataStream(stream._j_data_stream), KeyedRecords(function)
    written = stream.process(function, Types.BYTE())
    written.sink_to(Sink(get_gateway().jvm.org.apache.flink.streaming.api.functions.sink.v2.DiscardingSink()))


if __name__ == "__main__":
    main()
