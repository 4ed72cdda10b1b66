"""Receivers that support only Remote-Write 1.0, an old Prometheus and VictoriaMetrics, and one that supports 2.0."""

from __future__ import annotations

import time
import urllib.request
from collections import Counter

import pytest
import snappy

from pyflink_prometheus import RemoteWriteFatalError, RemoteWriteVersion
from pyflink_prometheus.http.transport import RequestsTransport
from pyflink_prometheus.testing import decode_request
from pyflink_prometheus.wire._pb.remote_write_v1_pb2 import WriteRequest

OLD_RECEIVERS = ["old_prometheus", "victoria_metrics"]


class Tap:
    """A factory of transports that record the requests that they post."""

    def __init__(self):
        self.requests = []

    def __call__(self, config):
        tap = self

        class TappedTransport(RequestsTransport):
            def post(self, body, headers):
                tap.requests.append(decode_request(body, headers))
                return super().post(body, headers)

        return TappedTransport(config)

    def of_version(self, version):
        return [request for request in self.requests if request.version is version]

    def samples_of_version(self, version):
        """Return the number of times each sample was posted in this version."""
        return Counter(sample for request in self.of_version(version) for sample in request.samples)


@pytest.fixture
def start(open_writer):
    """Return a function that starts a writer, and returns it with a tap on its requests."""

    def start_one(url, **settings):
        tap = Tap()
        return open_writer(url, new_transport=tap, **settings), tap

    return start_one


@pytest.fixture
def receiver(request):
    """Return the receiver that the parameter names."""
    return request.getfixturevalue(request.param)


def post(url, message):
    """Send a message with protobuf's own classes, so that the test does not rely on this package's encoder."""
    headers = {
        "Content-Type": "application/x-protobuf",
        "Content-Encoding": "snappy",
        "X-Prometheus-Remote-Write-Version": "0.1.0",
    }
    request = urllib.request.Request(url, data=snappy.compress(message.SerializeToString()), headers=headers)
    with urllib.request.urlopen(request, timeout=30) as response:
        assert response.status == 204


@pytest.mark.parametrize("receiver", OLD_RECEIVERS, indirect=True)
def test_what_is_written_by_1_0_is_read_back(receiver, metric_name):
    # Some are in the future, as those of a job whose watermark leads may be.
    began = int(time.time() * 1000) - 300_000
    sent = {
        (("__name__", metric_name), ("b", 'quote " and ü'), ("which", str(which))): [
            (number / 4 - 100, began + number * 500) for number in range(which, 1_000)
        ]
        for which in range(3)
    }
    message = WriteRequest()
    for labels, samples in sent.items():
        series = message.timeseries.add()
        for name, value in labels:
            series.labels.add(name=name, value=value)
        for value, timestamp in samples:
            series.samples.add(value=value, timestamp=timestamp)
    post(receiver.remote_write_url, message)

    assert receiver.samples(metric_name) == sent


def test_the_old_prometheus_is_one_that_knows_no_2_0(old_prometheus):
    assert old_prometheus.version.startswith("2.42.")


def test_victoria_metrics_shows_a_sample_that_was_sent_twice(victoria_metrics, metric_name):
    message = WriteRequest()
    series = message.timeseries.add()
    series.labels.add(name="__name__", value=metric_name)
    series.samples.add(value=1.5, timestamp=int(time.time() * 1000))
    for _ in range(2):
        post(victoria_metrics.remote_write_url, message)

    ((first, second),) = victoria_metrics.samples(metric_name).values()
    assert first == second


def records_of(metric, count, series):
    """Return samples that alternate between series, with values that VictoriaMetrics stores exactly."""
    began = int(time.time() * 1000) - 300_000
    return [
        (metric, {"series": str(number % series)}, ((number / 4 - 100, began + number * 10),))
        for number in range(count)
    ]


def collected(records):
    """Return the samples of records, in the shape in which a receiver returns them."""
    stored: dict[tuple[tuple[str, str], ...], list[tuple[float, int]]] = {}
    for metric, labels, samples in records:
        stored.setdefault((("__name__", metric), *labels.items()), []).extend(samples)
    return stored


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("receiver", ["prometheus", *OLD_RECEIVERS], indirect=True)
def test_the_version_that_the_receiver_understands_is_found(request, start, receiver, metric_name, shards):
    records = records_of(metric_name, 5_000, series=50)
    writer, tap = start(receiver.remote_write_url, max_batch_size_in_samples=300, max_in_flight_requests=shards)
    for number, record in enumerate(records):
        writer.add(record)
        if number == 3_500:
            writer.flush()
    writer.flush()

    assert receiver.samples(metric_name) == collected(records)
    ledger = writer.ledger
    assert (ledger.samples_in, ledger.samples_accepted, sum(ledger.samples_rejected.values())) == (5_000, 5_000, 0)
    old = receiver is not request.getfixturevalue("prometheus")
    understood = RemoteWriteVersion.V1 if old else RemoteWriteVersion.V2
    assert len(tap.of_version(understood)) > 15
    # Every sample once, and in the other version only those that the shards had sent before the first response.
    assert Counter(tap.samples_of_version(understood).values()) == {1: 5_000}
    others = [each for each in tap.requests if each.version is not understood]
    assert len(others) in (range(1, shards + 1) if old else [0])


@pytest.mark.parametrize("receiver", OLD_RECEIVERS, indirect=True)
def test_2_0_alone_is_an_error_where_it_is_not_understood(start, receiver, metric_name):
    """Both respond with 204 and store nothing, which must not count as success."""
    writer, tap = start(receiver.remote_write_url, remote_write_version=RemoteWriteVersion.V2)
    writer.add(records_of(metric_name, 1, series=1)[0])
    with pytest.raises(RemoteWriteFatalError, match=r"2\.0"):
        writer.flush()

    assert writer.ledger.samples_accepted == 0
    assert [request.version for request in tap.requests] == [RemoteWriteVersion.V2]
    assert receiver.samples(metric_name) == {}
