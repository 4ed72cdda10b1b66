"""
Cancel a local job, whose Python functions run in threads of this process, while its endpoint always responds with 503.

Prints one JSON object with the seconds until the job was cancelled, and until the sink's threads had ended.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable

from pyflink.common import Types, WatermarkStrategy
from pyflink.datastream import StreamExecutionEnvironment
from replayable import numbers

from pyflink_prometheus import PrometheusSink, PrometheusTimeSeries, RetryConfiguration
from pyflink_prometheus.testing import Receiver

DEADLINE_S = 60


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


def main() -> None:
    """Run the job until it retries, and cancel it."""
    env = StreamExecutionEnvironment.get_execution_environment()
    env.set_python_executable(sys.executable)
    env.set_parallelism(1)
    env.enable_checkpointing(500)
    with Receiver(lambda request: 503) as receiver:
        sink = (
            PrometheusSink.builder()
            .set_prometheus_remote_write_url(receiver.url)
            .set_element_converter(to_series)
            .set_retry_configuration(RetryConfiguration(max_retry_delay_ms=500, max_retry_count=30))
            .build()
        )
        source = env.from_source(numbers(100_000, 1_000.0), WatermarkStrategy.no_watermarks(), "n", Types.LONG())
        source.sink_to(sink)
        job = env.execute_async()
        wait_for(lambda: len(receiver.requests) > 5)
        if not shards():
            raise RuntimeError("the sink runs in another process")
        began = time.monotonic()
        job.cancel().result()
        cancelled = time.monotonic()
        wait_for(lambda: not shards())
        print(json.dumps({"cancelled_s": cancelled - began, "no_thread_left_s": time.monotonic() - began}))


if __name__ == "__main__":
    main()
