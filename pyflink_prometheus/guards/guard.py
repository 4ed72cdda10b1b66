"""The guards by name, what they have found, and the refusal of a series."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from enum import Enum

_log = logging.getLogger(__name__)

_WARNING_INTERVAL_S = 600.0


class Guard(Enum):
    """A limit that was exceeded. The values appear in logs."""

    LABELS = "max_labels"
    METRIC_NAME = "max_metric_name_bytes"
    LABEL_NAME = "max_label_name_bytes"
    LABEL_VALUE = "max_label_value_bytes"
    NEW_SERIES_PER_HOUR = "max_new_series_per_hour"
    NEW_SERIES_PER_DAY = "max_new_series_per_day"
    NEW_SERIES_PER_METRIC_PER_HOUR = "max_new_series_per_metric_per_hour"
    NEW_SERIES_PER_METRIC_PER_DAY = "max_new_series_per_metric_per_day"
    SAMPLES_PER_SECOND = "max_samples_per_second"
    BYTES_PER_SECOND = "max_bytes_per_second"


class SeriesRefused(Exception):  # noqa: N818  (it is caught at once and reports no error)
    """A series that must not be sent."""

    def __init__(self, guard: Guard, message: str) -> None:
        super().__init__(message)
        self.guard = guard


class Findings:
    """
    How often each guard has found something, with a warning about each guard at most every ten minutes.

    :param monotonic: returns seconds that never go back.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._warned: dict[Guard, tuple[float, int]] = {}
        self._counts: dict[Guard, int] = dict.fromkeys(Guard, 0)

    @property
    def counts(self) -> dict[Guard, int]:
        """How often each guard has found something."""
        with self._lock:
            return dict(self._counts)

    def add(self, guard: Guard, message: str) -> None:
        """Count something that a guard has found, and warn of it unless the guard has warned recently."""
        now = self._monotonic()
        with self._lock:
            self._counts[guard] += 1
            count = self._counts[guard]
            last = self._warned.get(guard)
            if last is not None and now - last[0] < _WARNING_INTERVAL_S:
                return
            self._warned[guard] = (now, count)
        _log.warning("%s (%d since the last such warning)", message, count - (0 if last is None else last[1]))
