"""Samples that the configuration excludes are not sent, only counted."""

from __future__ import annotations

import pytest
from doors import BOTH_DOORS
from rejections import Rejections

from pyflink_prometheus import Exemplar, NativeHistogram, PrometheusTimeSeries, RejectionReason, RemoteWriteVersion
from pyflink_prometheus.relabelling.relabelling import Relabelling
from pyflink_prometheus.testing import FakeClock, ScriptedTransport

T = 1_700_000_000_000
HISTOGRAM = NativeHistogram.from_observations([1.0])

pytestmark = BOTH_DOORS


@pytest.fixture
def write(open_writer):
    """Return a function that writes records with the given settings; it returns requests, ledger and rejections."""

    def write_all(*records, **settings):
        transport, rejections = ScriptedTransport(), Rejections()
        writer = open_writer(
            new_transport=lambda config: transport,
            clock=FakeClock(),
            rejected_samples_handler=rejections,
            remote_write_version=RemoteWriteVersion.V2,
            **settings,
        )
        for record in records:
            writer.add(PrometheusTimeSeries(*record))
        writer.flush()
        ledger = writer.ledger
        assert ledger.samples_in == ledger.samples_accepted + sum(ledger.samples_rejected.values())
        return transport.requests, ledger, rejections

    return write_all


def record(name, labels, *values):
    return name, labels, tuple((value, T + number) for number, value in enumerate(values))


def test_series_that_a_rule_drops_are_counted_and_not_handed_on(write):
    relabelling = Relabelling([{"source_labels": ["room"], "regex": "b.*", "action": "drop"}])
    requests, ledger, rejections = write(
        record("m", {"room": "a"}, 1.0, 2.0),
        record("m", {"room": "b1"}, 1.0, 2.0, 3.0),
        record("m", {"room": "b1"}, 4.0),
        record("m", {"room": "b2"}, HISTOGRAM),
        relabelling=relabelling,
    )
    assert [dict(each.labels) for request in requests for each in request.series] == [{"room": "a"}]
    assert ledger.samples_rejected[RejectionReason.EXCLUDED] == 5
    assert ledger.samples_lost == 0
    assert rejections == []


def test_series_that_rules_make_one_are_sent_as_one_in_order_of_time(write):
    relabelling = Relabelling([{"regex": "pod", "action": "labeldrop"}], external_labels={"cluster": "eu"})
    requests, _, _ = write(
        record("m", {"pod": "1", "room": "a"}, 1.0, 2.0),
        ("m", {"pod": "2", "room": "a"}, ((3.0, T - 5), (4.0, T + 5))),
        relabelling=relabelling,
    )
    ((only,),) = [request.series for request in requests]
    assert dict(only.labels) == {"cluster": "eu", "room": "a"}
    assert [timestamp for _, timestamp in only.samples] == [T - 5, T, T + 1, T + 5]


def test_a_series_that_loses_its_name_is_rejected_with_what_to_do(write):
    relabelling = Relabelling([{"regex": "__name__", "action": "labeldrop"}])
    _, ledger, _ = write(record("m", {"room": "a"}, 1.0), relabelling=relabelling)
    assert ledger.samples_rejected[RejectionReason.INVALID] == 1


def test_native_histograms_can_be_left_out_and_other_samples_stay(write):
    requests, ledger, _ = write(
        ("m", {}, ((HISTOGRAM, T), (1.0, T + 1)), None, (Exemplar({"trace_id": "1"}, 1.0, T),)),
        ("n", {}, ((2.0, T), (HISTOGRAM, T + 1)), None, (Exemplar({"trace_id": "1"}, 1.0, T),)),
        ("o", {}, ((HISTOGRAM, T),)),
        send_native_histograms=False,
    )
    sent = {each.metric_name: each for request in requests for each in request.series}
    assert {name: (each.samples, len(each.exemplars)) for name, each in sent.items()} == {
        "m": (((1.0, T + 1),), 1),
        "n": (((2.0, T),), 0),
    }
    assert ledger.samples_rejected[RejectionReason.EXCLUDED] == 3


def test_exemplars_can_be_left_out(write):
    requests, ledger, _ = write(
        ("m", {}, ((1.0, T),), None, (Exemplar({"trace_id": "1"}, 1.0, T),)), send_exemplars=False
    )
    assert [each.exemplars for request in requests for each in request.series] == [()]
    assert ledger.samples_accepted == 1
