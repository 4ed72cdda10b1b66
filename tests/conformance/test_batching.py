"""
Batching, and requests in parallel.

1.0: "Ordering", "Sharding". 2.0: "Partial Write", "Samples and Histogram Samples".
"""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from doors import BOTH_DOORS
from wire_receiver import T

from pyflink_prometheus import Metadata

pytestmark = BOTH_DOORS


def test_senders_should_send_samples_of_several_series_in_one_request(version, sent):
    request = sent(version, *[(f"m{number}", {}, ((1.0, T),)) for number in range(500)])
    assert len(request.series) == 500


def test_a_request_holds_each_series_once(version, sent):
    request = sent(version, *[(f"m{number % 7}", {}, ((1.0, T + number),)) for number in range(70)])
    assert sorted(request.name(series) for series in request.series) == [f"m{number}" for number in range(7)]


@pytest.mark.parametrize("size", [1, 10, 30])
def test_requests_hold_no_more_samples_than_was_set(version, write, receiver, size):
    write(
        version,
        *[(f"m{number % 7}", {}, ((1.0, T + number),)) for number in range(35)],
        max_batch_size_in_samples=size,
    )
    sizes = [len(request.samples) for request in receiver.requests]
    assert sizes == [size] * (35 // size) + [35 % size] * (35 % size > 0)


@pytest.mark.parametrize("limit", [3000, 8000])
def test_requests_hold_no_more_bytes_than_was_set(version, write, receiver, limit):
    """Before compression: receivers limit the unpacked size. Large series and small ones, several samples of each."""
    names = [f"m{number}" for number in range(40)]
    records = [
        (name, {"long": f"{place:02}" * (750 if place % 7 == 3 else 5)}, ((1.0, T + time),))
        for time in range(5)
        for place, name in enumerate(names)
    ]
    write(version, *records, max_batch_size_in_bytes=limit, max_batch_size_in_samples=1000)
    assert max(request.message.ByteSize() for request in receiver.requests) <= limit
    total = sum(request.message.ByteSize() for request in receiver.requests)
    assert 1 < len(receiver.requests) <= 3 * total / limit
    for name in names:
        assert [sample for sample in receiver.stored if sample[0] == name] == [(name, T + time) for time in range(5)]


def test_a_sample_larger_than_that_is_sent_alone(version, write, receiver):
    """Refusing it is up to the receiver."""
    records = [(f"m{number}", {"long": "x" * 5000 * (number == 3)}, ((1.0, T),)) for number in range(6)]
    write(version, *records, max_batch_size_in_bytes=500)
    assert [request.samples for request in receiver.requests if request.message.ByteSize() > 500] == [[("m3", T)]]
    assert sorted(receiver.stored) == [(f"m{number}", T) for number in range(6)]


def test_a_record_of_many_samples_is_spread_over_requests(version, write, receiver):
    write(version, ("m", {}, [(1.0, T + number) for number in range(25)]), max_batch_size_in_samples=10)
    assert [len(request.samples) for request in receiver.requests] == [10, 10, 5]
    assert receiver.stored == [("m", T + number) for number in range(25)]


def test_where_there_is_nothing_to_send_nothing_is_sent(version, start, receiver):
    writer = start(version)
    writer.flush()
    writer.add(("", {}, ((1.0, T),)))
    writer.flush()
    assert receiver.requests == []


def test_metadata_goes_with_the_samples_and_not_in_requests_of_its_own(version, write, receiver):
    records: list[tuple[Any, ...]] = [
        (f"m{number}", {}, ((1.0, T),), Metadata("gauge", f"help {number}"), ()) for number in range(100)
    ]
    write(version, *records, max_batch_size_in_samples=50)
    assert [len(request.samples) for request in receiver.requests] == [50, 50]
    assert all(series.samples for request in receiver.requests for series in request.series)


def test_requests_in_parallel_must_be_of_different_series(version, start, receiver):
    lock, met = threading.Lock(), threading.Event()
    in_flight: list[set[str]] = []
    overlaps: list[set[str]] = []

    def decide(request):
        names = {request.name(series) for series in request.series}
        with lock:
            overlaps.extend(names & other for other in in_flight if names & other)
            in_flight.append(names)
            if len(in_flight) > 1:
                met.set()
        met.wait(120)  # the first one, until there is a second
        time.sleep(0.002)
        with lock:
            in_flight.remove(names)
        return 204

    receiver.decide = decide
    writer = start(version, max_in_flight_requests=4, max_batch_size_in_samples=20)
    for number in range(1000):
        writer.add((f"m{number % 40}", {}, ((1.0, T + number),)))
    writer.flush()
    assert met.is_set()
    assert overlaps == []
    assert len(receiver.stored) == 1000


def test_a_series_has_one_request_in_flight_however_its_labels_are_ordered(version, start, receiver):
    """A receiver that is slow with the first request shows whether the second one waits."""
    lock, in_flight, most = threading.Lock(), [0], [0]

    def decide(request):
        with lock:
            in_flight[0] += 1
            most[0] = max(most[0], in_flight[0])
        time.sleep(0.005)
        with lock:
            in_flight[0] -= 1
        return 204

    receiver.decide = decide
    writer = start(version, max_in_flight_requests=8, max_batch_size_in_samples=1)
    labels = [("a", "1"), ("b", "2"), ("c", "3")]
    for number in range(20):
        writer.add(("m", labels if number % 2 else labels[::-1], ((1.0, T + number),)))
    writer.flush()
    assert most[0] == 1
    assert receiver.stored == [("m", T + number) for number in range(20)]
