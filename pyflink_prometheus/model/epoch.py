"""Times of all kinds as milliseconds since 1970, exactly."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from pyflink_prometheus._validation import shown

_EPOCH = datetime(1970, 1, 1)
_EPOCH_UTC = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MS = timedelta(milliseconds=1)
_MINUTE_MS = 60_000


def zone_named(name: Any) -> ZoneInfo:
    """
    Return a time zone.

    :raises ValueError: if there is no zone with this name.
    """
    try:
        return ZoneInfo(name)
    except Exception as error:  # ZoneInfoNotFoundError, ValueError, or what the file system raises
        raise ValueError(
            f"time_zone: expected a name such as Europe/Berlin, got {shown(name)}"
            + ("; install tzdata if this machine has no time zones" if isinstance(error, LookupError) else "")
        ) from None


class Epoch:
    """
    Milliseconds since 1970 of times with and without a zone.

    :param time_zone: the zone of times that have none. If an hour occurs twice, the first one is used.
    """

    def __init__(self, time_zone: str) -> None:
        self._zone = None if time_zone == "UTC" else zone_named(time_zone)

    def millis(self, time: Any) -> Any:
        """Return a ``datetime``, PyFlink's ``Instant`` or numpy's ``datetime64`` in milliseconds; others unchanged."""
        if type(time) is int:
            return time
        if isinstance(time, datetime):
            if time != time:  # pandas' NaT is also a datetime  # noqa: PLR0124
                return None
            if time.tzinfo is not None:
                return (time - _EPOCH_UTC) // _MS
            return self._from_local((time - _EPOCH) // _MS)
        if hasattr(time, "to_epoch_milli"):
            # Its own method is wrong by up to a second before 1970.
            return time.seconds * 1000 + time.nanos // 1_000_000
        if type(time).__name__ == "datetime64":
            number = time.astype("datetime64[ms]").astype("int64").item()
            return None if number == -(2**63) else self._from_local(number)
        return time

    def all_from_local(self, local: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return times without a zone, which are given as if they were in UTC, in milliseconds since 1970."""
        if self._zone is None or not local.size:
            return local.copy()
        minutes, places = np.unique(local // _MINUTE_MS, return_inverse=True)
        offsets = [self._from_local(minute * _MINUTE_MS) - minute * _MINUTE_MS for minute in minutes.tolist()]
        found: npt.NDArray[np.int64] = local + np.array(offsets, dtype=np.int64)[places]
        return found

    def _from_local(self, local: int) -> int:
        if self._zone is None:
            return local
        try:
            # Offsets change on whole minutes.
            offset = (_EPOCH + timedelta(minutes=local // _MINUTE_MS)).replace(tzinfo=self._zone).utcoffset()
        except OverflowError:  # beyond the years that datetime has: rejected later, with a message
            return local
        return local if offset is None else local - offset // _MS
