"""The adaptive concurrency and request size, with receivers that are near, distant, slow, or throttling."""

from __future__ import annotations

import itertools
import math

import pytest

from pyflink_prometheus.config import AdaptiveSendingConfiguration, SinkConfig
from pyflink_prometheus.writer.pace import FlushStats, Pace

URL = "http://receiver.invalid/api/v1/write"


def begin(**settings):
    return Pace.begin(SinkConfig(prometheus_remote_write_url=URL, **settings))


def flush(pace, samples, *, round_trip_s, samples_a_second, making_s=0.0, refuses_from=None):
    """
    Return the statistics of a flush of this many samples.

    :param round_trip_s: the time of an empty request.
    :param samples_a_second: the receiver's limit for all requests together.
    :param making_s: the time to create the samples, during which the first of them are sent.
    :param refuses_from: the number of requests in flight from which half of the attempts are refused.
    """
    each = -(-samples // pace.shards)
    requests = pace.shards * math.ceil(each / pace.batch_size)
    in_flight = min(requests, pace.shards)
    one_s = round_trip_s + in_flight * (samples / requests) / samples_a_second
    sending_s = math.ceil(requests / pace.shards) * one_s
    waited_s = max(one_s, sending_s - making_s)
    repeated = requests if refuses_from is not None and in_flight >= refuses_from else 0
    attempts = requests + repeated
    return FlushStats(1, samples, attempts, repeated, attempts * one_s, waited_s, making_s + waited_s)


def run(pace, flushes, samples, **receiver):
    """Return the paces after each flush."""
    paces = []
    for _ in range(flushes):
        pace = pace.next(flush(pace, samples, **receiver))
        paces.append(pace)
    return paces


FAR = {"round_trip_s": 0.05, "samples_a_second": 5_000_000, "making_s": 0.1}
NEAR = {"round_trip_s": 0.0005, "samples_a_second": 400_000, "making_s": 0.01}


def test_it_begins_with_one_request_of_the_usual_size():
    assert (begin().shards, begin().batch_size) == (1, 2000)


def test_a_far_receiver_gets_as_many_shards_as_a_flush_can_fill():
    last = run(begin(), 100, 10_000, **FAR)[-1]
    assert 5 <= last.shards <= 8
    assert last.batch_size == 2000


def test_more_than_the_most_shards_can_carry_grows_the_batch():
    last = run(begin(), 400, 500_000, **FAR)[-1]
    assert last.shards == 16
    assert 4000 <= last.batch_size <= 10_000


def test_a_receiver_that_has_enough_to_do_is_not_given_more_at_once():
    paces = run(begin(), 300, 100_000, **NEAR)
    assert sum(pace.shards for pace in paces) / len(paces) < 1.5
    assert max(pace.shards for pace in paces) == 2


def test_steps_up_that_gain_nothing_become_rarer():
    paces = run(begin(), 4000, 100_000, **NEAR)
    tries = [
        number for number, pace in enumerate(paces) if pace.throughput_before is not None and pace.stats.attempts == 0
    ]
    gaps = [later - earlier for earlier, later in itertools.pairwise(tries)]
    assert len(gaps) > 4
    assert gaps == sorted(gaps)
    assert gaps[-1] > 10 * gaps[0]


def test_small_flushes_stay_in_one_request():
    assert {pace.shards for pace in run(begin(), 100, 1000, **FAR)} == {1}


def test_a_caller_that_hardly_waits_stays_with_what_it_has():
    slow_source = {**NEAR, "making_s": 2.0}
    assert {pace.shards for pace in run(begin(), 100, 10_000, **slow_source)} == {1}


def test_shards_go_when_flushes_become_small():
    grown = run(begin(), 100, 100_000, **FAR)[-1]
    assert grown.shards == 16
    assert run(grown, 100, 1000, **FAR)[-1].shards == 1


def test_throttling_takes_the_last_step_back_and_puts_the_next_off():
    paces = run(begin(), 200, 100_000, **FAR, refuses_from=8)
    assert max(pace.shards for pace in paces) == 8
    after = paces[[pace.shards for pace in paces].index(8) :]
    assert sum(pace.shards == 4 for pace in after) > 0.8 * len(after)


def test_a_receiver_in_trouble_gets_one_small_request_at_a_time_and_more_when_it_is_well_again():
    ill = run(run(begin(), 100, 100_000, **FAR)[-1], 100, 100_000, **FAR, refuses_from=1)[-1]
    assert (ill.shards, ill.batch_size) == (1, 500)
    well = run(ill, 400, 100_000, **FAR)[-1]
    assert well.shards == 16
    assert well.batch_size >= 2000


def test_a_few_repetitions_change_nothing():
    pace = begin(max_batch_size_in_samples=2000)
    for _ in range(50):
        pace = pace.next(FlushStats(1, 2000, 100, 4, 1.0, 0.01, 1.0))
    assert pace.shards == 1
    assert pace.pause == 0


@pytest.mark.parametrize("refuses_from", [None, 1])
def test_what_the_user_sets_stays(refuses_from):
    pace = begin(max_in_flight_requests=4, max_batch_size_in_samples=700)
    paces = run(pace, 100, 100_000, **FAR, refuses_from=refuses_from)
    assert {(pace.shards, pace.batch_size) for pace in paces} == {(4, 700)}


def test_the_bounds_are_the_users():
    bounds = AdaptiveSendingConfiguration(max_in_flight_requests=3, max_batch_size_in_samples=2500)
    paces = run(begin(adaptive_sending=bounds), 400, 500_000, **FAR)
    assert (max(pace.shards for pace in paces), max(pace.batch_size for pace in paces)) == (3, 2500)


def test_a_batch_is_never_larger_than_what_may_be_buffered():
    assert begin(max_buffered_samples=300).batch_size == 300


def test_a_receiver_that_takes_no_large_requests_never_gets_them_again():
    pace = begin().no_batch_above(100)
    assert {pace.batch_size for pace in run(pace, 400, 500_000, **FAR)} == {100}


def test_flushes_of_nothing_say_nothing():
    assert begin().next(FlushStats(1, 0, 0, 0, 0.0, 0.0, 60.0)) == begin()
