"""Filter drops impossible events, gives the reason, and never blocks a key forever."""

from __future__ import annotations

import random

import pytest
from operator_harness import Harness
from pyflink.common import Types
from pyflink.datastream import OutputTag

from pyflink_prometheus import (
    Filter,
    Hampel,
    PrometheusSinkError,
    SpeedGate,
    Threshold,
)
from pyflink_prometheus.transforms.speed_gate import distance

REJECTED = OutputTag("rejected", Types.PICKLED_BYTE_ARRAY())
NAN, INF = float("nan"), float("inf")


def itself(event):
    return event


def run(check, events, step_ms=1000):
    """Return the harness of a filter with one check, after events of one key."""
    harness = Harness(Filter(check, rejected_output_tag=REJECTED))
    for number, event in enumerate(events):
        harness.send(event, number * step_ms)
    return harness


def rejected(harness):
    return [event for event, _ in harness.side["rejected"]]


def test_a_threshold_rejects_what_is_out_of_bounds_or_no_number():
    harness = run(Threshold(itself, min=0, max=10), [0, 5, 10, None, -1, 11, NAN, INF, "7"])
    assert harness.results == [0, 5, 10, None]
    assert [reason for _, reason in harness.side["rejected"]] == [
        "threshold: -1 is below 0",
        "threshold: 11 is above 10",
        "threshold: nan is not a finite number",
        "threshold: inf is not a finite number",
        "threshold: '7' is not a finite number",
    ]
    assert harness.counts == {"numEventsRejected": 5, "numEventsRejectedByThreshold": 5}
    assert harness.keys_with_state == set()


def test_a_threshold_works_without_a_key():
    assert list(filter(Threshold(itself, max=3).accepts, [1, 5, 3])) == [1, 3]


def test_checks_are_asked_in_turn_and_count_by_name():
    checks = [Threshold(itself, max=100), Threshold(itself, max=10, name="low")]
    harness = Harness(Filter(*checks, rejected_output_tag=REJECTED))
    for value in (5, 50, 500):
        harness.send(value)
    assert harness.side["rejected"] == [(50, "low: 50 is above 10"), (500, "threshold: 500 is above 100")]
    assert harness.counts["numEventsRejectedByLow"] == harness.counts["numEventsRejectedByThreshold"] == 1


def test_what_one_check_rejects_the_next_does_not_learn_from():
    harness = Harness(Filter(Threshold(itself, max=1000), Hampel(itself, min_deviation=1, window=3)))
    for value in [5, 5, 5, *[9999] * 10, 5]:
        harness.send(value)
    assert harness.results == [5, 5, 5, 5]


def test_rejected_events_without_a_tag_are_dropped_and_counted():
    harness = Harness(Filter(Threshold(itself, max=1))).send(5)
    assert (harness.results, harness.counts["numEventsRejected"]) == ([], 1)


def test_hampel_rejects_spikes_and_lets_noise_and_climbs_pass():
    rng = random.Random(1)
    climb = [1000 + 30 * n + rng.gauss(0, 5) for n in range(300)]
    spiked = [value + (5000 if n in (50, 120, 121, 250) else 0) for n, value in enumerate(climb)]
    harness = run(Hampel(itself, min_deviation=100), spiked)
    assert rejected(harness) == [spiked[n] for n in (50, 120, 121, 250)]


def test_hampel_lets_a_steady_value_wobble_by_the_least_deviation():
    assert rejected(run(Hampel(itself, min_deviation=25), [100] * 20 + [125, 75, 126])) == [126]


def test_hampel_accepts_a_level_that_really_has_changed():
    harness = run(Hampel(itself, min_deviation=1, window=9), [0] * 20 + [100] * 20)
    assert rejected(harness) == [100] * 5
    assert harness.results[-15:] == [100] * 15


def test_hampel_lets_all_numbers_pass_until_it_knows_something():
    harness = run(Hampel(itself, min_deviation=1, window=7), [1, 500, 2, None, NAN, 3, 900])
    assert harness.results == [1, 500, 2, None, 3]


def test_keys_do_not_know_of_each_other():
    harness = Harness(Filter(Hampel(itself, min_deviation=1, window=3)))
    for _ in range(5):
        harness.send(1, key="a").send(1000, key="b")
    assert harness.results == [1, 1000] * 5


# One degree of latitude is 111 km. A car drives at 30 m/s, 1 s apart.
def drive(count, start=0):
    return [(48 + n * 30 / 111_195, 2.0) for n in range(start, start + count)]


GATE = SpeedGate(itself, max_speed=70, tolerance=100, confirmations=4)


def test_a_jump_and_back_is_dropped_and_nothing_else():
    away = [(51.0, 2.0), (48.0, 179.0), (-48.0, 2.0)]
    track = [*drive(10), *away, *drive(10, 13)]
    harness = run(GATE, track)
    assert rejected(harness) == away
    assert harness.side["rejected"][0][1].startswith("speed: 333.")


def test_a_real_relocation_is_accepted_once_confirmed():
    moved = [(position[0] + 3, position[1]) for position in drive(10)]
    harness = run(GATE, drive(10) + moved)
    assert rejected(harness) == moved[:3]


def test_a_wrong_first_point_blocks_nobody():
    harness = run(GATE, [(0.0, 0.0), *drive(10)])
    assert rejected(harness) == drive(3)


def test_jumps_to_different_places_confirm_nothing():
    jumps = [(50.0 + n, 2.0) for n in range(8)]
    harness = run(GATE, [*drive(5), *jumps, *drive(5, 13)])
    assert rejected(harness) == jumps


def test_good_points_between_jumps_to_one_place_take_its_confirmations_back():
    track = [point for good in drive(30) for point in (good, (50.0, 2.0))]
    harness = run(GATE, track, step_ms=500)
    assert harness.results == drive(30)


def test_after_a_long_silence_a_far_place_is_within_reach():
    harness = Harness(Filter(GATE)).send((48.0, 2.0), 0).send((51.0, 2.0), 5_000_000)
    assert len(harness.results) == 2


def test_late_points_are_judged_too_and_do_not_turn_time_back():
    harness = Harness(Filter(GATE, rejected_output_tag=REJECTED))
    harness.send((48.0, 2.0), 100_000).send((48.05, 2.0), 20_000).send((48.1, 2.0), 101_000)
    assert rejected(harness) == [(48.1, 2.0)]  # which the late point could have reached, and the newest could not


def test_events_without_a_position_pass_and_impossible_ones_do_not():
    track = [None, (None, 2.0), (48.0, None), (91.0, 0.0), (48.0, 361.0), (NAN, 0.0), ("x", 0.0), (48.0, 2.0)]
    harness = run(GATE, track)
    assert harness.results == [*track[:3], track[-1]]


def test_a_gate_across_the_date_line_sees_the_short_way():
    assert rejected(run(GATE, [(0.0, 179.9999), (0.0, -179.9999), (0.0, 180.0), (0.0, 180.0001)])) == []


def test_distances():
    assert distance((48.8584, 2.2945, 0), (51.5007, -0.1246, 0)) == pytest.approx(340_500, rel=0.001)  # Eiffel, Big Ben
    assert distance((0, 0, 0), (0, 180, 0)) == pytest.approx(20_015_115, abs=1)
    assert distance((48, 2, 0), (48.000001, 2, 0)) == pytest.approx(0.1112, rel=0.001)


def test_a_gate_without_timestamps_says_what_to_do_and_other_checks_need_none():
    with pytest.raises(PrometheusSinkError, match="no timestamp"):
        Harness(Filter(GATE)).send((48.0, 2.0))
    assert Harness(Filter(Hampel(itself, min_deviation=1))).send(5).results == [5]


def test_what_checks_keep_comes_back_from_a_savepoint_also_for_other_checks():
    first = run(Hampel(itself, min_deviation=1, window=3), [5, 5, 5])
    harness = Harness(Filter(Threshold(itself), Hampel(itself, min_deviation=1, window=3)), first.savepoint())
    assert harness.send(50).send(5).results == [5]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Filter(), "checks: expected one or more"),
        (lambda: Filter(itself), "checks: expected a Threshold"),  # type: ignore[arg-type]
        (lambda: Filter(GATE, GATE), "checks: expected a different name"),
        (lambda: Filter(GATE, forget_after_ms=0), "forget_after_ms: expected an integer of at least 1"),
        (lambda: Threshold(5), "value: expected a function"),  # type: ignore[arg-type]
        (lambda: Threshold(itself, min=2, max=1), "min: expected at most max, 1"),
        (lambda: Hampel(itself, min_deviation=-1), "min_deviation"),
        (lambda: Hampel(itself, min_deviation=1, window=2), "window: expected an integer of at least 3"),
        (lambda: Hampel(itself, min_deviation=1, threshold=0), "threshold"),
        (lambda: SpeedGate(itself, max_speed=0), "max_speed"),
        (lambda: SpeedGate(itself, max_speed=1, tolerance=-1), "tolerance"),
        (lambda: SpeedGate(itself, max_speed=1, confirmations=0), "confirmations"),
    ],
)
def test_wrong_arguments_are_refused_by_name(make, message):
    with pytest.raises((TypeError, ValueError), match=message):
        make()
