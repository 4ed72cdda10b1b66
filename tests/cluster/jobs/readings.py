"""Out-of-order readings of three devices, with everything that can go wrong, for jobs and their expected results."""

from __future__ import annotations

import math
from typing import NamedTuple

START_MS = 1_700_000_040_000  # a full minute
COUNT = 1_800
#: More than any reading but those of the tardy device is late.
OUT_OF_ORDERNESS_MS = 10_000
GAP_MS = 200_000
TARDY = "tardy"


class Reading(NamedTuple):
    """A reading, with its number in the order of arrival."""

    n: int
    device: str
    room: str | None
    value: float | None
    latitude: float | None
    longitude: float | None
    ms: int


def reading(n: int) -> Reading:
    """
    Return a reading.

    Times are out of order by up to three seconds, and some devices have two readings with one time. Device 2 stops
    halfway, and from then on device ``tardy`` sends readings that are an hour old. After a third of all readings there
    is a gap. Device 1 has no position for a while.
    """
    of_device = n // 3
    second = of_device ^ 3
    second -= second % 2 if of_device % 11 < 2 else 0
    ms = START_MS + 1_000 * second + (GAP_MS if of_device >= COUNT // 9 else 0)
    value: float | None = float(n % 7) + n / 10_000
    if n % 13 == 0:
        value = None
    elif n % 29 == 0:
        value = math.nan
    elif n % 50 == 25:
        value = 1e6
    elif n % 100 == 48:
        value = -1e4
    latitude, longitude = (48 + 0.0001 * second, 9.0 if n % 60 == 31 else 2.0) if n % 19 else (None, None)
    device = f"d{n % 3}"
    if device == "d1" and COUNT // 2 <= n < COUNT * 2 // 3:
        latitude = longitude = None
    if device == "d2" and n >= COUNT // 2:
        device, ms = TARDY, ms - (3_600_000 if n % 2 else 0)
    return Reading(n, device, f"r{n % 2}" if n % 17 else None, value, latitude, longitude, ms)
