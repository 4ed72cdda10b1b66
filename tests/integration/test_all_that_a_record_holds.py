"""The content of Remote-Write 2.0 besides floats, in a real Prometheus, queried through its API."""

from __future__ import annotations

import time

import pytest
from rejections import Rejections

from pyflink_prometheus import (
    STALE_MARKER,
    Exemplar,
    Metadata,
    NativeHistogram,
    PrometheusTimeSeries,
    RejectionReason,
    RemoteWriteVersion,
    RetriesExhaustedError,
    RetryConfiguration,
)
from pyflink_prometheus.testing import PrometheusServer

V1, V2, AUTO = RemoteWriteVersion.V1, RemoteWriteVersion.V2, RemoteWriteVersion.AUTO
FEATURES = "native-histograms,exemplar-storage,created-timestamp-zero-ingestion,metadata-wal-records"


@pytest.fixture(scope="module")
def server(prometheus_kind):
    """Yield a Prometheus with all features that affect what it stores."""
    with PrometheusServer.start(prometheus_kind, extra_args=[f"--enable-feature={FEATURES}"]) as started:
        yield started


@pytest.fixture
def write(open_writer):
    """Return a function that writes records in one request and returns the ledger."""

    def write_all(server, *records, version=AUTO, **settings):
        settings = {"rejected_samples_handler": Rejections(), **settings}
        writer = open_writer(server.remote_write_url, remote_write_version=version, **settings)
        for record in records:
            writer.add(record)
        writer.flush()
        return writer.ledger

    return write_all


def now_ms():
    return time.time_ns() // 1_000_000


def test_one_poisonous_sample_among_2000_costs_one_sample_and_one_request(write, prometheus, metric_name):
    now, rejections = now_ms(), Rejections()
    write(prometheus, (metric_name, {"series": "7"}, ((0.0, now),)))
    good = [(metric_name, {"series": str(number)}, ((float(number), now + number),)) for number in range(1, 2_000)]
    late = (metric_name, {"series": "7"}, ((-1.0, now - 1),))
    ledger = write(prometheus, *good[:500], late, *good[500:], rejected_samples_handler=rejections)
    assert prometheus.count(metric_name) == 1_999 + 1
    assert (ledger.samples_in, ledger.samples_accepted, ledger.samples_rejected[RejectionReason.REFUSED]) == (
        2_000,
        1_999,
        1,
    )
    assert (ledger.requests_accepted, ledger.requests_failed, ledger.requests_retried) == (0, 1, 0)
    (told,) = rejections
    assert (told.count, told.status, len(told.candidates)) == (1, 400, 1_999)  # two samples are of one series
    assert "out of order sample" in told.message


@pytest.mark.parametrize("version", [V1, V2])
def test_exemplars_are_read_back(write, server, metric_name, version):
    now = now_ms()
    first = [Exemplar({"trace_id": f"trace {number}"}, number / 4, now + number) for number in range(3)]
    second = [Exemplar({"trace_id": "later", "ü": "ö"}, 9.0, now + 10)]
    ledger = write(
        server,
        PrometheusTimeSeries(metric_name, {"path": "/"}, ((1.0, now),), None, tuple(reversed(first))),
        PrometheusTimeSeries(metric_name, {"path": "/"}, ((2.0, now + 20),), None, second),
        version=version,
    )
    labels = (("__name__", metric_name), ("path", "/"))
    assert server.exemplars(metric_name) == {labels: [*first, *second]}
    assert server.samples(metric_name) == {labels: [(1.0, now), (2.0, now + 20)]}
    assert (ledger.exemplars_accepted, ledger.exemplars_rejected) == (4, 0)


def test_an_exemplar_out_of_order_is_counted_and_costs_no_sample(write, server, metric_name):
    now = now_ms()
    write(server, (metric_name, {}, ((1.0, now),), None, (Exemplar({}, 1.0, now),)))
    ledger = write(server, (metric_name, {}, ((2.0, now + 1),), None, (Exemplar({}, 2.0, now - 1),)))
    assert (ledger.samples_accepted, ledger.exemplars_accepted, ledger.exemplars_rejected) == (1, 0, 1)
    assert server.count(metric_name) == 2


@pytest.mark.parametrize("version", [V1, V2])
def test_histograms_are_read_back_bucket_by_bucket(write, server, metric_name, version):
    now = now_ms()
    histogram = NativeHistogram.from_observations([-1.5, 0.0, 0.3, 0.7, 2.0, 2.0], schema=0)  # whose bounds are exact
    ledger = write(server, (metric_name, {}, ((histogram, now), (histogram + histogram, now + 1))), version=version)
    ((first, second),) = server.histograms(metric_name).values()
    assert (first[0].count, first[0].sum, first[0].buckets) == (6, 3.5, histogram.buckets())
    assert (second[0].count, second[1]) == (12, now + 1)
    assert server.samples(metric_name) == {}
    assert ledger.samples_accepted == 2


def test_a_series_may_go_from_floats_to_histograms_and_back(write, server, metric_name):
    now = now_ms()
    histogram = NativeHistogram.from_observations([1.0])
    values = (1.0, histogram, 2.0, histogram, STALE_MARKER, 3.0)
    ledger = write(server, (metric_name, {}, [(value, now + number) for number, value in enumerate(values)]))
    assert (ledger.samples_accepted, ledger.requests_accepted) == (6, 3)
    assert list(server.samples(metric_name).values()) == [[(1.0, now), (2.0, now + 2), (3.0, now + 5)]]
    assert [[stamp for _, stamp in stored] for stored in server.histograms(metric_name).values()] == [
        [now + 1, now + 3]
    ]
    assert server.query(metric_name, (now + 4) / 1000) == []  # the series was marked stale then


@pytest.mark.parametrize("value", [5.0, NativeHistogram.from_observations([1.0, 2.0])], ids=["float", "histogram"])
def test_a_stale_marker_ends_a_series(write, server, metric_name, value):
    now = now_ms() - 100_000
    write(server, (metric_name, {}, ((value, now), (STALE_MARKER, now + 1_000))))
    assert len(server.query(metric_name, (now + 999) / 1000)) == 1
    assert server.query(metric_name, (now + 1_000) / 1000) == []
    write(server, (metric_name, {}, ((value, now + 5_000),)))
    assert len(server.query(metric_name, (now + 5_000) / 1000)) == 1


def test_a_start_timestamp_is_where_a_counter_is_zero(write, server, metric_name):
    now = now_ms() - 100_000
    write(server, (metric_name, {}, ((7.0, now, now - 30_000), (9.0, now + 1_000, now - 30_000))))
    write(server, (metric_name, {}, ((3.0, now + 20_000, now + 10_000),), Metadata("counter", "Things.", "things")))
    assert list(server.samples(metric_name).values()) == [
        [(0.0, now - 30_000), (7.0, now), (9.0, now + 1_000), (0.0, now + 10_000), (3.0, now + 20_000)]
    ]


def test_native_histograms_that_are_switched_off_are_retried_and_then_said(write, prometheus, metric_name):
    with pytest.raises(RetriesExhaustedError, match="HTTP 500: native histograms are disabled"):
        write(
            prometheus,
            (metric_name, {}, ((NativeHistogram.from_observations([1.0]), now_ms()),)),
            retry=RetryConfiguration(1, 1, 2),
        )
