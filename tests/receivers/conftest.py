"""What the tests with model receivers share: writers to a model, in memory, and who is told of what is refused."""

from __future__ import annotations

from collections import Counter

import pytest
from workload import AUTO, BATCH

from pyflink_prometheus import PrometheusTimeSeries
from pyflink_prometheus.config import SinkConfig
from pyflink_prometheus.testing import FakeClock, ScriptedTransport
from pyflink_prometheus.writer.writer import RemoteWriter


class Rejections(list):
    """Remember what the handler is told."""

    def __call__(self, rejected):
        self.extend(rejected)

    @property
    def count(self):
        return sum(each.count for each in self)

    @property
    def named(self):
        """Each sample that was told by itself, with how often it was."""
        return Counter(sample for each in self if each.record is not None for sample in samples_of(each.record))

    @property
    def candidates(self):
        """The samples of which some were refused, whichever they are."""
        return {sample for each in self for series in each.candidates for sample in samples_of(series)}


def samples_of(series):
    """Return a series' samples as models name them; the writer sorts labels, and may give them as a dict."""
    labels = series.labels.items() if isinstance(series.labels, dict) else series.labels
    key = PrometheusTimeSeries(series.metric_name, tuple(labels), ()).key()
    return [(key, value, timestamp) for value, timestamp, *_ in series.samples]


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
