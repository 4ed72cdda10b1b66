"""
Use the sink in many ways, all of which write to one receiver under different metric names.

usage: many_sinks.py URL

Prints what only this process can observe, as one JSON object.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable, Iterable
from typing import Any

from pyflink.common import Configuration, Types
from pyflink.datastream import DataStream, RuntimeExecutionMode, StreamExecutionEnvironment
from pyflink.java_gateway import get_gateway

from pyflink_prometheus import (
    PrometheusSink,
    PrometheusSinkBuilder,
    PrometheusTimeSeries,
    PrometheusTimeSeriesKeySelector,
)
from pyflink_prometheus.flink import transformer
from pyflink_prometheus.flink.advice import Exchange
from pyflink_prometheus.flink.function import WriterFunction
from pyflink_prometheus.flink.subtask import ElementConverter, SubtaskWriter

URL = sys.argv[1]
T = 1_700_000_000_000


def environment(**options: str) -> StreamExecutionEnvironment:
    """Return an environment with these options: two underscores mean a dot, one means a dash."""
    config = Configuration()
    for name, value in options.items():
        config.set_string(name.replace("__", ".").replace("_", "-"), value)
    env = StreamExecutionEnvironment.get_execution_environment(config)
    env.set_python_executable(sys.executable)
    env.set_parallelism(1)
    return env


def option(env: StreamExecutionEnvironment, name: str) -> str:
    """Return the current value of an option."""
    return env._j_stream_execution_environment.getConfiguration().getString(name, "not set")


def builder() -> PrometheusSinkBuilder:
    """Return a builder of sinks whose requests carry the process id."""
    return (
        PrometheusSink.builder()
        .set_prometheus_remote_write_url(URL)
        .set_request_signer(lambda headers, body: {"X-Worker": str(os.getpid())})
    )


def series(metric_name: str, number: int) -> PrometheusTimeSeries:
    """Return a record of one sample whose timestamp and value hold its number."""
    return PrometheusTimeSeries(metric_name, {"place": "here"}, ((float(number), T + number),))


def converter(metric_name: str) -> Callable[[int], PrometheusTimeSeries]:
    """Return a converter from numbers."""
    return lambda number: series(metric_name, number)


def one_several_or_none(number: int) -> PrometheusTimeSeries | Iterable[PrometheusTimeSeries] | None:
    """Convert in turn to one series, several in a list or from a generator, or none."""
    several = [series("several", number), series("several_more", number)]
    return [series("one", number), several, (each for each in several), None][number % 4]


def readings() -> list[PrometheusTimeSeries]:
    """Return 50 samples of each of 20 series, interleaved."""
    return [
        PrometheusTimeSeries("keyed", (("sensor", str(sensor)), ("kind", "t")), ((float(time), T + time),))
        for time in range(50)
        for sensor in range(20)
    ]


def poisoned() -> list[Any]:
    """Return good records numbered from 0 to 5, with invalid ones between them."""

    def record(*samples: Any, **labels: Any) -> tuple[Any, ...]:
        return ("poisoned", {"place": "here", **labels}, samples)

    return [
        record((0.0, T)),
        record((-1.0, T + 1), __name__="x"),
        record((-1.0, T + 1), place=7),
        record((1.0, T + 1)),
        record(("12", T + 2)),
        record((-1.0, 1_700_000_000.5)),
        record((2.0, T + 2), ("-1", T + 3), (3.0, T + 3)),
        record((4.0, T + 4)),
        record(),
        ("", {}, ((-1.0, T + 5),)),
        record((5.0, T + 5)),
    ]


def streaming() -> dict[str, Any]:
    """Run one job with most of the cases."""
    warnings = Remember()
    env = environment()
    env.from_collection([series("plain", number) for number in range(100)]).sink_to(builder().build())
    env.from_collection([tuple(series("plain_tuples", number)) for number in range(100)]).sink_to(builder().build())
    env.from_collection(list(range(8))).sink_to(builder().set_element_converter(one_several_or_none).build())
    env.from_collection(poisoned()).sink_to(builder().build())

    keyed = env.from_collection(readings()).key_by(PrometheusTimeSeriesKeySelector(), key_type=Types.STRING())
    keyed.sink_to(builder().set_parallelism(2).build())
    warned_of_keyed = warnings.take()

    dealt = env.from_collection(list(range(100)), Types.LONG())
    dealt.sink_to(
        builder()
        .set_element_converter(converter("dealt_out"))
        .set_name("dealt out")
        .set_uid("uid-of-dealt-out")
        .set_parallelism(2)
        .build()
    )
    warned_of_dealt = warnings.take()

    chained = env.from_collection(list(range(100)), Types.LONG()).map(lambda number: number, Types.LONG())
    chained.sink_to(builder().set_element_converter(converter("chained")).set_name("chained").build())

    operators = [
        {"name": node.getOperatorName(), "uid": node.getTransformationUID(), "parallelism": node.getParallelism()}
        for node in get_gateway().jvm.java.util.ArrayList(env._generate_stream_graph(False).getStreamNodes())
    ]
    env.execute()
    return {"operators": operators, "warned_of_keyed": warned_of_keyed, "warned_of_dealt": warned_of_dealt}


def thread_mode_without_metrics() -> dict[str, Any]:
    """Run a job in thread mode, without Python's metrics; each value is the process id of the map upstream."""
    warnings = Remember()
    env = environment(python__execution_mode="thread", python__metric__enabled="false")
    here = env.from_collection(list(range(100)), Types.LONG()).map(
        lambda number: (os.getpid(), number), Types.TUPLE([Types.LONG(), Types.LONG()])
    )
    here.sink_to(
        builder()
        .set_element_converter(
            lambda each: PrometheusTimeSeries("from_thread_mode", {"n": str(each[1])}, ((each[0], T),))
        )
        .build()
    )
    mode, metrics = option(env, "python.execution-mode"), option(env, "python.metric.enabled")
    env.execute()
    java_process = get_gateway().jvm.java.lang.ProcessHandle.current().pid()
    return {"mode": mode, "metrics": metrics, "java_process": java_process, "warnings": warnings.take()}


def batch() -> dict[str, Any]:
    """Run a job in batch mode, plain and keyed."""
    env = environment()
    env.set_runtime_mode(RuntimeExecutionMode.BATCH)
    numbers = env.from_collection(list(range(100)), Types.LONG())
    numbers.sink_to(builder().set_element_converter(converter("batch")).build())
    keyed = numbers.key_by(lambda number: number % 3, Types.LONG())
    keyed.sink_to(builder().set_element_converter(converter("batch_keyed")).build())
    env.execute()
    return {}


def exchanges() -> dict[str, Any]:
    """Return how records reach the writer, as configured for it, without running the job."""
    seen: list[Exchange | None] = []

    class Witness(WriterFunction):
        def __init__(
            self, subtask: SubtaskWriter, converter: ElementConverter | None, exchange: Exchange | None
        ) -> None:
            super().__init__(subtask, converter, exchange)
            seen.append(exchange)

    def witnessed(stream: DataStream, parallelism: int = 1) -> Exchange | None:
        stream.sink_to(builder().set_parallelism(parallelism).build())
        return seen.pop()

    def numbers(**options: str) -> DataStream:
        env = environment(**options)
        return env.from_collection(list(range(100)), Types.LONG()).map(lambda number: series("none", number))

    transformer.WriterFunction = Witness  # type: ignore[misc,assignment]
    try:
        key = PrometheusTimeSeriesKeySelector()
        longs = numbers().map(lambda each: 1, Types.LONG())
        return {
            "chained": witnessed(numbers()),
            "keyed for one": witnessed(numbers().key_by(key, Types.STRING())),
            "keyed for two": witnessed(numbers().key_by(key, Types.STRING()), 2),
            "keyed, not pickled": witnessed(longs.key_by(lambda number: number, Types.LONG()), 2),
            "dealt out": witnessed(numbers(), 2),
            "rebalanced": witnessed(numbers().rebalance()),
            "from thread mode": witnessed(numbers(python__execution_mode="thread")),
        }
    finally:
        transformer.WriterFunction = WriterFunction  # type: ignore[misc]


class Remember(logging.Handler):
    """A log handler that keeps the package's warnings on the client."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._messages: list[str] = []
        logging.getLogger("pyflink_prometheus").addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a message."""
        self._messages.append(record.getMessage())

    def take(self) -> list[str]:
        """Return the messages since the last call."""
        messages, self._messages = self._messages, []
        return messages


if __name__ == "__main__":
    print(json.dumps({job.__name__: job() for job in (streaming, thread_mode_without_metrics, batch, exchanges)}))
