"""For jobs that survive failures: a source of numbers at a known rate, which it replays, and restarts."""

from __future__ import annotations

from pyflink.common import Configuration, Types
from pyflink.datastream.connectors.base import Source
from pyflink.java_gateway import get_gateway


def numbers(count: int, per_second: float) -> Source:
    """Return a source of the numbers 0, 1, 2 … as ``Types.LONG()``; each of its subtasks reads a range."""
    jvm = get_gateway().jvm
    datagen = jvm.org.apache.flink.connector.datagen
    j_type = Types.LONG().get_java_type_info()
    j_numbers = jvm.java.util.Arrays.asList(jvm.java.util.stream.LongStream.range(0, count).boxed().toArray())
    lookup = datagen.functions.IndexLookupGeneratorFunction(j_type, j_numbers)
    limiter = jvm.org.apache.flink.api.connector.source.util.ratelimit.RateLimiterStrategy.perSecond(per_second)
    return Source(datagen.source.DataGeneratorSource(lookup, count, limiter, j_type))


def restart_after_failures(config: Configuration) -> None:
    """
    Let a local job restart when a worker was killed, with a second TaskManager in case the first one exits.

    It may: see "A TaskManager that exits when a job ends" in docs/operations.md.
    """
    config.set_string("restart-strategy.type", "fixed-delay")
    config.set_string("restart-strategy.fixed-delay.attempts", "10")
    config.set_string("restart-strategy.fixed-delay.delay", "100 ms")
    config.set_string("minicluster.number-of-taskmanagers", "2")
