"""
Write samples with all kinds of fates, and read the writer's metrics from Flink's REST API while the job runs.

usage: counted.py PORT URL FOLDER EXPECTED [BACKUP_URL]

PORT is for the REST API. FOLDER has files whose lines are metric names, which tell the receiver what to do. EXPECTED is
a JSON object of Flink's metrics by name; if it includes metrics of tenants, each sample's metric name is its tenant.
Flink updates metrics one after another, so this waits until all of them have these values; null means any value.
Everything is also written to BACKUP_URL. Prints the last metrics as one JSON object, whether they are as expected or
not.
"""

from __future__ import annotations

import json
import sys
import time
import urllib.parse
import urllib.request
from typing import Any

from pyflink.common import Configuration, Duration, WatermarkStrategy
from pyflink.datastream import StreamExecutionEnvironment
from pyflink.datastream.connectors.file_system import FileSource, StreamFormat

from pyflink_prometheus import (
    OnErrorBehavior,
    PrometheusSink,
    PrometheusTimeSeries,
    RetryConfiguration,
    SinkWriterErrorHandlingBehaviorConfiguration,
)

PORT, URL, FOLDER, EXPECTED = *sys.argv[1:4], json.loads(sys.argv[4])
DEADLINE_S = 200
OPERATOR = "0.Prometheus_writer."
GROUP = f"{OPERATOR}Prometheus."
#: Flink's names for metrics of any sink; they are in no group.
STANDARD = ("numRecordsSend", "numRecordsSendErrors", "numBytesSend", "currentSendTime")


def to_series(metric_name: str) -> PrometheusTimeSeries:
    """Convert a line; the line ``invalid`` becomes an invalid series."""
    labels = {"__name__": "x"} if metric_name == "invalid" else {}
    return PrometheusTimeSeries(metric_name, labels, ((1.0, 1_700_000_000_000),))


#: Flink 1.20 refuses longer URLs.
NAMES_IN_A_URL = 20


def get(url: str) -> Any:
    """Return a response of the REST API."""
    with urllib.request.urlopen(url, timeout=60) as response:
        return json.load(response)


def metrics(job_url: str) -> dict[str, int]:
    """Return the writer's metrics; empty while its worker is still starting."""
    vertices = get(job_url)["vertices"]
    url = next(f"{job_url}/vertices/{each['id']}/metrics" for each in vertices if "Prometheus writer" in each["name"])
    found_names = [each["id"] for each in get(url)]
    standard = [f"{OPERATOR}{name}" for name in STANDARD]
    names = [each for each in found_names if each.startswith(GROUP) or each in standard]
    if not names:
        return {}
    found: dict[str, int] = {}
    for start in range(0, len(names), NAMES_IN_A_URL):
        values = get(f"{url}?get={urllib.parse.quote(','.join(names[start : start + NAMES_IN_A_URL]))}")
        found.update({each["id"].removeprefix(GROUP).removeprefix(OPERATOR): int(each["value"]) for each in values})
    return found


def are_as_expected(seen: dict[str, int]) -> bool:
    """Return whether all metrics are as expected."""
    return all(name in seen and value in (seen[name], None) for name, value in EXPECTED.items())


def main() -> None:
    """Run the job until its metrics are as expected or the time is over, then cancel it."""
    config = Configuration()
    config.set_string("rest.bind-port", PORT)
    config.set_string("metrics.fetcher.update-interval", "100")
    env = StreamExecutionEnvironment.get_execution_environment(config)
    env.set_python_executable(sys.executable)
    env.set_parallelism(1)
    builder = (
        PrometheusSink.builder()
        .set_prometheus_remote_write_url(URL)
        .set_element_converter(to_series)
        .set_max_batch_size_in_samples(1)
        .set_retry_configuration(RetryConfiguration(initial_retry_delay_ms=1, max_retry_count=2))
        .set_error_handling_behavior_configuration(
            SinkWriterErrorHandlingBehaviorConfiguration(on_max_retry_exceeded=OnErrorBehavior.DISCARD_AND_CONTINUE)
        )
    )
    for url in sys.argv[5:]:
        builder.add_endpoint("backup", PrometheusSink.builder().set_prometheus_remote_write_url(url), required=True)
    if any(name.startswith("tenant.") for name in EXPECTED):
        builder.set_tenant({"X-Scope-OrgID": "__name__"})
    sink = builder.build()
    # A source that keeps waiting for files, so that the job keeps running.
    lines = FileSource.for_record_stream_format(StreamFormat.text_line_format(), FOLDER)
    source = lines.monitor_continuously(Duration.of_millis(500)).build()
    env.from_source(source, WatermarkStrategy.no_watermarks(), "lines").sink_to(sink)

    job = env.execute_async()
    job_url = f"http://127.0.0.1:{PORT}/jobs/{job.get_job_id()}"
    deadline = time.monotonic() + DEADLINE_S
    seen: dict[str, int] = {}
    while not are_as_expected(seen) and time.monotonic() < deadline:
        time.sleep(0.1)
        seen = metrics(job_url)
    job.cancel().result()
    print(json.dumps(seen))


if __name__ == "__main__":
    main()
