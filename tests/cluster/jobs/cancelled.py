"""
Cancel a local job, whose Python functions run in threads of this process, while its endpoint does not respond.

The endpoint has refused five requests by then, and refuses the rest when the job is cancelled. Prints a line for each
event.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable

from py4j.protocol import Py4JJavaError
from pyflink.common import JobClient, JobStatus, Types, WatermarkStrategy
from pyflink.datastream import StreamExecutionEnvironment
from replayable import numbers

from pyflink_prometheus import PrometheusSink, PrometheusTimeSeries, RetryConfiguration
from pyflink_prometheus.testing import ReceivedRequest, Receiver

DEADLINE_S = 200
REFUSED_AT_ONCE = 5


def to_series(number: int) -> PrometheusTimeSeries:
    """Convert a number to a series."""
    return PrometheusTimeSeries("never_stored", {}, ((float(number), 1_700_000_000_000 + number),))


def shards() -> list[str]:
    """Return the names of the sink's threads."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("prometheus-shard")]


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until a condition is true."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {DEADLINE_S} s in vain")
        time.sleep(0.02)


def is_cancelled(job: JobClient) -> bool:
    """Return whether a job is cancelled. Its cluster ends with it, and then does not respond."""
    try:
        return bool(job.get_job_status().result() == JobStatus.CANCELED)
    except Py4JJavaError as error:
        if "has already been shut down" in str(error.java_exception):
            return True
        raise


def main() -> None:
    """Run the job until it retries, and cancel it."""
    env = StreamExecutionEnvironment.get_execution_environment()
    env.set_python_executable(sys.executable)
    env.set_parallelism(1)
    env.enable_checkpointing(500)
    let_go = threading.Event()

    def refuse(request: ReceivedRequest) -> int:
        if len(receiver.requests) > REFUSED_AT_ONCE:
            let_go.wait()
        return 503

    with Receiver(refuse) as receiver:
        sink = (
            PrometheusSink.builder()
            .set_prometheus_remote_write_url(receiver.url)
            .set_element_converter(to_series)
            .set_retry_configuration(RetryConfiguration(max_retry_delay_ms=100, max_retry_count=30))
            .set_socket_timeout_ms(3_600_000)
            .build()
        )
        source = env.from_source(numbers(100_000, 1_000.0), WatermarkStrategy.no_watermarks(), "n", Types.LONG())
        source.sink_to(sink)
        job = env.execute_async()
        wait_for(lambda: len(receiver.requests) > REFUSED_AT_ONCE)
        if not shards():
            raise RuntimeError("the sink runs in another process")
        job.cancel().result()
        wait_for(lambda: is_cancelled(job))
        print("cancelled, and the endpoint has not responded yet")
        let_go.set()
        wait_for(lambda: len(receiver.requests) > REFUSED_AT_ONCE + 1)
        print("the sink continues to retry")
        wait_for(lambda: not shards())
        print("no thread of the sink is left")


if __name__ == "__main__":
    main()
