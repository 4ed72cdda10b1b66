"""A simulated mobile network: events arrive late, out of order, twice or not at all, and the same in each run."""

from __future__ import annotations

import random
from collections.abc import Hashable, Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class MobileNetwork:
    """
    The delivery times of the events of each device.

    Most events take a second or two, and overtake each other. Now and then a device is in a dead zone: its events are
    either lost, or buffered and sent all at once when it leaves the zone.

    :param seed: the seed of the random numbers; the same seed gives the same deliveries.
    :param max_delay_ms: the longest delay of an event.
    :param mean_delay_ms: the mean delay of events that are not buffered in a dead zone.
    :param duplicates: the share of events that are delivered twice, with different delays.
    :param dead_zones_per_hour: how often a device enters a dead zone, on average. It stays for up to ``max_delay_ms``.
    :param lost_zones: the share of dead zones in which events are lost.
    """

    seed: int = 1
    max_delay_ms: int = 120_000
    mean_delay_ms: int = 1_500
    duplicates: float = 0.02
    dead_zones_per_hour: float = 6.0
    lost_zones: float = 0.3

    def deliveries(self, events: Iterable[tuple[Hashable, int]], part: int = 0) -> list[tuple[int, int]]:
        """
        Return (time, index of the event) for each delivery, in order of time.

        :param events: the device and the time in milliseconds of each event, in order of time.
        :param part: the number of the repetition, if the same events are delivered more than once.
        """
        rng = random.Random(f"{self.seed} {part}")  # noqa: S311
        zones = {}
        found = []
        for number, (device, sent) in enumerate(events):
            if device not in zones:
                zones[device] = self._next_zone(rng, sent)
            while sent >= zones[device][1]:
                zones[device] = self._next_zone(rng, zones[device][1])
            begin, end, is_lost = zones[device]
            leaves = sent
            if sent >= begin:
                if is_lost:
                    continue
                leaves = end
            found.append((self._arrival(rng, sent, leaves), number))
            if rng.random() < self.duplicates:
                found.append((self._arrival(rng, sent, leaves), number))
        return sorted(found)

    def _next_zone(self, rng: random.Random, now: int) -> tuple[int, int, bool]:
        """Return when a device enters and leaves its next dead zone, and whether its events are lost there."""
        if not (self.dead_zones_per_hour and self.max_delay_ms):
            return 1 << 62, 1 << 62, False
        begin = now + round(rng.expovariate(self.dead_zones_per_hour / 3_600_000))
        return begin, begin + rng.randint(1, self.max_delay_ms), rng.random() < self.lost_zones

    def _arrival(self, rng: random.Random, sent: int, leaves: int) -> int:
        delay = round(rng.expovariate(1 / self.mean_delay_ms)) if self.mean_delay_ms else 0
        return min(leaves + delay, sent + self.max_delay_ms)
