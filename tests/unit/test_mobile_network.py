"""The mobile network of the example jobs delivers as documented, and identically each time."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest
from mobile_network import MobileNetwork

# 20 devices that send every second for an hour.
EVENTS = [(f"d{device}", 1_000 * second) for second in range(3_600) for device in range(20)]


@pytest.mark.parametrize("seed", [1, 2])
def test_deliveries_are_late_but_not_too_late_out_of_order_doubled_and_lost(seed):
    found = MobileNetwork(seed=seed, max_delay_ms=90_000).deliveries(EVENTS)
    delays = [when - EVENTS[number][1] for when, number in found]
    assert found == sorted(found)
    assert min(delays) >= 0
    assert 60_000 < max(delays) <= 90_000
    assert 500 < sorted(delays)[len(delays) // 2] < 3_000
    times = [EVENTS[number][1] for _, number in found]
    assert sum(after < before for before, after in itertools.pairwise(times)) > 0.1 * len(times)

    often = Counter(number for _, number in found)
    assert 0.01 < sum(count > 1 for count in often.values()) / len(often) < 0.03
    assert 0.005 < 1 - len(often) / len(EVENTS) < 0.05


def test_it_is_the_same_for_the_same_seed_and_part_only():
    first = MobileNetwork().deliveries(EVENTS)
    assert MobileNetwork().deliveries(EVENTS) == first
    assert MobileNetwork().deliveries(EVENTS, part=1) != first
    assert MobileNetwork(seed=2).deliveries(EVENTS) != first


def test_what_a_device_keeps_in_a_dead_zone_comes_in_one_go_when_it_comes_out():
    network = MobileNetwork(mean_delay_ms=0, duplicates=0, lost_zones=0)
    found = network.deliveries([event for event in EVENTS if event[0] == "d0"])
    assert len(found) == 3_600
    arrivals = Counter(when for when, _ in found)
    assert max(arrivals.values()) > 10
    assert all(when == number * 1_000 for when, number in found if arrivals[when] == 1 and when % 1_000 == 0)


@pytest.mark.parametrize("without", [{"mean_delay_ms": 0, "dead_zones_per_hour": 0}, {"max_delay_ms": 0}])
def test_a_network_without_faults_delivers_at_once(without):
    network = MobileNetwork(duplicates=0, **without)
    assert network.deliveries(EVENTS[:50]) == [(when, number) for number, (_, when) in enumerate(EVENTS[:50])]
