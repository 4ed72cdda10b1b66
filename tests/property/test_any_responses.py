"""With any sequence of responses: order per series, one request in flight per shard, and a balanced ledger."""

from __future__ import annotations

import threading

from hypothesis import given, settings
from hypothesis import strategies as st
from rejections import Rejections

from pyflink_prometheus import (
    OnErrorBehavior,
    RemoteWriteVersion,
    RetryConfiguration,
    SinkWriterErrorHandlingBehaviorConfiguration,
)
from pyflink_prometheus.config import SinkConfig
from pyflink_prometheus.errors import PrometheusSinkError
from pyflink_prometheus.http.outcome import Kind, Outcome
from pyflink_prometheus.testing import FakeClock, ScriptedTransport
from pyflink_prometheus.writer.writer import RemoteWriter

T = 1_700_000_000_000
NO_COUNT = Outcome(Kind.REFUSED, "HTTP 400", 400)
responses = st.sampled_from(
    [204, 204, 204, 429, 500, 503, 400, 413, 415, NO_COUNT, Outcome(Kind.RETRYABLE, "no connection")]
)


class Shared:
    """The state that all shards of a writer share: the script, and the requests."""

    def __init__(self, script):
        self.scripted = ScriptedTransport(script)
        self.most_in_flight = 0


class OneShard:
    """A transport that counts the requests in flight of one shard."""

    def __init__(self, shared):
        self.shared = shared
        self.in_flight = 0
        self.lock = threading.Lock()

    def post(self, body, headers):
        with self.lock:
            self.in_flight += 1
            self.shared.most_in_flight = max(self.shared.most_in_flight, self.in_flight)
        outcome = self.shared.scripted.post(body, headers)
        with self.lock:
            self.in_flight -= 1
        return outcome

    def close(self):
        pass


def balance(ledger):
    return ledger.samples_accepted + sum(ledger.samples_rejected.values()) + ledger.samples_pending


@settings(max_examples=150)
@given(
    series=st.lists(st.integers(0, 5), min_size=1, max_size=60),
    script=st.lists(responses | st.just(401), max_size=60) | st.lists(responses, max_size=60),
    shards=st.integers(1, 4),
    batch=st.integers(1, 8),
    retries=st.integers(0, 4),
    discard=st.booleans(),
    flush_every=st.integers(1, 30),
    version=st.sampled_from([RemoteWriteVersion.V1, RemoteWriteVersion.AUTO]),
)
def test_any_sequence_of_responses(series, script, shards, batch, retries, discard, flush_every, version):
    shared, rejections = Shared(script), Rejections()
    behavior = OnErrorBehavior.DISCARD_AND_CONTINUE if discard else OnErrorBehavior.FAIL
    writer = RemoteWriter(
        SinkConfig(
            prometheus_remote_write_url="http://receiver.invalid/write",
            remote_write_version=version,
            max_in_flight_requests=shards,
            max_batch_size_in_samples=batch,
            retry=RetryConfiguration(max_retry_count=retries),
            error_handling=SinkWriterErrorHandlingBehaviorConfiguration(on_max_retry_exceeded=behavior),
            rejected_samples_handler=rejections,
        ),
        new_transport=lambda config: OneShard(shared),
        clock=FakeClock(),
        draw=lambda: 1.0,
    )
    failed = False
    try:
        for number, name in enumerate(series):
            writer.add(("m", {"series": str(name)}, ((float(number), T + number),)))
            assert balance(writer.ledger) == writer.ledger.samples_in == number + 1
            if number % flush_every == 0:
                writer.flush()
                assert writer.ledger.samples_pending == 0
        writer.flush()
    except PrometheusSinkError:
        failed = True
    finally:
        writer.close()

    ledger, stored = writer.ledger, shared.scripted.stored
    assert shared.most_in_flight <= 1
    assert balance(ledger) == ledger.samples_in
    assert len(stored) == ledger.samples_accepted
    assert len({value for _, value, _ in stored}) == len(stored)  # nothing is accepted twice
    for name in set(series):
        times = [time for key, _, time in stored if key == f'm{{series="{name}"}}']
        assert times == sorted(times)
    told = [value for each in rejections for value, _ in each.record.samples]
    assert len(told) == sum(ledger.samples_rejected.values())
    assert not {value for _, value, _ in stored} & set(told)
    if not failed:
        assert ledger.samples_pending == 0
        assert sorted([value for _, value, _ in stored] + told) == [float(number) for number in range(len(series))]
