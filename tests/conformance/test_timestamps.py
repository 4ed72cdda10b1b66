"""
Timestamps, their order, and start timestamps.

1.0: "Protocol", "Ordering", "Sharding". 2.0: "Protobuf Message", "Samples and Histogram Samples".
"""

from __future__ import annotations

import random

import pytest
from doors import BOTH_DOORS
from wire_receiver import AUTO, V1, V2, Reply, T, written

from pyflink_prometheus import Exemplar, NativeHistogram, RejectionReason

pytestmark = BOTH_DOORS

HISTOGRAM = NativeHistogram(schema=0, sum=3.0, positive={1: 2})


def per_series(samples):
    grouped: dict[str, list[int]] = {}
    for name, timestamp in samples:
        grouped.setdefault(name, []).append(timestamp)
    return grouped


def each_in_order(samples):
    return all(timestamps == sorted(timestamps) for timestamps in per_series(samples).values())


# Including those at which a varint grows by a byte.
TIMES = [T, 0, 1, -1, 2**35 - 1, 2**35, 2**42 - 1, 2**42, 2**62 - 1, 1 - 2**62]
NO_TIMES = [2**62, -(2**62), 2**63 - 1, -(2**63), 2**63]


def test_timestamps_must_be_int64_of_milliseconds(version, sent):
    request = sent(
        version,
        *[
            (f"{kind}{timestamp}", {}, ((value, timestamp),), None, (Exemplar({}, 1.0, timestamp),))
            for timestamp in TIMES
            for kind, value in (("sample", 1.0), ("histogram", HISTOGRAM))
        ],
    )
    assert len(request.series) == 2 * len(TIMES)
    for series, timestamp in zip(request.series, [timestamp for timestamp in TIMES for _ in range(2)]):
        assert [each.timestamp for each in (*series.samples, *series.histograms)] == [timestamp]
        assert [each.timestamp for each in series.exemplars] == [timestamp]


@pytest.mark.parametrize(
    "times", [[each] for each in TIMES] + [[T, 2**35, 2**42 - 1], [T, 2**42], [2**35 - 1, T], TIMES]
)
def test_timestamps_of_plain_samples_must_be_int64_of_milliseconds(version, sent, times):
    """Encoders have a fast path for them, if all timestamps of a request are near the present."""
    request = sent(version, *[(f"m{timestamp}", {}, ((1.0, timestamp),)) for timestamp in times])
    assert request.samples == [(f"m{timestamp}", timestamp) for timestamp in times]


@pytest.mark.parametrize("value", [1.0, HISTOGRAM], ids=["sample", "histogram"])
def test_what_is_no_time_in_milliseconds_is_never_sent(version, write, receiver, value):
    """
    An empty Prometheus that stores one of these refuses every other sample until it is restarted.

    The extremes are what Flink gives a record that has no timestamp.
    """
    samples = [(value, timestamp) for timestamp in NO_TIMES] + [(value, T, timestamp) for timestamp in NO_TIMES]
    writer = write(version, *[("m", {}, (sample,)) for sample in samples], ("m", {}, ((1.0, T),)))
    assert receiver.stored == [("m", T)]
    assert writer.ledger.samples_rejected[RejectionReason.INVALID] == len(samples)


@pytest.mark.parametrize("value", [1.0, HISTOGRAM], ids=["samples", "histograms"])
def test_a_series_must_be_in_timestamp_order_within_a_request(version, sent, value):
    rng = random.Random(7)
    given = [(f"m{number % 5}", T + number) for number in range(500)]
    rng.shuffle(given)
    request = sent(version, *[(name, {}, ((value, timestamp),)) for name, timestamp in given])
    assert sorted(request.samples) == sorted(given)
    assert each_in_order(request.samples)
    assert len(request.series) == 5


def test_a_series_that_mixes_must_be_in_timestamp_order(version, write, receiver):
    """Also across its TimeSeries messages: samples with and without start timestamps, and histograms."""
    rng = random.Random(7)
    values = [(1.0,), (HISTOGRAM,), (1.0, T - 1), (HISTOGRAM, T - 2)]
    given = []
    for number in range(200):
        value, *start = rng.choice(values)
        given.append((value, T + number, *start))
    rng.shuffle(given)
    write(version, ("m", {}, given))
    assert receiver.stored == [("m", T + number) for number in range(200)]


def test_a_series_of_several_starts_must_be_in_timestamp_order_within_a_request(version, sent):
    rng = random.Random(7)
    given = [(1.0, T + number, rng.choice([0, T - 1, T - 2])) for number in range(200)]
    rng.shuffle(given)
    assert sent(version, ("m", {}, given)).samples == [("m", T + number) for number in range(200)]


def test_floats_never_come_after_histograms_of_their_series_in_a_request(version, write, receiver):
    """Some receivers store all floats of a request first, wherever they are."""
    samples = [(1.0 if number % 3 else HISTOGRAM, T + number) for number in range(30)]
    write(version, *[(f"m{number}", {}, samples[number:]) for number in range(5)])
    for request in receiver.requests:
        seen = set()
        for series in request.series:
            assert not (series.samples and request.name(series) in seen)
            if series.histograms:
                seen.add(request.name(series))
    assert sorted(receiver.stored) == sorted(
        (f"m{number}", T + time) for number in range(5) for time in range(number, 30)
    )
    assert each_in_order(receiver.stored)


def test_a_series_must_be_in_timestamp_order_across_requests_and_retries(version, start, receiver):
    """No request is sent before the previous one is settled, whatever the responses."""
    rng = random.Random(7)
    receiver.decide = lambda request: rng.choice([204, 204, 500, 503, 429])
    writer = start(version, max_batch_size_in_samples=25)
    for number in range(500):
        writer.add((f"m{number % 10}", {}, ((1.0, T + number),)))
    writer.flush()
    assert len(receiver.requests) > len(receiver.accepted) == 20
    assert sorted(receiver.stored) == sorted((f"m{number % 10}", T + number) for number in range(500))
    assert each_in_order(receiver.stored)
    settled: dict[str, int] = {}
    for request in receiver.requests:
        assert all(timestamp > settled.get(name, 0) for name, timestamp in request.samples)
        if request in receiver.accepted:
            settled.update(request.samples)


def test_a_series_must_be_in_timestamp_order_when_requests_are_sent_in_parallel(version, start, receiver):
    rng = random.Random(7)
    receiver.decide = lambda request: rng.choice([204, 204, 500])
    writer = start(version, max_batch_size_in_samples=10, max_in_flight_requests=4)
    for number in range(800):
        writer.add((f"m{number % 40}", {}, ((1.0, T + number),)))
    writer.flush()
    assert len(receiver.stored) == 800
    assert each_in_order(receiver.stored)


@pytest.mark.parametrize("refusal", [Reply(415), Reply(400, "bad"), Reply(204)], ids=["415", "400", "204, no counts"])
def test_a_series_must_be_in_timestamp_order_across_a_change_of_version(start, receiver, refusal):
    receiver.decide = lambda request: refusal if request.version is V2 else 204
    writer = start(AUTO, max_batch_size_in_samples=10, max_in_flight_requests=3)
    for number in range(300):
        writer.add((f"m{number % 15}", {}, ((1.0, T + number),)))
    writer.flush()
    understood = [request for request in receiver.accepted if request.version is V1]
    stored = [sample for request in understood for sample in request.samples]
    assert sorted(stored) == sorted((f"m{number % 15}", T + number) for number in range(300))
    assert each_in_order(stored)


def test_a_series_must_be_in_timestamp_order_when_parts_are_sent_again(version, start, receiver):
    """After 413, and after 400 in 1.0."""

    def decide(request):
        if len(request.samples) > 8:
            return 413
        if version is V1 and any(timestamp % 7 == 0 for _, timestamp in request.samples):
            return 400
        return 204

    receiver.decide = decide
    writer = start(version, max_batch_size_in_samples=50)
    for number in range(100):
        writer.add((f"m{number % 4}", {}, ((1.0, T + number),)))
    writer.flush()
    kept = [number for number in range(100) if version is V2 or (T + number) % 7]
    assert sorted(receiver.stored) == sorted((f"m{number % 4}", T + number) for number in kept)
    assert each_in_order(receiver.stored)


def test_what_comes_out_of_order_need_not_be_sent(version, start, receiver):
    """
    Across requests the order is the user's; one setting drops such samples before the receiver refuses them.

    A sink cannot wait for older samples, and many receivers accept them within a window.
    """
    writer = start(version, drop_out_of_order_samples=True)
    for timestamp in (T, T + 2, T + 1, T - 5, T + 3):
        writer.add(("m", {}, ((1.0, timestamp),)))
        writer.flush()
    assert receiver.stored == [("m", T), ("m", T + 2), ("m", T + 3)]
    assert writer.ledger.samples_rejected[RejectionReason.OUT_OF_ORDER] == 2


@pytest.mark.parametrize("value", [1.0, HISTOGRAM], ids=["sample", "histogram"])
def test_start_timestamps_should_be_provided(sent, value):
    """In each sample, as in 2.0-rc.4, and in the series, as in earlier drafts; 1 and -1 stand for the time 0."""
    starts = [T - 1, 1, -1, 2**62 - 1, 1 - 2**62]
    request = sent(V2, *[(f"m{began}", {}, ((value, T, began), (value, T + 1, began))) for began in starts])
    assert len(request.series) == len(starts)
    for series, began in zip(request.series, starts):
        assert [each.start_timestamp for each in (*series.samples, *series.histograms)] == [began] * 2
        assert series.created_timestamp == began


def test_samples_of_different_starts_are_in_series_of_their_own(sent):
    """A receiver that uses the start timestamp of the series would apply it to all samples."""
    request = sent(V2, ("m", {}, ((1.0, T, T - 5), (2.0, T + 1, T - 5), (3.0, T + 2, T + 1), (4.0, T + 3))))
    found = [
        (series.created_timestamp, [(each.value, each.start_timestamp) for each in series.samples])
        for series in request.series
    ]
    assert found == [(T - 5, [(1.0, T - 5), (2.0, T - 5)]), (T + 1, [(3.0, T + 1)]), (0, [(4.0, 0)])]


@pytest.mark.parametrize("sample", [(1.0, T), (1.0, T, None), (1.0, T, 0), (HISTOGRAM, T), (HISTOGRAM, T, 0)])
def test_a_start_timestamp_that_is_not_known_must_be_unset(sent, sample):
    request = sent(V2, ("m", {}, (sample,)))
    [series] = request.series
    each = [*series.samples, *series.histograms]
    assert len(each) == 1
    set_fields = [found.name for message in (series, *each) for found, _ in message.ListFields()]
    assert "start_timestamp" not in set_fields
    assert "created_timestamp" not in set_fields


@pytest.mark.parametrize("value", [1.0, HISTOGRAM], ids=["sample", "histogram"])
def test_start_timestamps_must_not_be_in_1_0(sent, value):
    with_start, without = sent(V1, ("m", {}, ((value, T, T - 1),))), sent(V1, ("m", {}, ((value, T),)))
    assert with_start.unknown_bytes == 0
    assert with_start.body == without.body


def test_start_timestamps_are_left_out_after_the_change_to_1_0(write, receiver):
    receiver.script += [Reply(200)]
    write(AUTO, ("m", {}, ((1.0, T, T - 1), (2.0, T + 1, T - 1))))
    as_v1 = receiver.requests[1]
    assert as_v1.samples == [("m", T), ("m", T + 1)]
    assert as_v1.unknown_bytes == 0


def test_start_timestamps_are_there_again_in_a_retry(write, receiver):
    receiver.script += [Reply(503, headers=written())]
    write(V2, ("m", {}, ((1.0, T, T - 1),)))
    assert [request.series[0].samples[0].start_timestamp for request in receiver.requests] == [T - 1] * 2
