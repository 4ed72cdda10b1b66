"""
Write recorded flights to Prometheus: altitude, ground speed, vertical rate and track of each aircraft.

On this machine:     python jobs/flights.py --recording .cache/recording/flights.jsonl
On a Flink cluster:  flink run -py jobs/flights.py --recording /path/that/all/machines/see/flights.jsonl

The recording is a file of JSON objects, one per line, in order of time (`make recording` fetches one). Its timestamps
are shifted so that it ends now, because Prometheus refuses samples that are much older than its newest one.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from pyflink.common import WatermarkStrategy
from pyflink.datastream import StreamExecutionEnvironment
from pyflink.datastream.connectors.file_system import FileSource, StreamFormat

from pyflink_prometheus import PrometheusSink, PrometheusTimeSeries

# Fields of the recording, and names of metrics, which by convention include the unit.
METRICS = {
    "altitude": "flight_altitude_feet",
    "groundspeed": "flight_ground_speed_knots",
    "vertical_rate": "flight_vertical_rate_feet_per_minute",
    "track": "flight_track_degrees",
}


def main() -> None:
    """Build the job and run it to the end of the recording."""
    args = parse_arguments()
    shift_ms = args.end_at - last_timestamp(args.recording)

    def to_series(row: dict[str, Any]) -> list[PrometheusTimeSeries]:
        """Convert a row to a series for each of its measurements; some are missing now and then."""
        labels = {"icao24": row["icao24"], "callsign": row["callsign"]}
        timestamp = row["timestamp"] + shift_ms
        return [
            PrometheusTimeSeries(metric_name, labels, [(row[field], timestamp)])
            for field, metric_name in METRICS.items()
            if row[field] is not None
        ]

    env = StreamExecutionEnvironment.get_execution_environment()
    if "PYFLINK_GATEWAY_PORT" not in os.environ:
        # Run the workers in this Python; under `flink run` the cluster has its own.
        env.set_python_executable(sys.executable)

    # A text file is never split, so one reader emits its lines in order.
    source = FileSource.for_record_stream_format(StreamFormat.text_line_format(), str(args.recording)).build()
    lines = env.from_source(source, WatermarkStrategy.no_watermarks(), "recording").set_parallelism(1)
    rows = lines.map(json.loads).name("parse").set_parallelism(1)
    if args.parallelism > 1:
        # Prometheus needs the samples of a series in order, so all samples of an aircraft go to the same subtask. With
        # a single subtask, order holds anyway, and key_by would only cost time.
        rows = rows.key_by(lambda row: row["icao24"])

    builder = (
        PrometheusSink.builder()
        .set_prometheus_remote_write_url(args.remote_write_url)
        .set_element_converter(to_series)
        .set_parallelism(args.parallelism)
    )
    if args.digests is not None:
        builder.set_digest_directory(str(args.digests.resolve()))
    rows.sink_to(builder.build())
    env.execute("flights")


def parse_arguments() -> argparse.Namespace:
    """Parse the command line."""
    description, _, epilog = (__doc__ or "").strip().partition("\n\n")
    parser = argparse.ArgumentParser(
        description=description, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--recording", type=Path, default=".cache/recording/flights.jsonl", help="the recording (default: %(default)s)"
    )
    parser.add_argument(
        "--remote-write-url",
        default="http://localhost:9090/api/v1/write",
        help="the receiver; Prometheus needs --web.enable-remote-write-receiver (default: %(default)s)",
    )
    parser.add_argument(
        "--parallelism", type=int, default=1, help="number of subtasks that write (default: %(default)s)"
    )
    parser.add_argument(
        "--end-at",
        type=int,
        default=time.time_ns() // 1_000_000,
        metavar="MS",
        help="when the shifted recording ends, in ms since 1970 (default: now)",
    )
    parser.add_argument(
        "--digests",
        type=Path,
        metavar="DIR",
        help="where to keep digests of the written samples (default: none are kept)",
    )
    args = parser.parse_args()
    args.recording = args.recording.resolve()
    if not args.recording.is_file():
        parser.error(f"run `make recording`: there is no file {args.recording}")
    return args


def last_timestamp(recording: Path) -> int:
    """Return the timestamp of the recording's last line, without reading the others."""
    with recording.open("rb") as file:
        file.seek(max(0, recording.stat().st_size - 10_000))
        return int(json.loads(file.read().splitlines()[-1])["timestamp"])


if __name__ == "__main__":
    main()
