"""Write the series from every line of every file in a folder, and keep waiting for more files."""

from __future__ import annotations

import json
import sys

from pyflink.common import Duration, WatermarkStrategy
from pyflink.datastream import StreamExecutionEnvironment
from pyflink.datastream.connectors.file_system import FileSource, StreamFormat

from pyflink_prometheus import PrometheusSink


def main(folder: str, remote_write_url: str) -> None:
    """Build the job and run it; a line is a JSON array of metric name, labels and samples."""
    env = StreamExecutionEnvironment.get_execution_environment()
    files = FileSource.for_record_stream_format(StreamFormat.text_line_format(), folder)
    source = files.monitor_continuously(Duration.of_millis(500)).build()
    lines = env.from_source(source, WatermarkStrategy.no_watermarks(), "lines").set_parallelism(1)
    series = lines.map(lambda line: tuple(json.loads(line))).set_parallelism(1)
    sink = PrometheusSink.builder().set_prometheus_remote_write_url(remote_write_url).set_parallelism(2).build()
    series.key_by(lambda one: one[1]["sensor"]).sink_to(sink)
    env.execute("following")


if __name__ == "__main__":
    main(*sys.argv[1:])
