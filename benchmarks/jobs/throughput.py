"""
A job that does nothing but write, and prints as JSON the microseconds that a record took, once it was warm.

    throughput.py --sink prometheus|discard|nothing|encode --records as-they-are|converted|mapped [...]

Records are made by a Java source of numbers, so that what is measured is Python's part. ``converted``: the sink's
element converter makes the series; ``mapped``: a map before it does; ``as-they-are``: like ``mapped``, but of a plain
tuple. With ``discard`` a Python function does the same with each record and drops it; with ``nothing`` it does not even
convert it, and with ``encode`` it does the least that a sink can do without sending anything.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

from pyflink.common import Configuration, Types, WatermarkStrategy
from pyflink.datastream import DataStream, KeyedStream, StreamExecutionEnvironment
from pyflink.datastream.connectors.base import Sink
from pyflink.datastream.connectors.number_seq import NumberSequenceSource
from pyflink.datastream.functions import ProcessFunction
from pyflink.java_gateway import get_gateway

from pyflink_prometheus import PrometheusSink, PrometheusTimeSeries, RemoteWriteVersion
from pyflink_prometheus.flink.function import KeyedRecords
from pyflink_prometheus.wire.request import encode
from pyflink_prometheus.writer.batch import Batch
from pyflink_prometheus.writer.series_cache import SeriesCache

SERIES = 10_000
REQUEST = 2000


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--url")
    parser.add_argument("--sink", choices=["prometheus", *FUNCTIONS], required=True)
    parser.add_argument("--records", choices=["as-they-are", "converted", "mapped"], default="converted")
    parser.add_argument("--mode", choices=["process", "thread"], default="process")
    parser.add_argument("--keyed", action="store_true")
    parser.add_argument("--bundle", type=int, default=10_000)
    parser.add_argument("--bundles", type=int, default=30)
    parser.add_argument("--warm-up", type=int, default=10, help="bundles that do not count")
    parser.add_argument("--metric", default="bench")
    parser.add_argument("--in-flight", type=int, help="requests of 2000 samples; default: what the sink finds out")
    parser.add_argument("--version", choices=["AUTO", "V1", "V2"], default="AUTO")
    return parser.parse_args()


class Mark:
    """Note when the measured bundles begin and end."""

    def __init__(self, options: argparse.Namespace, file: Path) -> None:
        self._numbers = options.warm_up * options.bundle, (options.bundles - 1) * options.bundle
        self._file = str(file)

    def __call__(self, number: int) -> None:
        """Look at one more record."""
        if number in self._numbers:
            with open(self._file, "a") as file:
                print(time.time(), file=file)


def maker(options: argparse.Namespace, mark: Mark):
    """Return a function from a number to a series, which also marks it."""
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
    """Do what the sink's function does before it writes, and no more."""

    def __init__(self, converter) -> None:
        self._converter = converter

    def process_element(self, value, ctx):
        """Drop the record."""
        if self._converter is not None:
            self._converter(value)


class Encode(ProcessFunction):
    """Look series up, keep samples in columns, and encode them under 1.0: no lock, no thread, no request."""

    def __init__(self, converter) -> None:
        self._converter = converter

    def open(self, runtime_context):
        """Begin."""
        self._known = SeriesCache(2 * SERIES)
        self._batch = Batch()

    def process_element(self, value, ctx):
        """Take a record, and encode when there are enough for a request."""
        metric, labels, ((value, timestamp),), metadata, _ = self._converter(value)
        batch = self._batch
        batch.series.append(self._known.get(metric, labels, metadata))
        batch.timestamps.append(timestamp)
        batch.values.append(value)
        if len(batch) == REQUEST:
            encode(batch, RemoteWriteVersion.V1)
            self._batch = Batch()


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
        converter = make = mark if options.sink == "nothing" else maker(options, mark)
        stream = numbers
        if options.keyed:
            stream = stream.key_by(lambda number: number % SERIES, key_type=Types.LONG())
        if options.records != "converted":
            converter = None
            stream = stream.map(make if options.records == "mapped" else lambda number: tuple(make(number)))
        write(stream, converter, options)
        env.execute()
        first, last = map(float, marks.read_text().split())
    measured = (options.bundles - 1 - options.warm_up) * options.bundle
    print(json.dumps({"microseconds": (last - first) / measured * 1e6}))


def write(stream, converter, options: argparse.Namespace) -> None:
    """Put the sink, or what stands for it, behind the stream."""
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
