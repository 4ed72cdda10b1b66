"""What a mobile network makes of a stream of events: late, out of order, twice or lost, and the same in each run."""

from __future__ import annotations

import random
from collections.abc import Hashable, Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class MobileNetwork:
    """
    Decide when each event of each device is delivered.

    Most events take a second or two, and overtake each other. Now and then a device is in a dead zone: what it sends
    there is either lost, or kept by the device and sent in one go when it comes out.

    :param seed: another seed gives another course of things, the same one gives the same.
    :param max_delay_ms: no event is delivered later than that after it was sent.
    :param mean_delay_ms: of events that are not kept by their device.
    :param duplicates: the share of events that are delivered a second time, with a delay of its own.
    :param dead_zones_per_hour: how often a device comes into one, on average. It stays for up to ``max_delay_ms``.
    :param lost_zones: the share of dead zones in which devices lose what they send.
    """

    seed: int = 1
    max_delay_ms: int = 120_000
    mean_delay_ms: int = 1_500
    duplicates: float = 0.02
    dead_zones_per_hour: float = 6.0
    lost_zones: float = 0.3

    def deliveries(self, events: Iterable[tuple[Hashable, int]], part: int = 0) -> list[tuple[int, int]]:
        """
        Return (when, which event) for each delivery, in order of time.

        :param events: the device and the time in milliseconds of each, in order of time.
        :param part: which one of several, if the same events are delivered more than once.
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
        """Return when a device comes into its next dead zone and out of it, and whether it loses things there."""
        if not (self.dead_zones_per_hour and self.max_delay_ms):
            return 1 << 62, 1 << 62, False
        begin = now + round(rng.expovariate(self.dead_zones_per_hour / 3_600_000))
        return begin, begin + rng.randint(1, self.max_delay_ms), rng.random() < self.lost_zones

    def _arrival(self, rng: random.Random, sent: int, leaves: int) -> int:
        delay = round(rng.expovariate(1 / self.mean_delay_ms)) if self.mean_delay_ms else 0
        return min(leaves + delay, sent + self.max_delay_ms)
