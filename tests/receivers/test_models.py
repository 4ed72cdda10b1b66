"""Storage and responses of models of receivers that cannot run here; other models are compared with real ones."""

from __future__ import annotations

import copy

import pytest
from raw_requests import V1, V2, ResponseHead, encode, post
from workload import NOW

from pyflink_prometheus.http.outcome import Written
from pyflink_prometheus.testing import (
    AllOrNothingModel,
    ByteLimitModel,
    CortexModel,
    HaReplicaModel,
    MimirModel,
    OverloadedModel,
    PrometheusModel,
    Receiver,
    ThanosModel,
    WithoutCountsModel,
)


def series(name, value, timestamp, **labels):
    return [("__name__", name), *sorted(labels.items())], [(value, timestamp)]


FIRST = series("a", 1.0, NOW)
GOOD = series("z", 2.0, NOW)
BAD = {
    "late": series("a", 9.0, NOW - 1),
    "invalid": series("b", 9.0, NOW, **{f"l{number:02}": "x" for number in range(30)}),
    "too new": series("c", 9.0, NOW + 3_600_000),
}
ALL, NONE = Written(2), Written()
# The response to a bad sample and a good one, and whether the good one is stored.
MODELS = {
    "mimir": (
        lambda: MimirModel(NOW),
        {(V1, bad): (ResponseHead(400, None), True) for bad in BAD}
        | {(V2, bad): (ResponseHead(400, ALL), True) for bad in BAD},
    ),
    "cortex": (
        lambda: CortexModel(NOW),
        {
            **{(V1, bad): (ResponseHead(400, None), True) for bad in BAD},
            **{(V2, bad): (ResponseHead(400, ALL), True) for bad in ("late", "too new")},
            (V2, "invalid"): (ResponseHead(400, None), False),
        },
    ),
    "thanos": (ThanosModel, {(version, "late"): (ResponseHead(409, None), True) for version in (V1, V2)}),
    "all or nothing": (
        lambda: AllOrNothingModel(NOW),
        {
            (version, bad): (ResponseHead(400, NONE if version is V2 else None), False)
            for version in (V1, V2)
            for bad in BAD
        },
    ),
}


@pytest.mark.parametrize("order", [1, -1], ids=["bad first", "good first"])
@pytest.mark.parametrize(
    ("new_model", "version", "bad", "response", "is_stored"),
    [
        pytest.param(new_model, version, bad, *expected, id=f"{name}-{version.value}-{bad}")
        for name, (new_model, cases) in MODELS.items()
        for (version, bad), expected in cases.items()
    ],
)
def test_one_bad_sample(new_model, version, bad, response, is_stored, order):
    model = new_model()
    with Receiver(model) as receiver:
        post(receiver.url, version, encode(version, FIRST))
        assert post(receiver.url, version, encode(version, *[BAD[bad], GOOD][::order])) == response
    assert model.stored == [("a{}", 1.0, NOW), *[("z{}", 2.0, NOW)] * is_stored]


@pytest.mark.parametrize(("version", "written"), [(V1, None), (V2, Written(2))])
@pytest.mark.parametrize(
    ("new_model", "status"),
    [
        (lambda: MimirModel(NOW), 200),
        (lambda: CortexModel(NOW), 200),
        (ThanosModel, 200),
        (lambda: AllOrNothingModel(NOW), 204),
        (lambda: PrometheusModel(NOW), 204),
    ],
)
def test_all_that_is_good_is_stored_and_counted(new_model, status, version, written):
    model = new_model()
    with Receiver(model) as receiver:
        assert post(receiver.url, version, encode(version, FIRST, GOOD)) == ResponseHead(status, written)
    assert model.stored == [("a{}", 1.0, NOW), ("z{}", 2.0, NOW)]


@pytest.mark.parametrize("version", [V1, V2])
@pytest.mark.parametrize("new_model", [lambda: MimirModel(NOW), lambda: CortexModel(NOW), ThanosModel])
def test_what_is_sent_again_is_taken_if_it_is_the_newest_of_its_series(new_model, version):
    model = new_model()
    with Receiver(model) as receiver:
        for _ in range(2):
            assert post(receiver.url, version, encode(version, FIRST)).status == 200
        post(receiver.url, version, encode(version, series("a", 2.0, NOW + 1)))
        assert post(receiver.url, version, encode(version, FIRST)).status in (400, 409)
    assert model.stored == [("a{}", 1.0, NOW), ("a{}", 2.0, NOW + 1)]


def test_a_copy_goes_its_own_way():
    model = MimirModel(NOW)
    copied = copy.deepcopy(model)
    with Receiver(copied) as receiver:
        post(receiver.url, V1, encode(V1, FIRST))
    assert (len(model.stored), len(copied.stored)) == (0, 1)


def test_a_replica_that_is_not_elected_stores_nothing():
    model = MimirModel(NOW)
    replica = HaReplicaModel(model, elected=False)
    with Receiver(replica) as receiver:
        assert post(receiver.url, V2, encode(V2, FIRST)) == ResponseHead(202, Written(1))
        assert model.stored == []
        replica.elected = True
        assert post(receiver.url, V2, encode(V2, FIRST)) == ResponseHead(200, Written(1))
        assert replica.stored == model.stored != []


def test_a_limit_of_bytes_is_of_the_decoded_message():
    model = ByteLimitModel(PrometheusModel(NOW), max_bytes=1_000, status=400)
    with Receiver(model) as receiver:
        large = encode(V2, series("a", 1.0, NOW, text="x" * 1_000))
        assert post(receiver.url, V2, large) == ResponseHead(400, None)
        assert post(receiver.url, V2, encode(V2, GOOD)) == ResponseHead(204, Written(1))
    assert model.stored == [("z{}", 2.0, NOW)]


def test_overload_passes():
    model = OverloadedModel(PrometheusModel(NOW), requests=2)
    with Receiver(model) as receiver:
        assert [post(receiver.url, V1, encode(V1, FIRST)).status for _ in range(3)] == [408, 408, 204]
    assert len(model.stored) == 1


def test_a_gateway_takes_the_counts_away_and_no_more():
    model = WithoutCountsModel(PrometheusModel(NOW))
    with Receiver(model) as receiver:
        assert post(receiver.url, V2, encode(V2, FIRST)) == ResponseHead(204, None)
    assert len(model.stored) == 1
