"""Fixtures of the tests with model receivers: writers to a model, in memory, and a handler of rejected samples."""

from __future__ import annotations

import pytest
from told import Rejections
from workload import AUTO, BATCH

from pyflink_prometheus.config import SinkConfig
from pyflink_prometheus.testing import FakeClock, ScriptedTransport
from pyflink_prometheus.writer.writer import RemoteWriter


@pytest.fixture
def rejections():
    return Rejections()


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def start(rejections, clock):
    """Return a function that starts a writer to a model or a transport; all of them are closed at the end."""
    writers = []

    def make(to, version=AUTO, **settings):
        transport = ScriptedTransport(decide=to) if callable(to) else to
        settings = {"max_batch_size_in_samples": BATCH, "max_in_flight_requests": 1, **settings}
        config = SinkConfig(
            prometheus_remote_write_url="http://receiver.invalid/write",
            remote_write_version=version,
            rejected_samples_handler=rejections,
            **settings,
        )
        writer = RemoteWriter(config, new_transport=lambda config: transport, clock=clock, draw=lambda: 1.0)
        writers.append(writer)
        return writer, transport

    yield make
    for writer in writers:
        writer.close()
