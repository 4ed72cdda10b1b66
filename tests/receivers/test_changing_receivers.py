"""Receivers that change while a job runs, and gateways that interfere: the sink recovers without a restart."""

from __future__ import annotations

import functools

import pytest
from workload import AUTO, BEGAN, BY_TIME, NOW, TOO_NEW, V1, V2, record, seed, stored_alone, workload

from pyflink_prometheus.testing import (
    ByteLimitModel,
    HaReplicaModel,
    MimirModel,
    OverloadedModel,
    PrometheusModel,
    Response,
    ScriptedTransport,
    ThanosModel,
    VictoriaMetricsModel,
    WithoutCountsModel,
)

BATCH = 200
# Long enough for the writer to probe 2.0, however long it waits.
LATER_S = 24 * 3_600.0


@pytest.fixture
def start(start):
    """Start writers with small requests: these tests do not depend on the size."""
    return functools.partial(start, max_batch_size_in_samples=BATCH)


def send(writer, sent):
    for each in sent:
        writer.add(each.record)
    writer.flush()


def versions(transport):
    return [request.version for request in transport.requests]


def assert_all_stored_once(model, sent, writer):
    assert sorted(model.stored) == sorted(each.sample for each in sent)
    ledger = writer.ledger
    assert (ledger.samples_accepted, sum(ledger.samples_rejected.values())) == (len(sent), 0)


class Successive:
    """Respond as one model, and from some moment on as another one that continues with the first one's samples."""

    def __init__(self, decide):
        self.decide = decide

    def __call__(self, request):
        return self.decide(request)


def old_receiver(model, status):
    """Return a 1.0 receiver that responds to 2.0 as such receivers do: with a status, and without counts."""

    def decide(request):
        return model(request) if request.version is V1 else Response(status, "what is this?", says_written=False)

    return decide


@pytest.mark.parametrize("status", [400, 415, 204, 200])
def test_a_receiver_that_is_rolled_back_to_1_0(start, status):
    model = PrometheusModel(NOW)
    receiver = Successive(model)
    writer, transport = start(receiver)
    sent = workload(1, poison=0.0, batches=6, batch=BATCH)
    send(writer, sent[: 2 * BATCH])
    assert set(versions(transport)) == {V2}
    receiver.decide = old_receiver(model, status)
    send(writer, sent[2 * BATCH :])
    assert_all_stored_once(model, sent, writer)
    assert versions(transport)[-1] is V1
    assert len(transport.requests) <= 6 + 2 * 3  # the old version, at most twice, and requests that find out the reason


@pytest.mark.parametrize("status", [400, 415, 204])
def test_a_receiver_that_is_upgraded_to_2_0(start, clock, status):
    model = PrometheusModel(NOW)
    receiver = Successive(old_receiver(model, status))
    writer, transport = start(receiver)
    sent = workload(1, poison=0.0, batches=4, batch=BATCH)
    send(writer, sent[: 2 * BATCH])
    assert versions(transport)[-1] is V1
    receiver.decide = model
    clock.advance(LATER_S)
    send(writer, sent[2 * BATCH :])
    assert_all_stored_once(model, sent, writer)
    assert versions(transport)[-1] is V2


@pytest.mark.parametrize("response", [Response(200, says_written=False), Response(400, "gateway", says_written=False)])
@pytest.mark.parametrize("before", [0, 1])
def test_a_gateway_that_once_responds_in_the_receivers_place(start, clock, response, before):
    """It has forwarded nothing, and its response looks like a 1.0 receiver's."""
    model = PrometheusModel(NOW)
    once = [*[None] * before, response]
    transport = ScriptedTransport(once, decide=model)
    writer, _ = start(transport)
    sent = workload(1, poison=0.0, batches=4, batch=BATCH)
    send(writer, sent[: 2 * BATCH])
    clock.advance(LATER_S)
    send(writer, sent[2 * BATCH :])
    assert_all_stored_once(model, sent, writer)
    assert versions(transport)[-1] is V2
    assert len(transport.requests) <= 4 + 4


def test_a_receiver_that_responds_with_415_to_1_0_under_auto(start, clock):
    """It supported 1.0, and now accepts only 2.0."""
    model = PrometheusModel(NOW)
    receiver = Successive(old_receiver(model, 204))
    writer, transport = start(receiver)
    sent = workload(1, poison=0.0, batches=4, batch=BATCH)
    send(writer, sent[: 2 * BATCH])
    assert versions(transport)[-1] is V1
    receiver.decide = lambda request: model(request) if request.version is V2 else Response(415, "2.0 only")
    send(writer, sent[2 * BATCH :])
    assert_all_stored_once(model, sent, writer)
    assert versions(transport)[-1] is V2


def test_probing_for_2_0_costs_a_receiver_of_1_0_nothing(start, clock):
    model = VictoriaMetricsModel(NOW)
    writer, transport = start(model)
    sent = workload(1, poison=0.0, batches=5, batch=BATCH)
    for begin in range(0, len(sent), BATCH):
        send(writer, sent[begin : begin + BATCH])
        clock.advance(LATER_S)
    assert_all_stored_once(model, sent, writer)
    assert versions(transport).count(V1) == 5
    assert versions(transport).count(V2) <= 5


@pytest.mark.parametrize("version", [V1, V2, AUTO], ids=lambda version: version.value)
@pytest.mark.parametrize("status", [400, 413])
def test_a_limit_of_bytes_costs_no_sample(start, rejections, version, status):
    model = PrometheusModel(NOW)
    limited = ByteLimitModel(model, 2_000, status)
    writer, transport = start(limited, version)
    sent = workload(1, poison=0.0, batches=3, batch=BATCH)
    send(writer, sent)
    assert_all_stored_once(model, sent, writer)
    assert rejections == []
    # A request has about 8 kB: about eight requests for each batch, after it has been halved a few times.
    assert len(transport.requests) <= 3 * 16 + 16


@pytest.mark.parametrize("version", [V1, V2, AUTO], ids=lambda version: version.value)
@pytest.mark.parametrize("status", [400, 413])
def test_a_sample_that_is_over_the_limit_by_itself_is_refused_alone(start, rejections, version, status):
    model = PrometheusModel(NOW)
    writer, transport = start(ByteLimitModel(model, 2_000, status), version)
    sent = workload(1, poison=0.0, batches=3, batch=BATCH)
    send(writer, sent[:BATCH])
    writer.add(record(7, 1.0, BEGAN, text="x" * 3_000))  # the oldest, so the first to be sent again
    send(writer, sent[BATCH : 2 * BATCH])
    before = len(transport.requests)
    send(writer, sent[2 * BATCH :])
    assert sorted(model.stored) == sorted(each.sample for each in sent)
    assert [(each.count, each.reason.value) for each in rejections] == [(1, "refused")]
    # It does not make all later requests as small as itself: that would be one for each sample.
    assert len(transport.requests) - before <= BATCH // 5


@pytest.mark.parametrize("version", [V1, V2, AUTO], ids=lambda version: version.value)
@pytest.mark.parametrize("status", [408, 425, 429, 503, 529])
@pytest.mark.parametrize("new_model", [lambda: PrometheusModel(NOW), ThanosModel], ids=["prometheus", "thanos"])
def test_an_overloaded_receiver_gets_all_once(start, version, status, new_model):
    model = new_model()
    writer, transport = start(OverloadedModel(model, 5, status), version)
    sent = workload(1, poison=0.0, batches=1, batch=BATCH)
    send(writer, sent)
    assert_all_stored_once(model, sent, writer)
    assert len(transport.requests) == 6


@pytest.mark.parametrize("version", [V1, V2, AUTO], ids=lambda version: version.value)
def test_a_replica_that_is_not_elected_counts_as_written(start, rejections, version):
    """The elected replica has written the same samples: its cluster's samples are stored once."""
    model = MimirModel(NOW)
    replica = HaReplicaModel(model, elected=False)
    writer, _ = start(replica, version)
    sent = workload(1, poison=0.0, batches=2, batch=BATCH)
    send(writer, sent[:BATCH])
    assert (model.stored, writer.ledger.samples_accepted) == ([], BATCH)
    replica.elected = True
    send(writer, sent[BATCH:])
    assert sorted(model.stored) == sorted(each.sample for each in sent[BATCH:])
    assert (writer.ledger.samples_accepted, rejections) == (2 * BATCH, [])


def test_a_gateway_that_takes_the_counts_away_makes_2_0_look_like_1_0(start, rejections):
    """Stored samples are sent once more, which does no harm, and the sink uses 1.0 from then on."""
    model = PrometheusModel(NOW)
    writer, transport = start(WithoutCountsModel(model))
    sent = workload(20, poison=0.0, batches=3, batch=BATCH)
    send(writer, sent)
    assert sorted(model.stored) == sorted(each.sample for each in sent)
    assert versions(transport)[-1] is V1
    ledger = writer.ledger
    assert ledger.samples_accepted + sum(ledger.samples_rejected.values()) == len(sent)


@pytest.mark.parametrize("status", [400, 413])
def test_poison_behind_a_limit_of_bytes(start, rejections, status):
    """Two things at once: parts that are too large, and parts that are refused."""
    model = PrometheusModel(NOW)
    seed(model, V1)
    others = set(model.stored)
    sent = workload(20, batch=BATCH, kinds=(*BY_TIME, TOO_NEW))
    acceptable = stored_alone(model, sent, V1, batch=BATCH)
    writer, _ = start(ByteLimitModel(model, 2_000, status), AUTO)
    send(writer, sent)
    assert set(model.stored) == acceptable
    ledger = writer.ledger
    assert ledger.samples_accepted == len(acceptable - others)
    assert ledger.samples_accepted + rejections.count == len(sent)
