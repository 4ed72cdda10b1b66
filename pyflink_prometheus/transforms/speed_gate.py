"""The speed gate: a position that could only be reached at an impossible speed is wrong."""

from __future__ import annotations

import math
from collections.abc import Callable
from operator import itemgetter
from typing import Any, NamedTuple

from pyflink_prometheus import _validation
from pyflink_prometheus._validation import shown
from pyflink_prometheus.transforms.checks import finite

EARTH_RADIUS_METERS = 6_371_008.8

#: A position and its time: latitude in degrees, longitude in degrees, milliseconds.
Point = tuple[float, float, int]


class SpeedGate:
    """
    A check that rejects positions too far from the last accepted one for the time that has passed.

    Between two points the great-circle distance may be at most ``max_speed * time + tolerance``. A rejected point may
    also be the first of a real relocation: when ``confirmations`` points in a row, the first included, can be reached
    from each other but not from the last accepted one, the newest of them is accepted and is the new reference. So
    neither a wrong first point nor a relocation blocks a device; each costs ``confirmations - 1`` points.

    Decides at once and delays no event. Keeps two points and a number for each key. Accepts events without a position
    and does not keep them; rejects invalid coordinates.

    :param position: a function that returns the (latitude, longitude) of an event in degrees, or ``None``; or the names
        of the two fields or columns.
    :param max_speed: the highest possible speed, in meters per second.
    :param tolerance: the possible error of a position, in meters. Default 1000.
    :param confirmations: how many consistent points in a row confirm a new place. A faulty tracker that jumps and stays
        for this many points is also accepted. Default 5.
    :param name: the name of the check, in reasons and the counter. Default ``speed``.
    """

    keeps_state = True
    needs_timestamp = True

    def __init__(
        self,
        position: Callable[[Any], Any] | tuple[str, str],
        *,
        max_speed: float,
        tolerance: float = 1000.0,
        confirmations: int = 5,
        name: str = "speed",
    ) -> None:
        self.columns: tuple[str, ...] = tuple(position) if isinstance(position, (tuple, list)) else ()
        if self.columns and not (len(self.columns) == 2 and all(isinstance(each, str) for each in self.columns)):
            raise TypeError(f"position: expected a function, or the names of two fields, got {shown(position)}")
        if not self.columns:
            _validation.function("position", position)
        if not max_speed > 0:
            raise ValueError(f"max_speed: expected more than 0 meters per second, got {max_speed!r}")
        if not tolerance >= 0:
            raise ValueError(f"tolerance: expected at least 0 meters, got {tolerance!r}")
        self.name = name
        self._position: Callable[[Any], Any] = itemgetter(*self.columns) if self.columns else position  # type: ignore[assignment]
        self.max_speed = max_speed
        self.tolerance = tolerance
        self.confirmations = _validation.integer("confirmations", confirmations, least=1)

    def judge(self, event: Any, timestamp: int, state: Any) -> tuple[str | None, Any]:
        """Return the reason for rejecting an event, ``None`` to accept it, and the new state."""
        position = self._position(event)
        if position is None or position[0] is None or position[1] is None:
            return None, state
        latitude, longitude = finite(position[0]), finite(position[1])
        if latitude is None or longitude is None or abs(latitude) > 90 or abs(longitude) > 360:
            return f"{shown(tuple(position))} is not a position", state
        point = (latitude, longitude, timestamp)
        if state is None:
            return None, tuple(_Track(point, None, 0))
        track = _Track(*state)
        if self._reaches(track.accepted, point):
            # A late point is accepted, but the newest one remains the reference.
            newest = point if timestamp >= track.accepted[2] else track.accepted
            return None, tuple(_Track(newest, None, 0))
        count = 1
        if track.candidate is not None and self._reaches(track.candidate, point):
            count = track.confirmed + 1
        if count >= self.confirmations:
            return None, tuple(_Track(point, None, 0))
        kilometers, seconds = distance(track.accepted, point) / 1000, abs(timestamp - track.accepted[2]) / 1000
        reason = f"{kilometers:.1f} km in {seconds:g} s is faster than {self.max_speed:g} m/s"
        return reason, tuple(_Track(track.accepted, point, count))

    def _reaches(self, one: Point, two: Point) -> bool:
        seconds = abs(two[2] - one[2]) / 1000
        return distance(one, two) <= self.max_speed * seconds + self.tolerance


class _Track(NamedTuple):
    """The last accepted point, and the last of the points that may be at a new place, with their number."""

    accepted: Point
    candidate: Point | None
    confirmed: int


def distance(one: Point, two: Point) -> float:
    """Return the great-circle distance in meters, by the haversine formula, which is also exact for small distances."""
    latitude_1, latitude_2 = math.radians(one[0]), math.radians(two[0])
    across = math.sin(math.radians(two[1] - one[1]) / 2) ** 2
    square = math.sin((latitude_2 - latitude_1) / 2) ** 2 + math.cos(latitude_1) * math.cos(latitude_2) * across
    return 2 * EARTH_RADIUS_METERS * math.asin(min(1.0, math.sqrt(square)))
