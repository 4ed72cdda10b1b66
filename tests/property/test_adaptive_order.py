"""The samples of a series arrive in order and once, however the number of shards changes between flushes."""

from __future__ import annotations

import random
import threading
import time

from hypothesis import given, settings
from hypothesis import strategies as st

from pyflink_prometheus import RemoteWriteVersion, RetryConfiguration
from pyflink_prometheus.config import AdaptiveSendingConfiguration, SinkConfig
from pyflink_prometheus.testing import ScriptedTransport
from pyflink_prometheus.writer.writer import RemoteWriter

T = 1_700_000_000_000
BATCH = 10


class EachThreadsClock:
    """A clock with a separate time for each thread, so that one thread's waits cost the others no time."""

    def __init__(self):
        self._elapsed = {}

    def time(self):
        return T / 1000

    def monotonic(self):
        return self._elapsed.get(threading.get_ident(), 0.0)

    def pass_by(self, seconds):
        self._elapsed[threading.get_ident()] = self.monotonic() + seconds

    def sleep(self, seconds, wake):
        self.pass_by(seconds)

    def wait(self, condition, seconds):
        self.pass_by(1.0)
        condition.wait()


class FarTransport(ScriptedTransport):
    """A transport that responds late by both clocks, so that threads overtake each other; records the threads."""

    def __init__(self, clock, seed, trouble):
        rng = random.Random(seed)
        super().__init__(decide=lambda request: 503 if rng.random() < trouble() else 204)
        self._clock, self._rng = clock, rng
        self.posting = set()

    def post(self, body, headers):
        self.posting.add(threading.current_thread().name)
        time.sleep(self._rng.random() * 0.0004)
        self._clock.pass_by(0.05)
        return super().post(body, headers)


def write(bundles, version, seed, trouble=lambda: 0.0):
    """Write bundles of these sizes with a flush after each; return the transport and the numbers of shards."""
    clock = EachThreadsClock()
    transport = FarTransport(clock, seed, trouble)
    writer = RemoteWriter(
        SinkConfig(
            prometheus_remote_write_url="http://receiver.invalid/write",
            remote_write_version=version,
            adaptive_sending=AdaptiveSendingConfiguration(max_in_flight_requests=8, max_batch_size_in_samples=BATCH),
            max_time_in_buffer_ms=1_000_000_000,
            retry=RetryConfiguration(max_retry_count=10_000),
        ),
        new_transport=lambda config: transport,
        clock=clock,
    )
    number, shards = 0, []
    try:
        for size in bundles:
            for _ in range(size):
                writer.add(("m", {"series": str(number % 17)}, ((float(number), T + number),)))
                number += 1
            writer.flush()
            shards.append(writer.pace.shards)
        assert writer.ledger.samples_pending == 0
    finally:
        writer.close()
    return transport, shards


def assert_all_in_order(transport, samples):
    assert sorted(value for _, value, _ in transport.stored) == [float(number) for number in range(samples)]
    newest: dict[str, float] = {}
    for key, value, _ in transport.stored:
        assert value > newest.get(key, -1.0)
        newest[key] = value


@settings(max_examples=25)
@given(
    st.lists(st.sampled_from([3, 40, 170, 340]), min_size=8, max_size=20),
    st.sampled_from([RemoteWriteVersion.V1, RemoteWriteVersion.V2]),
    st.integers(0, 1000),
    st.sampled_from([0.0, 0.1]),
)
def test_order_holds_in_any_sequence_of_bundles(bundles, version, seed, trouble):
    transport, _ = write(bundles, version, seed, lambda: trouble)
    assert_all_in_order(transport, sum(bundles))


def test_the_number_of_shards_really_changes_both_ways():
    transport, shards = write([400] * 40 + [3] * 60, RemoteWriteVersion.V2, 1)
    assert max(shards) == 8
    assert shards[-1] == 1
    assert len(transport.posting) == 8
    assert_all_in_order(transport, 400 * 40 + 3 * 60)
