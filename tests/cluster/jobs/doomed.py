"""
Run jobs that must fail, one after the other.

usage: doomed.py URL URL_WHERE_NOTHING_LISTENS

Prints as one JSON object the text of the exception that each job's client gets.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

from py4j.protocol import Py4JJavaError
from pyflink.datastream import StreamExecutionEnvironment

from pyflink_prometheus import PrometheusSink, PrometheusTimeSeries

URL, NOWHERE = sys.argv[1:]
T = 1_700_000_000_000


def refused_for(metric_name: str) -> Callable[[int], PrometheusTimeSeries]:
    """Return a converter to series whose name determines the receiver's response."""
    return lambda number: PrometheusTimeSeries(metric_name, {}, ((float(number), T + number),))


def misspelt(record: dict[str, Any]) -> PrometheusTimeSeries:
    """Raise, like a user's faulty converter."""
    return PrometheusTimeSeries("temperature", {}, ((record["temprature"], T),))


def job(records: list[Any], converter: Callable[[Any], Any] | None, url: str = URL) -> StreamExecutionEnvironment:
    """Return the environment of a job."""
    env = StreamExecutionEnvironment.get_execution_environment()
    env.set_python_executable(sys.executable)
    env.set_parallelism(1)
    builder = PrometheusSink.builder().set_prometheus_remote_write_url(url)
    if converter is not None:
        builder.set_element_converter(converter)
    env.from_collection(records).sink_to(builder.build())
    return env


def error_of(run: Callable[[], Any]) -> str:
    """Return the client's exception as text."""
    try:
        run()
    except Py4JJavaError as error:
        return str(error)
    return "the job did not fail"


def main() -> None:
    """Run all jobs; the one that takes ten seconds runs in parallel."""
    nowhere = job([1, 2], refused_for("unreachable"), NOWHERE).execute_async()
    records = [{"temperature": 20.5}]
    errors = {
        "401": error_of(job([1, 2], refused_for("status_401")).execute),
        "404": error_of(job([1, 2], refused_for("status_404")).execute),
        "no converter": error_of(job(records, None).execute),
        "converter raises": error_of(job(records, misspelt).execute),
        "unreachable": error_of(lambda: nowhere.get_job_execution_result().result()),
    }
    print(json.dumps(errors))


if __name__ == "__main__":
    main()
