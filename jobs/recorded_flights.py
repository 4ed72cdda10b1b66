"""
The shared part of the example jobs: recorded flights as a mobile network would deliver them, and command-line options.

On a cluster it is shipped by ``flink run -pyfs jobs``.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from bisect import bisect_left
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mobile_network import MobileNetwork
from pyflink.common import Duration, TypeInformation, Types, WatermarkStrategy
from pyflink.common.watermark_strategy import TimestampAssigner
from pyflink.datastream import DataStream, FlatMapFunction, RuntimeContext, StreamExecutionEnvironment
from pyflink.datastream.connectors import Source
from pyflink.java_gateway import get_gateway

from pyflink_prometheus import PrometheusSink, PrometheusSinkBuilder, PrometheusTimeSeries

#: A message of a flight: icao24 (the aircraft), callsign and timestamp in ms. Other fields may be None: latitude and
#: longitude in degrees, altitude in feet, groundspeed in knots, vertical_rate in feet per minute, track in degrees.
Row = dict[str, Any]

#: Fields of the recording, and names of metrics, which by convention include the unit.
METRICS = {
    "altitude": "flight_altitude_feet",
    "groundspeed": "flight_ground_speed_knots",
    "vertical_rate": "flight_vertical_rate_feet_per_minute",
    "track": "flight_track_degrees",
    "latitude": "flight_latitude_degrees",
    "longitude": "flight_longitude_degrees",
}

#: The fields of a message that are kept, besides its timestamp.
FIELDS = ("icao24", "callsign", *METRICS)

#: How much of the recording one step of the source delivers at full speed. A bundle holds 1000 steps, and no watermark
#: is emitted before it ends: the longer the steps, the more the job has to hold at once.
FAST_STEP_MS = 100
#: How long ago the flights begin with --repeat=0. A Prometheus that scrapes anything, itself included, refuses samples
#: more than an hour older than its newest one.
LIVE_HISTORY_MS = 50 * 60_000
#: The source needs a known end; a job that runs until it is cancelled gets this many seconds.
ENDLESS_SECONDS = 7 * 24 * 3600


def parse_arguments(job_description: str) -> argparse.Namespace:
    """
    Parse the options that all jobs share.

    :param job_description: the first paragraph for ``--help``, followed by one with examples.
    """
    description, _, epilog = job_description.strip().partition("\n\n")
    parser = argparse.ArgumentParser(
        description=description, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    show = "(default: %(default)s)"
    add("--recording", type=Path, default=".cache/recording/flights.jsonl", help=f"the recording {show}")
    add(
        "--remote-write-url",
        default="http://localhost:9090/api/v1/write",
        help=f"the receiver; Prometheus needs --web.enable-remote-write-receiver {show}",
    )
    add("--parallelism", type=int, default=1, help=f"number of subtasks of each step downstream of the source {show}")
    add("--speed", type=float, default=0, help="seconds of the recording per second; 0: as fast as possible (default)")
    add(
        "--repeat",
        type=int,
        default=1,
        help="how many times to deliver the recording; 0: forever, from 50 minutes ago at --speed until it reaches the "
        f"present, then in real time {show}",
    )
    add(
        "--end-at",
        type=int,
        default=time.time_ns() // 1_000_000,
        metavar="MS",
        help="when the shifted recording ends (with --repeat=0: the present), in ms since 1970 (default: now)",
    )
    add("--seed", type=int, default=1, help=f"seed for delays, duplicates and losses {show}")
    add("--max-delay", type=int, default=120, metavar="S", help=f"how late events may be, in seconds {show}")
    add(
        "--native-histograms",
        action="store_true",
        help="also write native histograms; Prometheus before 3.9 needs --enable-feature=native-histograms",
    )
    args = parser.parse_args()
    args.recording = args.recording.resolve()
    if not args.recording.is_file():
        parser.error(f"run `make recording`: there is no file {args.recording}")
    if args.speed < 0 or (args.repeat == 0 and args.speed < 1):
        parser.error(f"--speed: expected at least 0, or at least 1 with --repeat=0, got {args.speed:g}")
    if min(args.repeat, args.max_delay) < 0 or args.parallelism < 1:
        parser.error("expected --repeat and --max-delay of at least 0, and --parallelism of at least 1")
    return args


def environment(args: argparse.Namespace) -> StreamExecutionEnvironment:
    """Return the execution environment of a job, local or on a cluster."""
    env = StreamExecutionEnvironment.get_execution_environment()
    env.set_parallelism(args.parallelism)
    if "PYFLINK_GATEWAY_PORT" not in os.environ:
        # Run the workers in this Python; under `flink run` the cluster has its own.
        env.set_python_executable(sys.executable)
    return env


def deliver(env: StreamExecutionEnvironment, args: argparse.Namespace) -> DataStream:
    """Return the rows in the order of their delivery, with watermarks that wait for the latest rows."""
    strategy = WatermarkStrategy.for_bounded_out_of_orderness(Duration.of_seconds(args.max_delay))
    rows = deliver_untimed(env, Delivery(args))
    return rows.assign_timestamps_and_watermarks(strategy.with_timestamp_assigner(_TimestampOfRow())).set_parallelism(1)


def deliver_untimed(
    env: StreamExecutionEnvironment, delivery: Delivery, row_type: TypeInformation | None = None
) -> DataStream:
    """Return the rows in the order of their delivery, without timestamps."""
    steps = env.from_source(
        _numbers(delivery.steps, delivery.steps_per_second), WatermarkStrategy.no_watermarks(), "network", Types.LONG()
    )
    return steps.set_parallelism(1).flat_map(delivery, row_type).name("deliver").set_parallelism(1)


def sink(args: argparse.Namespace, name: str) -> PrometheusSinkBuilder:
    """Return the builder of a sink for the receiver in the options, with a name that identifies its counters."""
    return PrometheusSink.builder().set_prometheus_remote_write_url(args.remote_write_url).set_name(f"write {name}")


def aircraft(row: Row) -> str:
    """Return the aircraft of a row, the key of streams."""
    return str(row["icao24"])


def series_of(row: Row, *fields: str, **labels: str) -> list[PrometheusTimeSeries]:
    """
    Return a series for each measurement of a row; some are missing now and then.

    :param fields: the measurements to return. Default: all.
    :param labels: labels in addition to those of the aircraft and its flight.
    """
    all_labels = {"icao24": row["icao24"], "callsign": row["callsign"], **labels}
    return [
        PrometheusTimeSeries(METRICS[field], all_labels, [(row[field], row["timestamp"])])
        for field in fields or METRICS
        if row[field] is not None
    ]


class Delivery(FlatMapFunction):
    """
    A function from the number of a step to the rows that are delivered in it.

    It needs no state: a source that restarts at a number delivers the same rows again.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        first, last = _first_and_last_timestamp(args.recording)
        self._recording = str(args.recording)
        self._network = MobileNetwork(seed=args.seed, max_delay_ms=args.max_delay * 1000)
        self._start = first
        self._length = last - first + 1000
        self._is_live = args.repeat == 0
        self._repeat = args.repeat
        # With --repeat=3, the third repetition ends at --end-at.
        begins_at = args.end_at - (LIVE_HISTORY_MS if self._is_live else self._repeat * self._length - 1000)
        self._shift = begins_at - first
        self._step = round(args.speed * 1000) or FAST_STEP_MS
        whole = self._length * self._repeat + self._network.max_delay_ms
        #: The number of steps, and their rate; None for no limit.
        self.steps = ENDLESS_SECONDS if self._is_live else -(-whole // self._step)
        self.steps_per_second = 1.0 if args.speed else None

    def open(self, runtime_context: RuntimeContext) -> None:
        """Read the recording; Flink calls this before the first step."""
        with open(self._recording, encoding="utf-8") as file:
            rows = map(json.loads, file)
            self._rows = [(*map(row.get, FIELDS), row["timestamp"] - self._start) for row in rows]
        self._delivered: dict[int, list[tuple[int, int]]] = {}

    def flat_map(self, number: int) -> Iterator[Any]:
        """Yield the rows of a step, in the order of their delivery."""
        for values in self.delivered(number):
            yield dict(zip((*FIELDS, "timestamp"), values))

    def delivered(self, number: int) -> Iterator[tuple[Any, ...]]:
        """Yield the values of the fields and the timestamp of each row of a step."""
        begin, end = self._position(number), self._position(number + 1)
        # Rows sent at the end of one repetition arrive at the beginning of the next.
        for part in range(max(0, begin // self._length - 1), end // self._length + 1):
            if not self._is_live and part >= self._repeat:
                break
            offset = part * self._length
            began = self._start + self._shift + offset
            for _, which in _between(self._deliveries(part), begin - offset, end - offset):
                *values, sent = self._rows[which]
                yield (*values, began + sent)

    def _position(self, number: int) -> int:
        """Return the time in the delivery at which a step begins, in milliseconds."""
        fast = number * self._step
        return min(fast, LIVE_HISTORY_MS + number * 1000) if self._is_live else fast

    def _deliveries(self, part: int) -> list[tuple[int, int]]:
        if part not in self._delivered:
            self._delivered = {each: found for each, found in self._delivered.items() if each == part - 1}
            sent = ((row[0], row[-1]) for row in self._rows)
            self._delivered[part] = self._network.deliveries(sent, part)
        return self._delivered[part]


class _TimestampOfRow(TimestampAssigner):
    def extract_timestamp(self, value: Row, record_timestamp: int) -> int:
        return int(value["timestamp"])


def _between(deliveries: list[tuple[int, int]], begin: int, end: int) -> list[tuple[int, int]]:
    """Return the deliveries from ``begin`` to ``end``, exclusive."""
    return deliveries[bisect_left(deliveries, (begin,)) : bisect_left(deliveries, (end,))]


def _numbers(count: int, per_second: float | None) -> Source:
    """Return a source of the numbers from 0, at a rate; Flink has one, but PyFlink does not expose it."""
    jvm = get_gateway().jvm
    datagen = jvm.org.apache.flink.connector.datagen
    j_type = Types.LONG().get_java_type_info()
    j_numbers = jvm.java.util.Arrays.asList(jvm.java.util.stream.LongStream.range(0, count).boxed().toArray())
    limits = jvm.org.apache.flink.api.connector.source.util.ratelimit.RateLimiterStrategy
    limit = limits.noOp() if per_second is None else limits.perSecond(per_second)
    lookup = datagen.functions.IndexLookupGeneratorFunction(j_type, j_numbers)
    return Source(datagen.source.DataGeneratorSource(lookup, count, limit, j_type))


def _first_and_last_timestamp(recording: Path) -> tuple[int, int]:
    """Return the timestamps of the recording's first and last lines, without reading the others."""
    with recording.open("rb") as file:
        first = file.readline()
        file.seek(max(0, recording.stat().st_size - 10_000))
        last = file.read().splitlines()[-1]
    return int(json.loads(first)["timestamp"]), int(json.loads(last)["timestamp"])
